"""Noises beyond the course's."""

import math

import torch

from ...data import noises
from .. import TestCase, needs_pillow, random_images


def draws_of(name, clean, number=300):
    noise, _ = noises.NOISES[name]
    generator = torch.Generator().manual_seed(0)
    return torch.stack([noise(clean, generator) for _ in range(number)])


class TestNoises(TestCase):
    def test_the_mean_over_draws_is_the_clean_image(self):
        clean = random_images(4, 32, 32).float().clamp(min=1)
        for name in ("Gaussian", "Poisson"):
            with self.subTest(name):
                mean = draws_of(name, clean).mean(0)
                self.assertLess((mean - clean).abs().mean(), 2.0)

    def test_bernoulli_leaves_pixels_out_and_others_as_they_are(self):
        clean = random_images(4, 32, 32).float().clamp(min=1)
        draws = draws_of("Bernoulli", clean)
        self.assertAlmostEqual((draws == 0).float().mean().item(), 0.5, delta=0.02)
        draws[draws == 0] = math.nan
        self.assertLess((draws.nanmean(0) - clean).abs().max(), 0.01)

    @needs_pillow
    def test_most_draws_of_text_show_the_clean_pixel(self):
        clean = random_images(2, 32, 32).float()
        draws = draws_of("text", clean, 100)
        self.assertLess((draws.median(0)[0] - clean).abs().mean(), 2.0)
        covered = (draws != clean).any(2).float().mean().item()
        self.assertAlmostEqual(covered, 0.27, delta=0.04)

    def test_noise_is_not_cut_off_and_has_its_strength(self):
        clean = torch.full((10, 3, 32, 32), 10.0)
        generator = torch.Generator().manual_seed(0)
        noise, _ = noises.named_noise("gaussian:60")
        noisy = noise(clean, generator)
        self.assertLess(noisy.min(), -100)
        self.assertAlmostEqual(noisy.std().item(), 60, delta=1)
        noise, _ = noises.named_noise("poisson:4")
        self.assertAlmostEqual(noise(clean, generator).var().item(), 10 * 255 / 4, delta=40)


class TestNames(TestCase):
    def test_a_noise_is_found_whatever_the_case_of_its_letters(self):
        for name in ("gaussian", "Gaussian:25", "GAUSSIAN:25"):
            _, loss = noises.named_noise(name)
            self.assertEqual(loss, "mse")
        self.assertEqual(noises.named_noise("Bernoulli:0.3")[1], "masked")
        self.assertEqual(noises.named_noise("Text")[1], "l1")

    def test_noises_that_do_not_exist_are_refused(self):
        cases = {
            "salt": "noise must be one of 'gaussian'",
            "gaussian:x": "gaussian:X with X from 0 to 255, got 'gaussian:x'",
            "bernoulli:1": "from 0 to 0.99",
            "poisson:nan": "from 1 to",
        }
        for name, words in cases.items():
            with self.assertRaisesRegex(ValueError, words):
                noises.named_noise(name)


class TestPairs(TestCase):
    def test_both_images_show_the_same_square(self):
        photograph = torch.arange(40 * 50).view(1, 40, 50).expand(3, -1, -1) % 251
        generator = torch.Generator().manual_seed(0)

        def faint(clean, generator):
            return clean + 0.1 * torch.randn(clean.shape, generator=generator)

        noisy, clean = noises.square_pair(photograph, generator, faint, clean=True)
        self.assertEqual((noisy.shape, noisy.dtype), ((3, 32, 32), torch.int16))
        self.assertLessEqual((noisy - clean).abs().max(), 1)
        self.assertTrue((clean[0, :, 1:] - clean[0, :, :-1]).remainder(251).eq(1).all())
