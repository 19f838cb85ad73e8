"""Batches that are drawn from photographs."""

import torch

from ..training.photo_batches import PhotoBatches, Photographs
from . import TestCase, random_images


def map_of_places(height, width):
    """A photograph whose red is the row of a pixel, green its column, and blue the sum of both."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    sums = rows + columns
    return torch.stack([rows, columns, sums]).to(torch.uint8)


PLACES = map_of_places(100, 110)
OTHERS = random_images(1, 90, 100)[0]


def batches_of(*photographs, batch_size=64, **options):
    return PhotoBatches(Photographs(photographs), batch_size, **options)


class TestPhotoBatches(TestCase):
    def test_a_pair_is_two_independent_draws_of_pixels_of_the_blocks_of_one_crop(self):
        first, second = batches_of(PLACES)(0)
        for images in (first, second):
            rows, columns, sums = images.int().unbind(1)
            self.assertSame(rows + columns, sums)
        self.assertClose(first.int(), second.int(), 5)  # blocks are of 2 x 2 or 3 x 3 pixels
        self.assertDiffer(first, second)
        rows_apart, columns_apart, _ = (first.float() - second.float()).unbind(1)
        moves = torch.stack([rows_apart.flatten(), columns_apart.flatten()])
        self.assertClose(torch.corrcoef(moves), torch.eye(2), 0.05)

    def test_clean_targets_are_the_means_of_the_blocks_of_the_same_inputs(self):
        noisy, clean = batches_of(PLACES, clean=True)(3)
        same, _ = batches_of(PLACES)(3)
        self.assertSame(noisy, same)
        self.assertClose(noisy.int(), clean.int(), 4)
        noisy, clean = batches_of(OTHERS, clean=True)(3)
        deviation = noisy.float().std()
        deviation_of_means = clean.float().std()  # of 4 or 9 independent values
        self.assertGreater(deviation, 1.8 * deviation_of_means)

    def test_flips_are_drawn_for_each_pair(self):
        images, _ = batches_of(PLACES)(0)
        rows = images[:, 0]
        columns = images[:, 1]
        flips = {
            "vertical": rows[:, 0, 0] > rows[:, -1, -1],
            "horizontal": columns[:, 0, 0] > columns[:, -1, -1],
            "transpose": (rows[:, 0, 0].int() - rows[:, -1, 0]).abs() < 4,  # of one block
        }
        for name, is_flipped in flips.items():
            share = is_flipped.float().mean()
            self.assertClose(share, 0.5, 0.25, name)

    def test_a_batch_follows_from_seed_and_step_alone_and_a_part_is_of_the_whole(self):
        batches = batches_of(OTHERS, PLACES, gaussian=0.5, seed=3)
        whole = batches(7)
        again = batches_of(OTHERS, PLACES, gaussian=0.5, seed=3)(7)
        part = batches(7, slice(1, None, 2))
        for place in range(2):
            self.assertSame(whole[place], again[place])
            self.assertSame(whole[place][1::2], part[place])
        of_another_seed = batches_of(OTHERS, PLACES, gaussian=0.5, seed=4)(7)
        of_another_step = batches(8)
        self.assertDiffer(whole[0], of_another_step[0])
        self.assertDiffer(whole[0], of_another_seed[0])

    def test_gaussian_noise_is_independent_in_the_two_images_and_of_one_sigma(self):
        flat = torch.full_like(OTHERS, 100)
        images_1, images_2 = batches_of(flat, batch_size=200, gaussian=0.5)(0)
        is_noisy = (images_1 != 100).flatten(1).any(dim=1)
        self.assertAlmostEqual(int(is_noisy.sum()), 100, delta=20)
        noise_1 = images_1[is_noisy].flatten(1) - 100
        noise_2 = images_2[is_noisy].flatten(1) - 100
        sigma_1 = noise_1.std(dim=1)
        sigma_2 = noise_2.std(dim=1)
        self.assertClose(sigma_1, sigma_2, 1.5)
        self.assertAlmostEqual(sigma_1.max().item(), 15, delta=1)
        covariance = (noise_1 * noise_2).mean(dim=1)
        correlation = covariance / (sigma_1 * sigma_2)
        self.assertClose(correlation, 0, 0.1)
