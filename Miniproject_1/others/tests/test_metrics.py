"""PSNR with and without clean images."""

import math

import torch

from .. import metrics
from . import TestCase, random_images


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

    def test_estimates_are_right_within_their_intervals(self):
        """Of 80 intervals, about 76 hold the true PSNR."""
        generator = torch.Generator().manual_seed(0)
        num_held = 0
        for seed in range(40):
            clean = random_images(100, 8, 8, seed).float()
            noisy_1, noisy_2 = clean + 20 * torch.randn((2, *clean.shape), generator=generator)
            output = 0.7 * noisy_1 + 30
            errors = metrics.error_from_noisy_pairs(output, noisy_1, noisy_2)
            for images, estimated in zip((noisy_1, output), errors):
                error = (images - clean).square().mean() / 255**2
                truth = -10 * math.log10(error)
                estimate = metrics.estimated_psnr(estimated)
                self.assertAlmostEqual(estimate.value, truth, delta=0.3)
                num_held += estimate.lowest <= truth <= estimate.highest
        self.assertGreaterEqual(num_held, 70)

    def test_errors_too_small_to_be_told_from_zero_give_no_psnr(self):
        estimate = metrics.estimated_psnr(torch.tensor([-0.001, 0.002] * 5))
        self.assertIn("unknown", str(estimate))
        self.assertEqual(metrics.psnr_of(-1.0), math.inf)
