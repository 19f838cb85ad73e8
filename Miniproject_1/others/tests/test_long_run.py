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
NOTHING = lambda: None  # noqa: E731


def new_training(learning_rate=0.01, lbfgs_iterations=0, during=None, act=NOTHING):
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


def unbroken(*arguments):
    training = new_training(*arguments)
    while training.step < STEPS:
        training.take_step()
    return training


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


class LongRunCase(TestCase):
    def setUp(self):
        super().setUp()
        self.output = self.folder / "my weights.pth"
        self.record = self.folder / "my weights.pth.json"
        self.checkpoint = self.folder / "my weights.pth.checkpoint"
        self.elsewhere = self.folder / "temporary"
        self.elsewhere.mkdir()
        self.patch(mock.patch.object(tempfile, "tempdir", str(self.elsewhere)))
        self.printed = ""

    def long_run(self, resume=None, inputs=(), defaults=None, **given):
        """The `LongRun` of a command with these options."""
        defaults = defaults or {"minutes": None, "seed": 0}
        options = {"output": None, "overwrite": False, "device": None, "resume": resume}
        if resume is None:
            options["output"] = self.output
        options = argparse.Namespace(**{**options, **given})
        run = LongRun("train", "my data", options, defaults, inputs, Team("cpu"))
        run.check_data({"sum": 1})
        return run

    def carry_out(self, run, training, record=None):
        """The exit status. What is printed is kept."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                return run.carry_out(training, 2, str, lambda: record)
            finally:
                self.printed = printed.getvalue()

    def stop_at(self, step, *arguments, **options):
        """Begin a training, and stop it by Ctrl-C in the middle of a step."""
        training = new_training(*arguments, during=step, act=ctrl_c)
        with self.assertRaises(KeyboardInterrupt):
            self.carry_out(self.long_run(**options), training)
        return training

    def names(self):
        return sorted(path.name for path in self.folder.iterdir() if path.is_file())


class TestEnds(LongRunCase):
    def test_stopped_in_every_step_and_resumed_it_is_the_unbroken_one(self):
        """With L-BFGS, and at a learning rate with which the loss explodes now and then."""
        whole = unbroken(100, 2)
        self.stop_at(0, 100, 2)
        self.assertEqual(self.names(), [self.checkpoint.name])
        for step in range(1, STEPS - 1):
            stopped = self.stop_at(step, 100, 2, resume=self.checkpoint)
            self.assertEqual(stopped.step, step + 1)
        resumed = new_training(100, 2)
        self.assertEqual(self.carry_out(self.long_run(self.checkpoint), resumed), 0)
        self.assertEqual(self.names(), [self.output.name, self.record.name])
        self.assertSameWeights(torch.load(self.output), weights_of(whole.network))
        self.assertEqual(resumed.history["loss"], whole.history["loss"])

    def test_the_signal_that_queues_send_does_the_same(self):
        training = new_training(during=2, act=lambda: signal.raise_signal(signal.SIGTERM))
        handler = signal.getsignal(signal.SIGTERM)
        with self.assertRaises(KeyboardInterrupt):
            self.carry_out(self.long_run(), training)
        self.assertEqual(training.step, 3)
        self.assertEqual(signal.getsignal(signal.SIGTERM), handler)
        self.assertTrue(self.checkpoint.exists())

    def test_the_line_to_go_on_with_can_be_pasted(self):
        self.output.touch()
        self.stop_at(0, device="cpu", overwrite=True)
        line = next(line for line in self.printed.splitlines() if "go on with: " in line)
        words = shlex.split(line.partition("go on with: ")[2])
        self.assertEqual(words[:5], ["python", "-m", "Miniproject_1", "train", "my data"])
        options = ["--resume", str(self.checkpoint), "--device", "cpu", "--overwrite"]
        self.assertEqual(words[5:], options)

    def test_ctrl_c_again_ends_at_once(self):
        self.patch(mock.patch.object(long_run, "SECONDS_OF_ONE_REQUEST", -1))

        def twice():
            ctrl_c()
            ctrl_c()

        training = new_training(during=2, act=twice)
        with self.assertRaises(KeyboardInterrupt):
            self.carry_out(self.long_run(), training)
        self.assertIn("stopped at once; there is no checkpoint yet", self.printed)
        self.assertEqual((training.step, self.names()), (2, []))

    def test_an_error_leaves_a_checkpoint(self):
        def fail():
            raise RuntimeError("a fault")

        with self.assertRaisesRegex(RuntimeError, "a fault"):
            self.carry_out(self.long_run(), new_training(during=3, act=fail))
        self.assertIn("go on with: ", self.printed)
        self.assertEqual(self.names(), [self.checkpoint.name])
        resumed = new_training()
        self.carry_out(self.long_run(self.checkpoint), resumed)
        self.assertEqual(len(resumed.history["loss"]), STEPS)

    def test_an_error_in_the_first_step_leaves_nothing_in_the_way(self):
        def fail():
            raise RuntimeError("a fault")

        with self.assertRaisesRegex(RuntimeError, "a fault"):
            self.carry_out(self.long_run(), new_training(during=0, act=fail))
        self.assertEqual(self.names(), [])


class TestMinutes(LongRunCase):
    SECONDS = 1.5

    def begin(self, lbfgs_iterations=0, **options):
        """A `LongRun` with a training of a rate that falls by the time that is left."""
        training = new_training(0.1, lbfgs_iterations)
        run = self.long_run(**options)
        training.learning_rate = lambda step: 0.1 * (1 - run.share_of_minutes())
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
        self.assertLess(rates[-1], 0.03)
        self.assertEqual(training.step, training.num_steps)

    def test_minutes_that_are_over_at_once_end_a_training_well(self):
        """Also within the iterations of L-BFGS."""
        run, training = self.begin(lbfgs_iterations=5, minutes=1e-6)
        self.assertEqual(self.carry_out(run, training), 0)
        self.assertEqual(training.step, 2)
        self.assertFalse(training.network.training)


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

        with contextlib.redirect_stderr(io.StringIO()) as err:
            with contextlib.redirect_stdout(io.StringIO()):
                self.long_run().carry_out(training, 2, str, dict, look)
        self.assertEqual(seen, [3, 4, 5])
        self.assertEqual(err.getvalue().count("warning: "), 1)

    def test_weights_that_cannot_be_written_in_their_place_go_to_the_temporary_folder(self):
        self.output = self.folder / "gone" / "m.pth"
        self.output.parent.mkdir()
        training = new_training(during=STEPS - 2, act=lambda: shutil.rmtree(self.output.parent))
        self.assertEqual(self.carry_out(self.long_run(), training), 1)
        (saved,) = self.elsewhere.rglob("m.pth")
        self.assertIn(f"the weights are in {saved}", self.printed)
        self.assertSameWeights(torch.load(saved), weights_of(training.network))

    def test_a_record_is_json_even_where_a_loss_is_not_finite(self):
        self.carry_out(self.long_run(), new_training(), {"loss": [0.5, math.nan, -math.inf]})
        self.assertEqual(json.loads(self.record.read_text()), {"loss": [0.5, None, None]})

    def test_outputs_are_checked_before_the_training(self):
        for path in (self.output, self.record, self.checkpoint):
            path.touch()
            with self.assertRaisesRegex(FileExistsError, f"{path.name} exists already.*overwrite"):
                self.long_run()
            self.long_run(overwrite=True)
            with self.assertRaisesRegex(ValueError, "is an input of this command"):
                self.long_run(overwrite=True, inputs=[path])
            path.unlink()

    def test_what_is_resumed_is_written_where_the_user_says(self):
        self.stop_at(2)
        other = self.folder / "other.pth"
        run = self.long_run(self.checkpoint, output=other)
        self.carry_out(run, new_training())
        self.assertEqual(self.names(), [self.checkpoint.name, other.name, f"{other.name}.json"])
        renamed = self.checkpoint.rename(self.folder / "renamed")
        with self.assertRaisesRegex(ValueError, "--output must name the weights"):
            self.long_run(renamed)
        self.long_run(renamed, output=self.output)

    def test_only_a_checkpoint_of_the_same_command_settings_and_data_is_resumed(self):
        self.stop_at(2, seed=4)
        saved = torch.load(self.checkpoint)
        run = self.long_run(self.checkpoint, seed=4)
        with self.assertRaisesRegex(ValueError, "begun with other data"):
            run.check_data({"sum": 2})
        with self.assertRaisesRegex(ValueError, "begun with seed = 4, not 5"):
            self.long_run(self.checkpoint, seed=5)
        with self.assertRaisesRegex(ValueError, "settings of another version"):
            self.long_run(self.checkpoint, defaults={"minutes": None, "seed": 0, "new": 1})
        saved["training"].pop("safeguard")
        torch.save(saved, self.checkpoint)
        with self.assertRaisesRegex(ValueError, "does not have the state of this training"):
            self.carry_out(self.long_run(self.checkpoint), new_training())
        torch.save({**saved, "command": "reproduce"}, self.checkpoint)
        with self.assertRaisesRegex(ValueError, "is a checkpoint of reproduce, not of train"):
            self.long_run(self.checkpoint)
        torch.save({"weight": torch.zeros(1)}, self.checkpoint)
        with self.assertRaisesRegex(ValueError, "is not a checkpoint"):
            self.long_run(self.checkpoint)
        self.checkpoint.write_bytes(b"damaged")
        with self.assertRaisesRegex(ValueError, "is not a checkpoint .* or is damaged"):
            self.long_run(self.checkpoint)
