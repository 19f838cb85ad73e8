"""The command line: which commands there are."""

import argparse
from importlib import import_module

COMMANDS = {  # each is a module of this folder
    "denoise": "denoise picture files",
    "evaluate": "print how good the weights are on a data file",
    "make-data": "build data files from photographs",
    "make-pairs": "build a data file from two noisy shots of every scene",
    "train": "train on pairs of noisy images",
    "reproduce": "train the weights that come with the project anew",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are for `main`, which prints them."""

    def error(self, message):
        """Raise ValueError."""
        raise ValueError(f"{message}; '{self.prog} --help' explains")


def build_parser():
    """Return the parser of all commands; its result has `run`, a function of the result."""
    parser = Parser(
        prog="python -m Miniproject_1",
        description=(
            "Remove noise from pictures with a network that was trained on noisy ones. Without a "
            "command: denoise the sample that comes with the project, print how much better it has "
            "become (PSNR: higher is better), and write a picture."
        ),
        epilog="'python -m Miniproject_1 COMMAND --help' explains a command.",
    )
    demo = import_module(".demo", __package__)
    demo.add_arguments(parser)
    parser.set_defaults(run=demo.run)

    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = import_module("." + name.replace("-", "_"), __package__)
        subparser = subparsers.add_parser(name, help=summary)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def one_of(names):
    """A type for `add_argument`: one of these names, in any case, as it is written here."""
    canonical = {name.lower(): name for name in names}

    def read(text):
        if text.lower() not in canonical:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, got {text!r}")
        return canonical[text.lower()]

    return read
