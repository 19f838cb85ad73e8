"""The course's noise is block sampling, and its mean is the clean image."""

import torch

from ...data import course_noise
from .. import TestCase, random_images


class TestBlocks(TestCase):
    def test_a_noisy_image_takes_a_pixel_of_each_block_and_the_clean_one_the_mean(self):
        crop = random_images(1, 96, 96)[0]
        block = crop[:, 15:18, 21:24]  # that of the pixel in row 5 and column 7
        colours = block.flatten(1).t()  # (9, 3)
        generator = torch.Generator().manual_seed(0)
        drawn = []
        for _ in range(400):
            noisy = course_noise.sample_blocks(crop, generator)
            drawn.append(noisy[:, 5, 7])
        self.assertSame(torch.stack(drawn).unique(dim=0), colours.unique(dim=0))
        clean = course_noise.average_blocks(crop)
        self.assertClose(clean[:, 5, 7], colours.float().mean(0), 0.51)


class TestCrops(TestCase):
    def test_a_crop_has_75_to_100_percent_of_the_short_side(self):
        photograph = random_images(1, 400, 500)[0]
        generator = torch.Generator().manual_seed(0)
        crops = [course_noise.random_crop(photograph, generator) for _ in range(200)]
        sides = {tuple(crop.shape[1:]) for crop in crops}
        self.assertEqual(sides, {(288, 288), (320, 320), (352, 352), (384, 384)})

    def test_the_two_images_of_a_pair_are_independent_draws_of_one_crop(self):
        rows = torch.arange(120)[:, None].expand(3, 120, 100)  # each pixel tells its row
        generator = torch.Generator().manual_seed(0)
        first, second = course_noise.noisy_pair(rows, generator)
        self.assertDiffer(first, second)
        self.assertClose(first, second, 3)  # in the same block of 2 or 3 pixels
