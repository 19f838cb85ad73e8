"""The tests, as `test.py` runs them; README.md here says which file tests what.

`test_network`, `test_training`, `test_prediction`, `test_arguments` and `test_alone` are about
`model.py` and `others/fast/`. They run with Python 3.8 and PyTorch 1.13 and newer.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch

PROJECT = Path(__file__).resolve().parents[3]

has_pillow = importlib.util.find_spec("PIL") is not None
needs_pillow = unittest.skipUnless(has_pillow, "needs Pillow: pip install pillow")


class TestCase(unittest.TestCase):
    """A test with an empty folder of its own, `self.folder`."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def patch(self, patcher):
        """Start a patch of `unittest.mock` that ends with the test."""
        self.addCleanup(patcher.stop)
        return patcher.start()

    def assertSameWeights(self, first, second):
        self.assertEqual(set(first), set(second))
        for name, value in first.items():
            self.assertSame(value, second[name], name)

    def assertSame(self, first, second, message=None):
        self.assertTrue(torch.equal(first, second), message)

    def assertDiffer(self, first, second, message=None):
        self.assertFalse(torch.equal(first, second), message)

    def assertClose(self, found, expected, tolerance, message=None):
        self.assertLess((found - expected).abs().max(), tolerance, message)

    def assertFinite(self, weights):
        for name, value in weights.items():
            self.assertTrue(torch.isfinite(value).all(), name)

    def python(self, code, *arguments, path=PROJECT):
        """What code prints in a process of its own, in the test's folder."""
        result = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=str(self.folder),
            env={**os.environ, "PYTHONPATH": str(path)},
            capture_output=True,
            encoding="utf-8",
        )
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        return result.stdout


def random_images(number, height, width, seed=0):
    """uint8 (number, 3, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (number, 3, height, width)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def relative_error(value, reference):
    value, reference = value.double(), reference.double()
    return ((value - reference).norm() / reference.norm().clamp(min=1e-30)).item()


def weights_of(model):
    """A copy of the weights of a `Model` or a network."""
    network = getattr(model, "network", model)
    return {name: value.clone() for name, value in network.state_dict().items()}
