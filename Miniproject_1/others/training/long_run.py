"""Trainings of hours that lose nothing: the loop of all commands that train.

A checkpoint is written every few minutes, on Ctrl-C, on SIGTERM and on any error. A training that
goes on from it ends bit for bit where an unbroken one does. After an error it goes on from the last
good weights instead, and where minutes end a training, its number of steps is never the same.
"""

import json
import platform
import shlex
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from ...model import track
from ..console import say, tell
from ..outputs import check_output, replaced, save

SECONDS_BETWEEN_CHECKPOINTS = 300
SECONDS_OF_ONE_REQUEST = 1  # in which torchrun passes on a Ctrl-C that the terminal sent to all
ENDING = ".checkpoint"


class LongRun:
    """A training that a command begins or goes on with, and its files.

    Args:
        command: "train", "reproduce" or "reproduce-sampler".
        source: the path that the user typed behind it.
        options: of the command: "output", "resume", "overwrite", "device", and settings. What was
            not given is None.
        defaults: the settings that there are, and their values unless options say otherwise.
        inputs: files that are never replaced.
        team: from `processes`; its first process writes and prints.

    Attributes:
        settings: of this training, by name. "minutes" among them end it.
        about: what a checkpoint keeps of the training besides its state: a dict of numbers, texts,
            and containers of them. "settings" are in it.
        saved: the checkpoint to go on from, or None.
        seconds: that all sessions of this training have taken up to the last step.
        seconds_of_step: that the last step has taken.

    Raises:
        OSError, ValueError: a file cannot be read or may not be written; it is no checkpoint of
            this command; or an option contradicts it.
    """

    def __init__(self, command, source, options, defaults, inputs, team):
        self.command = command
        self.source = source
        self.options = options
        self.team = team
        given = {name: value for name, value in vars(options).items() if value is not None}
        given = {name: value for name, value in given.items() if name in defaults}
        if options.resume is None:
            self.saved = None
            self.about = {"settings": {**defaults, **given}}
            self.seconds = 0.0
            self.output = options.output or Path("trained.pth")
        else:
            self.saved = read_checkpoint(options.resume, command, defaults)
            self.about = self.saved["about"]
            self.seconds = self.saved["seconds"]
            self.output = options.output or output_of(options.resume)
            inputs = [*inputs, options.resume]
            for name, value in given.items():
                began = self.about["settings"][name]
                if value != began:
                    text = f"this training was begun with {name} = {began}, not {value}"
                    raise ValueError(f"--resume: {text}")
        self.settings = self.about["settings"]
        self.began = time.monotonic() - self.seconds
        self.seconds_of_step = 0.0
        self.record = self.output.with_name(f"{self.output.name}.json")
        self.checkpoint = self.output.with_name(f"{self.output.name}{ENDING}")
        self.has_checkpoint = same(options.resume, self.checkpoint)
        if team.is_first:
            self.check_outputs(inputs)

    def check_outputs(self, inputs):
        """Refuse outputs that cannot be written. Only the checkpoint may replace an input."""
        overwrite = self.options.overwrite
        check_output(self.output, overwrite, inputs)
        check_output(self.record, overwrite, inputs)
        if self.has_checkpoint:
            return
        if self.checkpoint.exists() and not overwrite:
            advice = "--resume goes on with it, --overwrite begins anew"
            raise FileExistsError(f"{self.checkpoint} exists already: {advice}")
        check_output(self.checkpoint, overwrite, inputs)

    def check_data(self, data):
        """Keep numbers that tell data apart; refuse data with which this training did not begin."""
        if self.saved is not None and self.about["data"] != data:
            raise ValueError(f"--resume: {self.options.resume} was begun with other data")
        self.about["data"] = data

    def carry_out(self, training, batch_size, describe, record, before_step=lambda: None):
        """Take the steps that are left, and write what comes of it.

        Args:
            training: a new `Training` with these settings; it gets the state in the checkpoint.
            batch_size: pairs in a batch.
            describe: function without arguments that returns a text for the line of progress.
            record: function without arguments that returns what to write beside the weights:
                numbers, texts, lists and dicts. Floats that are not finite become null.
            before_step: function without arguments that is called before every step.

        Returns:
            the exit status: 0, or 1 if the weights are not in their place.

        Raises:
            KeyboardInterrupt: the user has stopped it; a checkpoint is written.
            Exception: whatever a step raises; a checkpoint is written, unless it was the first.
            OSError: a file cannot be written.
        """
        self.team.check_batch_size(batch_size)
        if self.saved is not None:
            try:
                training.load_state_dict(self.saved["training"])
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                text = f"{self.options.resume} does not have the state of this training"
                raise ValueError(text) from error
        try:
            with requests_to_end() as requests, self.team.shared(training):
                is_stopped = self.take_steps(training, describe, before_step, requests)
        except KeyboardInterrupt:
            say(f"stopped at once; {self.how_to_go_on()}")
            raise
        except Exception:
            if training.step > 0:
                self.save_checkpoint(training)
                say(self.how_to_go_on())
            raise
        if is_stopped:
            self.save_checkpoint(training)
            say(f"stopped; {self.how_to_go_on()}")
            raise KeyboardInterrupt
        return self.write(training, record) if self.team.is_first else 0

    # ----------------------------------------------------------------------------------------------
    # Steps

    def take_steps(self, training, describe, before_step, requests):
        """Take the steps that are left, until there is a request. Returns whether there was one."""
        last_checkpoint = time.monotonic()
        for _ in self.steps_left(training, describe):
            before_step()
            rollbacks = training.safeguard.rollbacks
            began = time.monotonic()
            training.take_step()
            if training.safeguard.rollbacks > rollbacks:
                say("the loss exploded: back to the last good weights, at half the learning rate")
            ended = time.monotonic()
            self.seconds, self.seconds_of_step, num_requests = self.team.largest(
                ended - self.began, ended - began, len(requests)
            )
            if training.step == training.num_steps:
                continue  # nothing is left to stop, and the progress is shown to its end
            if num_requests > 0:
                return True
            if time.monotonic() > last_checkpoint + SECONDS_BETWEEN_CHECKPOINTS:
                self.save_checkpoint(training)
                last_checkpoint = time.monotonic()
        return False

    def steps_left(self, training, describe):
        """Iterate over the steps that are left, and show how far it is."""
        minutes = self.settings.get("minutes")
        if minutes is None:
            yield from track(range(training.step, training.num_steps), "step", True, describe)
            return
        training.num_steps = sys.maxsize  # until the last one begins
        for percent in track(range(self.percent(), 100), "percent", True, describe):
            while training.step < training.num_steps and self.percent() <= percent:
                if self.seconds + 2 * self.seconds_of_step > 60 * minutes:  # no room for another
                    training.num_steps = training.step + 1
                yield

    def share_of_minutes(self):
        """Which share of the minutes that this training may take is over, 0 to 0.999.

        A learning rate of zero at the end would be an error of L-BFGS.
        """
        return min(self.seconds / (60 * self.settings["minutes"]), 0.999)

    def percent(self):
        """The same in percent, 0 to 99."""
        return int(100 * self.share_of_minutes())

    # ----------------------------------------------------------------------------------------------
    # Files

    def save_checkpoint(self, training):
        """Write all that going on needs. If it fails, this is said, and nothing else happens."""
        if not self.team.is_first:
            return
        content = {
            "command": self.command,
            "about": self.about,
            "seconds": self.seconds,
            "training": training.state_dict(),
        }
        try:
            save(content, self.checkpoint)
            self.has_checkpoint = True
        except OSError as error:
            say(f"warning: {error}")

    def how_to_go_on(self):
        """What the user may type to go on."""
        if not self.has_checkpoint:
            return "there is no checkpoint yet"
        words = ["python", "-m", "Miniproject_1", self.command, self.source]
        words += ["--resume", self.checkpoint]
        if self.options.device is not None:
            words += ["--device", self.options.device]
        if self.options.overwrite:
            words.append("--overwrite")
        return f"go on with: {shlex.join(str(word) for word in words)}"

    def write(self, training, record):
        """Write weights and then the record, and say so. Returns the exit status."""
        state = training.network.state_dict()
        weights = {name: value.cpu() for name, value in state.items()}  # for machines without a GPU
        try:
            save(weights, self.output)
        except OSError as error:
            elsewhere = Path(tempfile.mkdtemp(), self.output.name)
            save(weights, elsewhere)
            say(f"error: {error}; the weights are in {elsewhere}")
            return 1
        tell(f"{self.output}: weights after {training.step} steps")
        # NaN and Infinity, which JSON lacks, become null
        content = json.loads(json.dumps(record()), parse_constant=lambda name: None)
        with replaced(self.record) as temporary:
            temporary.write_text(json.dumps(content) + "\n")
        tell(f"{self.record}: how they came about")
        self.checkpoint.unlink(missing_ok=True)
        return 0


def read_checkpoint(path, command, settings):
    """Read a checkpoint of a `LongRun` of this command, with settings of these names.

    Raises:
        OSError, ValueError: it cannot be read, or is none.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:  # it names the file
        raise
    except Exception as error:  # damaged files raise nearly everything
        raise ValueError(f"{path} is not a checkpoint of a training, or is damaged") from error
    if not isinstance(saved, dict) or set(saved) != {"command", "about", "seconds", "training"}:
        raise ValueError(f"{path} is not a checkpoint of a training of this version")
    if saved["command"] != command:
        raise ValueError(f"{path} is a checkpoint of {saved['command']}, not of {command}")
    if set(saved["about"]["settings"]) != set(settings):
        raise ValueError(f"{path} has the settings of another version, so nothing goes on with it")
    return saved


def output_of(checkpoint):
    """The weights beside a checkpoint."""
    if checkpoint.suffix != ENDING:
        raise ValueError(
            f"{checkpoint} does not end in {ENDING}, so --output must name the weights"
        )
    return checkpoint.with_suffix("")


def same(path, other):
    return path is not None and path.resolve() == other.resolve()


@contextmanager
def requests_to_end():
    """Within this, Ctrl-C and SIGTERM wait for the end of a step, so that it is not lost.

    A second one raises KeyboardInterrupt at once.

    Yields:
        a list of the moments at which they came.
    """
    requests = []

    def note(number, frame):
        requests.append(time.monotonic())
        if len(requests) == 1:
            say("stopping after this step; Ctrl-C again stops at once")
        elif requests[-1] > requests[0] + SECONDS_OF_ONE_REQUEST:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --------------------------------------------------------------------------------------------------
# Machines


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
