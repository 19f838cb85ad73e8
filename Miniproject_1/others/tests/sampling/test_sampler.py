"""Samples for users, and the random fields that they are made of."""

from unittest import mock

import torch

from ...data.files import SAMPLE, load_pairs
from ...metrics import gradient_energies, psnr
from ...sampling import sampler as sampler_module
from ...sampling.generator import WIDTHS, random_fields
from ...sampling.sampler import Sampler
from .. import TestCase, random_images


class TestFields(TestCase):
    def test_all_have_variance_one_and_the_later_ones_are_smoother(self):
        generator = torch.Generator().manual_seed(0)
        fields = random_fields(torch.rand(200, len(WIDTHS), 32, 32, generator=generator))
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
        sampler = Sampler(device="cpu")
        noisy = random_images(1, 70, 90)
        (whole,) = sampler.samples(noisy)
        with mock.patch.object(sampler_module, "MAX_PIXELS", 48 * 48):
            (in_tiles,) = sampler.samples(noisy)
        self.assertClose(in_tiles, whole, 2)  # of 255: they are computed in bfloat16

    def test_samples_of_the_sample_are_sharp_and_their_mean_is_near_the_truth(self):
        """Gradient energy, and PSNR in dB, as the study measures them on other photographs."""
        noisy, clean = (images[::5] for images in load_pairs(SAMPLE, "val_data.pkl"))
        sampler = Sampler(device="cpu")
        samples = list(sampler.samples(noisy, number=8))
        denoised = sampler.model.predict(noisy, average=False)

        def energy(images):
            return gradient_energies(images).mean()

        self.assertAlmostEqual((energy(samples[0]) / energy(clean)).item(), 1, delta=0.15)
        self.assertLess(energy(denoised) / energy(clean), 0.8)
        of_one = psnr(samples[0], clean).mean()
        of_mean = psnr(torch.stack(samples).mean(0), clean).mean()
        self.assertGreater(of_one, psnr(noisy, clean).mean() + 1)
        self.assertGreater(of_mean, of_one + 1.5)
        self.assertGreater(of_mean, psnr(denoised, clean).mean() - 0.8)
