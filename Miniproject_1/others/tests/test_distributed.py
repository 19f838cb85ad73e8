"""One training on several processes, started by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

import torch

from . import PROJECT, TestCase, random_images

COMMAND = """
import sys
from Miniproject_1 import model
from Miniproject_1.__main__ import main
from Miniproject_1.others.training import longrun
longrun.CHECKPOINT_MINUTES = 0.0
sys.exit(main(sys.argv[1:]))
"""


@unittest.skipUnless(torch.distributed.is_available(), "this PyTorch was built without torch.distributed")
class TestProcesses(TestCase):
    def setUp(self):
        super().setUp()
        pairs = [random_images(20, 16, 16, seed=seed) for seed in (1, 2)]
        torch.save(pairs, str(self.folder / "train_data.pkl"))
        (self.folder / "command.py").write_text(COMMAND)

    def start(self, processes, *arguments):
        """Begin a command on so many processes of one thread."""
        call = [sys.executable]
        if processes > 1:
            call += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        return subprocess.Popen(
            [*call, "command.py", *map(str, arguments)], cwd=str(self.folder), text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def run_command(self, processes, *arguments, status=0):
        with self.start(processes, *arguments) as process:
            out, err = process.communicate(timeout=300)
        self.assertEqual(process.returncode, status, err[-3000:])
        return out, err

    def weights(self, name):
        return torch.load(str(self.folder / name))

    def assertNear(self, first, second, tolerance=1e-4):
        for name, value in first.items():
            error = (value.double() - second[name].double()).norm() / value.double().norm().clamp(min=1e-6)
            self.assertLess(error, tolerance, name)

    TRAIN = ("train", ".", "--precision", "float32", "--learning-rate", 0.02, "--batch-size", 5)

    def test_two_and_three_processes_end_where_one_does(self):
        """20 pairs in batches of 5, so that shares differ in size: 5 L-BFGS iterations and 51 steps of momAGD."""
        for processes in (1, 2, 3):
            out, _ = self.run_command(processes, *self.TRAIN, "--epochs", 14, "--output", f"{processes}.pth")
            self.assertEqual(out.count("weights after 56 steps"), 1)  # only the first process prints
        one = self.weights("1.pth")
        for processes in (2, 3):
            self.assertNear(one, self.weights(f"{processes}.pth"))
        losses = [json.loads((self.folder / f"{n}.pth.json").read_text())["history"]["loss"] for n in (1, 2, 3)]
        for first, *others in zip(*losses):
            for other in others:
                self.assertAlmostEqual(first, other, delta=1e-3 * first)

    def test_a_batch_smaller_than_the_number_of_processes(self):
        options = (*self.TRAIN[:-1], 19, "--no-hybrid", "--epochs", 2)  # the last batch has one pair
        self.run_command(1, *options, "--output", "1.pth")
        self.run_command(2, *options, "--output", "2.pth")
        self.assertNear(self.weights("1.pth"), self.weights("2.pth"))

    def test_a_process_that_is_killed_ends_the_run_and_another_number_resumes_it(self):
        options = (*self.TRAIN, "--no-hybrid", "--epochs", 8)
        self.run_command(1, *options, "--output", "whole.pth")
        checkpoint = self.folder / "part.pth.checkpoint"
        with self.start(3, *options[:-1], 800, "--output", "long.pth") as process:
            killed = None
            while process.poll() is None and not (self.folder / "long.pth.checkpoint").exists():
                time.sleep(0.05)
            children = subprocess.run(
                ["pgrep", "-P", str(process.pid)], stdout=subprocess.PIPE, text=True
            ).stdout.split()
            killed = int(children[-1])
            began = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            _, err = process.communicate(timeout=90)
            self.assertLess(time.monotonic() - began, 60)
        self.assertNotEqual(process.returncode, 0)
        self.assertRegex(err, "SIGKILL|Signal 9|another process of this training has ended")
        self.assertTrue((self.folder / "long.pth.checkpoint").exists())
        self.run_command(2, *options, "--output", "part.pth", "--deadline", 0)
        self.run_command(3, "train", ".", "--resume", "part.pth.checkpoint", "--deadline", 0)
        self.assertTrue(checkpoint.exists())
        self.run_command(1, "train", ".", "--resume", "part.pth.checkpoint")
        self.assertNear(self.weights("whole.pth"), self.weights("part.pth"))

    def test_one_process_imports_nothing_of_it(self):
        code = """
import sys
from Miniproject_1.__main__ import main
status = main(["train", ".", "--epochs", "1", "--batch-size", "20", "--no-hybrid"])
assert "Miniproject_1.others.training.distributed" not in sys.modules
assert "torch.distributed.nn.functional" not in sys.modules
sys.exit(status)
"""
        self.python(code)

    def test_wrong_arguments_end_it_at_once(self):
        _, err = self.run_command(2, "train", "nowhere.pkl", status=1)
        self.assertIn("error: nowhere.pkl does not exist", err)
