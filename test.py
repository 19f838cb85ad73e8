"""The course's grading checks, then the tests of this project.

    python test.py [-p PROJECT_FOLDER] [-d DATA_FOLDER] [--failfast] [NAME ...]

The grading checks use `train_data.pkl` and `val_data.pkl` of DATA_FOLDER, and train for a whole
epoch. Without -d they take the sample that comes with the project, and a short training. The tests
are those in `Miniproject_1/others/tests/`.

NAME picks the tests whose full name contains it: `TestGradingScript`, `test_network`, `TestResume`.
"""

import argparse
import sys
import unittest
from pathlib import Path
from unittest import mock

import torch

HERE = Path(__file__).resolve().parent
# The tools in others/ need these; model.py and the tests of it run with older ones too
TORCH_VERSION = tuple(map(int, torch.__version__.split(".")[:2]))
IS_CURRENT = sys.version_info >= (3, 10) and TORCH_VERSION >= (2, 2)
TESTS_OF_THE_MODEL = ("network", "training", "prediction", "arguments", "alone")


def parse_options(arguments):
    keep_lines = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=keep_lines)
    parser.add_argument("-p", "--project-path", type=Path, default=HERE, help="its folder")
    parser.add_argument("-d", "--data-path", type=Path, help="folder of the two data files")
    parser.add_argument("--failfast", action="store_true", help="stop at the first failure")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to run; by default all")
    return parser.parse_args(arguments)


OPTIONS = parse_options(sys.argv[1:] if __name__ == "__main__" else [])
PROJECT = OPTIONS.project_path.resolve()
SAMPLE = PROJECT / "Miniproject_1" / "others" / "data" / "sample"
sys.path.insert(0, str(PROJECT))

from Miniproject_1 import model as model_module  # noqa: E402
from Miniproject_1.model import Model  # noqa: E402


def psnr(images, clean):
    """The course's formula, word for word; images in [0, 1]."""
    mse = ((images - clean) ** 2).mean((1, 2, 3))
    return 20 * torch.log10(torch.tensor(1.0)) - 10 * torch.log10(mse).mean()


class TestGradingScript(unittest.TestCase):
    """The checks of the course's script, in its order; the sample is held to what was measured."""

    @classmethod
    def setUpClass(cls):
        folder = OPTIONS.data_path or SAMPLE
        cls.noisy, cls.clean = torch.load(str(folder / "val_data.pkl"))
        cls.pairs = torch.load(str(folder / "train_data.pkl"))
        if OPTIONS.data_path is None:
            cls.noisy, cls.clean = cls.noisy[::10], cls.clean[::10]
            cls.pairs = [images[:48] for images in cls.pairs]
        cls.noisy_psnr = psnr(cls.noisy / 255, cls.clean / 255).item()

    def score(self, model):
        slices = [self.noisy[start : start + 100] for start in range(0, len(self.noisy), 100)]
        denoised = torch.cat([model.predict(images).cpu() for images in slices])
        return psnr(denoised / 255, self.clean / 255).item()

    def test_1_structure(self):
        folder = PROJECT / "Miniproject_1"
        for name in ("__init__.py", "model.py", "bestmodel.pth", "Report_1.pdf"):
            self.assertTrue((folder / name).exists(), name)

    def test_2_dummy_input(self):
        side = 200 if OPTIONS.data_path is None else 512  # for the sake of time
        output = Model().predict(torch.rand(1, 3, side, side) * 255)
        self.assertEqual(output.shape, (1, 3, side, side))
        self.assertGreaterEqual(output.min(), 0)
        self.assertLessEqual(output.max(), 255)
        self.assertGreater(output.max(), 1)

    def test_3_pretrained_psnr(self):
        model = Model()
        model.load_pretrained_model()
        score = self.score(model)
        print(f"the shipped weights raise the PSNR from {self.noisy_psnr:.2f} to {score:.2f} dB")
        least = 28.47 if OPTIONS.data_path is None else self.noisy_psnr + 3  # 28.55 measured
        self.assertGreater(score, least)

    def test_4_training(self):
        model = Model()
        model.load_pretrained_model()
        shipped = model.network[0].weight.detach().clone()
        gradients = torch.is_grad_enabled()
        torch.set_grad_enabled(False)  # another project of the same process did that
        try:
            if OPTIONS.data_path is not None:
                model.train(*self.pairs, num_epochs=1)
            else:  # fewer L-BFGS steps than 20, for the sake of time
                with mock.patch.object(model_module, "LBFGS_STEPS", 2):
                    model.train(*self.pairs, num_epochs=1, batch_size=8)
            self.assertFalse(torch.is_grad_enabled())
        finally:
            torch.set_grad_enabled(gradients)
        score = self.score(model)
        print(f"after an epoch of training they raise it to {score:.2f} dB")
        self.assertFalse(torch.equal(shipped, model.network[0].weight))
        least = 27.5 if OPTIONS.data_path is None else self.noisy_psnr  # 27.88 measured
        self.assertGreater(score, least)


def all_tests():
    """The grading checks, then the tests in the project's folder that this Python can run."""
    loader, suite = unittest.TestLoader(), unittest.TestSuite()
    if OPTIONS.names:
        loader.testNamePatterns = [f"*{name}*" for name in OPTIONS.names]
    suite.addTests(loader.loadTestsFromTestCase(TestGradingScript))
    package = "Miniproject_1.others.tests"
    if IS_CURRENT:
        folder = PROJECT / package.replace(".", "/")
        suite.addTests(loader.discover(str(folder), top_level_dir=str(PROJECT)))
    else:
        names = [f"{package}.test_{name}" for name in TESTS_OF_THE_MODEL]
        suite.addTests(loader.loadTestsFromNames(names))
    return suite


def main():
    torch.manual_seed(0)
    runner = unittest.TextTestRunner(verbosity=2, failfast=OPTIONS.failfast)
    result = runner.run(all_tests())
    failures = result.failures + result.errors
    failed = len({getattr(test, "test_case", test).id() for test, _ in failures})
    passed = max(result.testsRun - failed - len(result.skipped), 0)  # setUpClass is no test
    skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
    if result.testsRun == 0 and failed == 0:
        print(f"no test is called {' or '.join(OPTIONS.names)}")
    print(f"{passed} passed, {failed} failed{skipped}")
    sys.exit(failed > 0 or result.testsRun == 0)


if __name__ == "__main__":
    main()
