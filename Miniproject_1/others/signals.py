"""Requests to end: Ctrl-C, a closed terminal, the time limit of a queue, `docker stop`."""

import signal
import threading
import time
from contextlib import contextmanager

from .console import say

REQUESTS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks the last
SECONDS_OF_ONE_REQUEST = 1  # a terminal and torchrun both pass Ctrl-C on

requests_are_postponed = False  # True while a file is written


@contextmanager
def requests_handled(handler):
    """Within this, requests to end call a function of (number, frame).

    Those that this process ignores, as SIGHUP under nohup, are ignored still.
    """
    if threading.current_thread() is not threading.main_thread():  # only there they arrive
        yield
        return
    numbers = [getattr(signal, name) for name in REQUESTS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number] or signal.SIG_DFL)


@contextmanager
def requests_held(message):
    """Hold back requests to end; a second Ctrl-C ends at once.

    Args:
        message: what is said at the first request.

    Yields:
        a list, to which the number of the first request is added when it comes.
    """
    received = []
    moments = []

    def hold(number, frame):
        if not received:
            received.append(number)
            moments.append(time.monotonic())
            say(message)
        elif number == signal.SIGINT and time.monotonic() - moments[0] > SECONDS_OF_ONE_REQUEST:
            raise KeyboardInterrupt

    with requests_handled(hold):
        yield received


@contextmanager
def requests_postponed():
    """Within this, while files are written, a first request to end waits until the end."""
    global requests_are_postponed
    if requests_are_postponed:  # by a block around this one
        yield
        return
    received = []
    requests_are_postponed = True
    try:
        with requests_held("stopping when the file is written") as received:
            yield
    finally:
        requests_are_postponed = False
        for number in received:
            signal.raise_signal(number)
