"""Batches that are drawn from photographs."""

import torch

from ...training.photo_batches import PhotoBatches, Photographs
from .. import TestCase, random_images


def map_of_places(height, width):
    """A photograph whose red is the row of a pixel, green its column, and blue the sum of both."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    return torch.stack([rows, columns, rows + columns]).to(torch.uint8)


def batches_of(photograph, batch_size=64, **options):
    return PhotoBatches(Photographs([photograph]), batch_size, **options)


class TestPhotoBatches(TestCase):
    def setUp(self):
        super().setUp()
        self.photograph = random_images(1, 90, 100)[0]

    def test_noisy_pixels_are_pixels_of_their_blocks_and_the_clean_image_is_their_mean(self):
        noisy, clean = (
            images.long() for images in batches_of(map_of_places(100, 100), clean=True)(0)
        )
        red, green, blue = noisy.unbind(1)
        self.assertTrue(torch.equal(blue, red + green))
        distance = (noisy - clean)[:, :2].abs()
        self.assertLessEqual(distance.max(), 1)  # blocks are of 2 x 2 or 3 x 3 pixels
        self.assertGreater(distance.float().mean(), 0.3)

    def test_flips_are_drawn_for_each_pair(self):
        first, _ = batches_of(map_of_places(64, 64), 200)(0)
        falls_down = first[:, 0, 0, 0] > first[:, 0, -1, 0]
        falls_right = first[:, 1, 0, 0] > first[:, 1, 0, -1]
        is_transposed = first[:, 0, 0, 0] == first[:, 0, -1, 0]
        for share in (falls_down, falls_right, is_transposed):
            self.assertTrue(0.1 < share.float().mean() < 0.9)

    def test_a_pair_is_two_independent_draws_of_one_crop(self):
        first, second = (images.long() for images in batches_of(map_of_places(100, 100))(0))
        self.assertLessEqual((first - second)[:, :2].abs().max(), 2)
        self.assertFalse(torch.equal(first, second))

    def test_clean_targets_have_the_same_inputs(self):
        noisy, other = batches_of(self.photograph, gaussian=0.5)(3)
        same, clean = batches_of(self.photograph, gaussian=0.5, clean=True)(3)
        self.assertTrue(torch.equal(noisy, same))
        self.assertFalse(torch.equal(other, clean.float()))

    def test_the_shares_of_several_processes_make_the_batch(self):
        batches = batches_of(self.photograph, 5, gaussian=0.5)
        for rank in range(3):
            share = slice(rank, None, 3)
            for part, whole in zip(batches(1, share), batches(1)):
                self.assertTrue(torch.equal(part, whole[share]))

    def test_small_crops_have_smaller_blocks(self):
        means = []
        for small_crops in (0.0, 1.0):
            images, _ = batches_of(map_of_places(250, 125), small_crops=small_crops)(0)
            means.append(images[:, :2].float().diff(dim=2).abs().mean())
        self.assertLess(means[1], 0.9 * means[0])

    def test_gaussian_noise_is_independent_in_the_two_images_and_of_one_sigma(self):
        flat = torch.full((3, 90, 100), 100, dtype=torch.uint8)
        images_1, images_2 = batches_of(flat, 200, gaussian=0.5)(0)
        is_noisy = images_1.flatten(1).std(dim=1) > 0
        self.assertAlmostEqual(is_noisy.float().mean().item(), 0.5, delta=0.1)

        noise_1, noise_2 = (images[is_noisy].flatten(1) - 100 for images in (images_1, images_2))
        sigma_1, sigma_2 = noise_1.std(dim=1), noise_2.std(dim=1)
        self.assertLess((sigma_1 - sigma_2).abs().max(), 1.5)
        self.assertAlmostEqual(sigma_1.max().item(), 15, delta=1)
        correlation = (noise_1 * noise_2).mean(dim=1) / (sigma_1 * sigma_2)
        self.assertLess(correlation.abs().max(), 0.1)
