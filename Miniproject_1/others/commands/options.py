"""Types of options that several commands have."""

import argparse


def one_of(names):
    """A type for `add_argument`: one of these names, in any case, as it is written here."""
    canonical = {name.lower(): name for name in names}

    def read(text):
        if text.lower() not in canonical:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, got {text!r}")
        return canonical[text.lower()]

    return read
