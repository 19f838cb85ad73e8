"""One training on several processes, started by torchrun."""

import os
import subprocess
import sys
import unittest

import torch
from torch import nn

from ...model import Training
from . import PROJECT, TestCase, random_images, relative_error

# A network without BatchNorm, whose statistics would be those of the shares, in float64
TRAINING = """
import torch
from Miniproject_1.others.tests.test_processes import new_training
from Miniproject_1.others.training.processes import team_of_processes

with team_of_processes("cpu") as team:
    training = new_training(seed=team.rank)
    team.equalize(training.network)
    with team.shared(training):
        while training.step < training.num_steps:
            training.take_step()
        largest = team.largest(team.rank)
    saved = [training.network.state_dict(), training.history["loss"], largest]
    torch.save(saved, f"{team.rank}.pth")
    print("said by", team.rank)
"""


def pairs(step, part=slice(None)):
    """Six pairs."""
    images = random_images(12, 6, 6, seed=step).double()
    return images[:6][part], images[6:][part]


def new_training(seed):
    """A training whose loss explodes in a step on the way."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 3, 3)).double()
    rates = [0.1, 0.1, 1e9, 0.1, 0.1, 0.1]
    training = Training(network, pairs, 6, 0, learning_rate=rates.__getitem__)
    in_float32 = training.loss_of
    training.loss_of = lambda batch, forward: in_float32(batch, lambda x: forward(x.double()))
    return training


@unittest.skipUnless(torch.distributed.is_available(), "this PyTorch has no torch.distributed")
class TestProcesses(TestCase):
    def start(self, code, *arguments):
        """Begin to run code in two processes of one thread."""
        (self.folder / "script.py").write_text(code)
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        return subprocess.Popen(
            [sys.executable, *launcher, "script.py", *map(str, arguments)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        )

    def test_two_processes_take_the_steps_of_one_and_end_alike(self):
        """Also where the loss explodes, which both see in the same step."""
        with self.start(TRAINING) as process:
            out, err = process.communicate(timeout=300)
        self.assertEqual((process.returncode, out), (0, "said by 0\n"), err)
        self.assertNotIn("terminate", err)
        alone = new_training(seed=0)
        while alone.step < alone.num_steps:
            alone.take_step()
        self.assertEqual(alone.safeguard.rollbacks, 1)
        first, second = (torch.load(self.folder / f"{rank}.pth") for rank in range(2))
        self.assertSameWeights(first[0], second[0])
        self.assertEqual(first[1:], second[1:])
        self.assertEqual(first[2], [1.0])
        for loss, loss_alone in zip(first[1], alone.history["loss"]):
            self.assertAlmostEqual(loss / loss_alone, 1, delta=1e-6)
        for name, value in alone.network.state_dict().items():
            self.assertLess(relative_error(first[0][name], value), 1e-6, name)
