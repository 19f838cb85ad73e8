"""The course's noise is block sampling, and its mean is the clean image."""

import torch

from ...data import course_noise
from .. import TestCase, random_images


class TestBlocks(TestCase):
    def setUp(self):
        super().setUp()
        self.crop = random_images(1, 96, 96)[0]
        blocks = self.crop.view(3, 32, 3, 32, 3)
        self.blocks = blocks.permute(0, 1, 3, 2, 4).flatten(3)  # (3, 32, 32, 9)
        generator = torch.Generator().manual_seed(0)
        draws = []
        for _ in range(400):
            draws.append(course_noise.sample_blocks(self.crop, generator))
        self.draws = torch.stack(draws)  # (400, 3, 32, 32)

    def test_a_noisy_image_takes_one_pixel_of_each_block(self):
        colours = self.blocks[:, 5, 7].t()  # (9, 3)
        drawn = self.draws[:, :, 5, 7]  # (400, 3)
        self.assertTrue(torch.equal(drawn.unique(dim=0), colours.unique(dim=0)))

    def test_the_clean_image_is_the_mean_of_the_blocks_and_of_the_draws(self):
        clean = course_noise.average_blocks(self.crop).float()
        mean_of_blocks = self.blocks.float().mean(3)
        mean_of_draws = self.draws.float().mean(0)
        self.assertLess((clean - mean_of_blocks).abs().max(), 0.51)
        self.assertLess((clean - mean_of_draws).abs().mean(), 5)


class TestCrops(TestCase):
    def sides(self, small_crops):
        photograph = random_images(1, 400, 500)[0]
        generator = torch.Generator().manual_seed(0)
        sides = []
        for _ in range(200):
            crop = course_noise.random_crop(photograph, generator, small_crops)
            self.assertEqual(crop.shape[1], crop.shape[2])
            sides.append(crop.shape[1])
        return sides

    def test_a_crop_has_75_to_100_percent_of_the_short_side(self):
        self.assertEqual(set(self.sides(0.0)), {288, 320, 352, 384})

    def test_small_crops_are_smaller_and_as_many_as_asked_for(self):
        sides = self.sides(0.3)
        self.assertEqual(min(sides), 64)
        num_small = sum(side < 288 for side in sides)
        self.assertAlmostEqual(num_small / len(sides), 0.3, delta=0.1)

    def test_the_two_images_of_a_pair_are_independent_draws_of_one_crop(self):
        rows = torch.arange(120)[:, None].expand(3, 120, 100)  # each pixel tells its row
        generator = torch.Generator().manual_seed(0)
        first, second = course_noise.noisy_pair(rows, generator)
        self.assertFalse(torch.equal(first, second))
        self.assertLess((first - second).abs().max(), 3)  # in the same block of 2 or 3 pixels
