"""Trainings of hours: checkpoints that lose nothing, resumption, a deadline, Ctrl-C.

A checkpoint is written every few minutes and at every end but the last, always whole or not at all, so a training that
was killed at any moment continues from it and ends where an uninterrupted one does.
"""

import math
import signal
import threading
import time
from contextlib import contextmanager

from ...model import check_number, load_file, track
from ..data.files import save, say

CHECKPOINT_MINUTES = 5
FINISHED, DEADLINE, INTERRUPTED = "finished", "stopped at the deadline", "interrupted"


def run(training, checkpoint, about, deadline=None, progress=True):
    """Take the steps of a training that are left.

    Args:
        training: a `Training`.
        checkpoint: the file to write. A failed save is a warning and is tried again after another interval.
        about: what `load_checkpoint` is to tell of this training: a dict of numbers, names, and containers of them.
        deadline: minutes from now after which to stop; the step under way is finished first.
        progress: show loss and time left.

    Returns:
        FINISHED, DEADLINE or INTERRUPTED (by Ctrl-C; a second one raises KeyboardInterrupt at once).

    Raises:
        OSError: the last checkpoint could not be written.
        FloatingPointError: training went wrong too often; the network has its last good weights, as after any error.
    """
    stop_at = math.inf if deadline is None else time.monotonic() + 60 * check_number("deadline", deadline, 0)
    previous, ended = time.monotonic(), FINISHED
    left = training.num_steps - len(training.history["loss"])
    with interruptible() as interrupted:
        rollbacks = training.rollbacks
        for _ in track(training, left, progress, text="loss {0[0]:.5f}, learning rate {0[1]:.2g}".format):
            if training.rollbacks > rollbacks:
                rollbacks = training.rollbacks
                say("the loss exploded: back to the last good weights, with half the learning rate")
            if interrupted() or time.monotonic() > stop_at:
                ended = INTERRUPTED if interrupted() else DEADLINE
                break
            if time.monotonic() - previous > 60 * CHECKPOINT_MINUTES:
                previous = time.monotonic()
                try:
                    save_checkpoint(training, checkpoint, about)
                except OSError as error:
                    say(f"warning: {error}; trying again in {CHECKPOINT_MINUTES} minutes")
        if len(training.history["loss"]) == training.num_steps:
            return FINISHED
        save_checkpoint(training, checkpoint, about)
    return ended


def save_checkpoint(training, path, about):
    """Write the state of a training, and what `about` tells of it."""
    save(dict(about=about, **training.state_dict()), path)


def load_checkpoint(path):
    """What `save_checkpoint` wrote: a dict with "about" and the state for `Training.load_state_dict`.

    Raises:
        ValueError: it is not a checkpoint; and what `load_file` raises.
    """
    saved = load_file(path)
    if not isinstance(saved, dict) or set(saved) != {"about", "training", "network", "optimizer"}:
        raise ValueError(f"{path} is not a checkpoint of a training")
    return saved


@contextmanager
def interruptible():
    """Hold back the first Ctrl-C; yields a function that tells whether there was one."""
    caught = []

    def hold(*_):
        if caught:
            raise KeyboardInterrupt
        caught.append(True)
        say("\nstopping after this step; Ctrl-C again stops at once, with the checkpoint of some minutes ago")

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: bool(caught)
    finally:
        signal.signal(signal.SIGINT, previous or signal.SIG_DFL)
