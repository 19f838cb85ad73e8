"""Messages of the commands, on lines of their own also where a bar of `model.track` stands."""

import contextlib
import sys
import warnings

from ..model import tqdm


def say(text):
    """Print a message about the work to standard error."""
    show(text, sys.stderr)


def tell(text):
    """Print a result to standard output."""
    show(text, sys.stdout)


def show(text, stream):
    """Print a line. If it is not taken, work goes on; `commands.main` says so of results."""
    if stream is None:  # closed, as by 2>&- in a shell
        return
    with contextlib.suppress(OSError):
        if tqdm:
            tqdm.write(text, file=stream)
        else:
            print(text, file=stream)
        stream.flush()


@contextlib.contextmanager
def one_line_warnings():
    """Within this, warnings are shown as one line of text, without a line of source code."""

    def show_warning(message, category, filename, lineno, file=None, line=None):
        say(f"warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        yield
