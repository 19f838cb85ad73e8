"""Trainings that lose nothing, whatever happens to them."""

import argparse
import contextlib
import io
import json
import math
import shlex
import shutil
import signal
import tempfile
import time
from functools import partial
from unittest import mock

import torch
from torch import nn

from ....model import Batches, Training
from ... import signals
from ...training import long_run
from ...training.processes import OneProcess
from .. import TestCase, random_images, weights_of

STEPS = 6


def new_training(learning_rate=0.01, lbfgs_iterations=0):
    """A training of six steps that takes no time."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    batches = Batches(random_images(6, 4, 4, seed=1), random_images(6, 4, 4, seed=2), batch_size=2)
    return Training(network, batches, STEPS, lbfgs_iterations, learning_rate=learning_rate)


class LongRunCase(TestCase):
    def setUp(self):
        super().setUp()
        self.output = self.folder / "my weights.pth"
        self.checkpoint = self.folder / "my weights.pth.checkpoint"
        self.record = {}
        self.elsewhere = self.folder / "temporary"
        self.elsewhere.mkdir()
        self.patch(mock.patch.object(tempfile, "tempdir", str(self.elsewhere)))

    def run_on(self, training, before_step=lambda: None, minutes=math.inf, resume=None):
        """How a run ended, its status, and what it printed; from a checkpoint, if there is one."""
        options = argparse.Namespace(
            output=self.output, overwrite=False, resume=resume, device="cpu"
        )
        saved = long_run.read_checkpoint(resume, "train")
        if saved is not None:
            training.load_state_dict(saved["training"])
        printed = io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(printed))
            stack.enter_context(contextlib.redirect_stderr(printed))
            outputs = stack.enter_context(long_run.reserved_outputs(options, saved, True))
            self.printed = printed
            run = self.long_run(options, training, outputs, time.monotonic() + 60 * minutes)
            ended = run.carry_out(before_step, "loss {}".format, lambda: self.record)
            return ended, run.status(), printed.getvalue()

    def long_run(self, options, training, outputs, ends_at):
        about = {"settings": {}}
        team = OneProcess("cpu")
        source = "my data"
        return long_run.LongRun("train", source, options, training, outputs, about, team, ends_at)

    def names(self):
        return sorted(path.name for path in self.folder.iterdir() if path.is_file())


class TestEnds(LongRunCase):
    def test_stopped_after_every_step_and_resumed_it_is_the_unbroken_one(self):
        """At a learning rate with which the loss explodes now and then."""
        unbroken = new_training(learning_rate=100, lbfgs_iterations=2)
        for _ in range(STEPS):
            unbroken.take_step()
        self.run_on(new_training(100, lbfgs_iterations=2), minutes=0)
        for _ in range(STEPS - 1):
            self.assertTrue(self.checkpoint.exists())
            stopped = new_training(100, lbfgs_iterations=2)
            self.run_on(stopped, minutes=0, resume=self.checkpoint)
        self.assertFalse(self.checkpoint.exists())
        self.assertSameWeights(torch.load(self.output), weights_of(unbroken.network))
        self.assertEqual(stopped.history["loss"], unbroken.history["loss"])
        seconds = stopped.history["seconds"]
        self.assertEqual(seconds, sorted(seconds))

    def test_the_line_to_continue_with_can_be_pasted(self):
        ended, status, printed = self.run_on(new_training(), minutes=0)
        self.assertEqual((ended, status), (long_run.DEADLINE, 0))
        line = next(line for line in printed.splitlines() if "continue with: " in line)
        words = shlex.split(line.partition("continue with: ")[2])
        self.assertEqual(words[:5], ["python", "-m", "Miniproject_1", "train", "my data"])
        options = ["--output", str(self.output), "--resume", str(self.checkpoint)]
        self.assertEqual(words[5:], ["--device", "cpu", *options])

    def test_the_progress_is_shown_to_its_end(self):
        for lbfgs_iterations, last in (
            (0, f"step {STEPS} of {STEPS}"),
            (STEPS, "L-BFGS step 6 of 6"),
        ):
            _, _, printed = self.run_on(new_training(lbfgs_iterations=lbfgs_iterations))
            lines = [line for line in printed.splitlines() if "step" in line and " of " in line]
            self.assertEqual(len(lines), 1)
            self.assertTrue(lines[0].startswith(last), lines)
            self.output.unlink()
            self.output.with_name(f"{self.output.name}.json").unlink()

    def test_a_deadline_leaves_time_for_what_comes_after_the_last_step(self):
        training = new_training(lbfgs_iterations=2)
        run = self.long_run(None, training, mock.Mock(weights=self.output), ends_at=1000)
        run.seconds_to_finish = 20
        training.history.update(seconds=[40.0], evaluations=[20])  # 2 seconds for a gradient
        with mock.patch.object(long_run, "time") as clock:
            for step, last_moment in ((1, 1000 - 2 * 36 - 6), (2, 1000 - 2 * 11 - 6)):
                training.step = step
                clock.monotonic.return_value = last_moment - 1
                self.assertFalse(run.is_deadline_near())
                clock.monotonic.return_value = last_moment + 1
                self.assertTrue(run.is_deadline_near())

    def test_requests_to_end_wait_for_the_step_and_leave_a_checkpoint(self):
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            with self.subTest(name):
                number = getattr(signal, name)
                handler = signal.getsignal(number)
                request = partial(signal.raise_signal, number)
                training = new_training()
                ended, _, printed = self.run_on(training, before_step=request)
                self.assertEqual((ended, training.step), (long_run.INTERRUPTED, 1))
                self.assertIn("continue with: ", printed)
                self.assertEqual(self.names(), [self.checkpoint.name])
                self.assertEqual(signal.getsignal(number), handler)
                self.checkpoint.unlink()

    def test_ctrl_c_again_stops_at_once(self):
        self.patch(mock.patch.object(signals, "SECONDS_OF_ONE_REQUEST", -1))

        def twice():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        ended, _, printed = self.run_on(new_training(), before_step=twice)
        self.assertEqual(ended, long_run.INTERRUPTED)
        self.assertIn("stopped at once; there is no checkpoint yet", printed)


class TestFailures(LongRunCase):
    def fail_at(self, step, training):
        def before_step():
            if training.step == step:
                raise RuntimeError("a fault")

        return before_step

    def test_any_error_leaves_a_checkpoint_and_good_weights(self):
        training = new_training()
        with self.assertRaisesRegex(RuntimeError, "a fault"):
            self.run_on(training, before_step=self.fail_at(3, training))
        self.assertIn("has the last good weights\ncontinue with", self.printed.getvalue())
        self.assertFinite(torch.load(self.output))
        self.output.unlink()
        resumed, unbroken = new_training(), new_training()
        self.run_on(resumed, resume=self.checkpoint)
        for _ in range(STEPS):
            unbroken.take_step()
        self.assertSameWeights(weights_of(resumed.network), weights_of(unbroken.network))

    def test_weights_that_are_not_finite_are_never_written(self):
        training = new_training()
        take_step = training.take_step

        def take_bad_step():
            take_step()
            training.network[1].running_var.fill_(math.inf)

        self.patch(mock.patch.object(training, "take_step", take_bad_step))
        for _ in range(STEPS - 1):
            Training.take_step(training)
        with self.assertRaisesRegex(FloatingPointError, "not finite"):
            self.run_on(training)
        self.assertFinite(torch.load(self.output))

    def test_checkpoints_are_written_on_the_way_and_one_that_fails_is_a_warning(self):
        self.patch(mock.patch.object(long_run, "CHECKPOINT_MINUTES", 0))
        seen = []

        def look():
            if self.checkpoint.exists():
                saved = long_run.read_checkpoint(self.checkpoint, "train")
                seen.append(saved["training"]["step"])

        fails_once = [OSError("disk full"), *[mock.DEFAULT] * STEPS]
        with mock.patch.object(long_run, "save", wraps=long_run.save, side_effect=fails_once):
            ended, _, printed = self.run_on(new_training(), before_step=look)
        self.assertEqual((ended, seen), (long_run.FINISHED, [2, 3, 4, 5]))
        self.assertEqual(printed.count("warning: disk full"), 1)

    def test_what_cannot_be_saved_in_its_place_is_saved_elsewhere(self):
        self.output = self.folder / "gone" / "m.pth"
        for minutes, endings in ((0, {".checkpoint", ".pth"}), (math.inf, {".pth"})):
            with self.subTest(minutes=minutes):
                self.output.parent.mkdir()

                def remove_folder():
                    shutil.rmtree(self.output.parent, ignore_errors=True)

                _, status, printed = self.run_on(new_training(), remove_folder, minutes)
                self.assertEqual(status, 1)
                saved = list(self.elsewhere.iterdir())
                self.assertEqual({path.suffix for path in saved}, endings)
                for path in saved:
                    self.assertIn(f"saved as {path} instead", printed)
                    path.unlink()

    def test_a_checkpoint_stays_while_the_weights_are_not_in_their_place(self):
        self.patch(mock.patch.object(long_run, "CHECKPOINT_MINUTES", -1))
        _, status, _ = self.run_on(new_training(), lambda: self.output.write_bytes(b"mine"))
        self.assertEqual((status, self.checkpoint.exists()), (1, True))

    def test_a_record_is_json_even_where_a_loss_is_not_finite(self):
        self.record = {"loss": [0.5, math.nan]}
        self.run_on(new_training())
        record = json.loads((self.folder / "my weights.pth.json").read_text())
        self.assertEqual(record, {"loss": [0.5, None]})

    def test_a_file_made_meanwhile_is_not_replaced(self):
        _, status, _ = self.run_on(new_training(), lambda: self.output.write_bytes(b"mine"))
        self.assertEqual(status, 1)
        self.assertEqual(self.output.read_bytes(), b"mine")
        self.assertEqual(len(list(self.elsewhere.iterdir())), 1)


class TestCheckpoints(LongRunCase):
    def test_only_a_checkpoint_of_this_command_is_continued_and_none_is_overwritten(self):
        self.run_on(new_training(), minutes=0)
        with self.assertRaisesRegex(ValueError, "is a checkpoint of train, not of reproduce"):
            long_run.read_checkpoint(self.checkpoint, "reproduce")
        with self.assertRaisesRegex(ValueError, "is not a checkpoint of a training"):
            long_run.read_checkpoint(self.output, "train")
        self.output.unlink()
        with self.assertRaisesRegex(FileExistsError, "continue that training with --resume"):
            self.run_on(new_training())
