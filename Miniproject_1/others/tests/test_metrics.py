"""PSNR with and without clean images."""

import math

import torch

from .. import metrics
from . import TestCase, random_images


def noisy_version(clean, seed, sigma=20.0):
    generator = torch.Generator().manual_seed(seed)
    return clean + sigma * torch.randn(clean.shape, generator=generator)


class TestPSNR(TestCase):
    def test_is_the_courses(self):
        images = random_images(3, 4, 4)
        clean = random_images(3, 4, 4, seed=1)
        error = ((images.double() - clean.double()) / 255).square()
        expected = -10 * error.mean((1, 2, 3)).log10()
        self.assertClose(metrics.psnr(images, clean), expected, 1e-5)
        self.assertAlmostEqual(metrics.psnr_of(error.mean()), -10 * math.log10(error.mean()))

    def test_exact_images_are_counted_apart(self):
        text = metrics.described(torch.tensor([20.0, math.inf, 30.0]))
        self.assertEqual(text, "25.00 dB (exact, and not in the mean: 1)")
        self.assertEqual(metrics.described(torch.tensor([20.0, 30.0])), "25.00 dB")


class TestEstimate(TestCase):
    def test_is_right_within_its_interval_where_clean_images_are_known(self):
        """Of 80 intervals, about 76 hold the true PSNR."""
        num_held = 0
        for seed in range(40):
            clean = random_images(100, 8, 8, seed).float()
            noisy_1 = noisy_version(clean, 2 * seed + 1000)
            noisy_2 = noisy_version(clean, 2 * seed + 1001)
            output = 0.7 * noisy_1 + 30
            errors = metrics.error_from_noisy_pairs(output, noisy_1, noisy_2)
            num_held += self.holds(errors.noisy, noisy_1, clean)
            num_held += self.holds(errors.denoised, output, clean)
        self.assertGreaterEqual(num_held, 70)

    def holds(self, errors, images, clean):
        """Whether the interval holds the true value."""
        truth = metrics.psnr_of(metrics.squared_errors(images, clean).mean().item())
        estimate = metrics.estimated_psnr(errors)
        self.assertAlmostEqual(estimate.value, truth, delta=0.3)
        return estimate.lowest <= truth <= estimate.highest

    def test_errors_too_small_to_be_told_from_zero_have_no_upper_bound(self):
        estimate = metrics.estimated_psnr(torch.tensor([-0.001, 0.002] * 5))
        self.assertEqual(estimate.highest, math.inf)
        self.assertLess(estimate.lowest, estimate.value)
        self.assertEqual(metrics.psnr_of(-1.0), math.inf)
