"""What a user types: `main` runs a command."""

import argparse
import importlib
import sys

import torch

from ..console import lost, one_line_warnings, say

COMMANDS = {  # modules of this folder, with _ for -, that have add_arguments(parser), run(options)
    "demo": "denoise the sample and print the scores; this is the default",
    "denoise": "denoise picture files",
    "evaluate": "print how good the weights are on a data file",
    "make-data": "build data files from photographs",
    "make-pairs": "build data files from your own noisy pictures",
    "train": "train on pairs of noisy images",
    "sample": "draw sharp pictures that fit a noisy one",
    "reproduce": "train the weights that come with the project anew",
    "reproduce-sampler": "train the weights of 'sample' anew",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are for `main`, which prints them."""

    def error(self, message):
        raise ValueError(f"{message}; '{self.prog} --help' explains")


def main(arguments=None):
    """Run a command.

    Args:
        arguments: what was typed behind the program's name; None: what this process was given.

    Returns:
        the exit status: 0, if all is done; 1, if some of it is; 2 after an error that the user can
        mend, which is told in one line; 130, if the user stopped it. Any other error is a fault of
        the program, and is raised.
    """
    if hasattr(sys.stdout, "reconfigure"):  # for a path with letters that the console lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    lost.clear()
    with one_line_warnings():
        try:
            options = parse(sys.argv[1:] if arguments is None else arguments)
            status = options.run(options)
        except KeyboardInterrupt:
            return 130
        except (OSError, ValueError, FloatingPointError, ModuleNotFoundError) as error:
            say(f"error: {' '.join(str(error).split())}")
            return 2
        except (torch.cuda.OutOfMemoryError, MemoryError):
            say("error: too little memory; smaller pictures or batches need less")
            return 2
    if lost:
        status = 1
        if not isinstance(lost[0], BrokenPipeError):  # whose reader has seen enough
            say(f"error: the results cannot be written: {lost[0].strerror}")
    return status


def parse(arguments):
    """What was typed, as options; `options.run` takes them and returns the exit status."""
    arguments = arguments or ["demo"]
    parser = Parser(
        prog="python -m Miniproject_1",
        description="Remove noise from pictures. Without a command the demonstration runs.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary)
        if name == arguments[0]:  # only its module is needed
            module = importlib.import_module(f".{name.replace('-', '_')}", __package__)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args(arguments)
