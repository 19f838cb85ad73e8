"""The study: experiments with the noise of Noise2Noise, and their results.

    python -m Miniproject_1.others.study run NAME ... --photographs FOLDER ...
    python -m Miniproject_1.others.study tables

Each training writes a file into `results/NAME/`. A training that has its file is not repeated, and
an unfinished one goes on from its checkpoint in `.run/study`, which is written every two minutes.
So the same command goes on with a study that was stopped. `experiments.py` says what is trained.
`tables` writes a CSV file for each experiment, an arm on each line, the best first.

A GPU is faster with several trainings at a time (`--processes 12`), if its Multi-Process Service
runs (`nvidia-cuda-mps-control -d`). On an NVIDIA H200 twelve trainings with batches of 64 then saw
27,000 pairs a second in all, one alone 12,000.
"""

import math
import sys
import time
from pathlib import Path

from ..console import tell
from . import parser_of
from .experiments import EXPERIMENTS
from .findings import write_tables
from .material import PACKED, pack
from .runner import Runner

CHECKPOINTS = Path(".run") / "study"  # in the working folder


def main():
    """Run what the command line asks for; returns the exit status."""
    options = parse_arguments()
    if options.command == "tables":
        for path in write_tables():
            tell(str(path))
        return 0
    names = options.names
    if "all" in names:
        names = list(EXPERIMENTS)
    deadline = time.time() + 60 * options.deadline
    pack(options.photographs, PACKED)
    runner = Runner(names, PACKED, options.device, options.processes, CHECKPOINTS)
    if runner.run(deadline):
        return 0
    return 1


def parse_arguments():
    """Read the command line."""
    parser = parser_of(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tables", help="write CSV files of all results")
    run = commands.add_parser("run", help="make the trainings of experiments")
    names = ["all", *EXPERIMENTS]
    text = f"{', '.join(names)}, most important first"
    run.add_argument("names", nargs="+", choices=names, metavar="NAME", help=text)
    text = "where the photographs are; their order and folders do not matter"
    run.add_argument(
        "--photographs", nargs="+", type=Path, required=True, metavar="FOLDER", help=text
    )
    run.add_argument("--device", default="cpu", help="cpu (default), cuda")
    text = "trainings at a time; default: 1"
    run.add_argument("--processes", type=int, default=1, metavar="N", help=text)
    text = "stop after this time; unfinished trainings can go on later"
    run.add_argument("--deadline", type=float, default=math.inf, metavar="MINUTES", help=text)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
