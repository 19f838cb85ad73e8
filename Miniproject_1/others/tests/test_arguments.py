"""What is not as described is refused by name, before anything changes."""

import math

import torch

from ...model import Model
from . import TestCase, random_images, weights_of

ANY_WRONG = [(-1, ValueError), ([1], TypeError), (None, TypeError)]
WRONG_WHOLE = [*ANY_WRONG, (1.5, TypeError), ("1", TypeError)]
WRONG_REAL = [*ANY_WRONG, (math.nan, ValueError), (math.inf, ValueError), ("x", TypeError)]
WRONG_NUMBERS = {
    "num_epochs": [*WRONG_WHOLE, (0, ValueError)],
    "batch_size": [*WRONG_WHOLE, (0, ValueError)],
    "seed": [*WRONG_WHOLE, (2**63, ValueError)],
    "learning_rate": WRONG_REAL,
    "momentum": [*WRONG_REAL, (1.5, ValueError)],
    "flip_fraction": [*WRONG_REAL, (1.5, ValueError)],
}


class TestArguments(TestCase):
    def setUp(self):
        super().setUp()
        self.model, self.images = Model(), random_images(2, 8, 8)
        self.before = weights_of(self.model)

    def refused(self, error, words, function, *arguments, **options):
        with self.assertRaisesRegex(error, words) as caught:
            function(*arguments, **options)
        self.assertNotIn("\n", str(caught.exception))
        self.assertSameWeights(self.before, weights_of(self.model))
        self.assertEqual(self.model.history["loss"], [])
        self.assertFalse(self.model.network.training)

    def refuses_to_train(self, error, words, **options):
        arguments = {"train_input": self.images, "train_target": self.images, "num_epochs": 1}
        self.refused(error, words, self.model.train, **{**arguments, **options})

    def test_images(self):
        good, kinds = self.images, "must be a dense tensor of integers or floats, got"
        for error, words, images in (
            (TypeError, "must be a tensor, got list", [[1.0]]),
            (TypeError, f"{kinds} torch.bool", good > 100),
            (TypeError, f"{kinds}.* torch.sparse_coo", good.float().to_sparse()),
            (ValueError, r"must have shape \(N, 3, H, W\).* got \(3, 8, 8\)", good[0]),
            (ValueError, r"must have.* got \(2, 1, 8, 8\)", good[:, :1]),
            (ValueError, r"must have.* got \(0, 3, 8, 8\)", good[:0]),
            (ValueError, "must be finite", torch.full((1, 3, 8, 8), math.nan)),
            (ValueError, "must be finite", torch.full((1, 3, 8, 8), 1e7)),
        ):
            self.refused(error, f"test_input {words}", self.model.predict, images)
            self.refuses_to_train(error, f"train_input {words}", train_input=images)
            self.refuses_to_train(error, f"train_target {words}", train_target=images)
        words = "train_target must have the shape of train_input"
        self.refuses_to_train(ValueError, words, train_target=self.images[:1])

    def test_numbers(self):
        for name, wrong in WRONG_NUMBERS.items():
            for value, error in wrong:
                words = f"{name} must be an? (integer|number).* got"
                self.refuses_to_train(error, words, **{name: value})
        self.refused(TypeError, "seed must be an integer", Model, seed=None)
        self.assertSameWeights(weights_of(Model(seed=torch.tensor(0))), self.before)

    def test_names(self):
        for words, options in (
            ("optimizer must be one of 'momAGD', 'ADAM', got 'Adam'", {"optimizer": "Adam"}),
            ("optimizer must be one of", {"optimizer": None}),
            ("flips must be one of .*got 'diagonal'", {"flips": "diagonal"}),
            ("precision must be one of 'auto', .* got 'half'", {"precision": "half"}),
        ):
            self.refuses_to_train(ValueError, words, **options)
        words = "precision must be one of .* got True"
        self.refused(ValueError, words, self.model.predict, self.images, precision=True)
        self.refused(ValueError, "initialization must be one of .* got 'he'", Model, "he")

    def test_devices(self):
        without_gpu = () if torch.cuda.is_available() else ("cuda", torch.device("cuda"))
        for device in ("gpu", "cuda:99", *without_gpu):
            self.refused(ValueError, "device must be one that PyTorch", Model, device=device)
