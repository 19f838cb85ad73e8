"""Samples for users, the scores that their network is trained by, and its recipe."""

import json
import signal
from unittest import mock

import torch
from torch import nn

from ...model import WEIGHTS, Training
from ..commands import reproduce_sampler
from ..data.files import SAMPLE, load_pairs
from ..metrics import psnr
from ..sampling import generator, recipe, sampler, scores
from ..sampling.recipe import SamplerRecipe
from ..sampling.sampler import Sampler
from ..training.optimizers import Muon
from . import TestCase, needs_pillow, random_images
from .test_train import CommandCase

IMAGES = 1_000
SPREAD = 0.2  # of clean values about their mean, and of noisy ones about the clean
STEPS = 300
FIELDS = len(generator.WIDTHS)


class TestFields(TestCase):
    def test_all_have_variance_one_and_the_later_ones_are_smoother(self):
        draws = torch.Generator().manual_seed(0)
        fields = generator.random_fields(torch.rand(200, FIELDS, 32, 32, generator=draws))
        inside = fields[:, :, 6:-6, 6:-6]
        alike = (inside[..., 1:] * inside[..., :-1]).mean((0, 2, 3))
        for variance in inside.var((0, 2, 3)):
            self.assertAlmostEqual(variance.item(), 1, delta=0.05)
        self.assertAlmostEqual(alike[0].item(), 0, delta=0.02)
        self.assertEqual(alike.tolist(), sorted(alike.tolist()))


class TestSampler(TestCase):
    def test_samples_follow_from_their_seed_and_differ_from_one_another(self):
        sampler = Sampler(device="cpu")
        noisy = random_images(2, 20, 24)
        first, second = sampler.samples(noisy, number=2, seed=5)
        again, _ = sampler.samples(noisy, number=2, seed=5)
        (other,) = sampler.samples(noisy, seed=6)
        self.assertEqual(first.shape, noisy.shape)
        self.assertGreaterEqual(first.min(), 0)
        self.assertLessEqual(first.max(), 255)
        self.assertSame(first, again)
        self.assertDiffer(first, second)
        self.assertDiffer(first, other)

    def test_large_images_are_sampled_in_tiles_without_seams(self):
        drawn = Sampler(device="cpu")
        noisy = random_images(1, 70, 90)
        (whole,) = drawn.samples(noisy)
        with mock.patch.object(sampler, "MAX_PIXELS", 48 * 48):
            (in_tiles,) = drawn.samples(noisy)
        self.assertClose(in_tiles, whole, 2)  # of 255: they are computed in bfloat16

    def test_samples_of_the_sample_are_sharp_and_their_mean_is_near_the_truth(self):
        """Differences of neighbours, and PSNR in dB."""
        noisy, clean = (images[::10] for images in load_pairs(SAMPLE, "val_data.pkl"))
        drawn = Sampler(device="cpu")
        samples = list(drawn.samples(noisy, number=8))
        denoised = drawn.model.predict(noisy, average=False)

        def energy(images):
            images = images.float()
            return images.diff(dim=2).square().mean() + images.diff(dim=3).square().mean()

        self.assertAlmostEqual((energy(samples[0]) / energy(clean)).item(), 1, delta=0.15)
        self.assertLess(energy(denoised) / energy(clean), 0.8)
        of_one = psnr(samples[0], clean).mean()
        of_mean = psnr(torch.stack(samples).mean(0), clean).mean()
        self.assertGreater(of_one, psnr(noisy, clean).mean() + 1)
        self.assertGreater(of_mean, of_one + 1.5)
        self.assertGreater(of_mean, psnr(denoised, clean).mean() - 0.8)

    def test_other_weights_are_refused(self):
        (self.folder / "damaged").write_bytes(b"damaged")
        for path in (WEIGHTS, self.folder / "damaged"):
            with self.assertRaisesRegex(ValueError, "does not hold the weights of 'sample'"):
                Sampler(path)


class TwoValues:
    """Scenes whose blocks are 0.3 or 0.7 with equal chances. A noisy draw adds or subtracts 0.2.

    So y1 is 0.1, 0.5 or 0.9. Where it is 0.5, both values fit, with equal chances; elsewhere one.
    """

    def __init__(self, number, side):
        self.number = number
        self.side = side

    def __call__(self, step):
        random = torch.Generator().manual_seed(step)
        shape = (self.number, 1, self.side, self.side)

        def signs():
            return torch.randint(2, shape, generator=random) * 2.0 - 1

        clean = 0.5 + SPREAD * signs()
        y1, y2, y3 = (clean + SPREAD * signs() for _ in range(3))
        target = torch.cat([y1, y2, y3], dim=1).repeat_interleave(3, dim=1).repeat(2, 1, 1, 1)
        uniform = torch.rand(2 * self.number, FIELDS, *shape[2:], generator=random)
        picks = torch.randint(generator.COLOURS, (2 * self.number, 1, *shape[2:]), generator=random)
        inputs = torch.cat([target[:, :3], uniform], dim=1)
        return 255 * inputs, torch.cat([255 * target, picks.float()], dim=1)


class TestScores(TestCase):
    def test_they_are_least_for_samples_with_the_right_spread(self):
        """Not for samples with too little of it, or too much."""
        random = torch.Generator().manual_seed(0)

        def scenes():
            return torch.randn(IMAGES, 1, 1, 1, generator=random).expand(-1, 3, 16, 16)

        def energy(first, second, error):
            return scores.energy_score(first, second, error).mean()

        def variance(first, second, error):
            return scores.variance_score(first, second, error**2, 1.0)

        first, second, error = (SPREAD * scenes() for _ in range(3))
        for score in (energy, variance):
            little, right, much = (score(f * first, f * second, error) for f in (0.7, 1.0, 1.3))
            self.assertLess(right, little, score.__name__)
            self.assertLess(right, much, score.__name__)

    def test_the_square_of_a_mean_has_no_bias(self):
        random = torch.Generator().manual_seed(0)
        for mean in (0.0, 0.3):
            values = mean + torch.randn(5_000, 8, generator=random)
            squares = torch.stack([scores.squared_mean(each) for each in values])
            self.assertAlmostEqual(squares.mean().item(), mean**2, delta=0.02)


class TestTraining(TestCase):
    """On scenes of `TwoValues`, where the true spread is known."""

    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(scores, "REDUCTIONS", (1,)))  # for images of 4 x 4
        self.batches = TwoValues(64, 4)

    def trained_colours(self, targets):
        """Deviations of the colours of new samples, and whether both values fit: (128, ...)."""
        mean_network = nn.Sequential(nn.Conv2d(3, 3, 1))  # E[x | y1] = 0.25 + 0.5 y1
        mean_network[0].weight.data = 0.5 * torch.eye(3)[:, :, None, None]
        nn.init.constant_(mean_network[0].bias, 0.25)
        torch.manual_seed(0)
        deviation_network = nn.Sequential(
            nn.Conv2d(6 + FIELDS, 32, 1),
            nn.ReLU(),
            nn.Conv2d(32, (1 + FIELDS) * 3 * generator.COLOURS, 1),
        )
        network = generator.Generator(mean_network, deviation_network, "float32")
        loss = scores.SamplerLoss(targets)
        training = Training(
            network, self.batches, STEPS, 0, Muon, 0.02, precision="float32", loss=loss
        )
        for _ in range(STEPS):
            training.take_step()
        inputs, _ = self.batches(10**6)
        output = network.eval()(inputs / 255)
        both_fit = (inputs[:, :3] / 255 - 0.5).abs() < 0.1
        return output[:, 3:].view(128, generator.COLOURS, 3, 4, 4), both_fit

    def test_pairs_are_enough_for_the_mean_spread(self):
        colours, _ = self.trained_colours("pairs")
        variance = SPREAD**2 / 2  # half of the pixels fit both values
        self.assertLess(colours.mean().abs(), 0.15 * SPREAD)
        self.assertAlmostEqual(colours.mean(1).var().item(), variance, delta=0.2 * variance)
        of_colours = colours.var(1, unbiased=False).mean().item()
        self.assertAlmostEqual(of_colours, SPREAD**2, delta=0.2 * SPREAD**2)

    def test_a_third_draw_tells_where_the_spread_is(self):
        colours, both_fit = self.trained_colours("three draws")
        deviation = colours.mean(1)
        self.assertAlmostEqual(deviation[both_fit].std().item(), SPREAD, delta=0.2 * SPREAD)
        self.assertLess(deviation[~both_fit].std(), 0.4 * SPREAD)


class StoppedBatches(recipe.SamplerBatches):
    """Presses Ctrl-C in the middle of every step."""

    def __call__(self, step):
        signal.raise_signal(signal.SIGINT)
        return super().__call__(step)


@needs_pillow
class TestReproduceSampler(CommandCase):
    def test_stopped_and_resumed_it_is_the_unbroken_run_whose_weights_sample_takes(self):
        self.write_photographs()
        small = SamplerRecipe(pairs=8, batch_size=2, warm_up=2)
        self.patch(mock.patch.object(reproduce_sampler, "RECIPE", small))
        command = ("reproduce-sampler", "photos")
        self.succeed(*command, "--output", "whole.pth")
        with mock.patch.object(recipe, "SamplerBatches", StoppedBatches):
            status, _, err = self.run_command(*command, "--output", "part.pth")
        self.assertEqual(status, 130)
        self.assertIn("go on with: python -m Miniproject_1 reproduce-sampler photos", err)
        self.succeed(*command, "--resume", "part.pth.checkpoint")
        whole, part = (torch.load(self.folder / f"{name}.pth") for name in ("whole", "part"))
        self.assertSameWeights(whole, part)
        record = json.loads((self.folder / "part.pth.json").read_text())
        self.assertEqual((record["settings"]["pairs"], record["data"]["photographs"]), (8, 4))
        noisy = random_images(1, 20, 30)
        (sample,) = Sampler(self.folder / "part.pth", "cpu").samples(noisy)
        (usual,) = Sampler(device="cpu").samples(noisy)
        self.assertEqual(sample.shape, usual.shape)
        self.assertDiffer(sample, usual)
