"""The self-check: what the course's grading script checks, then how this project should behave.

    python test.py [-p PROJECT_FOLDER] [-d DATA_FOLDER] [name of a test ...]

The grading checks run first, on `train_data.pkl` and `val_data.pkl` of DATA_FOLDER. That trains
for a whole epoch; without -d they take the embedded sample and a short training, and everything
is over in three minutes. Only PyTorch is needed; tests of pictures are skipped where Pillow is missing.
"""

import argparse
import contextlib
import copy
import importlib.util
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from pathlib import Path
from unittest import mock

import torch
from torch import nn

PARSER = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
PARSER.add_argument("-p", "--project-path", type=Path, default=Path(__file__).parent, help="the project's folder")
PARSER.add_argument("-d", "--data-path", type=Path, help="the folder of train_data.pkl and val_data.pkl")
OPTIONS, REST = PARSER.parse_known_args() if __name__ == "__main__" else PARSER.parse_known_args([])
PROJECT = OPTIONS.project_path.resolve()
sys.path.insert(0, str(PROJECT))

from Miniproject_1 import model as module  # noqa: E402
from Miniproject_1.__main__ import main  # noqa: E402
from Miniproject_1.model import INITIALIZATIONS, OPTIMIZERS, Model  # noqa: E402
from Miniproject_1.others import data, fast, pictures  # noqa: E402
from Miniproject_1.others.evaluation import SAMPLE, load_pairs, psnr  # noqa: E402

HAS_PILLOW = importlib.util.find_spec("PIL") is not None
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
        short = {} if OPTIONS.data_path else dict(batch_size=4, crop=16)
        switch = torch.is_grad_enabled()
        torch.set_grad_enabled(False)  # another project of the same process did that
        inner_steps = module.LBFGS_STEPS if OPTIONS.data_path else 3
        try:
            with mock.patch.object(module, "LBFGS_STEPS", inner_steps):
                model.train(*self.pairs, num_epochs=1, **short)
            self.assertFalse(torch.is_grad_enabled())
        finally:
            torch.set_grad_enabled(switch)
        after = self.score(model)
        print(f"after one epoch of training {after:.2f} dB")
        self.assertFalse(torch.equal(shipped["0.weight"], model.network[0].weight))
        self.assertGreater(after, course_psnr(self.noisy / 255, self.clean / 255).item())


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

    def test_computes_what_the_plain_layers_compute(self):
        """Outputs and gradients against `nn.Sequential` in float64: as exact as float32 allows."""
        for use_winograd in (True, False):
            for training in (True, False):
                for shape in ((2, 3, 9, 12), (3, 3, 1, 7)):
                    with self.subTest(winograd=use_winograd, training=training, shape=shape):
                        self.compare_with_plain(use_winograd, training, shape)

    def compare_with_plain(self, use_winograd, training, shape):
        network = Model("default", seed=3).network.train(training)
        generator = torch.Generator().manual_seed(1)
        for name, value in network.state_dict().items():
            if "running" in name:  # as if it had been trained
                value.uniform_(0.5, 1.5, generator=generator)
        exact = copy.deepcopy(network).double()
        images = torch.rand(shape, generator=generator)
        weight = torch.rand(shape, generator=generator)
        with mock.patch.object(module, "conv3x3", fast.conv3x3 if use_winograd else None):
            output = module.forward(network, images)
        (output * weight).sum().backward()
        expected = exact(images.double())
        (expected * weight).sum().backward()
        self.assertLess(relative_error(output, expected), 1e-5)
        largest = max(parameter.grad.norm() for parameter in exact.parameters())
        for (name, parameter), reference in zip(network.named_parameters(), exact.parameters()):
            if reference.grad.norm() > 1e-6 * largest:  # a bias before BatchNorm has no gradient at all
                self.assertLess(relative_error(parameter.grad, reference.grad), 1e-4, name)
        for name, value in exact.named_buffers():  # the statistics of BatchNorm
            self.assertLess(relative_error(network.state_dict()[name], value), 1e-5, name)

    def test_winograd_convolution_is_the_direct_one(self):
        generator = torch.Generator().manual_seed(0)
        for height, width, channels, outputs in ((1, 1, 3, 2), (4, 9, 5, 7), (37, 18, 4, 3), (20, 20, 64, 64)):
            with self.subTest(size=(height, width)):
                images = torch.randn(3, channels, height, width, generator=generator, requires_grad=True)
                kernel = torch.randn(outputs, channels, 3, 3, generator=generator, requires_grad=True)
                bias = torch.randn(outputs, generator=generator, requires_grad=True)
                arguments = (images, kernel, bias)
                exact = [argument.detach().double().requires_grad_() for argument in arguments]
                output, expected = fast.conv3x3(*arguments), nn.functional.conv2d(*exact, padding=1)
                self.assertLess(relative_error(output, expected), 1e-5)
                weight = torch.randn(output.shape, generator=generator)
                gradients = torch.autograd.grad(output, arguments, weight)
                for gradient, reference in zip(gradients, torch.autograd.grad(expected, exact, weight.double())):
                    self.assertLess(relative_error(gradient, reference), 1e-5)


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
        for optimizer in OPTIMIZERS:
            with self.subTest(optimizer), mock.patch.object(module, "LBFGS_STEPS", 8):
                model = Model()
                model.train(clean, clean, 3, batch_size=4, hybrid=False, optimizer=optimizer,
                            learning_rate=0.003 if optimizer == "ADAM" else 0.02, progress=False)  # fmt: skip
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

        def worsen(network, *_):
            with torch.no_grad():
                network[21].bias += 10
            return 0.1, 20

        with mock.patch.object(module, "take_step", worsen):
            model.train(*self.pairs, 1, **self.SMALL)
        self.assertSameWeights(before, weights_of(model))
        model.train(*self.pairs, 1, **self.SMALL)
        self.assertFalse(torch.equal(before["21.bias"], model.network[21].bias))

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
                self.assertLess(relative_error(model.network.state_dict()[name], value), 1e-4, name)

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
        """Stopped within the L-BFGS phase by a deadline, then within momAGD by Ctrl-C."""
        options = dict(self.SMALL, crop=6)
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
        with mock.patch.object(module, "tqdm", Bar):
            Model().train(*self.pairs, 1, **options)
        self.assertEqual((bars[0].steps, bars[0].options["total"]), (4, 4))
        self.assertRegex(bars[0].text, r"loss 0\.\d+")
        shown = io.StringIO()
        with mock.patch.object(module, "tqdm", None), contextlib.redirect_stderr(shown):
            Model().train(*self.pairs, 1, **options)
        self.assertRegex(shown.getvalue(), r"4 of 4, 0\.0 minutes left loss 0\.\d+")


class Test6Prediction(TestCase):
    def setUp(self):
        super().setUp()
        self.model = Model(seed=1)
        self.model.train(random_images(4, 8, 8), random_images(4, 8, 8), 2, batch_size=4, hybrid=False, progress=False)

    def test_any_size_and_dtype(self):
        for height, width in ((1, 1), (1, 9), (13, 6), (32, 32)):
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
        whole = self.model.predict(image)
        with mock.patch.object(module, "MAX_PIXELS", 20 * 20):
            self.assertGreater(len(list(module.tiles(*image.shape))), 8)
            self.assertLess((self.model.predict(image) - whole).abs().max(), 1e-2)

    def test_image_is_the_same_alone_and_in_a_batch(self):
        images = random_images(5, 12, 12)
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
            (TypeError, "must hold integers or floats, got torch.bool", good > 100),
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
        self.assertIn("broken.jpg: cannot be read", out)
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

        options = ("--batch-size", 2, "--no-hybrid", "--crop", 8, "--learning-rate", 0.01)
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


if __name__ == "__main__":
    torch.manual_seed(0)
    result = unittest.main(argv=sys.argv[:1] + REST, exit=False, verbosity=2).result
    failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    passed = result.testsRun - failed - len(result.skipped)
    print(f"{passed} passed, {failed} failed" + (f", {len(result.skipped)} skipped" if result.skipped else ""))
    sys.exit(failed > 0)
