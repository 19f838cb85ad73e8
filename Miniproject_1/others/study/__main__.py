"""The study: experiments with the noise of Noise2Noise, their results, and the report."""

import argparse
import sys
from importlib import import_module

from ..console import one_line_warnings, say

COMMANDS = {  # the modules of this folder
    "run": "make the trainings of experiments",
    "measure": "measure the weights that come with the project",
    "sampling": "measure the samples that 'sample' draws",
    "classical": "measure classical methods",
    "benchmark": "measure the speed",
    "report": "build the report and write a table of each experiment",
}


def main():
    """Run the command that was typed. Returns the exit status."""
    parser = argparse.ArgumentParser("python -m Miniproject_1.others.study", description=__doc__)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    try:
        for name, summary in COMMANDS.items():
            raw = argparse.RawDescriptionHelpFormatter
            subparser = subparsers.add_parser(name, help=summary, formatter_class=raw)
            if name in sys.argv[1:2]:  # only its module is needed
                module = import_module(f".{name}", __package__)
                subparser.description = module.__doc__
                module.add_arguments(subparser)
                subparser.set_defaults(run=module.run)
        options = parser.parse_args()
        with one_line_warnings():
            return options.run(options)
    except KeyboardInterrupt:
        return 130
    except (ModuleNotFoundError, OSError) as error:
        say(f"error: {error}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
