"""Trainings that lose nothing, whatever happens to them."""

import argparse
import contextlib
import io
import json
import math
import os
import shlex
import shutil
import signal
import tempfile
import threading
from unittest import mock

import torch
from torch import nn

from ...model import Batches, Training
from ..training import long_run
from ..training.long_run import LongRun
from ..training.processes import Team
from . import TestCase, random_images, weights_of

STEPS = 6


def new_training(learning_rate=0.01, lbfgs_iterations=0, during=None, act=None):
    """A training of six steps that takes no time.

    In the middle of the step `during`, when its batch is drawn, it calls the function `act`.
    """
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    batches = Batches(random_images(6, 4, 4, seed=1), random_images(6, 4, 4, seed=2), batch_size=2)

    def batches_and_more(step):
        if step == during:
            act()
        return batches(step)

    return Training(network, batches_and_more, STEPS, lbfgs_iterations, learning_rate=learning_rate)


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


class LongRunCase(TestCase):
    def setUp(self):
        super().setUp()
        self.output = self.folder / "my weights.pth"
        self.record = self.folder / "my weights.pth.json"
        self.checkpoint = self.folder / "my weights.pth.checkpoint"
        self.printed = ""

    def long_run(self, resume=None, inputs=(), **given):
        """The `LongRun` of a command with these options."""
        options = {"output": None, "overwrite": False, "device": None, "resume": resume}
        if resume is None:
            options["output"] = self.output
        options = argparse.Namespace(**{**options, **given})
        defaults = {"minutes": None, "seed": 0}
        return LongRun("train", "my data", options, defaults, inputs, Team("cpu"))

    def carry_out(self, run, training, **functions):
        """The exit status. What is printed is kept."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                return run.carry_out(training, 2, **functions)
            finally:
                self.printed = printed.getvalue()

    def stop_at(self, step, *arguments, act=ctrl_c, **options):
        """Begin a training, and stop it in the middle of a step."""
        training = new_training(*arguments, during=step, act=act)
        with self.assertRaises(KeyboardInterrupt):
            self.carry_out(self.long_run(**options), training)
        self.assertEqual(training.step, step + 1)

    def names(self):
        return sorted(path.name for path in self.folder.iterdir() if path.is_file())


class TestEnds(LongRunCase):
    def test_stopped_in_every_step_and_resumed_it_is_the_unbroken_one(self):
        """With L-BFGS, and at a learning rate with which the loss explodes now and then."""
        whole = new_training(100, 2)
        while whole.step < STEPS:
            whole.take_step()
        self.stop_at(0, 100, 2)
        self.assertEqual(self.names(), [self.checkpoint.name])
        for step in range(1, STEPS - 1):
            self.stop_at(step, 100, 2, resume=self.checkpoint)
        resumed = new_training(100, 2)
        self.assertEqual(self.carry_out(self.long_run(self.checkpoint), resumed), 0)
        self.assertEqual(self.names(), [self.output.name, self.record.name])
        self.assertSameWeights(torch.load(self.output), weights_of(whole.network))
        self.assertEqual(resumed.history["loss"], whole.history["loss"])

    def test_sigterm_does_the_same_and_the_line_to_go_on_with_can_be_pasted(self):
        self.output.touch()
        handler = signal.getsignal(signal.SIGTERM)
        options = {"device": "cpu", "overwrite": True}
        self.stop_at(2, act=lambda: signal.raise_signal(signal.SIGTERM), **options)
        self.assertEqual(signal.getsignal(signal.SIGTERM), handler)
        words = shlex.split(self.printed.partition("go on with: ")[2])
        self.assertEqual(words[:5], ["python", "-m", "Miniproject_1", "train", "my data"])
        files = ["--resume", str(self.checkpoint), "--output", str(self.output)]
        self.assertEqual(words[5:], [*files, "--device", "cpu", "--overwrite"])

    def test_an_error_leaves_a_checkpoint_but_in_the_first_step_nothing_in_the_way(self):
        def fail():
            raise RuntimeError("a fault")

        for step, names in ((0, []), (3, [self.checkpoint.name])):
            with self.assertRaisesRegex(RuntimeError, "a fault"):
                self.carry_out(self.long_run(), new_training(during=step, act=fail))
            self.assertEqual(self.names(), names)
            self.assertEqual("go on with: " in self.printed, step > 0)
        resumed = new_training()
        self.carry_out(self.long_run(self.checkpoint), resumed)
        self.assertEqual(len(resumed.history["loss"]), STEPS)


class TestMinutes(LongRunCase):
    SECONDS = 1.0

    def begin(self, lbfgs_iterations=0, **options):
        training = new_training(0.1, lbfgs_iterations)
        run = self.long_run(**options)
        training.learning_rate = lambda step: 0.1 * (1 - 0.999 * run.share_of_minutes())
        return run, training

    def test_a_training_ends_when_its_minutes_are_over_with_a_rate_that_falls_to_zero(self):
        """Also after it was stopped in between; the time until then counts."""
        run, training = self.begin(minutes=self.SECONDS / 60)
        threading.Timer(0.5 * self.SECONDS, ctrl_c).start()
        with self.assertRaises(KeyboardInterrupt):
            self.carry_out(run, training)
        run, training = self.begin(resume=self.checkpoint)
        self.assertAlmostEqual(run.share_of_minutes(), 0.5, delta=0.2)
        self.assertEqual(self.carry_out(run, training), 0)
        self.assertAlmostEqual(run.seconds, self.SECONDS, delta=0.3 * self.SECONDS)
        rates = training.history["learning_rate"]
        self.assertEqual(rates, sorted(rates, reverse=True))
        self.assertGreater(rates[0], 0.09)
        self.assertLess(rates[-1], 0.001)


class TestFiles(LongRunCase):
    def test_checkpoints_are_written_on_the_way_and_one_that_fails_is_a_warning(self):
        self.patch(mock.patch.object(long_run, "SECONDS_BETWEEN_CHECKPOINTS", -1))
        self.output = self.folder / "gone" / "m.pth"
        self.output.parent.mkdir()
        training = new_training(during=1, act=lambda: shutil.rmtree(self.output.parent))
        seen = []

        def look():
            self.output.parent.mkdir(exist_ok=True)
            if training.step > 2:
                seen.append(torch.load(f"{self.output}.checkpoint")["training"]["step"])
            return ""

        self.carry_out(self.long_run(), training, before_step=look)
        self.assertEqual(seen, [3, 4, 5])
        self.assertEqual(self.printed.count("warning: "), 1)

    def test_weights_that_cannot_be_written_in_their_place_go_to_the_temporary_folder(self):
        elsewhere = self.folder / "temporary"
        elsewhere.mkdir()
        self.patch(mock.patch.object(tempfile, "tempdir", str(elsewhere)))
        self.output = self.folder / "gone" / "m.pth"
        self.output.parent.mkdir()
        training = new_training(during=STEPS - 2, act=lambda: shutil.rmtree(self.output.parent))
        self.assertEqual(self.carry_out(self.long_run(), training), 1)
        (saved,) = elsewhere.rglob("m.pth")
        self.assertIn(f"the weights are in {saved}", self.printed)
        self.assertSameWeights(torch.load(saved), weights_of(training.network))

    def test_what_is_resumed_is_written_where_the_user_says_with_a_record_in_json(self):
        self.stop_at(2, seed=4)
        other = self.folder / "other.pth"
        run = self.long_run(self.checkpoint, output=other)
        self.carry_out(run, new_training(), finish=lambda: {"loss": [0.5, math.nan]})
        self.assertEqual(self.names(), [other.name, f"{other.name}.json"])
        record = json.loads((self.folder / "other.pth.json").read_text())
        self.assertEqual((record["settings"]["seed"], record["loss"]), (4, [0.5, None]))
