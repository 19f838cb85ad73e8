"""Batches that are drawn from photographs."""

import torch

from ....model import random_bits, uniform_from
from ...data.course_noise import average_blocks
from ...training.photo_batches import CHOICES, PLACES, Crops, PhotoBatches, normal_quantiles
from .. import TestCase, random_images


def map_of_places(height=90, width=100):
    """A photograph whose red is the row of a pixel, green its column, and blue the sum of both."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    return torch.stack([rows, columns, rows + columns]).to(torch.uint8)


def pair_by_hand(photographs, step, place, seed, small_crops):
    """A pair as `PhotoBatches` without Gaussian noise draws it, pixel by pixel."""
    length = CHOICES + 2 * PLACES
    bits = random_bits(seed, step, (place + 1) * length)[place * length :]
    draws = uniform_from(bits).tolist()
    choices = draws[:CHOICES]
    photograph = photographs[int(choices[0] * len(photographs))]
    _, height, width = photograph.shape
    size = 0.75 + 0.25 * choices[2]
    if choices[1] < small_crops:
        size = 0.75 * choices[2]
    block = max(int(min(height, width) * size / 32), 2)
    top = int(choices[3] * (height - 32 * block + 1))
    left = int(choices[4] * (width - 32 * block + 1))
    pair = []
    for first in (CHOICES, CHOICES + PLACES):
        image = torch.zeros(3, 32, 32, dtype=torch.uint8)
        for y in range(32):
            for x in range(32):
                row = top + block * y + int(draws[first + 32 * y + x] * block)
                column = left + block * x + int(draws[first + 1024 + 32 * y + x] * block)
                image[:, y, x] = photograph[:, row, column]
        if choices[5] < 0.5:
            image = image.flip(1)
        if choices[6] < 0.5:
            image = image.flip(2)
        if choices[7] < 0.5:
            image = image.transpose(1, 2)
        pair.append(image)
    return pair


class TestPhotoBatches(TestCase):
    def test_a_batch_is_what_a_loop_over_pixels_draws(self):
        photographs = [random_images(1, 90, 120, seed=1)[0], random_images(1, 130, 100, seed=2)[0]]
        batches = PhotoBatches(photographs, batch_size=3, small_crops=0.5, seed=7)
        first, second = batches(5)
        for place in range(3):
            by_hand = pair_by_hand(photographs, 5, place, seed=7, small_crops=0.5)
            self.assertTrue(torch.equal(first[place], by_hand[0]))
            self.assertTrue(torch.equal(second[place], by_hand[1]))

    def test_noisy_pixels_are_pixels_of_their_blocks_and_the_clean_image_is_their_mean(self):
        batches = PhotoBatches([map_of_places(height=100)], batch_size=8, clean=True)
        noisy, clean = (images.long() for images in batches(0))
        self.assertTrue(torch.equal(noisy[:, 2], noisy[:, 0] + noisy[:, 1]))
        distance = (noisy - clean)[:, :2].abs()
        block = 3  # pixels: 75 to 100 of 100 in 32 blocks are 2 or 3 for each
        self.assertLessEqual(distance.max(), block // 2)
        self.assertGreater(distance.float().mean(), 0.3)

    def test_clean_images_are_the_means_of_blocks_of_the_right_photograph(self):
        photographs = [random_images(1, 90, 120)[0], random_images(1, 130, 100, seed=1)[0]]
        batches = PhotoBatches(photographs)
        crops = Crops(*torch.tensor([[0, 1], [0, 5], [3, 4], [2, 3]]))
        found = batches.clean_images(crops)
        expected = (photographs[0][:, :64, 3:67], photographs[1][:, 5:101, 4:100])
        for image, crop in zip(found, expected):
            self.assertTrue(torch.equal(image, average_blocks(crop)))

    def test_clean_targets_have_the_same_inputs(self):
        photographs = [random_images(1, 90, 100)[0]]
        noisy, other = PhotoBatches(photographs, 4, gaussian=0.5)(3)
        same, clean = PhotoBatches(photographs, 4, gaussian=0.5, clean=True)(3)
        self.assertTrue(torch.equal(noisy, same))
        self.assertFalse(torch.equal(other, clean.float()))

    def test_the_shares_of_several_processes_make_the_batch(self):
        batches = PhotoBatches([random_images(1, 90, 100)[0]], batch_size=5, gaussian=0.5)
        whole = batches(1)
        for processes in (2, 3):
            for rank in range(processes):
                share = slice(rank, None, processes)
                for part, images in zip(batches(1, share), whole):
                    self.assertTrue(torch.equal(part, images[share]))

    def test_step_and_seed_change_the_batch(self):
        photographs = [random_images(1, 90, 100)[0]]
        first = PhotoBatches(photographs)(0)[0]
        self.assertTrue(torch.equal(first, PhotoBatches(photographs)(0)[0]))
        self.assertFalse(torch.equal(first, PhotoBatches(photographs)(1)[0]))
        self.assertFalse(torch.equal(first, PhotoBatches(photographs, seed=1)(0)[0]))

    def test_small_crops_may_depend_on_the_step(self):
        photographs = [map_of_places(height=250, width=250 // 2)]
        batches = PhotoBatches(photographs, batch_size=64, small_crops=lambda step: step)

        def mean_block(step):
            """From the mean distance of neighbouring pixels; the same for turned images."""
            images = batches(step)[0].float()[:, 2]
            return (images[:, 1:] - images[:, :-1]).abs().mean()

        self.assertLess(mean_block(1), 0.9 * mean_block(0))


class TestGaussianNoise(TestCase):
    def test_quantiles_have_mean_zero_and_variance_one(self):
        quantiles = normal_quantiles().double()
        self.assertLess(quantiles.mean().abs(), 1e-6)
        self.assertLess((quantiles.square().mean() - 1).abs(), 1e-3)
        self.assertTrue((quantiles.diff() > 0).all())
        within_one = (quantiles.abs() < 1).double().mean().item()
        self.assertAlmostEqual(within_one, 0.6827, places=3)

    def test_it_is_independent_in_the_two_images_of_one_sigma(self):
        flat = torch.full((3, 90, 100), 100, dtype=torch.uint8)
        first, second = PhotoBatches([flat], batch_size=200, gaussian=0.5)(0)
        noise_1, noise_2 = (images.flatten(1) - 100 for images in (first, second))
        sigma_1, sigma_2 = noise_1.std(dim=1), noise_2.std(dim=1)
        self.assertLess((sigma_1 - sigma_2).abs().max(), 1.5)
        self.assertLess(sigma_1.max(), 15.5)
        self.assertGreater(sigma_1.max(), 12)
        noisy = sigma_1 > 0
        self.assertTrue(0.4 < noisy.float().mean() < 0.6)
        correlation = (noise_1 * noise_2).mean(dim=1)[noisy] / (sigma_1 * sigma_2)[noisy]
        self.assertLess(correlation.abs().max(), 0.1)
        self.assertLess(noise_1.mean().abs(), 0.1)
