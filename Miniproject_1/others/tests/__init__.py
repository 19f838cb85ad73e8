"""The tests, as `test.py` runs them; see README.md here. `test_network`, `test_training`, `test_prediction`,
`test_arguments` and `test_alone` are about `model.py` and run where it does: from Python 3.8 and PyTorch 1.13 on."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch

PROJECT = Path(__file__).resolve().parents[3]
THOROUGH = "--thorough" in sys.argv
thorough = unittest.skipUnless(THOROUGH, "slow: python test.py --thorough")
needs_pillow = unittest.skipUnless(importlib.util.find_spec("PIL"), "needs Pillow: pip install pillow")


class TestCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def patch(self, patcher):
        """Start a patch of `unittest.mock` that ends with the test."""
        self.addCleanup(patcher.stop)
        return patcher.start()

    def assertSameWeights(self, first, second):
        for name, value in first.items():
            self.assertTrue(torch.equal(value, second[name]), name)

    def assertFinite(self, weights):
        for name, value in weights.items():
            self.assertTrue(torch.isfinite(value).all(), name)

    def python(self, code, *arguments, path=PROJECT, cwd=None, status=0, **environment):
        """Run code in a process of its own, in an empty folder; returns what it printed, and its errors."""
        result = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], cwd=str(cwd or self.folder),
            capture_output=True, encoding="utf-8",
            env={**os.environ, "PYTHONPATH": str(path), **environment},
        )  # fmt: skip
        self.assertEqual(result.returncode, status, result.stderr[-3000:])
        return result.stdout, result.stderr


def random_images(number, height, width, seed=0):
    """uint8 (number, 3, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (number, 3, height, width), generator=generator, dtype=torch.uint8)


def relative_error(value, reference):
    return ((value.double() - reference.double()).norm() / reference.double().norm().clamp(min=1e-30)).item()


def weights_of(model):
    """A copy of the weights of a `Model` or a network."""
    return {name: value.clone() for name, value in getattr(model, "network", model).state_dict().items()}
