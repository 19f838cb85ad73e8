"""Noise that is not independent is found, and independent noise raises no alarm."""

import io

import torch
import torch.nn.functional as F

from ...data import checks
from ...data.files import SAMPLE, load_pairs
from ...pictures.picture import image_of, pillow, tensor_of
from .. import TestCase, needs_pillow, random_images


def scene(seed, side=200):
    """A picture (3, side, side) with soft edges and fine texture, values 40 to 215."""
    picture = torch.zeros(1, 3, side, side)
    for cell, weight in ((25, 0.6), (8, 0.3), (2, 0.1)):
        number = side // cell + 1
        coarse = random_images(1, number, number, seed + cell).float()
        picture += weight * F.interpolate(coarse, side, mode="bilinear")
    return 40 + picture[0] * (175 / 255)


def normal(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator)


def shot(picture, seed, sigma=10.0):
    """A noisy version as a file of 8 bits holds it."""
    noisy = picture + sigma * normal(picture.shape, seed)
    return noisy.round().clamp(0, 255)


def compressed(picture, quality):
    """What JPEG makes of a picture."""
    file = io.BytesIO()
    image_of(picture, "RGB").save(file, "JPEG", quality=quality)
    return tensor_of(pillow().open(file)).float()


class TestIndependentNoise(TestCase):
    def test_raises_no_alarm_whatever_its_strength(self):
        for seed in range(5):
            picture = scene(seed)
            for sigma_1, sigma_2 in ((2, 2), (10, 10), (40, 40), (5, 20), (20, 5)):
                first = shot(picture, seed, sigma_1)
                second = shot(picture, seed + 100, sigma_2)
                self.assertEqual(checks.doubts_about_pictures(first, second), [])

    def test_raises_no_alarm_on_the_sample(self):
        noisy_1, noisy_2 = load_pairs(SAMPLE, "train_data.pkl")
        self.assertEqual(checks.doubts_about_pairs(noisy_1, noisy_2), [])
        noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
        self.assertEqual(checks.doubts_about_validation(noisy, clean), [])


class TestCommonNoise(TestCase):
    def test_noise_that_was_added_to_the_first_or_to_the_second_is_found(self):
        for seed in range(5):
            for sigma, added in ((0, 10), (10, 10), (5, 20), (20, 10)):
                first = shot(scene(seed), seed, sigma)
                second = shot(first, seed + 100, added)
                found = checks.doubts_about_pictures(first, second)
                self.assertEqual(found, [checks.FIRST_IN_SECOND])
                if sigma > 0:
                    found = checks.doubts_about_pictures(second, first)
                    self.assertEqual(found, [checks.SECOND_IN_FIRST])

    @needs_pillow
    def test_equal_blocks_of_strong_jpeg_compression_are_found(self):
        smooth = F.avg_pool2d(scene(0), 15, stride=1)
        first = compressed(shot(smooth, 1, sigma=4), quality=20)
        second = compressed(shot(smooth, 2, sigma=4), quality=20)
        self.assertIn(checks.EQUAL_BLOCKS, checks.doubts_about_pictures(first, second))

    def test_hot_pixels_are_found(self):
        first = shot(scene(0), 1)
        second = shot(scene(0), 2)
        generator = torch.Generator().manual_seed(0)
        rows, columns = torch.randint(200, (2, 20), generator=generator)
        first[0, rows, columns] = 255
        second[0, rows, columns] = 255
        self.assertEqual(checks.doubts_about_pictures(first, second), [checks.HOT_PIXELS])


class TestDataSets(TestCase):
    def test_added_noise_is_found_over_many_small_images(self):
        clean = load_pairs(SAMPLE, "val_data.pkl")[1].float()
        noisy_1 = clean + 15 * normal(clean.shape, 1)
        noisy_2 = clean + 15 * normal(clean.shape, 2)
        self.assertEqual(checks.doubts_about_pairs(noisy_1, noisy_2), [])
        noisier = noisy_1 + 15 * normal(clean.shape, 3)
        self.assertEqual(checks.doubts_about_pairs(noisy_1, noisier), [checks.FIRST_IN_SECOND])
