"""The commands: `python -m Miniproject_1 --help`."""

import signal
import sys
import warnings

# PyTorch warns where it finds no NumPy; nothing here needs it
warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt, too
    try:
        from .others.commands import main

        sys.exit(main())
    except KeyboardInterrupt:  # while PyTorch is loaded
        sys.exit(130)
