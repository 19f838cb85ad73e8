"""The commands: `python -m Miniproject_1 --help`."""

import signal
import sys
import warnings
from pathlib import Path

# PyTorch warns where it finds no NumPy; nothing here needs it
warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

if not __package__:  # run as `python Miniproject_1`
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "Miniproject_1"

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt, too
    try:
        from .others.commands import main

        sys.exit(main())
    except KeyboardInterrupt:  # while PyTorch is loaded
        sys.exit(130)
