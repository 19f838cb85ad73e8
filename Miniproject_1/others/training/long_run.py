"""Trainings of hours that lose nothing: checkpoints, resumption, a deadline, requests to end.

A checkpoint is written every few minutes and at every end but the last. A training that was stopped
or killed at any moment continues from it, and ends bit for bit where an unbroken one does. Only
after an error it continues from the last good weights.
"""

import json
import math
import platform
import shlex
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from ...model import check_number, load_tensors
from ..console import duration, progress, say, tell
from ..outputs import finite, replaced, reserved, save, save_somewhere
from ..signals import requests_held, requests_postponed

CHECKPOINT_MINUTES = 5
GRADIENTS_OF_LBFGS = 25  # about as many in one iteration of L-BFGS
SECONDS_TO_WRITE = 6  # for starting Python, the last files, and ending Python
STOPPING = "stopping as soon as nothing is lost; Ctrl-C again stops at once"

# How a run ends
FINISHED, DEADLINE, INTERRUPTED = "finished", "stopped at the deadline", "interrupted"


# --------------------------------------------------------------------------------------------------
# Options and files


def add_options(parser):
    """Add the options that all commands for long trainings have."""
    text = "weights to write; default: trained.pth"
    parser.add_argument("--output", type=Path, metavar="FILE", help=text)
    text = "end by then, with a checkpoint and with weights; at least one step is taken"
    parser.add_argument("--deadline", type=float, metavar="MINUTES", help=text)
    text = "checkpoint (OUTPUT.checkpoint) to continue from; it brings its own settings"
    parser.add_argument("--resume", type=Path, metavar="FILE", help=text)
    text = "cpu, cuda, ...; default: the GPU where there is one"
    parser.add_argument("--device", metavar="NAME", help=text)
    text = "replace output files that exist already"
    parser.add_argument("--overwrite", action="store_true", help=text)


def deadline_of(options):
    """The moment, by `time.monotonic()`, at which all has to be done."""
    if options.deadline is None:
        return math.inf
    return time.monotonic() + 60 * check_number("--deadline", options.deadline, 0)


def read_checkpoint(path, command):
    """Read a checkpoint that a `LongRun` of this command has written; None without a path.

    Returns:
        a dict: "command"; "about", see `LongRun`; "training", for `Training.load_state_dict`.

    Raises:
        OSError, ValueError: it cannot be read, or is no checkpoint of this command.
    """
    if path is None:
        return None
    try:
        saved = load_tensors(path)
    except ValueError:
        raise ValueError(f"{path} is not a checkpoint of a training, or is damaged") from None
    if not isinstance(saved, dict) or set(saved) != {"command", "about", "training"}:
        raise ValueError(f"{path} is not a checkpoint of a training")
    if saved["command"] != command:
        raise ValueError(f"{path} is a checkpoint of {saved['command']}, not of {command}")
    return saved


def settings_of(options, saved, defaults):
    """The settings of a training, by name.

    Args:
        options: of the command. What was not given is None.
        saved: a checkpoint, whose settings no option may contradict; or None.
        defaults: the settings that there are, and their values unless options say otherwise.

    Raises:
        ValueError: an option contradicts the checkpoint.
    """
    given = {
        name: value
        for name, value in vars(options).items()
        if name in defaults and value is not None
    }
    if saved is None:
        return {**defaults, **given}
    settings = saved["about"]["settings"]
    for name, value in given.items():
        if value != settings[name]:
            began = f"this training was begun with {name} = {settings[name]}"
            raise ValueError(f"--resume: {began}, not {value}")
    return settings


class Outputs(NamedTuple):
    """The files of a training."""

    weights: Path
    record: Path  # JSON: how the weights came about
    checkpoint: Path
    overwrite: bool  # what was there at the start may be replaced


@contextmanager
def reserved_outputs(options, saved, is_first):
    """Keep the names of the outputs for this training.

    They must be free, or this training's own, or the user wants them replaced.

    Args:
        options: of the command.
        saved: the checkpoint that is continued, or None.
        is_first: whether this process writes; the others check nothing.

    Yields:
        the `Outputs`.

    Raises:
        OSError: a file cannot be written there.
    """
    usual, is_own = Path("trained.pth"), False
    if saved is not None:
        usual, is_own = weights_of(options.resume, saved)
    weights = options.output or usual
    record = weights.with_name(f"{weights.name}.json")
    checkpoint = weights.with_name(f"{weights.name}.checkpoint")
    overwrite = options.overwrite or (is_own and same(weights, usual))
    outputs = Outputs(weights, record, checkpoint, overwrite)
    if not is_first:
        yield outputs
        return
    is_resumed = options.resume is not None and same(options.resume, checkpoint)
    if checkpoint.exists() and not overwrite and not is_resumed:
        raise FileExistsError(
            f"{checkpoint} exists: continue that training with --resume "
            f"{shlex.quote(str(checkpoint))}, or choose another --output"
        )
    with reserved(weights, record, checkpoint, overwrite=overwrite):
        yield outputs


def weights_of(checkpoint, saved):
    """The weights that a checkpoint goes on with: those beside it, also where both were copied to.

    Args:
        checkpoint: the path of the file.
        saved: its content.

    Returns:
        their path, and whether what is there is this training's own and may be replaced: the
        checkpoint has its first name, and lies where it was written, or beside no weights, or
        beside those whose record tells of the same training.
    """
    written = Path(saved["about"]["output"])
    weights = checkpoint.with_name(written.name)
    has_its_name = checkpoint.name == f"{written.name}.checkpoint"
    is_in_place = same(weights.parent, written.parent)
    return weights, has_its_name and (is_in_place or not is_of_another(weights, saved))


def is_of_another(weights, saved):
    """Whether weights are there, and no record beside them says that they are this training's."""
    if not weights.exists():
        return False
    try:
        record = json.loads(weights.with_name(f"{weights.name}.json").read_text())
        return any(record[name] != saved["about"][name] for name in ("settings", "data"))
    except (OSError, ValueError, KeyError, TypeError):
        return True


def same(path, other):
    return path.resolve() == other.resolve()


# --------------------------------------------------------------------------------------------------
# The run


class LongRun:
    """Takes the steps of a training that are left, and writes what comes of it.

    Args:
        command: "train", "reproduce" or "reproduce-sampler".
        source: the path that the user typed behind it.
        options: of the command, those of `add_options` among them.
        training: a `Training`, new or continued.
        outputs: from `reserved_outputs`.
        about: what a checkpoint keeps besides the state of the training: a dict of tensors,
            numbers, texts, and containers of them. "settings" are in it.
        team: from `processes`; its first process writes and prints.
        ends_at: moment by which all has to be done, by `time.monotonic()`.
    """

    def __init__(self, command, source, options, training, outputs, about, team, ends_at):
        self.command = command
        self.source = source
        self.options = options
        self.training = training
        self.outputs = outputs
        self.about = about
        self.about["output"] = str(outputs.weights.absolute())
        self.team = team
        self.ends_at = ends_at
        self.checkpoint = None  # where it was written last
        self.weights = None  # where they were written
        self.requests = []  # numbers of signals that ask to end
        self.ended = None  # FINISHED, DEADLINE or INTERRUPTED
        self.seconds_to_finish = 0.0  # for work after the last step, besides writing

    def carry_out(self, before_step, describe, make_record):
        """Train, and write the weights, unless it is interrupted.

        Args:
            before_step: function without arguments that is called before every step.
            describe: function of the loss that returns a text for the line of progress.
            make_record: function without arguments that returns what to write beside the weights:
                numbers, texts, lists and dicts. Floats that are not finite become null.

        Returns:
            FINISHED, DEADLINE or INTERRUPTED.

        Raises:
            OSError: a file could be written neither in its place nor in the temporary folder.
            Exception: whatever a step raises; a checkpoint and the last good weights are written.
        """
        with requests_held(STOPPING) as requests:
            self.requests = requests
            try:
                self.ended = self.take_steps(before_step, describe)
            except KeyboardInterrupt:
                self.ended = INTERRUPTED
                say(f"stopped at once; {self.how_to_go_on()}")
                return INTERRUPTED
            except Exception:
                self.rescue()
                raise
            if self.team.is_first:
                with requests_postponed():
                    self.write(self.ended, make_record)
        return self.ended

    def take_steps(self, before_step, describe):
        """Take the steps that are left. Returns how it ended."""
        training = self.training
        last_checkpoint = time.monotonic()
        for _ in self.steps_left(describe):
            before_step()
            rollbacks = training.safeguard.rollbacks
            training.take_step()
            if training.safeguard.rollbacks > rollbacks:
                say("the loss exploded: back to the last good weights, at half the learning rate")
            if training.step == training.num_steps:
                continue  # nothing is left to stop, and the progress is shown to its end
            if self.team.is_in_any(bool(self.requests)):
                return INTERRUPTED
            if self.ends_at < math.inf and self.team.is_in_any(self.is_deadline_near()):
                return DEADLINE
            if time.monotonic() - last_checkpoint > 60 * CHECKPOINT_MINUTES:
                self.try_checkpoint()
                last_checkpoint = time.monotonic()
        weights = training.network.state_dict().values()
        if not all(torch.isfinite(value).all() for value in weights):
            training.go_back()
            raise FloatingPointError("after the last step the weights were not finite")
        return FINISHED

    def steps_left(self, describe):
        """Count the steps that are left, and show how far it is.

        Iterations of L-BFGS take much longer than other steps, so they are counted apart.
        """
        training = self.training
        num_others = training.num_steps - training.lbfgs_iterations

        def describe_iteration(_):
            seconds = num_others * seconds_of_gradient(training.history)
            return f"{self.loss_and_rate(describe)}; then other steps for {duration(seconds)}"

        iterations = range(training.step, min(training.lbfgs_iterations, training.num_steps))
        if len(iterations) > 0:
            yield from progress(iterations, len(iterations), "L-BFGS step", describe_iteration)
        steps = range(training.step, training.num_steps)
        if len(steps) > 0:
            yield from progress(steps, len(steps), "step", lambda _: self.loss_and_rate(describe))

    def loss_and_rate(self, describe):
        history = self.training.history
        loss, learning_rate = history["loss"][-1], history["learning_rate"][-1]
        return f"{describe(loss)}, learning rate {learning_rate:.2g}"

    def is_deadline_near(self):
        """Whether another step, and all that comes after it, would end too late."""
        num_gradients = 1
        if self.training.step < self.training.lbfgs_iterations:
            num_gradients += GRADIENTS_OF_LBFGS
        seconds = num_gradients * seconds_of_gradient(self.training.history)
        seconds += self.seconds_to_finish + SECONDS_TO_WRITE
        return time.monotonic() + seconds > self.ends_at

    def status(self):
        """The exit status of the command."""
        if self.ended == INTERRUPTED:
            return 130
        if self.team.is_first and self.weights != self.outputs.weights:
            return 1
        return 0

    def arguments_to_save_a_checkpoint(self):
        """The arguments of `save` for all that continuing needs."""
        state = self.training.state_dict()
        content = {"command": self.command, "about": self.about, "training": state}
        may_replace = self.outputs.overwrite or self.checkpoint is not None
        return content, self.outputs.checkpoint, may_replace

    def try_checkpoint(self):
        """Write a checkpoint on the way. If that fails, the training goes on."""
        if not self.team.is_first:
            return
        try:
            save(*self.arguments_to_save_a_checkpoint())
            self.checkpoint = self.outputs.checkpoint
        except OSError as error:
            say(f"warning: {error}; trying again in {CHECKPOINT_MINUTES} minutes")

    def rescue(self):
        """After an error: write the last good weights and a checkpoint, wherever it is possible."""
        if not self.team.is_first or self.training.step == 0:
            return
        with requests_postponed():
            arguments = self.arguments_to_save_a_checkpoint()
            self.training.go_back()
            try:
                self.save_weights()
                say(f"{self.weights} has the last good weights")
                self.checkpoint = save_somewhere(*arguments)
                say(self.how_to_go_on())
            except OSError as error:
                say(f"warning: {error}")

    def write(self, ended, make_record):
        """Write the files that belong to this end, and say which."""
        if ended != FINISHED:
            self.checkpoint = save_somewhere(*self.arguments_to_save_a_checkpoint())
        if ended == INTERRUPTED:
            say(f"interrupted; {self.how_to_go_on()}")
            return
        if ended == DEADLINE:
            self.training.go_back()  # nothing has judged the very last weights
        self.save_weights()
        tell(f"{self.weights}: weights after {self.training.step} steps")
        try:
            with replaced(self.outputs.record, self.outputs.overwrite) as temporary:
                content = json.dumps(finite(make_record()), allow_nan=False)
                temporary.write_text(content + "\n")
            tell(f"{self.outputs.record}: how they came about")
        except OSError as error:
            say(f"warning: {error}")
        if ended == DEADLINE:
            tell(f"{ended}; {self.how_to_go_on()}")
            return
        is_own = self.outputs.overwrite or self.checkpoint is not None
        if is_own and self.weights == self.outputs.weights:  # nothing is left to go on with
            self.outputs.checkpoint.unlink(missing_ok=True)

    def save_weights(self):
        state = self.training.network.state_dict()
        weights = {name: value.cpu() for name, value in state.items()}  # for machines without a GPU
        self.weights = save_somewhere(weights, self.outputs.weights, self.outputs.overwrite)

    def how_to_go_on(self):
        """What the user may type to continue."""
        checkpoint = self.checkpoint or self.options.resume
        if checkpoint is None:
            return "there is no checkpoint yet"
        words = ["python", "-m", "Miniproject_1", self.command, self.source]
        if self.options.device is not None:
            words += ["--device", self.options.device]
        words += ["--output", self.outputs.weights, "--resume", checkpoint]
        has_written = self.checkpoint or self.weights or self.outputs.overwrite
        if has_written and not same(checkpoint, self.outputs.checkpoint):
            words.append("--overwrite")  # of what this training has written before
        return f"continue with: {shlex.join(str(word) for word in words)}"


def seconds_of_gradient(history):
    """The longest time for one gradient in the last ten steps.

    The very first step, which warms up, counts only as long as it is alone.
    """
    moments = history["seconds"][-11:]
    if len(moments) == 1:
        moments = [0.0, *moments]
    durations = [end - begin for begin, end in zip(moments, moments[1:])]
    evaluations = history["evaluations"][-len(durations) :]
    return max(seconds / number for seconds, number in zip(durations, evaluations))


def machine(device):
    """What computes on this device, for a record of it."""
    return {
        "processor": processor(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def processor(device="cpu"):
    """The name of what computes on this device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or "unknown processor"
