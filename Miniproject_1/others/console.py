"""Messages and progress of the commands.

A message that cannot be shown must not stop the work: the terminal may be gone, the disk full, the
pipe's reader finished, the letters unknown to the console. So nothing in here raises because of the
stream that it writes to, and what is left in a stream does not change the exit status either.
"""

import atexit
import os
import shutil
import sys
import time
import warnings
from collections import deque
from contextlib import contextmanager, suppress

SECONDS_BETWEEN_LINES = 30  # of progress that goes to a file or a pipe
SECONDS_BETWEEN_DRAWINGS = 0.1  # of the line that is written over on a terminal
SECONDS_OF_PACE = 60  # the time left is estimated from the pace of the last minute

open_bars = []  # that stand on the terminal, the innermost last


def say(text):
    """Print a message about the work to standard error."""
    show_message(text, sys.stderr)


def tell(text):
    """Print a result to standard output."""
    show_message(text, sys.stdout)


def show_message(text, stream):
    """Write a line of its own, also while a bar stands on the terminal."""
    if open_bars:
        open_bars[-1].clear()
    write(text + "\n", stream)
    if open_bars:
        open_bars[-1].show()


def leave_bar():
    """Begin a line below the bar that stands on the terminal, for what does not know of it."""
    if open_bars:
        write("\n", sys.stderr)


def write(text, stream):
    """Write to a stream; whatever goes wrong with it is passed over."""
    with suppress(Exception):
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoded = text.encode(stream.encoding, errors="backslashreplace")
            stream.write(encoded.decode(stream.encoding))
        stream.flush()


@atexit.register
def forget_what_cannot_be_written():
    """Let the null device take it: Python ends with status 120 if a stream cannot be emptied."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except Exception:
            with suppress(Exception):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def one_line_warnings():
    """Within this, warnings are shown as one line of text, without a line of source code."""

    def show(message, category, filename, lineno, file=None, line=None):
        say(f"warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def progress(items, total, label, describe=None, shown=True):
    """Iterate over items and show how far it is and how long the rest will take.

    On a terminal a line is there from the start and is written over. A file or a pipe is given a
    line every 30 seconds and one at the end.

    Args:
        items: an iterable. An item counts as done when the next one is asked for.
        total: the number of items.
        label: what is counted, for example "picture" or "step".
        describe: a function of the item just done that returns more to show, for example its loss.
        shown: False shows nothing.

    Yields:
        the items.
    """
    if not shown:
        yield from items
        return
    bar = Bar(total, label)
    try:
        for item in items:
            yield item
            if describe is not None:
                bar.text = describe(item)
            bar.count()
    finally:
        bar.close()


class Bar:
    """Progress in words on standard error."""

    def __init__(self, total, label):
        self.total = total
        self.label = label
        self.done = 0
        self.text = ""  # more to show
        self.moments = deque([(time.monotonic(), 0)])  # when, and how many were done
        self.last_shown = time.monotonic()
        self.on_terminal = False
        with suppress(Exception):
            self.on_terminal = sys.stderr.isatty()
        if self.on_terminal:
            open_bars.append(self)
            self.show()

    def count(self):
        """Count an item, and show it if it is time to."""
        self.done += 1
        now = time.monotonic()
        if now - self.moments[-1][0] >= 1:
            self.moments.append((now, self.done))
        while len(self.moments) > 2 and now - self.moments[1][0] > SECONDS_OF_PACE:
            self.moments.popleft()
        between = SECONDS_BETWEEN_LINES
        if self.on_terminal:
            between = SECONDS_BETWEEN_DRAWINGS
        if now - self.last_shown >= between or self.done == self.total:
            self.show()

    def show(self):
        self.last_shown = time.monotonic()
        line = self.line()
        if self.on_terminal:
            width = shutil.get_terminal_size().columns - 1
            write("\r" + line[:width].ljust(width), sys.stderr)
        else:
            write(line + "\n", sys.stderr)

    def clear(self):
        width = shutil.get_terminal_size().columns - 1
        write("\r" + " " * width + "\r", sys.stderr)

    def close(self):
        if self.on_terminal:
            open_bars.remove(self)
            self.show()
            write("\n", sys.stderr)

    def line(self):
        line = f"{self.label} {self.done} of {self.total}"
        if 0 < self.done < self.total:
            moment, done = self.moments[0]  # the first steps may be slower than the later ones
            seconds_per_item = (time.monotonic() - moment) / (self.done - done)
            line += f", {duration(seconds_per_item * (self.total - self.done))} left"
        if self.text:
            line += f", {self.text}"
        return line


def duration(seconds):
    """A time in words: "40 seconds", "3.5 minutes", "2.1 hours"."""
    if seconds < 99.5:
        return f"{seconds:.0f} seconds"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:.1f} hours"
