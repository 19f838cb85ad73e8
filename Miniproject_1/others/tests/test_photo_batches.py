"""Batches that are drawn from photographs."""

import torch

from ..training.photo_batches import PhotoBatches, Photographs
from . import TestCase, random_images


def map_of_places(height, width):
    """A photograph whose red is the row of a pixel, green its column, and blue the sum of both."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    return torch.stack([rows, columns, rows + columns]).to(torch.uint8)


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

    def test_clean_targets_are_the_means_of_the_blocks_of_the_same_inputs(self):
        noisy, clean = batches_of(OTHERS, PLACES, clean=True)(3)
        same, _ = batches_of(OTHERS, PLACES)(3)
        self.assertSame(noisy, same)
        is_of_places = (clean.int()[:, 0] + clean.int()[:, 1] - clean.int()[:, 2]).abs() <= 1
        is_of_places = is_of_places.flatten(1).all(1)
        self.assertClose(noisy[is_of_places].int(), clean[is_of_places].int(), 4)
        spread = noisy[~is_of_places].float().std() / clean[~is_of_places].float().std()
        self.assertGreater(spread, 1.8)  # the means of 4 or 9 independent values

    def test_flips_are_drawn_for_each_pair(self):
        images, _ = batches_of(PLACES)(0)
        rows, columns, _ = images.unbind(1)
        is_upside_down = rows[:, 0, 0] > rows[:, -1, -1]
        is_mirrored = columns[:, 0, 0] > columns[:, -1, -1]
        is_transposed = rows[:, 0, 0] == rows[:, -1, 0]
        for is_flipped in (is_upside_down, is_mirrored, is_transposed):
            self.assertTrue(is_flipped.any())
            self.assertFalse(is_flipped.all())

    def test_a_batch_follows_from_seed_and_step_alone_and_parts_of_it_make_the_whole(self):
        batches = batches_of(OTHERS, gaussian=0.5, seed=3)
        whole = batches(7)
        again = batches_of(OTHERS, gaussian=0.5, seed=3)(7)
        halves = [batches(7, slice(rank, None, 2)) for rank in range(2)]
        for place, images in enumerate(whole):
            self.assertSame(images, again[place])
            self.assertSame(images[0::2], halves[0][place])
            self.assertSame(images[1::2], halves[1][place])
        self.assertDiffer(whole[0], batches(8)[0])
        self.assertDiffer(whole[0], batches_of(OTHERS, gaussian=0.5, seed=4)(7)[0])

    def test_gaussian_noise_is_independent_in_the_two_images_and_of_one_sigma(self):
        flat = torch.full_like(OTHERS, 100)
        images_1, images_2 = batches_of(flat, batch_size=200, gaussian=0.5)(0)
        is_noisy = images_1.flatten(1).std(dim=1) > 0
        self.assertAlmostEqual(int(is_noisy.sum()), 100, delta=20)
        noise_1, noise_2 = (each[is_noisy].flatten(1) - 100 for each in (images_1, images_2))
        sigma_1, sigma_2 = noise_1.std(dim=1), noise_2.std(dim=1)
        self.assertClose(sigma_1, sigma_2, 1.5)
        self.assertAlmostEqual(sigma_1.max().item(), 15, delta=1)
        covariance = (noise_1 * noise_2).mean(dim=1)
        self.assertClose(covariance / (sigma_1 * sigma_2), 0, 0.1)
