"""`model.py` with `bestmodel.pth` and nothing else, and in processes where others have changed something before."""

import ast
import os
import platform
import shutil
import sys
import unittest
from unittest import mock

import torch

from ...model import WEIGHTS, Model
from . import PROJECT, TestCase, random_images, thorough

GRADING = """
import sys, torch
from {module} import Model
sys.modules[Model.__module__].LBFGS_STEPS = 2  # of 20, for the sake of time
noisy, expected, pairs = torch.load(sys.argv[1])
dummy = torch.rand(1, 3, 64, 64) * 255
output = Model().predict(dummy)
assert output.shape == dummy.shape and output.min() >= 0 and 1 < output.max() <= 255
model = Model()
model.load_pretrained_model()
difference = (model.predict(noisy) - expected).abs().max().item()
assert difference < 1e-2, difference
before = model.network[0].weight.detach().clone()
model.train(*pairs, num_epochs=1)
assert not torch.equal(before, model.network[0].weight)
assert torch.isfinite(model.predict(noisy)).all()
print(sys.modules[Model.__module__].fast is not None)
"""
AFTER = """
from Miniproject_1.model import Model
images, expected, pairs = torch.load(sys.argv[1])
random_state, folder = torch.random.get_rng_state(), os.getcwd()
gradients, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
model = Model()
model.load_pretrained_model()
difference = (model.predict(images) - expected).abs().max().item()
assert difference < 1e-2, difference
before = {name: value.clone() for name, value in model.network.state_dict().items()}
sys.modules[Model.__module__].LBFGS_STEPS = 2
for optimizer, rate in (("momAGD", 0.01), ("ADAM", 0.001), ("L-BFGS", 0.01)):
    model.train(*pairs, num_epochs=1, batch_size=2, optimizer=optimizer, learning_rate=rate)
    assert min(model.history["evaluations"][-6:-1]) > 1
    for name, value in model.network.state_dict().items():
        assert value.dtype == before[name].dtype and torch.isfinite(value).all(), name
assert any(not torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
assert torch.equal(random_state, torch.random.get_rng_state()) and folder == os.getcwd()
assert (gradients, dtype) == (torch.is_grad_enabled(), torch.get_default_dtype())
assert threads == torch.get_num_threads()
"""


class AloneCase(TestCase):
    def setUp(self):
        super().setUp()
        model, images = Model(), random_images(3, 12, 10)
        model.load_pretrained_model()
        self.file = self.folder / "images and what they should become"
        pairs = [random_images(12, 8, 8, seed=seed) for seed in (1, 2)]
        torch.save((images, model.predict(images), pairs), str(self.file))


class TestAlone(AloneCase):
    def copy(self, names):
        """A folder with an empty `__init__.py` and these files of the project."""
        package = self.folder / "alone" / "Miniproject_1"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        for name in names:
            (package / name).parent.mkdir(exist_ok=True)
            shutil.copy(str(PROJECT / "Miniproject_1" / name), str(package / name))
        return package

    def check(self, fast, *names):
        package = self.copy(["model.py", "bestmodel.pth", *names])
        for module, path in (("Miniproject_1.model", package.parent), ("model", package)):
            with self.subTest(module):
                out, _ = self.python(GRADING.format(module=module), self.file, path=path)
                self.assertEqual(out.split()[-1], str(fast))

    def test_two_files_pass_the_grading_checks(self):
        self.check(False)

    def test_with_fast_beside_it_the_same_is_faster(self):
        self.check(True, "others/fast.py")

    def test_needs_pytorch_alone(self):
        """Every import, relative ones too, outside of `try`."""
        tree = ast.parse((PROJECT / "Miniproject_1" / "model.py").read_text(encoding="utf-8"))
        names, relative = set(), []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).split(".")[0])
                relative += [node.module] if node.level else []
        allowed = {
            "collections",
            "contextlib",
            "copy",
            "functools",
            "importlib",
            "math",
            "operator",
            "pathlib",
            "re",
            "sys",
        }
        self.assertLessEqual(names, allowed | {"time", "torch", "warnings", "zipfile"})
        self.assertEqual(relative, [])

    def test_another_projects_others_is_not_taken_for_ours(self):
        stranger = self.folder / "stranger"
        (stranger / "others").mkdir(parents=True)
        (stranger / "others" / "__init__.py").touch()
        (stranger / "others" / "fast.py").write_text("conv2d = None")
        code = f"import sys; sys.path.insert(1, {str(stranger)!r}); import others.fast\n"
        path = os.pathsep.join([str(PROJECT / "Miniproject_1"), str(stranger)])
        out, _ = self.python(code + GRADING.format(module="model"), self.file, path=path)
        self.assertEqual(out.split()[-1], "True")


MEMORY = """
import resource, torch
from Miniproject_1.model import Model, fast

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

def faults_of(function, *arguments, **options):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    function(*arguments, **options)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

model, images = Model(device="cpu"), torch.randint(256, (32, 3, 32, 32), dtype=torch.uint8)
train = dict(num_epochs=1, batch_size=16, hybrid=False, precision="float32", progress=False)
model.train(images, images, **train)
before = resident()
with fast.keep_memory(fast.LARGE):
    for _ in range(3):
        model.train(images, images, **train)
    with fast.keep_memory(fast.LARGE):
        pass
    kept = faults_of(model.train, images, images, **train)
after = resident()
fast.LARGE = float("inf")
model.train(images, images, **train)
print(before, after, kept, faults_of(model.train, images, images, **train))
"""


@unittest.skipUnless(sys.platform == "linux" and platform.libc_ver()[0] == "glibc", "for glibc on Linux")
class TestMemory(TestCase):
    def test_is_kept_while_it_is_needed_and_given_back(self):
        names = [name for name in os.environ if name.startswith("MALLOC_") or name in ("LD_PRELOAD", "GLIBC_TUNABLES")]
        with mock.patch.dict(os.environ):
            for name in names:
                del os.environ[name]
            before, after, kept, plain = map(float, self.python(MEMORY)[0].split())
        self.assertLess(kept, plain / 2)  # page faults
        self.assertLess(after, before + 40)  # MB


@thorough
class TestProcess(AloneCase):
    """Another module of the same process, or the user, has changed something before our code runs."""

    def test_whatever_was_set_before(self):
        preparations = {
            "gradients off": "torch.set_grad_enabled(False)",
            "inference mode": "kept = torch.inference_mode(); kept.__enter__()",  # let go of, it would end
            "autocast": "kept = torch.autocast('cpu', torch.bfloat16); kept.__enter__()",
            "another dtype": "torch.set_default_dtype(torch.float64)",
            "another device": "torch.set_default_device('meta') if hasattr(torch, 'set_default_device') else None",
            "another random state": "torch.manual_seed(123)",
            "deterministic algorithms": "torch.use_deterministic_algorithms(True)",
            "one thread": "torch.set_num_threads(1)",
            "sixteen threads": "torch.set_num_threads(16)",
            # without NumPy, PyTorch 1.13 warns of itself at the first tensor
            "warnings are errors": "torch.tensor(0.0); warnings.simplefilter('error')",
            "standard output is a file": "sys.stdout = open('out.txt', 'w')",
            "no standard streams": "sys.stdout = sys.stderr = None",
            "a closed standard error": "sys.stderr.close()",
            "another folder": "os.chdir('/')",
            "oneDNN off": "kept = torch.backends.mkldnn.flags(enabled=False); kept.__enter__()",
            "anomaly detection": "torch.autograd.set_detect_anomaly(True)",
        }
        for name, preparation in preparations.items():
            with self.subTest(name):
                self.python(f"import os, sys, warnings, torch\n{preparation}\n{AFTER}", self.file)

    def test_wherever_the_project_lies(self):
        code = "import os, sys, torch\n" + AFTER
        for name in ("a folder with spaces", "größe 大小"):
            with self.subTest(name):
                copied = self.folder / name
                shutil.copytree(str(PROJECT / "Miniproject_1"), str(copied / "Miniproject_1"))
                self.python(code, self.file, path=copied)
        for path in sorted(copied.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with self.subTest("nothing in it may be written"):
            self.python(code, self.file, path=copied)
        for path in sorted(copied.rglob("*")):
            path.chmod(0o755)

    def test_weights_cut_off_anywhere_are_refused(self):
        path, model = self.folder / "truncated", Model()
        shutil.copy(str(WEIGHTS), str(path))
        for length in range(WEIGHTS.stat().st_size - 1, -1, -2000):
            os.truncate(str(path), length)
            with self.assertRaisesRegex(ValueError, "truncated is damaged"):
                model.load_pretrained_model(path)
