"""Trainings of hours that lose nothing: the loop of all commands that train.

A checkpoint is written every few minutes, on Ctrl-C, on SIGTERM and on any error. A training that
goes on from it ends bit for bit where an unbroken one does. After an error it goes on from the last
good weights instead, and where minutes end a training, its number of steps is never the same.
"""

import json
import platform
import re
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


class LongRun:
    """A training that a command begins or goes on with, and its files.

    Args:
        command: its name.
        source: the path that the user typed behind it.
        options: "output", "resume", "overwrite", "device" and settings; None where not given.
        defaults: all settings, and their values unless options say otherwise.
        inputs: files that are never replaced.
        team: from `processes`; its first process writes and prints.

    Attributes:
        saved: the checkpoint to go on from, or None.
        about: a dict for JSON that is kept in checkpoints and written beside the weights.
        settings: of this training, a dict in `about`. "minutes" among them end it.
        seconds: that all sessions of this training have taken up to the last step.

    Raises:
        OSError, ValueError: a file cannot be read or may not be written; it is no checkpoint of
            this command; or an option would change its settings.
    """

    def __init__(self, command, source, options, defaults, inputs, team):
        self.command = command
        self.source = source
        self.options = options
        self.team = team
        given = {name: getattr(options, name, None) for name in defaults}
        given = {name: value for name, value in given.items() if value is not None}
        if options.resume is None:
            self.saved = None
            self.about = {"settings": {**defaults, **given}, "machines": []}
            self.seconds = 0.0
            self.output = options.output or Path("trained.pth")
            self.checkpoint = Path(f"{self.output}.checkpoint")
        elif given:
            raise ValueError(f"--resume brings its own settings, so leave out {', '.join(given)}")
        else:
            self.saved = read_checkpoint(options.resume, command, defaults)
            self.about = self.saved["about"]
            self.seconds = self.saved["seconds"]
            self.output = options.output or options.resume.with_suffix("")
            self.checkpoint = options.resume
        self.record = Path(f"{self.output}.json")
        self.settings = self.about["settings"]
        self.began = time.monotonic() - self.seconds
        self.text = ""  # for the line of progress
        if machine(team.device) not in self.about["machines"]:
            self.about["machines"].append(machine(team.device))
        if team.is_first:
            self.check_outputs(inputs, options.overwrite)

    def check_outputs(self, inputs, overwrite):
        check_output(self.output, overwrite, [*inputs, self.checkpoint])
        check_output(self.record, overwrite, inputs)
        if self.saved is None and self.checkpoint.exists() and not overwrite:
            advice = "--resume goes on with it, --overwrite begins anew"
            raise FileExistsError(f"{self.checkpoint} exists already: {advice}")
        check_output(self.checkpoint, True, inputs)

    def carry_out(self, training, batch_size, before_step=str, finish=dict):
        """Take the steps that are left, and write what comes of it.

        Args:
            training: a new `Training` with these settings; it gets the state in the checkpoint.
            batch_size: pairs in a batch.
            before_step: called before every step; returns a text to show before the loss.
            finish: called after the last step, in the first process; returns a dict that is written
                beside the weights with `about`.

        Returns:
            the exit status: 0, or 1 if the weights are not in their place.

        Raises:
            KeyboardInterrupt: the user has stopped it; a checkpoint is written.
            Exception: whatever a step raises; a checkpoint is written, unless it was the first.
            OSError: a file cannot be written.
        """
        self.team.check_batch_size(batch_size)
        if self.saved is not None:
            training.load_state_dict(self.saved["training"])
        try:
            with requests_to_end() as requests, self.team.shared(training):
                is_stopped = self.take_steps(training, before_step, requests)
            if is_stopped:
                raise KeyboardInterrupt
        except BaseException:
            if training.step > 0:
                self.stop(training)
            raise
        return self.write(training, finish) if self.team.is_first else 0

    def take_steps(self, training, before_step, requests):
        """Take the steps that are left, until there is a request. Returns whether there was one."""
        num_requests = 0
        last_checkpoint = now = time.monotonic()
        for _ in self.steps_left(training):
            if num_requests > 0:
                return True
            if now > last_checkpoint + SECONDS_BETWEEN_CHECKPOINTS:
                self.save_checkpoint(training)
                last_checkpoint = now
            text = before_step()
            self.text = f"{text}loss {training.take_step():.5f}"
            now = time.monotonic()
            self.seconds, num_requests = self.team.largest(now - self.began, len(requests))
        return False

    def steps_left(self, training):
        """Iterate over the steps that are left, and show how far it is."""
        if self.settings.get("minutes") is None:
            steps = range(training.step, training.num_steps)
            yield from track(steps, "step", describe=lambda: self.text)
            return
        training.num_steps = sys.maxsize  # until the last one begins
        begun = min(int(100 * self.share_of_minutes()), 99)
        for percent in track(range(begun, 100), "percent", describe=lambda: self.text):
            upper = (percent + 1) / 100
            while training.step < training.num_steps and self.share_of_minutes() <= upper:
                if self.share_of_minutes() == 1:
                    training.num_steps = training.step + 1
                yield

    def share_of_minutes(self):
        """Which share of the minutes that this training may take is over, 0 to 1."""
        return min(self.seconds / (60 * self.settings["minutes"]), 1)

    def stop(self, training):
        """Write a checkpoint, and say what the user may type to go on."""
        self.save_checkpoint(training)
        words = ["python", "-m", "Miniproject_1", self.command, self.source]
        words += ["--resume", self.checkpoint, "--output", self.output]
        if self.options.device is not None:
            words += ["--device", self.options.device]
        if self.options.overwrite:
            words.append("--overwrite")
        say(f"go on with: {shlex.join(map(str, words))}")

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
        except OSError as error:
            say(f"warning: {error}")

    def write(self, training, finish):
        """Write weights and what is known about them. Returns the exit status."""
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
        record = {**finish(), **self.about, "hours": round(self.seconds / 3600, 3)}
        # NaN and Infinity, which JSON lacks, become null
        record = json.loads(json.dumps(record), parse_constant=lambda name: None)
        with replaced(self.record) as temporary:
            temporary.write_text(json.dumps(record) + "\n")
        self.checkpoint.unlink(missing_ok=True)
        return 0


def read_checkpoint(path, command, settings):
    """A checkpoint of this command with settings of these names."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if saved["command"] == command and set(saved["about"]["settings"]) == set(settings):
            return saved
    except OSError:  # it names the file
        raise
    except Exception:  # damaged files raise nearly everything
        pass
    raise ValueError(f"{path} is damaged, or no checkpoint of this version of {command}")


@contextmanager
def requests_to_end():
    """Within this, Ctrl-C and SIGTERM are put in the list that it yields, so no step is lost."""
    requests = []

    def note(number, frame):
        say("stopping after this step")
        requests.append(number)

    of_ctrl_c = signal.signal(signal.SIGINT, note)
    of_sigterm = signal.signal(signal.SIGTERM, note)
    try:
        yield requests
    finally:
        signal.signal(signal.SIGINT, of_ctrl_c)
        signal.signal(signal.SIGTERM, of_sigterm)


def machine(device):
    """What computes on this device, a dict for JSON."""
    return {
        "processor": processor(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def processor(device="cpu"):
    """The name of what computes on this device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    about = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", about.read_text()) if about.exists() else None
    return named[1] if named else platform.processor() or "unknown processor"
