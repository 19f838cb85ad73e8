"""What is not as described is refused by name, before anything changes."""

import math
import random
import warnings

import torch

from ...model import Model, Pairs, Training, check_number
from ..training.crops import Crops
from . import TestCase, random_images, thorough, weights_of


class TestArguments(TestCase):
    def check(self, error, words, function, *arguments, **options):
        with self.assertRaisesRegex(error, words):
            function(*arguments, **options)

    def test_images(self):
        model, good = Model(), random_images(2, 8, 8)
        before = weights_of(model)
        bad = (
            (TypeError, "must be a tensor, got list", [[1.0]]),
            (TypeError, "must be a tensor, got NoneType", None),
            (TypeError, "must be a dense tensor of integers or floats, got torch.bool", good > 100),
            (TypeError, "must be a dense tensor of integers or floats, got torch.complex64", good.to(torch.complex64)),
            (TypeError, "must be a dense tensor.* torch.sparse_coo", good.float().to_sparse()),
            (ValueError, r"must have shape \(N, 3, H, W\).* got \(3, 8, 8\)", good[0]),
            (ValueError, r"must have.* got \(2, 1, 8, 8\)", good[:, :1]),
            (ValueError, r"must have.* got \(0, 3, 8, 8\)", good[:0]),
            (ValueError, r"must have.* got \(2, 3, 0, 8\)", good[:, :, :0]),
            (ValueError, "must be finite", torch.full((1, 3, 8, 8), math.nan)),
            (ValueError, "must be finite", torch.full((1, 3, 8, 8), math.inf)),
            (ValueError, "must be finite", torch.full((1, 3, 8, 8), 1e7)),
        )
        for error, words, images in bad:
            self.check(error, "test_input " + words, model.predict, images)
            self.check(error, "train_input " + words, model.train, images, good, 1)
            self.check(error, "train_target " + words, model.train, good, images, 1)
        self.check(ValueError, r"train_target must have the shape of train_input", model.train, good, good[:1], 1)
        self.assertSameWeights(before, weights_of(model))
        self.assertEqual(model.history["loss"], [])

    def test_numbers_and_names(self):
        model, good = Model(), random_images(2, 8, 8)
        before = weights_of(model)
        whole, number = ("num_epochs", "batch_size", "seed"), ("learning_rate", "final_learning_rate")
        for name in (*whole, *number, "momentum", "flip_fraction"):
            kind = "an integer" if name in whole else "a number"
            wrong = [(-1, ValueError), ("1", TypeError), (True, TypeError), ([1], TypeError)]
            wrong += [(1.5, TypeError)] if name in whole else [(math.nan, ValueError), (math.inf, ValueError)]
            wrong += [(None, TypeError)]
            wrong += [(0, ValueError)] if name in whole[:2] else []
            wrong += [(1.5, ValueError)] if name in ("momentum", "flip_fraction") else []
            for value, error in wrong:
                options = {"num_epochs": 1, name: value}
                self.check(error, f"{name} must be {kind}.* got", model.train, good, good, **options)
        for error, words, options in (
            (ValueError, "optimizer must be one of", dict(optimizer="Adam")),
            (ValueError, "optimizer must be one of", dict(optimizer=None)),
            (ValueError, "flips must be one of", dict(flips=("diagonal",))),
            (ValueError, "flips must be one of.*None", dict(flips=None)),
            (ValueError, "flips must be one of", dict(flips="vertical")),
            (ValueError, "momentum", dict(optimizer="Nesterov", momentum=0.0)),
            (ValueError, "beta", dict(optimizer="ADAM", momentum=1.0)),
        ):
            self.check(error, words, model.train, good, good, 1, **options)
        self.check(ValueError, "initialization must be one of .*'masked xavier'.* got 'he'", Model, "he")
        self.check(ValueError, "initialization must be one of", Model, None)
        self.check(TypeError, "seed must be an integer", Model, seed=None)
        self.check(ValueError, "crop must be an integer from 1 to 8", Crops, Pairs(good, good), 9)
        self.check(ValueError, "decay must be a number", Training, model.network, None, 1, decay=2)
        self.assertSameWeights(before, weights_of(model))
        self.assertEqual(model.history["loss"], [])

    def test_numbers_of_any_library_are_numbers(self):
        class Whole:
            def __index__(self):
                return 1

        class Real:
            def __float__(self):
                return 0.02

        model, good = Model(), random_images(2, 8, 8)
        model.train(good, good, Whole(), hybrid=False, batch_size=torch.tensor(2), learning_rate=Real(), progress=False)
        self.assertEqual(model.history["learning_rate"], [0.02])
        self.assertIs(type(check_number("n", torch.tensor(3), 0, whole=True)), int)

    def test_flips_may_come_from_an_iterator(self):
        good, results = random_images(4, 8, 8), []
        for flips in (iter(["vertical", "transpose"]), ("vertical", "transpose")):
            model = Model()
            model.train(good, good, 1, hybrid=False, flips=flips, progress=False)
            results.append(weights_of(model))
        self.assertSameWeights(*results)

    def test_an_optimizer_may_be_a_function(self):
        given, good = [], random_images(2, 8, 8)

        def optimizer(parameters, lr, momentum):
            given.append((lr, momentum, len(parameters)))
            return torch.optim.RMSprop(parameters, lr, momentum=momentum)

        model = Model()
        model.train(good, good, 1, hybrid=False, optimizer=optimizer, learning_rate=1e-4, momentum=0.3, progress=False)
        self.assertEqual(set(given), {(1e-4, 0.3, 28)})


@thorough
class TestMadeUpImages(TestCase):
    """Images made up at random, 250 of them: a good result, or an error that names the argument."""

    def test_made_up_images(self):
        choose, self.model = random.Random(0).choice, Model()
        self.model.load_pretrained_model()
        names = ("uint8", "int16", "int64", "float16", "bfloat16", "float32", "float64", "bool", "uint16", "uint32")
        dtypes = [getattr(torch, name) for name in names if hasattr(torch, name)]
        layouts = ("plain", "transposed", "expanded", "channels last", "leaf", "graph")
        for _ in range(250):
            shape = [
                choose((1, 2, 3)),
                choose((3, 3, 3, 3, 1, 4)),
                choose((0, 1, 1, 2, 3, 7, 12)),
                choose((1, 2, 5, 700)),
            ]
            shape = shape[: choose((4, 4, 4, 4, 4, 3, 0))]
            made = shape, choose(dtypes), choose((0.0, 1.0, 255.0, 255.0, 1e4, 1e9, 1e30)), choose(layouts)
            images = self.make(*made, choose((None, None, None, math.nan, math.inf, -math.inf)))
            kept = images.detach().clone()
            with self.subTest(made), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.one_prediction(images, choose((True, False)))
                self.one_training(images)
                found, kept = (torch.nan_to_num(each.detach().to(torch.float64), nan=0.5) for each in (images, kept))
                self.assertTrue(torch.equal(found, kept))
                self.assertIsNone(images.grad if images.is_leaf else None)

    def make(self, shape, dtype, scale, layout, special):
        values = (torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.1) * scale
        if special is not None and values.numel():
            values.view(-1)[0] = special
        if not dtype.is_floating_point:
            values = torch.nan_to_num(values, 0.0).clamp(-(2.0**60), 2.0**60).to(torch.int64)
        images = values.to(dtype)
        if layout == "transposed" and len(shape) > 1:
            images = images.transpose(-1, -2)
        elif layout == "expanded" and shape and shape[0]:
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

    def one_training(self, images):
        model = Model()
        try:
            model.train(images, images.detach().clone(), 1, batch_size=2, hybrid=False, progress=False)
        except (TypeError, ValueError) as error:
            self.assertIn("train_", str(error))
        except FloatingPointError as error:
            self.assertIn("has the last good weights", str(error))
        self.assertFinite(weights_of(model))
