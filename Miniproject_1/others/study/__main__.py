"""The study: experiments with the noise of Noise2Noise, and their results.

    python -m Miniproject_1.others.study run NAME ... --photographs FOLDER ...
    python -m Miniproject_1.others.study tables

Each training writes a file into `results/NAME/`. A training that has its file is not repeated, so
the same command goes on with a study that was stopped. `experiments.py` says what is trained.
`tables` writes a CSV file for each experiment, an arm on each line, the best first.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import torch

from ...model import check_number
from ..console import tell
from .experiments import EXPERIMENTS
from .findings import write_tables
from .material import pack
from .runner import Runner

PACKED = Path(".run") / "photographs.pt"  # in the working folder
CHECKPOINTS = Path(".run") / "study"


def main():
    """Run what the command line asks for; returns the exit status."""
    options = parse_arguments()
    if options.command == "tables":
        for path in write_tables():
            tell(str(path))
        return 0
    names = options.names
    if names == ["all"]:
        names = list(EXPERIMENTS)
    deadline = time.time() + 60 * options.deadline
    pack(options.photographs, options.packed)
    runner = Runner(names, options.packed, options.device, options.processes, CHECKPOINTS)
    if runner.run(deadline):
        return 0
    return 1


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m Miniproject_1.others.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tables", help="write CSV files of all results")
    run = commands.add_parser("run", help="make the trainings of experiments")
    run.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help=f"all, or some of {', '.join(EXPERIMENTS)}, most important first",
    )
    run.add_argument(
        "--photographs",
        nargs="+",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where the photographs are; their order and folders do not matter",
    )
    run.add_argument(
        "--packed",
        type=Path,
        default=PACKED,
        metavar="FILE",
        help="where all photographs are kept once they are decoded; default: %(default)s",
    )
    run.add_argument("--device", default="cpu", help="cpu (default), cuda")
    run.add_argument(
        "--processes", type=int, default=1, metavar="N", help="trainings at a time; default: 1"
    )
    run.add_argument(
        "--deadline",
        type=float,
        default=math.inf,
        metavar="MINUTES",
        help="stop after this time; unfinished trainings can go on later",
    )
    options = parser.parse_args()
    if options.command == "tables":
        return options
    unknown = set(options.names) - {"all", *EXPERIMENTS}
    if unknown:
        run.error(f"there is no experiment {', '.join(sorted(unknown))}")
    check_number("--processes", options.processes, 1, whole=True)
    try:
        torch.device(options.device)
    except RuntimeError:
        run.error(f"--device: {options.device} is no device")
    return options


if __name__ == "__main__":
    sys.exit(main())
