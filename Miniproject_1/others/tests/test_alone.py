"""`model.py` with `bestmodel.pth` alone, and processes where others have changed something."""

import ast
import os
import platform
import shutil
import unittest
from unittest import mock

import torch

from ...model import Model
from . import PROJECT, TestCase, random_images, thorough

PACKAGE = PROJECT / "Miniproject_1"

# What the grading script does, in a process of its own
GRADING = """
import os, sys, torch
from {module} import Model, accelerated
sys.modules[Model.__module__].LBFGS_STEPS = 2  # of 20, for the sake of time
noisy, expected, pairs = torch.load(sys.argv[1])
output = Model().predict(noisy)
assert output.shape == noisy.shape and output.min() >= 0 and 1 < output.max() <= 255
model = Model()
model.load_pretrained_model()
difference = (model.predict(noisy) - expected).abs().max().item()
assert difference < 1e-2, difference
before = model.network[0].weight.detach().clone()
model.train(*pairs, num_epochs=1)
assert not torch.equal(before, model.network[0].weight)
assert torch.isfinite(model.predict(noisy)).all()
print(accelerated(model.network) is not model.network)
"""

# The same after somebody has changed something, which must stay as it was
AFTER = """
random_state, folder = torch.random.get_rng_state(), os.getcwd()
settings = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
{grading}
for value in model.network.state_dict().values():
    assert value.dtype in (torch.float32, torch.int64)
assert folder == os.getcwd()
assert settings == (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads())
"""


class AloneCase(TestCase):
    def setUp(self):
        super().setUp()
        model, images = Model(device="cpu"), random_images(3, 12, 10)
        model.load_pretrained_model()
        self.file = self.folder / "images and what they should become"
        pairs = [random_images(12, 8, 8, seed=seed) for seed in (1, 2)]
        torch.save((images, model.predict(images), pairs), str(self.file))

    def copy(self, *names):
        """A package of these files of the project only."""
        package = self.folder / "alone" / "Miniproject_1"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        for name in names:
            shutil.copy(str(PACKAGE / name), str(package / name))
        return package


class TestAlone(AloneCase):
    def test_the_grading_checks_pass_with_two_files_and_with_the_fast_folder(self):
        package = self.copy("model.py", "bestmodel.pth")
        for module, path, is_fast in (
            ("Miniproject_1.model", package.parent, "False"),
            ("model", package, "False"),
            ("model", PACKAGE, "True"),
            ("Miniproject_1.model", PROJECT, "True"),
        ):
            with self.subTest(module, fast=is_fast):
                out = self.python(GRADING.format(module=module), self.file, path=path)
                self.assertEqual(out.split()[-1], is_fast)

    def test_the_fast_folder_is_found_beside_the_package_of_another_project(self):
        code = """
import sys, types
sys.modules["Miniproject_1.others"] = types.ModuleType("Miniproject_1.others")
from Miniproject_1.model import Model, accelerated
network = Model().network
print(accelerated(network) is not network)
"""
        self.assertEqual(self.python(code, path=PROJECT).split()[-1], "True")

    def test_a_fault_in_the_fast_folder_is_named(self):
        package = self.copy("model.py")
        (package / "others" / "fast").mkdir(parents=True)
        (package / "others" / "fast" / "__init__.py").write_text("import nosuch")
        code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import Miniproject_1.model
print(*(warning.message for warning in caught))
"""
        self.assertIn("No module named 'nosuch'", self.python(code, path=package.parent))

    def test_it_needs_pytorch_alone(self):
        tree = ast.parse((PACKAGE / "model.py").read_text(encoding="utf-8"))
        found, relative = set(), []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level:
                relative.append(node.module)
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
        standard = (
            "contextlib copy errno importlib math operator pathlib sys time typing warnings zipfile"
        )
        self.assertEqual(found, {"torch", *standard.split()})
        self.assertEqual(relative, ["others.fast"])


MEMORY = """
import resource, torch
from Miniproject_1.model import Model
from Miniproject_1.others.fast import memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

def page_faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model.train(images, images, steps, **options)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

model, images = Model(device="cpu"), torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8)
options = dict(batch_size=16, hybrid=False, precision="float32", progress=False)
glibc, memory.glibc = memory.glibc, lambda: None
plain = page_faults(3)
memory.glibc = glibc
before = resident()
kept = page_faults(3)
print(before, resident(), kept, plain)
"""


@unittest.skipUnless(platform.libc_ver()[0] == "glibc", "for glibc on Linux")
class TestMemory(TestCase):
    def test_it_is_kept_while_it_is_needed_and_given_back(self):
        with mock.patch.dict(os.environ):
            for name in list(os.environ):
                if name.startswith("MALLOC_") or name in ("LD_PRELOAD", "GLIBC_TUNABLES"):
                    del os.environ[name]
            before, after, kept, plain = map(float, self.python(MEMORY).split())
        self.assertLess(kept, plain / 2)
        self.assertLess(after, before + 40)  # MB


@thorough
class TestProcess(AloneCase):
    """Another module of the same process has changed something before our code runs."""

    PREPARATIONS = {
        "gradients off": "torch.set_grad_enabled(False)",
        "inference mode": "kept = torch.inference_mode(); kept.__enter__()",
        "autocast": "kept = torch.autocast('cpu', torch.bfloat16); kept.__enter__()",
        "another dtype": "torch.set_default_dtype(torch.float64)",
        "another device": "getattr(torch, 'set_default_device', print)('meta')",
        "deterministic algorithms": "torch.use_deterministic_algorithms(True)",
        "one thread": "torch.set_num_threads(1)",
        # without NumPy, PyTorch 1.13 warns of itself at the first tensor
        "warnings are errors": "torch.tensor(0.0); warnings.simplefilter('error')",
        "no standard error": "sys.stderr = None",
        "a closed standard error": "sys.stderr.close()",
        "another folder": "os.chdir('/')",
        "oneDNN off": "kept = torch.backends.mkldnn.flags(enabled=False); kept.__enter__()",
        "anomaly detection": "torch.autograd.set_detect_anomaly(True)",
    }

    def test_whatever_was_set_before(self):
        grading = GRADING.format(module="Miniproject_1.model")
        after = AFTER.format(grading=grading)
        for name, preparation in self.PREPARATIONS.items():
            with self.subTest(name):
                self.python(f"import os, sys, warnings, torch\n{preparation}\n{after}", self.file)
