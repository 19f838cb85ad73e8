"""Samples for users, the scores that their network is trained by, and its recipe."""

from unittest import mock

import torch

from ...model import WEIGHTS
from ..commands import reproduce_sampler
from ..data.files import SAMPLE, load_pairs
from ..metrics import psnr
from ..sampling import generator, recipe, sampler, scores
from ..sampling.recipe import SamplerRecipe
from ..sampling.sampler import Sampler
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
