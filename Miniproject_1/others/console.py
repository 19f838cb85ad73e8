"""Messages of the commands, on lines of their own also where a bar of `model.track` stands."""

import contextlib
import sys
import warnings

from ..model import tqdm

lost = []  # the errors of `tell`, for `commands.main`


def say(text):
    """Print a message about the work to standard error, if that takes it."""
    with contextlib.suppress(OSError):
        show(text, sys.stderr)


def tell(text):
    """Print a result to standard output. If that does not take it, work goes on all the same."""
    try:
        show(text, sys.stdout)
    except OSError as error:
        lost.append(error)


def show(text, stream):
    if tqdm:
        tqdm.write(text, file=stream)
    else:
        print(text, file=stream)
    stream.flush()


@contextlib.contextmanager
def one_line_warnings():
    """Within this, warnings are shown as one line of text, without a line of source code."""

    def show_warning(message, *place):
        say(f"warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        yield
