"""`model.py` with `bestmodel.pth` alone, and what it does to its process."""

import shutil

import torch

from ... import model as module
from .. import fast
from . import PROJECT, TestCase, random_images

PACKAGE = PROJECT / "Miniproject_1"

# What the grading script does, in a process of its own where others have changed settings
GRADING = """
import sys, torch
torch.set_grad_enabled(False)
torch.set_default_dtype(torch.float64)
from Miniproject_1 import model as module
from Miniproject_1.model import Model, accelerated
module.LBFGS_STEPS = 2  # of 20, for the sake of time
noisy, expected, pairs = torch.load(sys.argv[1])
output = Model().predict(noisy)
assert output.shape == noisy.shape and output.min() >= 0 and 1 < output.max() <= 255
model = Model()
model.load_pretrained_model()
difference = (model.predict(noisy) - expected).abs().max().item()
assert difference < 1e-2, difference
before = model.network[0].weight.clone()
model.train(*pairs, num_epochs=1)
assert not torch.equal(before, model.network[0].weight)
assert torch.isfinite(model.predict(noisy)).all()
assert {value.dtype for value in model.network.parameters()} == {torch.float32}
assert not torch.is_grad_enabled() and torch.get_default_dtype() is torch.float64
assert accelerated(model.network) is model.network
"""


class TestAlone(TestCase):
    def test_the_grading_checks_pass_silently_with_two_files(self):
        model, images = module.Model(device="cpu"), random_images(3, 12, 10)
        model.load_pretrained_model()
        file = self.folder / "images and what they should become"
        pairs = [random_images(12, 8, 8, seed=seed) for seed in (1, 2)]
        torch.save((images, model.predict(images), pairs), str(file))
        package = self.folder / "alone" / "Miniproject_1"
        package.mkdir(parents=True)
        for name in ("__init__.py", "model.py", "bestmodel.pth"):
            shutil.copy(str(PACKAGE / name), str(package / name))
        self.assertEqual(self.python(GRADING, file, path=package.parent), "")
        self.assertEqual(self.python("import model; model.Model()", path=package), "")

    def test_beside_the_fast_folder_it_is_fast(self):
        self.assertIs(module.accelerated, fast.accelerated)
