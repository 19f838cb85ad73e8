"""Batches that are drawn from photographs."""

import torch

from ..training.photo_batches import PhotoBatches, Photographs
from . import TestCase, random_images


def map_of_places(height, width):
    """A photograph whose red is the row of a pixel, green its column, and blue the sum of both."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    places = torch.stack([rows, columns, rows + columns])
    return places.to(torch.uint8)


def batches_of(photograph, batch_size=64, **options):
    return PhotoBatches(Photographs([photograph]), batch_size, **options)


class TestPhotoBatches(TestCase):
    def setUp(self):
        super().setUp()
        self.photograph = random_images(1, 90, 100)[0]
        self.places = map_of_places(100, 100)

    def test_noisy_pixels_are_pixels_of_their_blocks_and_the_clean_image_is_their_mean(self):
        noisy, clean = batches_of(self.places, clean=True)(0)
        rows, columns, sums = noisy.int().unbind(1)
        self.assertSame(rows + columns, sums)
        self.assertClose(noisy.int(), clean.int(), 3)  # blocks are of 2 x 2 or 3 x 3 pixels
        self.assertDiffer(noisy, clean)

    def test_a_pair_is_two_independent_draws_of_one_crop(self):
        first, second = batches_of(self.places)(0)
        self.assertClose(first.int(), second.int(), 5)
        self.assertDiffer(first, second)

    def test_flips_are_drawn_for_each_pair(self):
        images, _ = batches_of(self.places)(0)
        rows, columns, _ = images.unbind(1)
        is_upside_down = rows[:, 0, 0] > rows[:, -1, -1]
        is_mirrored = columns[:, 0, 0] > columns[:, -1, -1]
        is_transposed = rows[:, 0, 0] == rows[:, -1, 0]
        for is_flipped in (is_upside_down, is_mirrored, is_transposed):
            self.assertTrue(is_flipped.any())
            self.assertFalse(is_flipped.all())

    def test_clean_targets_have_the_same_inputs(self):
        noisy_pairs = batches_of(self.photograph, gaussian=0.5)
        with_clean_targets = batches_of(self.photograph, gaussian=0.5, clean=True)
        noisy, _ = noisy_pairs(3)
        same, clean = with_clean_targets(3)
        self.assertSame(noisy, same)
        self.assertDiffer(noisy, clean)

    def test_a_batch_follows_from_seed_and_step_alone_and_parts_of_it_make_the_whole(self):
        batches = batches_of(self.photograph, gaussian=0.5, seed=3)
        whole = batches(7)
        again = batches_of(self.photograph, gaussian=0.5, seed=3)(7)
        halves = [batches(7, slice(rank, None, 2)) for rank in range(2)]
        for place, images in enumerate(whole):
            self.assertSame(images, again[place])
            self.assertSame(images[0::2], halves[0][place])
            self.assertSame(images[1::2], halves[1][place])
        self.assertDiffer(whole[0], batches(8)[0])
        self.assertDiffer(whole[0], batches_of(self.photograph, gaussian=0.5, seed=4)(7)[0])

    def test_small_crops_have_smaller_blocks(self):
        distances = []
        for small_crops in (0.0, 1.0):
            batches = batches_of(map_of_places(250, 125), small_crops=small_crops)
            rows = batches(0)[0][:, 0].float()
            distances.append(rows.diff(dim=1).abs().mean())
        self.assertLess(distances[1], 0.9 * distances[0])

    def test_gaussian_noise_is_independent_in_the_two_images_and_of_one_sigma(self):
        flat = torch.full_like(self.photograph, 100)
        images_1, images_2 = batches_of(flat, 200, gaussian=0.5)(0)
        is_noisy = images_1.flatten(1).std(dim=1) > 0
        self.assertAlmostEqual(int(is_noisy.sum()), 100, delta=20)

        noise_1 = images_1[is_noisy].flatten(1) - 100
        noise_2 = images_2[is_noisy].flatten(1) - 100
        sigma_1 = noise_1.std(dim=1)
        sigma_2 = noise_2.std(dim=1)
        self.assertClose(sigma_1, sigma_2, 1.5)
        self.assertAlmostEqual(sigma_1.max().item(), 15, delta=1)
        covariance = (noise_1 * noise_2).mean(dim=1)
        self.assertClose(covariance / (sigma_1 * sigma_2), 0, 0.1)
