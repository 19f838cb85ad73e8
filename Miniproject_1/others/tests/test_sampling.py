"""Samples for users, the scores that their network is trained by, and its recipe."""

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
from .test_train import PhotographsCase

IMAGES = 1_000
SPREAD = 0.2  # of clean values about their mean, and of noisy ones about the clean
STEPS = 300
FIELDS = len(generator.WIDTHS)


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


def two_values(step):
    """Scenes whose blocks are 0.3 or 0.7 with equal chances. A noisy draw adds or subtracts 0.2.

    So y1 is 0.1, 0.5 or 0.9. Where it is 0.5, both values fit, with equal chances; elsewhere one.
    """
    random = torch.Generator().manual_seed(step)
    shape = (64, 1, 4, 4)

    def signs():
        return torch.randint(2, shape, generator=random) * 2.0 - 1

    clean = 0.5 + SPREAD * signs()
    y1, y2 = ((clean + SPREAD * signs()).repeat(2, 3, 1, 1) for _ in range(2))
    uniform = torch.rand(128, FIELDS, 4, 4, generator=random)
    picks = torch.randint(generator.COLOURS, (128, 1, 4, 4), generator=random)
    target = torch.cat([255 * y1, 255 * y2, picks.float()], dim=1)
    return 255 * torch.cat([y1, uniform], dim=1), target


class TestScores(TestCase):
    def test_the_energy_score_is_least_for_samples_with_the_right_spread(self):
        """Not for samples with too little of it, or too much."""
        random = torch.Generator().manual_seed(0)
        scenes = SPREAD * torch.randn(3, IMAGES, 1, 1, 1, generator=random)
        first, second, image = scenes.expand(-1, -1, 3, 16, 16)
        little, right, much = (
            scores.energy_score(f * first, f * second, image).mean() for f in (0.7, 1.0, 1.3)
        )
        self.assertLess(right, little)
        self.assertLess(right, much)


class TestTraining(TestCase):
    def test_pairs_are_enough_for_the_mean_spread(self):
        self.patch(mock.patch.object(scores, "REDUCTIONS", (1,)))  # for images of 4 x 4
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
        training = Training(
            network, two_values, STEPS, 0, Muon, 0.02, precision="float32", loss=scores.sampler_loss
        )
        for _ in range(STEPS):
            training.take_step()
        inputs, _ = two_values(10**6)
        with torch.no_grad():
            output = network.eval()(inputs / 255)
        colours = output[:, 3:].view(128, generator.COLOURS, 3, 4, 4)
        variance = SPREAD**2 / 2  # half of the pixels fit both values
        self.assertLess(colours.mean().abs(), 0.15 * SPREAD)
        self.assertAlmostEqual(colours.mean(1).var().item(), variance, delta=0.2 * variance)
        of_colours = colours.var(1, unbiased=False).mean().item()
        self.assertAlmostEqual(of_colours, SPREAD**2, delta=0.2 * SPREAD**2)


@needs_pillow
class TestReproduceSampler(PhotographsCase):
    def test_stopped_and_resumed_it_is_the_unbroken_run_whose_weights_sample_takes(self):
        small = SamplerRecipe(pairs=8, batch_size=2, warm_up=2)
        self.patch(mock.patch.object(reproduce_sampler, "RECIPE", small))
        _, record = self.stopped_and_resumed("reproduce-sampler", recipe, 1)
        self.assertEqual((record["settings"]["pairs"], record["data"]["photographs"]), (8, 4))
        noisy = random_images(1, 20, 30)
        (sample,) = Sampler(self.folder / "part.pth", "cpu").samples(noisy)
        (usual,) = Sampler(device="cpu").samples(noisy)
        self.assertEqual(sample.shape, usual.shape)
        self.assertDiffer(sample, usual)
