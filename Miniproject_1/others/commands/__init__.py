"""What a user types: `main` runs a command."""

import signal
import sys

from ..console import one_line_warnings, say
from ..signals import requests_handled
from .parser import build_parser

OF_THE_DEVICE = (  # what PyTorch says when a device cannot do what is asked of it
    "out of memory",
    "can't allocate memory",
    "cuda",
    "mps backend",
    "mps device",
    "device type",
    "invalid device",
    "not compiled with",
    "not linked with support",
    "meta tensor",
    "device string",
)


def main(arguments=None):
    """Run a command.

    Args:
        arguments: what was typed behind the program's name; None: what this process was given.

    Returns:
        the exit status: 0, if all is done; 1, if some of it is; 2 after an error, which is told in
        one line; 130, if the user stopped it.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # for a path with letters that the console lacks
            stream.reconfigure(errors="backslashreplace")
    with one_line_warnings(), requests_handled(signal.default_int_handler):
        try:
            options = build_parser().parse_args(with_command(arguments))
            return options.run(options)
        except KeyboardInterrupt:
            return 130
        except (OSError, ValueError, TypeError, FloatingPointError, ModuleNotFoundError) as error:
            say(f"error: {' '.join(str(error).split())}")
            return 2
        except (RuntimeError, AssertionError, MemoryError) as error:
            if not is_of_the_device(error):
                raise
            fault = str(error).split("\n")[0] or "out of memory"
            advice = "--device cpu avoids a GPU, smaller pictures and batches need less memory"
            say(f"error: the device cannot do it: {fault}; {advice}")
            return 2


def with_command(arguments):
    """What was typed, with the demonstration's name where no command is."""
    if arguments is None:
        arguments = sys.argv[1:]
    if not arguments:
        return ["demo"]
    asks_for_help = arguments[0] in ("-h", "--help")
    if arguments[0].startswith("-") and not asks_for_help:
        return ["demo", *arguments]
    return arguments


def is_of_the_device(error):
    """Whether an error is no fault of the program, but too little memory or a missing device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in OF_THE_DEVICE)
