"""Noises beyond the course's."""

import torch

from ...data import noises
from .. import TestCase, needs_pillow, random_images


class TestNoises(TestCase):
    def setUp(self):
        super().setUp()
        self.clean = random_images(4, 32, 32).float().clamp(min=1)

    def draws_of(self, name, number=100):
        noise, _ = noises.named_noise(name)
        generator = torch.Generator().manual_seed(0)
        return torch.stack([noise(self.clean, generator) for _ in range(number)])

    def test_gaussian_and_poisson_noise_has_its_strength_and_is_not_cut_off(self):
        for name, variance in (("gaussian:60", 60**2), ("poisson:4", self.clean * 255 / 4)):
            noise = self.draws_of(name) - self.clean
            ratio = noise.square() / variance
            with self.subTest(name):
                self.assertAlmostEqual(noise.mean().item(), 0, delta=0.5)
                self.assertAlmostEqual(ratio.mean().item(), 1, delta=0.02)
        self.assertLess(self.draws_of("gaussian:60").min(), -100)

    def test_bernoulli_leaves_pixels_out_and_others_as_they_are(self):
        draws = self.draws_of("bernoulli:0.5")
        is_missing = draws == 0
        self.assertAlmostEqual(is_missing.float().mean().item(), 0.5, delta=0.02)
        self.assertTrue((is_missing | (draws == self.clean)).all())

    @needs_pillow
    def test_most_draws_of_text_show_the_clean_pixel(self):
        draws = self.draws_of("text", 30)
        self.assertLess((draws.median(0)[0] - self.clean).abs().mean(), 4)
        is_covered = (draws != self.clean).any(2).float()
        self.assertAlmostEqual(is_covered.mean().item(), 0.27, delta=0.04)


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
        photograph = random_images(1, 40, 50)[0]

        def darker(clean, generator):
            return clean - 300

        generator = torch.Generator().manual_seed(0)
        noisy, clean = noises.square_pair(photograph, generator, darker, clean=True)
        self.assertEqual((noisy.shape, noisy.dtype), ((3, 32, 32), torch.int16))
        self.assertSame(noisy + 300, clean)
