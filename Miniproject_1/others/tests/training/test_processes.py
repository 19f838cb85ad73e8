"""One training on several processes, started by torchrun."""

import os
import re
import signal
import subprocess
import sys
import time
import unittest

import torch

from .. import PROJECT, random_images
from ..commands import CommandCase

# Trains in float64, where rounding is too small to be blown up by L-BFGS
IN_FLOAT64 = """
import sys
import torch
from Miniproject_1 import model
from Miniproject_1.others.metrics import masked_mse
from Miniproject_1.others.training.processes import team_of_processes

def in_unit_range(images, device):
    return images.double() / 255

model.to_unit_range, model.LBFGS_STEPS = in_unit_range, 3
name, batch_size, num_steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with team_of_processes("cpu") as team:
    network = model.Model(seed=int(not team.is_first), device="cpu").network.double()
    images = torch.load("train_data.pkl")
    team.join(network)
    batches = team.shared(model.Batches(*images, batch_size))
    training = model.Training(
        network, batches, num_steps, lbfgs_iterations=1, learning_rate=0.02, precision="float32",
        loss=team.loss(masked_mse),
    )
    for _ in range(num_steps):
        training.take_step()
    print("losses of", name, flush=True)
    if team.is_first:
        torch.save([network.state_dict(), training.history["loss"]], name)
"""

# The command, with a checkpoint after every step
COMMAND = """
import sys
from Miniproject_1.others.commands import main
from Miniproject_1.others.training import long_run
long_run.CHECKPOINT_MINUTES = 0
sys.exit(main(sys.argv[1:]))
"""


@unittest.skipUnless(torch.distributed.is_available(), "this PyTorch has no torch.distributed")
class TestProcesses(CommandCase):
    def setUp(self):
        super().setUp()
        pairs = [random_images(7, 6, 6, seed=seed) for seed in (1, 2)]
        torch.save(pairs, self.folder / "train_data.pkl")

    def start(self, code, processes, *arguments):
        """Begin to run code in so many processes of one thread."""
        (self.folder / "script.py").write_text(code)
        launcher = []
        if processes > 1:
            launcher = ["-m", "torch.distributed.run", "--standalone"]
            launcher.append(f"--nproc-per-node={processes}")
        return subprocess.Popen(
            [sys.executable, *launcher, "script.py", *map(str, arguments)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        )

    def finish(self, process, status=0):
        """Standard output and standard error of a process that ends with this status."""
        with process:
            out, err = process.communicate(timeout=300)
        self.assertEqual(process.returncode, status, err[-3000:])
        return out, err

    def train(self, processes, batch_size, num_steps):
        """Weights and losses of a training in float64."""
        name = f"{processes}.pth"
        out, err = self.finish(self.start(IN_FLOAT64, processes, name, batch_size, num_steps))
        self.assertEqual(out.count("losses of"), 1)
        self.assertNotIn("gloo", err)  # a thread that outlives its group may abort the process
        return torch.load(self.folder / name)

    def assertSameTraining(self, first, second, tolerance=1e-4):
        """Biases before a BatchNorm have no gradient, so rounding is all that they gather."""
        self.assertClose(torch.tensor(first[1]), torch.tensor(second[1]), 1e-6)
        for name, value in first[0].items():
            if name not in ("4.bias", "7.bias", "10.bias", "11.bias", "14.bias"):
                error = (value.double() - second[0][name].double()).norm()
                self.assertLess(error / value.double().norm().clamp(min=1e-2), tolerance, name)

    def test_two_processes_end_where_one_does(self):
        """By L-BFGS and momAGD, with the masked loss, and with shares of different sizes."""
        self.assertSameTraining(self.train(1, 5, 4), self.train(2, 5, 4))

    def test_a_killed_process_ends_the_others_with_one_line_and_one_process_goes_on(self):
        options = ("--batch-size", 5, "--epochs", 1000, "--output", "m.pth")
        process = self.start(COMMAND, 2, "train", ".", "--device", "cpu", *options)
        checkpoint = self.folder / "m.pth.checkpoint"
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.05)
        command = ["pgrep", "-P", str(process.pid)]
        children = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.split()
        began = time.monotonic()
        os.kill(int(children[-1]), signal.SIGKILL)
        _, err = self.finish(process, status=1)
        self.assertLess(time.monotonic() - began, 60)
        self.assertLessEqual(len(re.findall("^error: .*", err, re.MULTILINE)), 1, err)

        step = torch.load(checkpoint)["training"]["step"]
        self.succeed("train", ".", "--resume", checkpoint, "--deadline", 0)
        self.assertEqual(torch.load(checkpoint)["training"]["step"], step + 1)
