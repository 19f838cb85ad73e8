"""Trainings of hours: checkpoints that lose nothing, resumption, a deadline, Ctrl-C.

A checkpoint is written every few minutes and at every end but the last, always whole or not at all, so a training that
was killed at any moment continues from it and ends where an uninterrupted one does.
"""

import json
import math
import os
import platform
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from ...model import Training, check_number, keep_memory, load_file, track
from ..data.files import check_output, replaced, save, say

CHECKPOINT_MINUTES = 5
FINISHED, DEADLINE, INTERRUPTED = "finished", "stopped at the deadline", "interrupted"


def add_options(parser):
    """Add the options that all commands for long trainings have."""
    parser.add_argument("--output", type=Path, metavar="FILE", help="weights to write; default: trained.pth")
    parser.add_argument("--deadline", type=float, metavar="MINUTES", help="stop by then, with a checkpoint")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE",
        help="checkpoint (OUTPUT.checkpoint) of a training that was stopped; brings the options it was begun with",
    )  # fmt: skip


def settings_of(options, saved, defaults):
    """The settings of a training: defaults and options, or the checkpoint's, which no option may contradict."""
    given = {name: value for name, value in vars(options).items() if name in defaults and value is not None}
    settings = saved["about"]["settings"] if saved else {**defaults, **given}
    for name, value in given.items():
        if value != settings[name]:
            raise ValueError(f"--resume: this training was begun with {name} = {settings[name]}, not {value}")
    return settings


class Alone:
    """The processes of a training: this one only. `distributed.Team` has the same interface for several."""

    first, training = True, Training  # the one that prints and writes; the class of the training

    def __init__(self, device):
        self.device = device

    def share(self, pairs):
        """The pairs that this process is to take."""
        return pairs

    def any(self, flag):
        """Whether the flag is set in any process."""
        return flag

    def from_first(self, function):
        """What the function returns in the first process."""
        return function()


@contextmanager
def team(device):
    """`Alone`, or, where torchrun has started this process among others, a `distributed.Team`."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone(device)
        return
    from . import distributed  # and with it much of torch.distributed

    with distributed.team(device) as several:
        yield several


def begin(options, defaults, team):
    """The checkpoint to go on from or None, the settings, and the paths of the outputs, which are checked."""
    saved = team.from_first(lambda: load_checkpoint(options.resume) if options.resume else None)
    return saved, settings_of(options, saved, defaults), outputs_of(options, saved, team.first)


def outputs_of(options, saved, first=True):
    """Paths of weights, record and checkpoint, if they are free, this training's own, or may be overwritten; unchecked
    in all processes but the first."""
    output = options.output or Path(saved["about"]["output"] if saved else "trained.pth")
    record, checkpoint = (output.with_name(output.name + ending) for ending in (".json", ".checkpoint"))
    own = bool(saved) and Path(saved["about"]["output"]) == output.resolve()
    if not first:
        return [output, record, checkpoint]
    if checkpoint.exists() and not own and not options.overwrite:
        raise FileExistsError(
            f"{checkpoint} exists: continue that training with --resume {checkpoint}, or choose another --output"
        )
    return [check_output(path, options.overwrite or own) for path in (output, record, checkpoint)]


def carry_out(command, training, outputs, about, deadline, record, watch=None, team=None):
    """Take the steps of a training that are left, and write the weights and the record, as a command does.

    Args:
        command: how it was called, for the user who will continue it.
        outputs: from `outputs_of`.
        record: function of nothing that returns what to write beside the weights, as JSON.
        training, about, deadline, watch, team: as in `run`.

    Returns:
        whether weights were written. Otherwise it was stopped by Ctrl-C.
    """
    output, record_path, checkpoint = outputs
    team = team or Alone(None)
    how_to_go_on = f"continue with: {command} --output {output} --resume {checkpoint}"
    try:
        ended = run(training, checkpoint, about, deadline, watch=watch, team=team)
    except KeyboardInterrupt:
        say(f"stopped at once; {how_to_go_on if checkpoint.exists() else 'there is no checkpoint yet'}")
        return False
    except Exception:
        if training.history["loss"] and team.first:
            save(training.good, output)
            say(f"{output} has the last good weights")
        raise
    if ended == INTERRUPTED:
        say(f"interrupted; {how_to_go_on}")
        return False
    if not team.first:
        return True
    save(training.good if ended == DEADLINE else training.network.state_dict(), output)
    with replaced(record_path) as temporary:
        temporary.write_text(json.dumps(record()) + "\n")
    print(f"{output}: weights after {len(training.history['loss'])} steps; {record_path}: how they came about")
    if ended == DEADLINE:
        print(f"stopped at the deadline; {how_to_go_on}", flush=True)
    else:
        checkpoint.unlink(missing_ok=True)
    return True


def run(training, checkpoint, about, deadline=None, progress=True, watch=None, team=None):
    """Take the steps of a training that are left.

    Args:
        training: a `Training`.
        checkpoint: the file to write. A failed save is a warning and is tried again after another interval.
        about: what `load_checkpoint` is to tell of this training: a dict of numbers, names, and containers of them.
        deadline: minutes from now after which to stop; the step under way is finished first.
        progress: show loss and time left.
        watch: function of nothing that is called after every step, before a checkpoint.
        team: the processes that train; the first writes checkpoints. None: this one alone.

    Returns:
        FINISHED, DEADLINE or INTERRUPTED (by Ctrl-C; a second one raises KeyboardInterrupt at once).

    Raises:
        OSError: the last checkpoint could not be written.
        FloatingPointError: training went wrong too often; the network has its last good weights, as after any error.
    """
    stop_at = math.inf if deadline is None else time.monotonic() + 60 * check_number("deadline", deadline, 0)
    previous, ended, team = time.monotonic(), FINISHED, team or Alone(None)
    left = training.num_steps - len(training.history["loss"])
    with interruptible() as interrupted, keep_memory(math.inf):
        rollbacks = training.rollbacks
        for _ in track(training, left, progress, text="loss {0[0]:.5f}, learning rate {0[1]:.2g}".format):
            if watch:
                watch()
            if training.rollbacks > rollbacks:
                rollbacks = training.rollbacks
                say("the loss exploded: back to the last good weights, with half the learning rate")
            if team.any(interrupted() or time.monotonic() > stop_at):
                ended = INTERRUPTED if team.any(interrupted()) else DEADLINE
                break
            if team.first and time.monotonic() - previous > 60 * CHECKPOINT_MINUTES:
                previous = time.monotonic()
                try:
                    save_checkpoint(training, checkpoint, about)
                except OSError as error:
                    say(f"warning: {error}; trying again in {CHECKPOINT_MINUTES} minutes")
        if len(training.history["loss"]) == training.num_steps:
            return FINISHED
        if team.first:
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


def processor(device="cpu"):
    """The name of what computes on this device: of the GPU, or of the processor where the system tells."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


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
