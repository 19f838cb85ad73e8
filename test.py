"""The self-check: what the course's grading script checks, then how this project should behave.

    python test.py [-p PROJECT_FOLDER] [-d DATA_FOLDER] [--thorough] [name of a test ...]

The grading checks run first, on `train_data.pkl` and `val_data.pkl` of DATA_FOLDER. That trains
for a whole epoch; without -d they take the embedded sample and a short training, and everything
is over in three minutes. `--thorough` adds what takes longer: processes with odd settings, damaged files,
killed trainings, and inputs that Hypothesis makes up. Only PyTorch is needed; tests of pictures are
skipped where Pillow is missing, those of made-up inputs where Hypothesis is.
"""

import argparse
import ast
import contextlib
import copy
import importlib.util
import io
import math
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings
import zlib
from pathlib import Path
from unittest import mock

import torch
from torch import nn

PARSER = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
PARSER.add_argument("-p", "--project-path", type=Path, default=Path(__file__).parent, help="the project's folder")
PARSER.add_argument("-d", "--data-path", type=Path, help="the folder of train_data.pkl and val_data.pkl")
PARSER.add_argument("--thorough", action="store_true", help="also run the slow tests")
OPTIONS, REST = PARSER.parse_known_args() if __name__ == "__main__" else PARSER.parse_known_args([])
PROJECT = OPTIONS.project_path.resolve()
sys.path.insert(0, str(PROJECT))

from Miniproject_1 import model as module  # noqa: E402
from Miniproject_1.__main__ import main  # noqa: E402
from Miniproject_1.model import INITIALIZATIONS, OPTIMIZERS, Model  # noqa: E402
from Miniproject_1.others import data, fast, muon, noises, pictures, study, support  # noqa: E402
from Miniproject_1.others.evaluation import SAMPLE, load_pairs, psnr  # noqa: E402

HAS_PILLOW = importlib.util.find_spec("PIL") is not None
thorough = unittest.skipUnless(OPTIONS.thorough, "slow: python test.py --thorough")
needs_pillow = unittest.skipUnless(HAS_PILLOW, "needs Pillow: pip install pillow")


def course_psnr(images, clean):
    """The course's formula, word for word; images in [0, 1]."""
    return 20 * torch.log10(torch.tensor(1.0)) - 10 * torch.log10(((images - clean) ** 2).mean((1, 2, 3))).mean()


def random_images(number, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (number, 3, height, width), generator=generator, dtype=torch.uint8)


def relative_error(value, reference):
    return ((value.double() - reference.double()).norm() / reference.double().norm().clamp(min=1e-30)).item()


def weights_of(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


class TestCase(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def assertSameWeights(self, first, second):
        for name, value in first.items():
            self.assertTrue(torch.equal(value, second[name]), name)

    def enterContext(self, context):  # unittest has it from Python 3.11
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value


class Test1GradingScript(unittest.TestCase):
    """The checks of the course's script, in its order."""

    @classmethod
    def setUpClass(cls):
        folder = OPTIONS.data_path or SAMPLE
        cls.noisy, cls.clean = torch.load(folder / "val_data.pkl")
        cls.pairs = torch.load(folder / "train_data.pkl")
        if not OPTIONS.data_path:
            cls.noisy, cls.clean = cls.noisy[::10], cls.clean[::10]
            cls.pairs = [images[:48] for images in cls.pairs]

    def score(self, model):
        denoised = [model.predict(self.noisy[i : i + 100]).cpu() for i in range(0, len(self.noisy), 100)]
        return course_psnr(torch.cat(denoised) / 255, self.clean / 255).item()

    def test_structure(self):
        folder = PROJECT / "Miniproject_1"
        for name in ("__init__.py", "model.py", "bestmodel.pth"):
            self.assertTrue((folder / name).exists(), name)
        if not (folder / "Report_1.pdf").exists():
            print("warning: Miniproject_1/Report_1.pdf is missing")

    def test_model_needs_pytorch_alone(self):
        tree = ast.parse((PROJECT / "Miniproject_1" / "model.py").read_text(encoding="utf-8"))
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
        self.assertLessEqual(names, {"contextlib", "functools", "math", "pathlib", "time", "torch"})

    def test_dummy_input(self):
        output = Model().predict(torch.rand(1, 3, 512, 512) * 255)
        self.assertEqual(output.shape, (1, 3, 512, 512))
        self.assertGreaterEqual(output.min(), 0)
        self.assertLessEqual(output.max(), 255)

    def test_pretrained_psnr(self):
        model = Model()
        model.load_pretrained_model()
        before, after = course_psnr(self.noisy / 255, self.clean / 255).item(), self.score(model)
        print(f"noisy {before:.2f} dB, denoised with the weights as shipped {after:.2f} dB")
        self.assertGreater(after, before + 3)

    def test_training(self):
        model = Model()
        model.load_pretrained_model()
        shipped = weights_of(model)
        short = {} if OPTIONS.data_path else dict(batch_size=4)
        switch = torch.is_grad_enabled()
        torch.set_grad_enabled(False)  # another project of the same process did that
        inner_steps = module.LBFGS_STEPS if OPTIONS.data_path else 3
        try:
            with mock.patch.object(module, "LBFGS_STEPS", inner_steps):
                model.train(*self.pairs, num_epochs=1, **short)
            self.assertFalse(torch.is_grad_enabled())
        finally:
            torch.set_grad_enabled(switch)
        before, after = course_psnr(self.noisy / 255, self.clean / 255).item(), self.score(model)
        print(f"noisy {before:.2f} dB, denoised after one epoch of training {after:.2f} dB")
        self.assertFalse(torch.equal(shipped["0.weight"], model.network[0].weight))
        self.assertGreater(after, before + 3)


class Test2Network(TestCase):
    APPENDIX = """\
Sequential(
  (0): Conv2d(3, 64, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (1): ReLU(inplace=True)
  (2): Conv2d(64, 64, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (3): ReLU(inplace=True)
  (4): Conv2d(64, 128, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (5): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
  (6): ReLU(inplace=True)
  (7): Conv2d(128, 256, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (8): BatchNorm2d(256, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
  (9): ReLU()
  (10): Conv2d(256, 512, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (11): ConvTranspose2d(512, 256, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (12): BatchNorm2d(256, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
  (13): ReLU(inplace=True)
  (14): ConvTranspose2d(256, 128, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (15): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
  (16): ReLU(inplace=True)
  (17): ConvTranspose2d(128, 64, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (18): ReLU(inplace=True)
  (19): ConvTranspose2d(64, 64, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
  (20): ReLU(inplace=True)
  (21): ConvTranspose2d(64, 3, kernel_size=(2, 2), stride=(1, 1), padding=(1, 1))
)"""

    def test_is_the_appendix_layer_for_layer(self):
        network = Model().network
        self.assertEqual(repr(network).replace(", bias=True", ""), self.APPENDIX)
        self.assertEqual(sum(parameter.numel() for parameter in network.parameters()), 1_413_635)

    def plain_and_ours(self, shape, training, dtype, seed, use_winograd=True):
        """Relative errors of the output and of every gradient against plain layers in float64: plain's, ours."""
        network = Model("default", seed=seed).network.train(training)
        generator = torch.Generator().manual_seed(seed)
        for name, value in network.state_dict().items():
            if "running" in name:  # as if it had been trained
                value.uniform_(0.5, 1.5, generator=generator)
        images, weight = (torch.rand(shape, generator=generator) for _ in range(2))
        conv2d = fast.conv2d if use_winograd else None
        results = []
        plain = nn.Sequential.forward
        for apply, kind in ((plain, torch.float64), (plain, dtype), (module.forward, dtype)):
            copied = copy.deepcopy(network).to(kind)
            with mock.patch.object(module, "fast_conv2d", conv2d):
                output = apply(copied, images.to(kind))
                gradients = torch.autograd.grad((output * weight.to(kind)).sum(), list(copied.parameters()))
            results.append([value.double() for value in (output, *gradients, *copied.buffers())])
        exact, *others = results
        largest = max(value.norm() for value in exact)  # a bias before BatchNorm has no gradient at all
        return [
            [relative_error(value, true) for value, true in zip(values, exact) if true.norm() > 1e-6 * largest]
            for values in others
        ]

    def test_computes_what_the_plain_layers_compute(self):
        """In float64, where nothing rounds: outputs, gradients of every parameter, statistics of BatchNorm."""
        shapes = [(2, 3, 9, 12), (3, 3, 1, 7)] + [(1, 3, 16, 16), (100, 3, 2, 3)] * OPTIONS.thorough
        for use_winograd in (True, False):
            for training in (True, False):
                for shape in shapes:
                    with self.subTest(winograd=use_winograd, training=training, shape=shape):
                        _, ours = self.plain_and_ours(shape, training, torch.float64, 3, use_winograd)
                        self.assertLess(max(ours), 1e-10)

    def test_rounds_little_more_than_the_plain_layers(self):
        """In float32, the median over batches.

        In a single batch a value within rounding of zero may pass a ReLU or not, plain or ours: its gradient
        then differs by 1e-3.
        """
        errors = [self.plain_and_ours((2, 3, 8, 8), True, torch.float32, seed) for seed in range(5)]
        for plain, ours in zip(*(zip(*(error[which] for error in errors)) for which in (0, 1))):
            plain, ours = (sorted(values)[len(values) // 2] for values in (plain, ours))
            self.assertLess(ours, 1e-4)
            self.assertLess(ours, 10 * max(plain, 1e-6))

    def test_winograd_convolution_is_the_direct_one(self):
        generator = torch.Generator().manual_seed(0)
        self.enterContext(mock.patch.object(fast, "FEWEST_CHANNELS", 1))
        self.enterContext(mock.patch.object(fast, "TILES_AT_ONCE", 20))  # so that there are several blocks
        for size, padding in ((3, 1), (2, 1), (2, 0)):
            for height, width, channels, outputs in ((2, 2, 3, 2), (4, 9, 5, 7), (37, 18, 4, 3), (20, 20, 64, 64)):
                with self.subTest(kernel=size, padding=padding, image=(height, width)):
                    images = torch.randn(3, channels, height, width, generator=generator, requires_grad=True)
                    kernel = torch.randn(outputs, channels, size, size, generator=generator, requires_grad=True)
                    bias = torch.randn(outputs, generator=generator, requires_grad=True)
                    arguments = (images, kernel, bias)
                    exact = [argument.detach().double().requires_grad_() for argument in arguments]
                    output = fast.conv2d(*arguments, padding)
                    expected = nn.functional.conv2d(*exact, padding=padding)
                    self.assertLess(relative_error(output, expected), 1e-5)
                    weight = torch.randn(output.shape, generator=generator)
                    gradients = torch.autograd.grad(output, arguments, weight)
                    for gradient, reference in zip(gradients, torch.autograd.grad(expected, exact, weight.double())):
                        self.assertLess(relative_error(gradient, reference), 1e-5)

    def test_bfloat16_changes_gradients_by_little(self):
        images, target = (random_images(2, 12, 9, seed=seed) / 255 for seed in (0, 1))
        for winograd in (fast.conv2d, None):
            with self.subTest(winograd=bool(winograd)), mock.patch.object(module, "fast_conv2d", winograd):
                gradients = []
                for bfloat16 in (False, True):
                    network = Model("default").network.train()
                    module.loss_on(network, images, target, bfloat16).backward()
                    gradients.append(
                        torch.cat([layer.weight.grad.flatten() for layer in network[::] if hasattr(layer, "weight")])
                    )
                error = relative_error(*reversed(gradients))
                self.assertLess(error, 0.3)
                self.assertGreater(error, 1e-5)

    def test_is_the_same_without_the_fast_path(self):
        """A project without `others/fast.py`, in a process of its own."""
        code = """
import sys, torch
sys.modules["Miniproject_1.others.fast"] = None  # importing it raises ImportError
from Miniproject_1 import model as module
assert module.fast_conv2d is None
torch.manual_seed(0)
torch.save(module.Model(seed=1).predict(torch.rand(1, 3, 9, 7) * 255), sys.argv[1])
"""
        file = self.folder / "plain"
        subprocess.run([sys.executable, "-c", code, str(file)], cwd=str(PROJECT), check=True)
        torch.manual_seed(0)
        expected = Model(seed=1).predict(torch.rand(1, 3, 9, 7) * 255)
        self.assertLess((torch.load(str(file)) - expected).abs().max(), 1e-2)


class Test3Initialization(TestCase):
    def test_signs_and_zeros_are_as_named(self):
        weight = {name: Model(name).network[7].weight for name in INITIALIZATIONS}
        for name in ("default", "xavier"):
            self.assertAlmostEqual((weight[name] < 0).float().mean().item(), 0.5, delta=0.01)
            positive = weight[name + " positive"]
            self.assertTrue(torch.equal(positive, weight[name].clamp(min=0)))
        self.assertEqual(weight["zeros"].abs().max(), 0)
        masked = weight["masked xavier"]
        self.assertAlmostEqual((masked == 0).float().mean().item(), 0.5, delta=0.01)
        self.assertAlmostEqual((masked < 0).float().mean().item(), 0.25, delta=0.01)

    def test_default_and_xavier_have_pytorchs_range(self):
        for name, draw in (
            ("default", lambda layer: layer.reset_parameters()),
            ("xavier", lambda layer: nn.init.xavier_uniform_(layer.weight)),
        ):
            network = Model(name).network
            for layer in (network[4], network[14]):
                values, reference = layer.weight.detach(), copy.deepcopy(layer)
                draw(reference)
                self.assertAlmostEqual(values.std().item() / reference.weight.std().item(), 1, delta=0.02)
                self.assertAlmostEqual(values.max().item() / reference.weight.max().item(), 1, delta=0.02)

    def test_seed_decides_and_the_global_random_state_is_left_alone(self):
        state = torch.random.get_rng_state()
        first, same, other = (weights_of(Model(seed=seed)) for seed in (1, 1, 2))
        self.assertTrue(torch.equal(state, torch.random.get_rng_state()))
        self.assertSameWeights(first, same)
        self.assertFalse(torch.equal(first["0.weight"], other["0.weight"]))

    def test_revived_channels_change_nothing_and_learn(self):
        model, images = Model("default"), random_images(4, 8, 8)
        network, killed = model.network, {0: [3], 2: [0, 5], 17: [1, 2, 60], 19: [7]}
        with torch.no_grad():
            for index, channels in killed.items():
                network[index].bias[channels] = -1e3
        before = model.predict(images)
        self.assertGreaterEqual(module.revive(network, images / 255), 7)  # others fed on these alone
        self.assertLess((model.predict(images) - before).abs().max(), 1e-3)
        self.assertEqual(module.revive(network, images / 255), 0)
        revived = copy.deepcopy(network)
        model.train(
            images, images, 3, batch_size=2, hybrid=False, optimizer="ADAM", learning_rate=0.001, progress=False
        )
        for index, channels in killed.items():
            for layer in (index, index + 2):
                kernels = (
                    copied[layer].weight.transpose(0, int((index > 4) == (layer == index)))
                    for copied in (network, revived)
                )
                changed, kept = (kernel[channels] for kernel in kernels)
                self.assertTrue((changed != kept).flatten(1).any(1).all(), layer)

    def test_unknown_name_is_refused(self):
        with self.assertRaisesRegex(ValueError, "initialization must be one of .*'masked xavier'.* got 'he'"):
            Model("he")


class Test4Batches(TestCase):
    def batch(self, plan, number=6, **options):
        first, second = random_images(number, 8, 8), random_images(number, 8, 8, seed=1)
        options = {"crop": None, "flips": (), "swap": False, **options}
        noisy, target = module.make_batch(first, second, plan, slice(0, number), device="cpu", **options)
        return first / 255, second / 255, noisy, target

    def test_without_options_a_pass_is_the_pairs_in_another_order(self):
        plan = module.plan_epoch(6, (8, 8), None, 0.5, seed=0)
        first, second, noisy, target = self.batch(plan)
        self.assertEqual(sorted(plan["order"].tolist()), list(range(6)))
        self.assertTrue(torch.equal(noisy, first[plan["order"]]))
        self.assertTrue(torch.equal(target, second[plan["order"]]))

    def test_flips_turn_both_images_of_a_pair_alike(self):
        plan = module.plan_epoch(6, (8, 8), None, 1.0, seed=0)
        for flip, turn in (
            ("vertical", lambda images: images.flip(2)),
            ("horizontal", lambda images: images.flip(3)),
            ("transpose", lambda images: images.transpose(2, 3)),
        ):
            first, second, noisy, target = self.batch(plan, flips=(flip,))
            self.assertTrue(torch.equal(noisy, turn(first[plan["order"]])), flip)
            self.assertTrue(torch.equal(target, turn(second[plan["order"]])), flip)

    def test_flip_fraction_is_the_share_that_is_flipped(self):
        plan = module.plan_epoch(10_000, (8, 8), None, 0.25, seed=0)
        for flip in module.FLIPS:
            self.assertAlmostEqual(plan[flip].float().mean().item(), 0.25, delta=0.02)

    def test_swap_lets_input_and_target_change_places(self):
        plan = module.plan_epoch(6, (8, 8), None, 0.5, seed=0)
        first, second, noisy, target = self.batch(plan, swap=True)
        self.assertEqual(set(plan["swap"].tolist()), {True, False})
        for row, pair in enumerate(plan["order"].tolist()):
            expected = (second[pair], first[pair]) if plan["swap"][row] else (first[pair], second[pair])
            self.assertTrue(torch.equal(noisy[row], expected[0]))
            self.assertTrue(torch.equal(target[row], expected[1]))

    def test_crop_cuts_the_same_square_out_of_both(self):
        plan = module.plan_epoch(6, (8, 8), 3, 0.5, seed=0)
        first, second, noisy, target = self.batch(plan, crop=3)
        self.assertGreater(len(set(zip(plan["top"].tolist(), plan["left"].tolist()))), 1)
        for row, pair in enumerate(plan["order"].tolist()):
            square = (
                ...,
                slice(plan["top"][row], plan["top"][row] + 3),
                slice(plan["left"][row], plan["left"][row] + 3),
            )
            self.assertTrue(torch.equal(noisy[row], first[pair][square]))
            self.assertTrue(torch.equal(target[row], second[pair][square]))


class Test5Training(TestCase):
    SMALL = dict(batch_size=4, learning_rate=0.02, progress=False)

    def setUp(self):
        super().setUp()
        self.pairs = random_images(16, 8, 8), random_images(16, 8, 8, seed=1)
        self.enterContext(mock.patch.object(module, "LBFGS_STEPS", 2))  # of 20, for the sake of time

    def test_every_optimizer_lowers_the_loss(self):
        clean = random_images(8, 1, 1).expand(8, 3, 8, 8).contiguous()
        rates = {"ADAM": 0.003, "Muon": 0.003}
        for optimizer in OPTIMIZERS:
            with self.subTest(optimizer), mock.patch.object(module, "LBFGS_STEPS", 8):
                model = Model()
                model.train(clean, clean, 3, batch_size=4, hybrid=False, optimizer=optimizer,
                            learning_rate=rates.get(optimizer, 0.02), progress=False)  # fmt: skip
                loss = model.history["loss"]
                self.assertLess(sum(loss[-2:]), 0.7 * sum(loss[:2]))

    def test_hybrid_is_five_iterations_of_lbfgs_then_momagd(self):
        model = Model()
        model.train(*self.pairs, 2, **self.SMALL)
        evaluations = model.history["evaluations"]
        self.assertEqual(len(evaluations), 8)
        self.assertGreater(min(evaluations[:5]), 1)
        self.assertEqual(evaluations[5:], [1, 1, 1])

    def test_an_lbfgs_iteration_that_makes_things_worse_is_undone(self):
        model, before = Model(), weights_of(Model())

        def worsen(*_):
            with torch.no_grad():
                model.network[21].bias += 10
            return 0.1, 20

        with mock.patch.object(module, "take_step", worsen):
            model.train(*self.pairs, 1, **self.SMALL)
        self.assertSameWeights(before, weights_of(model))
        model.train(*self.pairs, 1, **self.SMALL)
        self.assertFalse(torch.equal(before["21.bias"], model.network[21].bias))

    def test_a_training_that_explodes_goes_back_and_slows_down(self):
        model, errors = Model(), io.StringIO()
        with contextlib.redirect_stderr(errors):
            model.train(*self.pairs, 4, hybrid=False, **{**self.SMALL, "learning_rate": 20.0})
        went_back = errors.getvalue().count("back to the last good weights, with half the learning rate")
        self.assertGreater(went_back, 0)
        self.assertEqual(len(model.history["loss"]), 16)
        self.assertLess(model.history["learning_rate"][-1], 20 / 16 / 2**went_back * 1.01 * 2)
        self.assertTrue(all(torch.isfinite(value).all() for value in weights_of(model).values()))

    def test_a_hopeless_training_ends_with_an_error_and_the_last_good_weights(self):
        targets = torch.full((16, 3, 8, 8), 1e6)
        model = Model()
        cases = (
            dict(pairs=self.pairs, learning_rate=1e30),
            dict(pairs=(self.pairs[0], targets), learning_rate=1e6),
        )
        for case in cases:
            with self.subTest(learning_rate=case["learning_rate"]):
                before = weights_of(model)
                options = {**self.SMALL, "learning_rate": case["learning_rate"]}
                with contextlib.redirect_stderr(io.StringIO()):
                    with self.assertRaisesRegex(FloatingPointError, "has the last good weights"):
                        model.train(*case["pairs"], 5, hybrid=False, swap=False, **options)
                self.assertSameWeights(before, weights_of(model))
        black = torch.zeros(16, 3, 8, 8, dtype=torch.uint8)
        model.train(black, black, 2, **self.SMALL)
        self.assertTrue(all(torch.isfinite(value).all() for value in weights_of(model).values()))

    def test_the_last_step_is_not_trusted_unseen(self):
        """One step is all there is, and no later loss shows that it led astray."""
        model, before = Model(), weights_of(Model())
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            model.train(*self.pairs, 1, hybrid=False, batch_size=16, learning_rate=1e4, progress=False)
        self.assertIn("back to the last good weights", errors.getvalue())
        self.assertSameWeights(before, weights_of(model))

    def test_an_error_within_a_step_leaves_the_weights_from_before_it(self):
        model, take_step, kept = Model(), module.take_step, []

        def broken_step(*arguments):
            if len(kept) == 2:
                with torch.no_grad():
                    model.network[0].weight.fill_(float("nan"))
                raise KeyboardInterrupt
            result = take_step(*arguments)
            kept.append(weights_of(model))
            return result

        with mock.patch.object(module, "take_step", broken_step), self.assertRaises(KeyboardInterrupt):
            model.train(*self.pairs, 1, hybrid=False, **self.SMALL)
        self.assertSameWeights(kept[-1], weights_of(model))
        self.assertEqual(len(model.history["loss"]), 2)

    def test_momagd_is_the_textbooks(self):
        """Two steps by hand on the plain network: v = mu v + g, w = w - lr v."""
        pairs = [images[:4] for images in self.pairs]
        model = Model()
        network = copy.deepcopy(model.network).double().train()
        model.train(*pairs, 2, batch_size=4, hybrid=False, learning_rate=0.02, final_learning_rate=0.02, momentum=0.5,
                    flips=(), swap=False, progress=False)  # fmt: skip
        velocity = [torch.zeros_like(parameter) for parameter in network.parameters()]
        noisy, target = (images.double() / 255 for images in pairs)
        for _ in range(2):
            loss = ((network(noisy) - target) ** 2).mean()
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            with torch.no_grad():
                for parameter, v, gradient in zip(network.parameters(), velocity, gradients):
                    parameter -= 0.02 * v.mul_(0.5).add_(gradient)
        self.assertAlmostEqual(model.history["loss"][1], loss.item(), delta=1e-4 * loss.item())
        for name, value in network.state_dict().items():
            if value.double().norm() > 1e-3:
                self.assertLess(relative_error(model.network.state_dict()[name], value), 2e-3, name)

    def test_muon_steps_along_the_singular_vectors_at_one_speed(self):
        """Against a singular value decomposition, with kernels wider and narrower in the second dimension."""
        for shape in ((16, 8, 2, 2), (8, 16, 2, 2)):
            gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            matrix = muon.orthogonalized(gradient)
            narrow = [kernel.transpose(0, 1) if shape[0] > 8 else kernel for kernel in (gradient, matrix)]
            u, _, v = torch.linalg.svd(narrow[0].flatten(1), full_matrices=False)
            speeds = u.t() @ narrow[1].flatten(1) @ v.t()  # diagonal
            self.assertEqual(matrix.shape, gradient.shape)
            self.assertTrue(((speeds.diag() > 0.6) & (speeds.diag() < 1.3)).all(), speeds.diag())
            self.assertLess((speeds - speeds.diag().diag()).abs().max().item(), 1e-4)

    def test_muon_is_adam_where_there_is_no_matrix_between_features(self):
        kernel, bias = torch.randn(64, 3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(64)
        found = [[kernel.clone(), bias.clone()] for _ in range(2)]
        for parameters, stepper in (
            (found[0], muon.Muon(found[0], 0.01, 0.9)),
            (found[1], torch.optim.Adam(found[1], 0.01, betas=(0.9, 0.999))),
        ):
            for gradient in (1.0, -0.5, 3.0):
                for parameter in parameters:
                    parameter.grad = gradient * (parameter + 1)
                stepper.step(lambda: torch.zeros(()))
        for ours, theirs in zip(*found):
            self.assertLess(relative_error(ours, theirs), 1e-5)

    def test_learning_rate_falls_to_zero_or_stays(self):
        model = Model()
        model.train(*self.pairs, 1, hybrid=False, **self.SMALL)
        for rate, expected in zip(model.history["learning_rate"], (0.02, 0.015, 0.01, 0.005)):
            self.assertAlmostEqual(rate, expected)
        model.train(*self.pairs, 1, hybrid=False, final_learning_rate=0.02, **self.SMALL)
        self.assertEqual(model.history["learning_rate"][4:], [0.02] * 4)

    def test_called_twice_it_goes_on_with_other_random_choices(self):
        model = Model()
        model.train(*self.pairs, 1, hybrid=False, **self.SMALL)
        after_first = weights_of(model)
        with mock.patch.object(module, "plan_epoch", wraps=module.plan_epoch) as plan:
            model.train(*self.pairs, 1, hybrid=False, **self.SMALL)
        self.assertEqual(len(model.history["loss"]), 8)
        self.assertEqual(plan.call_args[0][-1], 4)
        fresh = Model()
        fresh.network.load_state_dict(after_first)
        fresh.train(*self.pairs, 1, hybrid=False, **{**self.SMALL, "seed": 4})
        self.assertSameWeights(weights_of(model), weights_of(fresh))

    def test_same_seed_same_weights_and_nothing_else_is_touched(self):
        before = [images.clone() for images in self.pairs]
        state = torch.random.get_rng_state()
        results = []
        for _ in range(2):
            model = Model()
            model.train(*self.pairs, 1, **self.SMALL)
            results.append(weights_of(model))
        self.assertSameWeights(*results)
        self.assertTrue(torch.equal(state, torch.random.get_rng_state()))
        for images, kept in zip(self.pairs, before):
            self.assertTrue(torch.equal(images, kept))

    def test_resumed_training_ends_where_an_unbroken_one_does(self):
        """Stopped within the L-BFGS phase by a deadline, then after it by Ctrl-C."""
        for optimizer in ("momAGD", "Muon"):
            with self.subTest(optimizer):
                self.check_resumed(dict(self.SMALL, crop=6, optimizer=optimizer))

    def check_resumed(self, options):
        unbroken = Model()
        unbroken.train(*self.pairs, 3, **options)
        file = self.folder / "checkpoint"
        broken = Model()
        broken.train(*self.pairs, 3, checkpoint=file, deadline=0, **options)
        self.assertFalse(broken.finished)
        self.assertEqual(len(broken.history["loss"]), 1)

        broken, take_step = Model(), module.take_step

        def interrupted_step(*arguments):
            if len(broken.history["loss"]) == 8:
                signal.raise_signal(signal.SIGINT)
            return take_step(*arguments)

        with mock.patch.object(module, "take_step", interrupted_step), contextlib.redirect_stderr(io.StringIO()):
            with self.assertRaises(KeyboardInterrupt):
                broken.train(*self.pairs, 3, checkpoint=file, resume=file, **options)
        self.assertEqual(len(broken.history["loss"]), 9)
        resumed = Model()
        resumed.train(*self.pairs, 3, resume=file, **options)
        self.assertTrue(resumed.finished)
        self.assertEqual(resumed.history["loss"], unbroken.history["loss"])
        self.assertSameWeights(weights_of(resumed), weights_of(unbroken))

    def test_a_checkpoint_of_another_training_is_refused(self):
        file = self.folder / "checkpoint"
        model = Model()
        model.train(*self.pairs, 1, hybrid=False, checkpoint=file, **self.SMALL)
        before = weights_of(model)
        with self.assertRaisesRegex(ValueError, "another num_epochs: 1, here it is 2"):
            model.train(*self.pairs, 2, hybrid=False, resume=file, **self.SMALL)
        with self.assertRaisesRegex(ValueError, "another pixels"):
            model.train(self.pairs[1], self.pairs[0], 1, hybrid=False, resume=file, **self.SMALL)
        self.assertSameWeights(before, weights_of(model))

    def test_trains_though_gradients_are_off_and_outside_the_main_thread(self):
        model, before = Model(), weights_of(Model())

        def run():
            torch.set_grad_enabled(False)  # holds for this thread alone
            model.train(*self.pairs, 1, hybrid=False, **self.SMALL)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        self.assertEqual(len(model.history["loss"]), 4)
        self.assertFalse(torch.equal(before["0.weight"], model.network[0].weight))

    def test_memory_is_that_of_the_batch_not_of_the_training_set(self):
        """50,000 pairs of uint8 are 0.3 GB, as float 1.2 GB: training may add 0.5 GB to what is there."""
        code = """
import resource, torch
from Miniproject_1.model import Model
pairs = torch.zeros(2, 50_000, 3, 32, 32, dtype=torch.uint8)
pairs[:, :, :, ::2] = 200
model = Model()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.train(*pairs, 1, batch_size=1, hybrid=False, deadline=0, progress=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6)
"""
        try:
            import resource  # noqa: F401
        except ModuleNotFoundError:
            self.skipTest("this system does not tell how much memory a process took")
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=str(PROJECT), stdout=subprocess.PIPE, text=True, check=True
        )
        self.assertLess(float(result.stdout), 0.5)

    def test_progress_is_shown_with_and_without_tqdm(self):
        class Bar:
            def __init__(self, **options):
                self.options, self.steps, self.text = options, 0, ""

            def set_postfix_str(self, text, refresh):
                self.text = text

            def update(self):
                self.steps += 1

            def close(self):
                bars.append(self)

        bars = []
        options = dict(self.SMALL, hybrid=False, progress=True)
        with mock.patch.object(support, "tqdm", Bar):
            Model().train(*self.pairs, 1, **options)
        self.assertEqual((bars[0].steps, bars[0].options["total"]), (4, 4))
        self.assertRegex(bars[0].text, r"loss 0\.\d+")
        shown = io.StringIO()
        with mock.patch.object(support, "tqdm", None), contextlib.redirect_stderr(shown):
            Model().train(*self.pairs, 1, **options)
        self.assertRegex(shown.getvalue(), r"4 of 4, 0\.0 minutes left loss 0\.\d+")


class Test6Prediction(TestCase):
    def setUp(self):
        super().setUp()
        self.model = Model(seed=1)
        self.model.train(random_images(4, 8, 8), random_images(4, 8, 8), 2, batch_size=4, hybrid=False, progress=False)

    def test_any_size_and_dtype(self):
        for height, width in ((1, 1), (1, 9), (13, 6), (20, 20)):
            images = random_images(2, height, width)
            expected = self.model.predict(images)
            self.assertEqual((expected.shape, expected.dtype), (images.shape, torch.float32))
            self.assertTrue(0 <= expected.min() and expected.max() <= 255)
            for dtype in (torch.float32, torch.float64, torch.int16):
                self.assertTrue(torch.allclose(self.model.predict(images.to(dtype)), expected, atol=1e-3))

    def test_one_pass_is_the_network_itself(self):
        images = random_images(2, 9, 7)
        network = copy.deepcopy(self.model.network).double().eval()
        expected = (network(images.double() / 255) * 255).clamp(0, 255)
        self.assertLess((self.model.predict(images, average=False) - expected).abs().max(), 1e-2)

    def test_average_is_the_mean_over_the_eight_symmetries(self):
        images = random_images(1, 9, 7)
        network = copy.deepcopy(self.model.network).double().eval()
        total = 0
        for turns in range(4):
            for mirrored in (False, True):
                turned = images.double().rot90(turns, (2, 3)) / 255
                turned = network(turned.flip(3) if mirrored else turned)
                total = total + (turned.flip(3) if mirrored else turned).rot90(-turns, (2, 3))
        expected = (total / 8 * 255).clamp(0, 255)
        self.assertLess((self.model.predict(images) - expected).abs().max(), 1e-2)

    def test_large_image_is_denoised_in_tiles_without_seams(self):
        image = random_images(1, 45, 70)
        self.model.load_pretrained_model()  # with these the farthest pixels count
        whole = self.model.predict(image)
        with mock.patch.object(module, "MAX_PIXELS", 20 * 20):
            self.assertGreater(len(list(module.tiles(*image.shape))), 8)
            self.assertLess((self.model.predict(image) - whole).abs().max(), 1e-2)

    def test_image_is_the_same_alone_and_in_a_batch(self):
        images = random_images(5, 12, 12)
        self.model.network.train()  # as within a training
        together = self.model.predict(images)
        for position in range(5):
            self.assertLess(
                (self.model.predict(images[position : position + 1]) - together[position]).abs().max(), 1e-2
            )

    def test_changes_neither_its_input_nor_a_training(self):
        images, before = random_images(2, 8, 8).float(), weights_of(self.model)
        kept = images.clone()
        for training in (True, False):
            self.model.network.train(training)
            self.model.predict(images)
            self.assertEqual({part.training for part in self.model.network.modules()}, {training})
        self.assertTrue(torch.equal(images, kept))
        self.assertSameWeights(before, weights_of(self.model))
        self.assertFalse(self.model.predict(images).requires_grad)


class Test7Weights(TestCase):
    def test_are_found_from_any_folder_and_equal_the_file(self):
        before = os.getcwd()
        os.chdir(str(self.folder))
        try:
            model = Model()
            model.load_pretrained_model()
        finally:
            os.chdir(before)
        self.assertSameWeights(torch.load(str(module.WEIGHTS), map_location="cpu"), weights_of(model))

    def test_bad_files_give_one_sentence_with_the_path(self):
        good = module.WEIGHTS.read_bytes()
        other = {"0.weight": torch.zeros(3)}
        cases = {
            "missing": (None, FileNotFoundError, "does not exist"),
            "empty": (b"", ValueError, "is damaged"),
            "truncated": (good[: len(good) // 2], ValueError, "is damaged"),
            "text": (b"these are no weights", ValueError, "is damaged"),
            "foreign": (other, ValueError, "does not hold the weights of this network"),
            "list": ([1, 2], ValueError, "does not hold the weights of this network"),
        }
        model = Model()
        before = weights_of(model)
        for name, (content, error, words) in cases.items():
            with self.subTest(name):
                path = self.folder / name
                if isinstance(content, bytes):
                    path.write_bytes(content)
                elif content is not None:
                    torch.save(content, str(path))
                with self.assertRaisesRegex(error, words) as caught:
                    model.load_pretrained_model(path)
                self.assertIn(str(path), str(caught.exception))
                self.assertSameWeights(before, weights_of(model))


class Test8BadInput(TestCase):
    def check(self, error, words, function, *arguments, **options):
        with self.assertRaisesRegex(error, words):
            function(*arguments, **options)

    def test_images_are_checked_before_anything_changes(self):
        model, good = Model(), random_images(2, 8, 8)
        before = weights_of(model)
        bad = (
            (TypeError, "must be a tensor, got list", [[1.0]]),
            (TypeError, "must be a dense tensor of integers or floats, got torch.bool", good > 100),
            (ValueError, r"must have shape \(N, 3, H, W\).* got \(3, 8, 8\)", good[0]),
            (ValueError, r"got \(2, 1, 8, 8\)", good[:, :1]),
            (ValueError, r"got \(0, 3, 8, 8\)", good[:0]),
            (ValueError, r"got \(2, 3, 0, 8\)", good[:, :, :0]),
            (ValueError, "must be finite", torch.full((1, 3, 8, 8), float("nan"))),
            (ValueError, "must be finite", torch.full((1, 3, 8, 8), float("inf"))),
        )
        for error, words, images in bad:
            self.check(error, "test_input " + words if words[0] == "m" else words, model.predict, images)
            self.check(error, "train_input " + words if words[0] == "m" else words, model.train, images, good, 1)
            self.check(error, "train_target " + words if words[0] == "m" else words, model.train, good, images, 1)
        self.check(ValueError, r"train_target must have the shape of train_input", model.train, good, good[:1], 1)
        self.assertSameWeights(before, weights_of(model))
        self.assertEqual(model.history["loss"], [])

    def test_numbers_and_names_are_checked(self):
        model, good = Model(), random_images(2, 8, 8)
        for name in ("num_epochs", "batch_size", "crop"):
            for value, error in (
                (0, ValueError),
                (-1, ValueError),
                (1.5, TypeError),
                ("1", TypeError),
                (True, TypeError),
            ):
                options = {"num_epochs": 1, name: value}
                self.check(
                    error, f"{name} must be a positive integer, got {value!r}", model.train, good, good, **options
                )
        self.check(ValueError, "crop must not exceed", model.train, good, good, 1, crop=9)
        self.check(ValueError, "optimizer must be one of", model.train, good, good, 1, optimizer="Adam")
        self.check(ValueError, "flips must be one of", model.train, good, good, 1, flips=("diagonal",))
        for name, value in (("learning_rate", -1.0), ("momentum", 1.5), ("flip_fraction", 2.0)):
            self.check(ValueError, f"{name} must be", model.train, good, good, 1, **{name: value})

    def test_values_up_to_1_bring_a_warning(self):
        with self.assertWarnsRegex(UserWarning, "test_input should have values 0 to 255"):
            Model().predict(torch.rand(1, 3, 8, 8))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Model().predict(torch.rand(1, 3, 8, 8) * 255)
            Model().predict(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


class Test9DataAndCommands(TestCase):
    def run_command(self, *arguments):
        """Exit status, standard output and standard error of a command, run in an empty folder."""
        out, err, before = io.StringIO(), io.StringIO(), os.getcwd()
        os.chdir(str(self.folder))
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main([str(argument) for argument in arguments])
        finally:
            os.chdir(before)
        return status, out.getvalue(), err.getvalue()

    def photographs(self, number=6):
        from PIL import Image

        folder = self.folder / "photos"
        folder.mkdir()
        for index in range(number):  # every photograph has a red of its own
            pixels = random_images(1, 100, 120, seed=index)[0]
            pixels[0] = 40 * index
            pictures.write_picture(pixels, folder / f"{index}.png")
        (folder / "broken.jpg").write_bytes(b"no picture")
        Image.new("RGB", (500, 20)).save(str(folder / "small.png"))
        return folder

    def test_noise_takes_a_pixel_of_each_block_and_clean_is_the_mean(self):
        generator = torch.Generator().manual_seed(0)
        crop = random_images(1, 96, 96)[0]
        draws = torch.stack([data.sample_blocks(crop, generator) for _ in range(400)])
        blocks = crop.view(3, 32, 3, 32, 3).permute(0, 1, 3, 2, 4).flatten(3)  # (3, 32, 32, 9)
        pixels = blocks[:, 5, 7].t().tolist()
        for draw in draws[:50, :, 5, 7].tolist():
            self.assertIn(draw, pixels)
        self.assertEqual(len({tuple(draw) for draw in draws[:, :, 5, 7].tolist()}), 9)
        clean = data.average_blocks(crop)
        self.assertLess((clean.float() - blocks.float().mean(3)).abs().max(), 0.51)
        self.assertLess((draws.float().mean(0) - clean).abs().mean(), 5)

    @needs_pillow
    def test_make_data_keeps_photographs_apart_and_repeats_itself(self):
        photos = self.photographs()
        command = ("make-data", photos, "out", "--train-pairs", 40, "--validation-pairs", 10, "--validation-share", 0.4)
        status, out, _ = self.run_command(*command)
        self.assertEqual(status, 0)
        self.assertRegex(out, "passed over: .*broken.jpg cannot be read")
        self.assertIn("small.png: 500 x 20 is too small", out)
        noisy_1, noisy_2 = torch.load(str(self.folder / "out" / "train_data.pkl"))
        noisy, clean = torch.load(str(self.folder / "out" / "val_data.pkl"))
        for images, number in ((noisy_1, 40), (noisy_2, 40), (noisy, 10), (clean, 10)):
            self.assertEqual((images.shape, images.dtype), ((number, 3, 32, 32), torch.uint8))
        self.assertFalse(torch.equal(noisy_1, noisy_2))
        reds = [set(images[:, 0].flatten().tolist()) for images in (noisy_1, noisy)]
        self.assertEqual(len(reds[0]), 4)
        self.assertEqual(len(reds[1]), 2)
        self.assertFalse(reds[0] & reds[1])
        first = [(self.folder / "out" / name).read_bytes() for name in ("train_data.pkl", "val_data.pkl")]
        self.run_command(*command)
        self.assertEqual(
            first, [(self.folder / "out" / name).read_bytes() for name in ("train_data.pkl", "val_data.pkl")]
        )
        self.run_command(*command, "--seed", 1)
        self.assertNotEqual(first[0], (self.folder / "out" / "train_data.pkl").read_bytes())

    def pairs_of(self, photo, *options):
        """The 400 pairs that make-data draws from one photograph (3, H, W), as float."""
        (self.folder / "photos").mkdir()
        pictures.write_picture(photo, self.folder / "photos" / "photo.png")
        command = ("make-data", "photos", "out", "--train-pairs", 400, "--validation-pairs", 0, *options)
        self.assertEqual(self.run_command(*command)[0], 0)
        return (images.float() for images in torch.load(str(self.folder / "out" / "train_data.pkl")))

    @needs_pillow
    def test_a_target_of_many_draws_has_less_noise(self):
        stripes = (255 * (torch.arange(86) % 2)).expand(3, 86, 86)  # so small that blocks are 2 x 2, half white
        noisy, target = self.pairs_of(stripes, "--target-draws", 16)
        self.assertEqual(set(noisy.flatten().tolist()), {0, 255})
        self.assertAlmostEqual((target - 127.5).square().mean().sqrt().item(), 127.5 / 4, delta=0.5)
        self.assertAlmostEqual(target.mean().item(), 127.5, delta=0.5)

    @needs_pillow
    def test_gaussian_noise_is_added_to_a_share_of_the_inputs_and_to_no_target(self):
        noisy, target = self.pairs_of(torch.full((3, 86, 86), 128), "--gaussian", 0.25)  # flat: no other noise
        self.assertTrue((target == 128).all())
        self.assertAlmostEqual(noisy.mean().item(), 128, delta=0.1)
        sigmas = (noisy - 128).square().mean((1, 2, 3)).sqrt()
        self.assertAlmostEqual((sigmas > 0).float().mean().item(), 0.25, delta=0.06)
        self.assertAlmostEqual(sigmas[sigmas > 0].mean().item(), 7.5, delta=1)
        self.assertLess(sigmas.max(), 15.5)

    @needs_pillow
    def test_evaluate_denoise_and_train(self):
        noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
        torch.save((noisy[:8].clone(), clean[:8].clone()), str(self.folder / "val_data.pkl"))
        torch.save((noisy[:8].clone(), noisy[8:16].clone()), str(self.folder / "train_data.pkl"))
        status, out, _ = self.run_command("evaluate", self.folder)
        model = Model()
        model.load_pretrained_model()
        expected = psnr(model.predict(noisy[:8]), clean[:8]).mean().item()
        self.assertEqual(status, 0)
        self.assertIn(f"denoised {expected:6.2f} dB", out)

        pictures.write_picture(noisy[0], self.folder / "in.png")
        status, *_ = self.run_command("denoise", "in.png", "out.png", "--one-pass")
        self.assertEqual(status, 0)
        expected = model.predict(noisy[:1], average=False)[0].round()
        self.assertTrue(torch.equal(pictures.read_picture(self.folder / "out.png"), expected.to(torch.uint8)))

        options = ("--batch-size", 2, "--no-hybrid", "--crop", 8, "--learning-rate", 0.01, "--revive", "--bfloat16")
        self.assertEqual(self.run_command("train", self.folder, "--output", "whole.pth", *options)[0], 0)
        status, out, _ = self.run_command("train", self.folder, "--output", "part.pth", "--deadline", 0, *options)
        self.assertEqual(status, 0)
        self.assertIn("--resume part.pth.checkpoint", out)
        status, *_ = self.run_command("train", self.folder, "--output", "part.pth", "--resume", "part.pth.checkpoint")
        self.assertEqual(status, 0)
        self.assertFalse((self.folder / "part.pth.checkpoint").exists())
        whole, part = (torch.load(str(self.folder / name)) for name in ("whole.pth", "part.pth"))
        self.assertSameWeights(whole, part)

    def test_errors_are_one_line_with_status_2(self):
        (self.folder / "broken.pth").write_bytes(b"no weights")
        for arguments, words in (
            (("evaluate", "nowhere.pkl"), "nowhere.pkl does not exist"),
            (("evaluate", SAMPLE, "--weights", "broken.pth"), "broken.pth is damaged"),
            (("train", SAMPLE, "--epochs", 0), "num_epochs must be a positive integer, got 0"),
            (("train", SAMPLE, "--resume", "broken.pth"), "broken.pth is damaged"),
            (("make-data", "nowhere", "out"), "nowhere is not a folder"),
            (("denoise", "nowhere.png", "out.png"), "nowhere.png" if HAS_PILLOW else "pip install pillow"),
        ):
            status, _, err = self.run_command(*arguments)
            self.assertEqual(status, 2, arguments)
            self.assertRegex(err, rf"\Aerror: [^\n]*{words}[^\n]*\n\Z")

    def test_help_explains_every_command(self):
        result = subprocess.run(
            [sys.executable, "-m", "Miniproject_1", "--help"],
            cwd=str(PROJECT), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0)
        for name in ("evaluate", "denoise", "train", "make-data"):
            self.assertIn(name, result.stdout)


@thorough
class TestThorough1Process(TestCase):
    """Another module of the same process, or the user, has changed something before our code runs."""

    CHECK = """
from {module} import Model
images, expected, pairs = torch.load(sys.argv[1])
random_state, folder = torch.random.get_rng_state(), os.getcwd()
gradients, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
model = Model()
model.load_pretrained_model()
difference = (model.predict(images) - expected).abs().max().item()
assert difference < 1e-4 * 255, difference
before = {{name: value.clone() for name, value in model.network.state_dict().items()}}
sys.modules[Model.__module__].LBFGS_STEPS = 2  # of 20, for the sake of time
model.train(*pairs, num_epochs=1, batch_size=2)
assert len(model.history["evaluations"]) == 6 and min(model.history["evaluations"][:5]) > 1
for name, value in model.network.state_dict().items():
    assert value.dtype == before[name].dtype and torch.isfinite(value).all(), name
assert any(not torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
assert torch.equal(random_state, torch.random.get_rng_state()) and folder == os.getcwd()
assert gradients == torch.is_grad_enabled() and dtype == torch.get_default_dtype()
"""

    def setUp(self):
        super().setUp()
        self.images = random_images(3, 12, 10)
        self.model = Model()
        self.model.load_pretrained_model()
        self.file = self.folder / "images and what they should become"
        pairs = [random_images(12, 8, 8, seed=seed) for seed in (1, 2)]
        torch.save((self.images, self.model.predict(self.images), pairs), str(self.file))

    def run_after(self, preparation, project=PROJECT, module="Miniproject_1.model", path=None):
        code = "import os, sys, warnings, torch\n" + preparation + self.CHECK.format(module=module)
        result = subprocess.run(
            [sys.executable, "-c", code, str(self.file)],
            cwd=str(self.folder), capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(path or project)},
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr[-2000:])

    def test_whatever_was_set_before(self):
        preparations = {
            "gradients off": "torch.set_grad_enabled(False)",
            "inference mode": "kept = torch.inference_mode(); kept.__enter__()",  # let go of, it would end
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
            "another folder": "os.chdir('/')",
            "oneDNN off": "kept = torch.backends.mkldnn.flags(enabled=False); kept.__enter__()",
        }
        for name, preparation in preparations.items():
            with self.subTest(name):
                self.run_after(preparation + "\n")

    def test_wherever_the_project_lies(self):
        for name in ("a folder with spaces", "größe 大小"):
            with self.subTest(name):
                copied = self.folder / name
                shutil.copytree(str(PROJECT / "Miniproject_1"), str(copied / "Miniproject_1"))
                self.run_after("", project=copied)
        for path in sorted(copied.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with self.subTest("nothing in it may be written"):
            self.run_after("", project=copied)
        for path in sorted(copied.rglob("*")):
            path.chmod(0o755)
        with self.subTest("imported as plain `model`"):
            another_projects = "import types; sys.modules['others'] = types.ModuleType('others')\n"
            self.run_after(another_projects, path=PROJECT / "Miniproject_1", module="model")


@thorough
class TestThorough2Input(TestCase):
    """Inputs that Hypothesis makes up: a good result, or an error that names the argument."""

    @classmethod
    def setUpClass(cls):
        cls.model = Model()
        cls.model.load_pretrained_model()

    def test_made_up_images(self):
        try:
            from hypothesis import HealthCheck, given, settings
            from hypothesis import strategies as some
        except ModuleNotFoundError:
            self.skipTest("needs Hypothesis: pip install hypothesis")
        sizes = some.sampled_from([0, 1, 1, 2, 3, 7, 12])
        usual = some.tuples(some.integers(1, 3), some.just(3), sizes, sizes)
        shapes = some.one_of(
            usual, usual, usual,
            some.lists(sizes, max_size=7).map(tuple),
            some.sampled_from([(1, 3, 1, 700), (2, 1, 5, 5), (2, 4, 5, 5), (1, 3, 1, 1)]),
        )  # fmt: skip
        dtypes = some.sampled_from(
            [
                torch.uint8,
                torch.int16,
                torch.int64,
                torch.float16,
                torch.bfloat16,
                torch.float32,
                torch.float64,
                torch.bool,
            ]
        )
        scales = some.sampled_from([0.0, 1.0, 255.0, 1e4, 1e9, 1e30])
        layouts = some.sampled_from(["plain", "transposed", "strided", "expanded", "channels last", "leaf", "graph"])
        specials = some.sampled_from([None, None, None, math.nan, math.inf, -math.inf])

        @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(shape=shapes, dtype=dtypes, scale=scales, layout=layouts, special=specials, average=some.booleans())
        def check(shape, dtype, scale, layout, special, average):
            images = self.make(shape, dtype, scale, layout, special)
            kept = images.detach().clone()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.one_prediction(images, average)
                self.one_training(images)
            self.assertTrue(torch.equal(images.detach().isnan(), kept.isnan()))
            self.assertTrue(torch.equal(torch.nan_to_num(images.detach()), torch.nan_to_num(kept)))
            self.assertIsNone(images.grad if images.is_leaf else None)

        check()

    def make(self, shape, dtype, scale, layout, special):
        values = (torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.1) * scale
        if special is not None and dtype.is_floating_point and values.numel():
            values.view(-1)[0] = special
        if not dtype.is_floating_point:
            values = values.clamp(-(2.0**60), 2.0**60)
        images = values.to(dtype)
        if layout == "transposed" and len(shape) > 1:
            images = images.transpose(-1, -2)
        elif layout == "strided" and len(shape) > 0:
            images = torch.stack([images, images], -1)[..., 0]
        elif layout == "expanded" and len(shape) > 0 and shape[0]:
            images = images[:1].expand(shape)
        elif layout == "channels last" and len(shape) == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        elif layout in ("leaf", "graph") and dtype.is_floating_point:
            images.requires_grad_()
            images = images * 1 if layout == "graph" else images
        return images

    def one_prediction(self, images, average):
        try:
            output = self.model.predict(images, average=average)
        except (TypeError, ValueError) as error:
            self.assertIn("test_input", str(error))
            return
        self.assertEqual((output.shape, output.dtype), (images.shape, torch.float32))
        self.assertTrue(torch.isfinite(output).all() and output.min() >= 0 and output.max() <= 255)
        self.assertFalse(output.requires_grad)

    def one_training(self, images):
        model = Model()
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                model.train(images, images.detach().clone(), 1, batch_size=2, hybrid=False, progress=False)
            except (TypeError, ValueError) as error:
                self.assertIn("train_", str(error))
            except FloatingPointError as error:
                self.assertIn("has the last good weights", str(error))
        self.assertTrue(all(torch.isfinite(value).all() for value in weights_of(model).values()))


@thorough
class TestThorough3Files(TestCase):
    """Damaged files: a clear error that names them, and nothing executed."""

    def assertRefused(self, path, read):
        with self.assertRaises(ValueError) as caught:
            read(path)
        self.assertIn(str(path), str(caught.exception))

    def test_truncated_at_every_thousandth_byte(self):
        model, before = Model(), weights_of(Model())
        pairs = random_images(4, 8, 8), random_images(4, 8, 8, seed=1)
        checkpoint = self.folder / "checkpoint"
        model.train(*pairs, 1, batch_size=4, hybrid=False, checkpoint=checkpoint, progress=False)
        model.network.load_state_dict(before)
        for original, read in (
            (module.WEIGHTS, model.load_pretrained_model),
            (SAMPLE / "val_data.pkl", lambda path: load_pairs(path, "")),
            (checkpoint, lambda path: model.train(*pairs, 1, batch_size=4, hybrid=False, resume=path)),
        ):
            path = self.folder / "truncated"
            shutil.copy(str(original), str(path))
            with self.subTest(original.name):
                for length in range(original.stat().st_size - 1, -1, -1000):
                    os.truncate(str(path), length)
                    self.assertRefused(path, read)
                os.truncate(str(path), 0)
                self.assertRefused(path, read)
        self.assertSameWeights(before, weights_of(model))

    def test_flipped_bits(self):
        """A file with a flipped bit is refused, or the bit was one that says nothing."""
        good, path, model = bytearray(module.WEIGHTS.read_bytes()), self.folder / "flipped", Model()
        model.load_pretrained_model()
        shipped, generator, refused = weights_of(model), random.Random(0), 0
        for position in generator.sample(range(len(good)), 200):
            good[position] ^= 1 << position % 8
            path.write_bytes(good)
            good[position] ^= 1 << position % 8
            try:
                model.load_pretrained_model(path)
            except ValueError as error:
                refused += 1
                self.assertIn(str(path), str(error))
            self.assertSameWeights(shipped, weights_of(model))
        self.assertGreater(refused, 180)

    def test_a_pickle_that_runs_code_is_refused(self):
        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        marker, path = self.folder / "executed", self.folder / "attack"
        for write in (lambda: torch.save(Attack(), str(path)), lambda: path.write_bytes(pickle.dumps(Attack()))):
            write()
            self.assertRefused(path, Model().load_pretrained_model)
            self.assertRefused(path, lambda path: load_pairs(path, ""))
            self.assertRefused(path, support.load_checkpoint)
        self.assertFalse(marker.exists())

    def test_a_full_disk_leaves_the_file_that_was_there(self):
        """The limit on the size of a file stands for a full disk."""
        code = """
import resource, sys, torch
from pathlib import Path
from Miniproject_1.model import Model
from Miniproject_1.others.support import save_file
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
path = Path(sys.argv[1])
path.write_bytes(b"good")
try:
    save_file(Model().network.state_dict(), path)
except OSError as error:
    assert f"{path} cannot be written" in str(error), error
else:
    raise AssertionError("no error")
assert path.read_bytes() == b"good" and len(list(path.parent.iterdir())) == 1
"""
        result = subprocess.run(
            [sys.executable, "-c", code, str(self.folder / "file")],
            cwd=str(PROJECT), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)

    @needs_pillow
    def test_pictures_of_every_kind(self):
        from PIL import Image

        pixels = random_images(1, 5, 4)[0]
        path = self.folder / "picture.png"
        pictures.write_picture(pixels, path)
        plain = Image.open(str(path))
        grey = plain.convert("L")
        same_in_all = torch.tensor(list(grey.tobytes())).view(1, 5, 4).expand(3, 5, 4)
        gradient = Image.new("I;16", (2, 1))
        gradient.putpixel((0, 0), 65535)
        gradient.putpixel((1, 0), 25700)
        upside_down = Image.Exif()
        upside_down[0x0112] = 3  # orientation: turned by 180 degrees
        clear = plain.convert("RGBA")
        clear.putalpha(0)
        for name, image, expected, options in (
            ("rgb.png", plain, pixels, {}),
            ("grey.png", grey, same_in_all, {}),
            ("palette.png", grey.convert("P"), same_in_all, {}),
            ("16 bits.png", gradient, torch.tensor([255, 100]).view(1, 1, 2).expand(3, 1, 2), {}),
            ("clear.png", clear, torch.full((3, 5, 4), 255), {}),
            ("turned.png", plain, pixels.flip((1, 2)), dict(exif=upside_down)),
            ("single.png", Image.new("RGB", (1, 1), (1, 2, 3)), torch.tensor([1, 2, 3]).view(3, 1, 1), {}),
            (
                "cmyk.tif",
                Image.new("CMYK", (2, 2), (0, 255, 255, 0)),
                torch.tensor([255, 0, 0]).view(3, 1, 1).expand(3, 2, 2),
                {},
            ),
        ):
            with self.subTest(name):
                image.save(str(self.folder / name), **options)
                self.assertEqual(pictures.read_picture(self.folder / name).tolist(), expected.tolist())

    @needs_pillow
    def test_damaged_pictures(self):
        path, noise = self.folder / "picture.png", random_images(1, 90, 90)[0]
        pictures.write_picture(noise, path)
        good = path.read_bytes()
        for length in range(0, len(good) - 100, 1000):
            path.write_bytes(good[:length])
            self.assertRefused(path, pictures.read_picture)
        header = good[:16] + (20_000).to_bytes(4, "big") * 2 + good[24:29]
        path.write_bytes(header + zlib.crc32(header[12:29]).to_bytes(4, "big") + good[33:])
        self.assertRefused(path, pictures.read_picture)


@thorough
class TestThorough4Killed(TestCase):
    CODE = """
import sys, torch
from pathlib import Path
from Miniproject_1 import model as module
module.LBFGS_STEPS, module.CHECKPOINT_MINUTES = 2, 0
pairs, options, checkpoint = *torch.load(sys.argv[1]), sys.argv[2]
model = module.Model()
print("ready", flush=True)
model.train(*pairs, 6, checkpoint=checkpoint, resume=checkpoint if Path(checkpoint).exists() else None, **options)
torch.save(model.network.state_dict(), sys.argv[3])
"""

    def test_killed_at_random_moments_and_resumed_it_ends_the_same(self):
        """20 kills, each within a second of the training's start; then the training is left alone."""
        pairs = [random_images(16, 16, 16, seed=seed) for seed in (1, 2)]
        options = dict(batch_size=2, progress=False, learning_rate=0.01)
        torch.save((pairs, options), str(self.folder / "pairs"))
        generator = random.Random(0)

        def run(name, kill_after=None):
            arguments = [str(self.folder / part) for part in ("pairs", name + ".checkpoint", name)]
            process = subprocess.Popen(
                [sys.executable, "-c", self.CODE, *arguments], cwd=str(PROJECT), stdout=subprocess.PIPE
            )
            with process:
                process.stdout.readline()
                if kill_after is not None:
                    time.sleep(kill_after)
                    process.kill()
            return process.returncode

        self.assertEqual(run("unbroken"), 0)
        kills = sum(run("killed", generator.random()) != 0 for _ in range(20))
        print(f"{kills} trainings were killed before their end")
        self.assertGreater(kills, 5)
        self.assertEqual(run("killed"), 0)
        self.assertSameWeights(*(torch.load(str(self.folder / name)) for name in ("unbroken", "killed")))


@thorough
class TestThorough5Study(TestCase):
    """The study's own parts; its results are measured, not tested."""

    def test_every_variant_of_the_network_keeps_the_size_and_trains(self):
        images = torch.rand(2, 3, 12, 16)
        for name in ("two each", *study.EXPERIMENTS["batchnorm"], *study.EXPERIMENTS["layers"]):
            with self.subTest(name):
                network = study.variant_network(name)
                module.initialize(network)
                output = network(images)
                self.assertEqual(output.shape, images.shape)
                output.square().mean().backward()
                self.assertTrue(all(parameter.grad is not None for parameter in network.parameters()))

    @needs_pillow
    def test_noises_have_the_clean_image_as_their_mean(self):
        """Missing pixels do not count, and of letters most pixels are free."""
        clean = random_images(4, 32, 32).float().clamp(min=1)
        generator = torch.Generator().manual_seed(0)
        for name, (noise, _) in noises.NOISES.items():
            with self.subTest(name):
                draws = torch.stack([noise(clean.clone(), generator) for _ in range(300)])
                if name == "Bernoulli":
                    self.assertAlmostEqual((draws == 0).float().mean().item(), 0.5, delta=0.02)
                    draws[draws == 0] = math.nan
                mean = draws.median(0)[0] if name == "text" else draws.nanmean(0)
                self.assertLess((mean - clean).abs().mean(), 2.0)

    def test_settled_statistics_are_those_of_the_images(self):
        network = study.variant_network("two each")
        module.initialize(network)
        noisy = random_images(20, 16, 16)
        study.settle(network, module.forward, noisy)
        with torch.no_grad():
            in_training = module.forward(network.train(), noisy.float() / 255)
            self.assertLess((module.forward(network.eval(), noisy.float() / 255) - in_training).abs().max(), 1e-3)

    def test_crops_move_to_the_corner_where_the_noisy_images_differ_most(self):
        pairs = [torch.zeros(50, 3, 16, 16, dtype=torch.uint8) for _ in range(2)]
        pairs[1] += torch.arange(16, dtype=torch.uint8)  # the difference grows to the right
        first, moved = (module.plan_epoch(50, (16, 16), 8, 0.5, 3) for _ in range(2))
        study.move_to_texture(moved, pairs, dict(crop=8, corners=4), 3)
        self.assertTrue((moved["left"] >= first["left"]).all())
        self.assertGreater(moved["left"].float().mean(), first["left"].float().mean() + 1.5)
        for name in ("order", "vertical", "swap"):
            self.assertTrue(torch.equal(moved[name], first[name]))

    def test_a_run_is_complete_and_repeats_itself(self):
        generator = torch.Generator().manual_seed(0)
        clean = torch.randint(256, (100, 3, 32, 32), dtype=torch.uint8, generator=generator)
        noise = torch.randint(-20, 21, (100, study.DRAWS, 3, 32, 32), generator=generator)
        images = clean // 2 + 60, (clean[:, None] // 2 + 60 + noise).to(torch.uint8)
        settings = {**study.BASELINE, "batch_size": 4, "crop": 8, "steps_per_epoch": 3, "epochs": 1}
        first, second = (
            study.run(settings, dict(train=images, validation=[part[:4] for part in images]), seed=1) for _ in range(2)
        )
        self.assertEqual(len(first["loss"]), 3)
        self.assertEqual([score["evaluations"] for score in first["scores"]], [0, 3])
        self.assertEqual(first["loss"], second["loss"])
        self.assertEqual(first["psnr"], second["psnr"])
        self.assertEqual(first["psnr_settled"], second["psnr_settled"])
        variance = (41**2 - 1) / 12 / 255**2  # of the noise's uniform distribution
        self.assertAlmostEqual(first["floor"], variance, delta=0.02 * variance)


if __name__ == "__main__":
    torch.manual_seed(0)
    result = unittest.main(argv=sys.argv[:1] + REST, exit=False, verbosity=2).result
    failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    passed = result.testsRun - failed - len(result.skipped)
    print(f"{passed} passed, {failed} failed" + (f", {len(result.skipped)} skipped" if result.skipped else ""))
    sys.exit(failed > 0)
