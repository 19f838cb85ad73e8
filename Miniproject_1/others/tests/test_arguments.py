"""What is not as described is refused by name, before anything changes."""

import fractions
import math

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
            (ValueError, r"must have.* got \(2, 3, 8, 8, 1\)", good[..., None]),
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
            wrong += [(2**63, ValueError)] if name == "seed" else []
            wrong += [(1.5, TypeError)] if name in whole else [(math.nan, ValueError), (math.inf, ValueError)]
            wrong += [(None, TypeError)]
            wrong += [(0, ValueError)] if name in whole[:2] else []
            wrong += [(1.5, ValueError)] if name in ("momentum", "flip_fraction") else []
            for value, error in wrong:
                options = {"num_epochs": 1, name: value}
                self.check(error, f"{name} must be {kind}.* got", model.train, good, good, **options)

        def nesterov(parameters, learning_rate, momentum):
            return torch.optim.SGD(parameters, learning_rate, momentum, nesterov=True)

        for error, words, options in (
            (ValueError, "optimizer must be one of", dict(optimizer="Adam")),
            (ValueError, "optimizer must be one of", dict(optimizer=None)),
            (ValueError, "flips must be one of", dict(flips=("diagonal",))),
            (ValueError, "flips must be one of.*None", dict(flips=None)),
            (ValueError, "flips must be one of", dict(flips="vertical")),
            (ValueError, "momentum", dict(optimizer=nesterov, momentum=0.0)),
            (ValueError, "precision must be one of 'auto', 'float32', 'bfloat16', got 'half'", dict(precision="half")),
            (ValueError, "beta", dict(optimizer="ADAM", momentum=1.0)),
        ):
            self.check(error, words, model.train, good, good, 1, **options)
        self.check(ValueError, "precision must be one of", model.predict, good, precision=True)
        self.check(ValueError, "initialization must be one of .*'masked xavier'.* got 'he'", Model, "he")
        self.check(ValueError, "initialization must be one of", Model, None)
        self.check(TypeError, "seed must be an integer", Model, seed=None)
        self.check(ValueError, "crop must be an integer from 1 to 8", Crops, Pairs(good, good), 9)
        self.check(ValueError, "decay must be a number", Training, model.network, None, 1, decay=2)
        self.assertSameWeights(before, weights_of(model))
        self.assertEqual(model.history["loss"], [])

    def test_numbers_of_any_library_are_numbers(self):
        model, good, rate = Model(), random_images(2, 8, 8), fractions.Fraction(1, 50)
        model.train(good, good, torch.tensor(1), hybrid=False, learning_rate=rate, progress=False)
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
class TestLayouts(TestCase):
    def test_every_dtype_and_layout_gives_the_same_and_is_left_alone(self):
        model, plain = Model("default"), random_images(2, 6, 9)
        plain[1] = plain[0]
        expected = model.predict(plain, average=False)
        images = [plain.to(torch.int32), plain.double(), plain.transpose(2, 3).contiguous().transpose(2, 3)]
        images += [plain[:1].expand(2, -1, -1, -1), plain.contiguous(memory_format=torch.channels_last)]
        images += [torch.stack([plain, plain], -1)[..., 0], plain.float().requires_grad_()]
        images += [images[-1] * 1, *(plain.to(getattr(torch, name)) for name in ("uint16",) if hasattr(torch, name))]
        for number, each in enumerate(images):
            with self.subTest(number):
                kept = each.detach().clone()
                self.assertLess((model.predict(each, average=False) - expected).abs().max(), 1e-2)
                Model().train(each, each.detach(), 1, hybrid=False, progress=False)
                self.assertTrue(torch.equal(each.detach().float(), kept.float()))
                self.assertTrue(not each.is_leaf or each.grad is None)
