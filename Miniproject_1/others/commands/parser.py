"""The command line: which commands there are."""

import argparse

from . import (
    demo,
    denoise,
    evaluate,
    make_data,
    make_pairs,
    reproduce,
    reproduce_sampler,
    sample,
    train,
)

COMMANDS = {
    "demo": (demo, "denoise the sample and print the scores; this is the default"),
    "denoise": (denoise, "denoise picture files"),
    "evaluate": (evaluate, "print how good the weights are on a data file"),
    "make-data": (make_data, "build data files from photographs"),
    "make-pairs": (make_pairs, "build data files from two noisy shots of every scene"),
    "train": (train, "train on pairs of noisy images"),
    "reproduce": (reproduce, "train the weights that come with the project anew"),
    "sample": (sample, "draw sharp pictures that fit a noisy one"),
    "reproduce-sampler": (reproduce_sampler, "train the weights of 'sample' anew"),
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are for `main`, which prints them."""

    def error(self, message):
        """Raise ValueError."""
        raise ValueError(f"{message}; '{self.prog} --help' explains")


def build_parser():
    """Return the parser of all commands. The parsed options have `run`, which takes them."""
    parser = Parser(
        prog="python -m Miniproject_1",
        description=(
            "Remove noise from pictures with a network that was trained on noisy ones. Without a "
            "command the demonstration runs; its options may follow directly."
        ),
        epilog="'python -m Miniproject_1 COMMAND --help' explains a command.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser
