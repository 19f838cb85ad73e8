"""The commands: `python -m Miniproject_1 --help`."""

import sys
from pathlib import Path

if not __package__:  # run as `python Miniproject_1`
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "Miniproject_1"

from .others.commands import main

if __name__ == "__main__":
    sys.exit(main())
