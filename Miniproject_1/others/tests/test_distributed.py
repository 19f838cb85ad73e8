"""One training on several processes, started by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

import torch

from . import PROJECT, TestCase, random_images, thorough

COMMAND = """
import sys
from pathlib import Path
from Miniproject_1 import model
from Miniproject_1.__main__ import main
from Miniproject_1.others.training import longrun
longrun.CHECKPOINT_MINUTES = 0.0
status = main(sys.argv[1:])
print("threads at the end:", *(name.read_text() for name in Path("/proc/self/task").glob("*/comm")), file=sys.stderr)
sys.exit(status)
"""


IN_FLOAT64 = """
import os
import torch
from Miniproject_1 import model
from Miniproject_1.model import F, Model, Pairs, Training, forward
from Miniproject_1.others.data.pairs import load_pairs
from Miniproject_1.others.training import longrun

def loss_of(self, batch, training=True):
    noisy, target = (images.double() / 255 for images in batch)
    return F.mse_loss(forward(self.network, noisy, training), target)

Training.loss_of, model.LBFGS_STEPS = loss_of, 4  # of 20, for the sake of time
with longrun.team("cpu") as team:
    network = Model(device="cpu").network.double()
    pairs = team.share(Pairs(*(images[:, :, :6, :6] for images in load_pairs("train_data.pkl", "")), batch_size=5))
    for _ in team.training(network, pairs, 56, precision="float32", learning_rate=0.02):
        pass
    if team.first:
        torch.save(network.state_dict(), os.environ.get("WORLD_SIZE", "1") + ".pth")
"""


@unittest.skipUnless(torch.distributed.is_available(), "this PyTorch was built without torch.distributed")
class TestProcesses(TestCase):
    def setUp(self):
        super().setUp()
        pairs = [random_images(20, 12, 12, seed=seed) for seed in (1, 2)]
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
        """Biases before a BatchNorm have no gradient, so rounding is all that they gather."""
        for name, value in first.items():
            if name not in ("4.bias", "7.bias", "11.bias", "14.bias"):
                error = (value.double() - second[name].double()).norm() / value.double().norm().clamp(min=1e-2)
                self.assertLess(error, tolerance, name)

    TRAIN = ("train", ".", "--precision", "float32", "--learning-rate", 0.02, "--batch-size", 5)

    @thorough
    def test_two_and_three_processes_end_where_one_does(self):
        """In float64, where rounding is too small to be blown up by L-BFGS: 5 of its iterations and 51 steps of momAGD.

        20 pairs in batches of 5, so that shares differ in size.
        """
        (self.folder / "command.py").write_text(IN_FLOAT64)
        for processes in (1, 2, 3):
            self.run_command(processes)
        one = self.weights("1.pth")
        for processes in (2, 3):
            self.assertNear(one, self.weights(f"{processes}.pth"), 1e-4)

    def assertSameLosses(self, *names):
        """To a percent: where a ReLU's input is nearly zero, rounding decides, and weights drift apart."""
        first, *others = (
            json.loads((self.folder / f"{name}.pth.json").read_text())["history"]["loss"] for name in names
        )
        for other in others:
            self.assertEqual(len(other), len(first))
            for one, two in zip(first, other):
                self.assertAlmostEqual(one, two, delta=0.01 * one)

    def test_in_float32_only_the_first_process_prints_and_a_batch_may_be_smaller_than_the_team(self):
        options = (*self.TRAIN[:-1], 19, "--no-hybrid", "--epochs", 2)  # the last batch has one pair
        for processes in (1, 2):
            out, err = self.run_command(processes, *options, "--output", f"{processes}.pth")
            self.assertEqual(out.count("weights after 4 steps"), 1)
            self.assertEqual(err.count("threads at the end"), processes)
            self.assertNotIn("gloo", err)  # a thread that outlives its group may abort the process
        self.assertSameLosses(1, 2)

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
        self.assertSameLosses("whole", "part")

    def test_one_process_imports_nothing_of_it(self):
        code = """
import sys
from Miniproject_1.__main__ import main
status = main(["train", ".", "--epochs", "1", "--batch-size", "20", "--no-hybrid"])
assert "Miniproject_1.others.training.distributed" not in sys.modules
sys.exit(status)
"""
        self.python(code)

    def test_wrong_arguments_end_it_at_once(self):
        _, err = self.run_command(2, "train", "nowhere.pkl", status=1)
        self.assertIn("error: nowhere.pkl does not exist", err)
