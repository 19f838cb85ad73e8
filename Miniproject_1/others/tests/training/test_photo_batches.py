"""Batches that are drawn from photographs."""

import torch

from ....model import random_bits, uniform_from
from ...data.course_noise import average_blocks
from ...training.photo_batches import (
    CHOICES,
    PLACES,
    Crops,
    PhotoBatches,
    Photographs,
    normal_quantiles,
)
from .. import TestCase, random_images


def map_of_places(height, width):
    """A photograph whose red is the row of a pixel, green its column, and blue the sum of both."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    return torch.stack([rows, columns, rows + columns]).to(torch.uint8)


def pair_by_hand(photographs, step, place, seed, small_crops):
    """A pair as `PhotoBatches` without Gaussian noise draws it, pixel by pixel."""
    draws = draws_of_pair(step, place, seed)
    number, smallness, size, top, left, *flips = draws[:8]
    photograph = photographs[int(number * len(photographs))]
    height, width = photograph.shape[1:]
    share = 0.75 + 0.25 * size
    if smallness < small_crops:
        share = 0.75 * size
    block = max(int(min(height, width) * share / 32), 2)
    top = int(top * (height - 32 * block + 1))
    left = int(left * (width - 32 * block + 1))
    crop = photograph[:, top : top + 32 * block, left : left + 32 * block]

    first_places = draws[CHOICES : CHOICES + PLACES]
    second_places = draws[CHOICES + PLACES :]
    first = image_by_hand(crop, block, first_places, flips)
    second = image_by_hand(crop, block, second_places, flips)
    return first, second


def draws_of_pair(step, place, seed):
    """All random numbers of a pair of a batch, 0 to 1."""
    length = CHOICES + 2 * PLACES
    bits = random_bits(seed, step, (place + 1) * length)
    return uniform_from(bits[place * length :]).tolist()


def image_by_hand(crop, block, places, flips):
    """Take the pixels of a crop's blocks at these places, and flip the image."""
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    rows, columns = places[:1024], places[1024:]
    for y in range(32):
        for x in range(32):
            row = block * y + int(rows[32 * y + x] * block)
            column = block * x + int(columns[32 * y + x] * block)
            image[:, y, x] = crop[:, row, column]
    vertical, horizontal, transpose = flips
    if vertical < 0.5:
        image = image.flip(1)
    if horizontal < 0.5:
        image = image.flip(2)
    if transpose < 0.5:
        image = image.transpose(1, 2)
    return image


def photograph(height=90, width=100, seed=0):
    return random_images(1, height, width, seed)[0]


class TestPhotoBatches(TestCase):
    def test_a_batch_is_what_a_loop_over_pixels_draws(self):
        photographs = [photograph(90, 120, seed=1), photograph(130, 100, seed=2)]
        batches = PhotoBatches(Photographs(photographs), batch_size=3, small_crops=0.5, seed=7)
        first, second = batches(5)
        for place in range(3):
            by_hand = pair_by_hand(photographs, 5, place, seed=7, small_crops=0.5)
            self.assertTrue(torch.equal(first[place], by_hand[0]))
            self.assertTrue(torch.equal(second[place], by_hand[1]))

    def test_noisy_pixels_are_pixels_of_their_blocks_and_the_clean_image_is_their_mean(self):
        batches = PhotoBatches(Photographs([map_of_places(100, 100)]), batch_size=8, clean=True)
        noisy, clean = (images.long() for images in batches(0))
        red, green, blue = noisy.unbind(1)
        self.assertTrue(torch.equal(blue, red + green))
        distance = (noisy - clean)[:, :2].abs()
        self.assertLessEqual(distance.max(), 1)  # blocks are of 2 x 2 or 3 x 3 pixels
        self.assertGreater(distance.float().mean(), 0.3)

    def test_clean_images_are_the_means_of_blocks_of_the_right_photograph(self):
        first, second = photograph(90, 120), photograph(130, 100, seed=1)
        crops = Crops(
            photograph=torch.tensor([0, 1]),
            top=torch.tensor([0, 5]),
            left=torch.tensor([3, 4]),
            block=torch.tensor([2, 3]),
        )
        images = PhotoBatches(Photographs([first, second]), clean=True).clean_images(crops)
        self.assertTrue(torch.equal(images[0], average_blocks(first[:, :64, 3:67])))
        self.assertTrue(torch.equal(images[1], average_blocks(second[:, 5:101, 4:100])))

    def test_clean_targets_have_the_same_inputs(self):
        noisy, other = PhotoBatches(Photographs([photograph()]), 4, gaussian=0.5)(3)
        same, clean = PhotoBatches(Photographs([photograph()]), 4, gaussian=0.5, clean=True)(3)
        self.assertTrue(torch.equal(noisy, same))
        self.assertFalse(torch.equal(other, clean.float()))

    def test_the_shares_of_several_processes_make_the_batch(self):
        batches = PhotoBatches(Photographs([photograph()]), batch_size=5, gaussian=0.5)
        whole = batches(1)
        for processes in (2, 3):
            for rank in range(processes):
                share = slice(rank, None, processes)
                part = batches(1, share)
                self.assertTrue(torch.equal(part[0], whole[0][share]))
                self.assertTrue(torch.equal(part[1], whole[1][share]))

    def test_step_and_seed_change_the_batch(self):
        batches = PhotoBatches(Photographs([photograph()]))
        same = PhotoBatches(Photographs([photograph()]))
        other = PhotoBatches(Photographs([photograph()]), seed=1)
        first, _ = batches(0)
        self.assertTrue(torch.equal(first, same(0)[0]))
        self.assertFalse(torch.equal(first, batches(1)[0]))
        self.assertFalse(torch.equal(first, other(0)[0]))

    def test_small_crops_have_smaller_blocks(self):
        photographs = Photographs([map_of_places(250, 125)])

        def mean_distance_of_neighbours(small_crops):
            images = PhotoBatches(photographs, batch_size=64, small_crops=small_crops)(0)[0]
            return images[:, :2].float().diff(dim=2).abs().mean()

        self.assertLess(mean_distance_of_neighbours(1.0), 0.9 * mean_distance_of_neighbours(0.0))


class TestGaussianNoise(TestCase):
    def test_quantiles_have_mean_zero_and_variance_one(self):
        quantiles = normal_quantiles().double()
        self.assertLess(quantiles.mean().abs(), 1e-6)
        variance = quantiles.square().mean()
        self.assertLess((variance - 1).abs(), 1e-3)
        self.assertTrue((quantiles.diff() > 0).all())
        within_one = (quantiles.abs() < 1).double().mean()
        self.assertAlmostEqual(within_one.item(), 0.6827, places=3)

    def test_it_is_independent_in_the_two_images_of_one_sigma(self):
        flat = torch.full((3, 90, 100), 100, dtype=torch.uint8)
        images_1, images_2 = PhotoBatches(Photographs([flat]), batch_size=200, gaussian=0.5)(0)
        is_noisy = images_1.flatten(1).std(dim=1) > 0
        self.assertAlmostEqual(is_noisy.float().mean().item(), 0.5, delta=0.1)

        noise_1 = images_1[is_noisy].flatten(1) - 100
        noise_2 = images_2[is_noisy].flatten(1) - 100
        sigma_1, sigma_2 = noise_1.std(dim=1), noise_2.std(dim=1)
        self.assertLess((sigma_1 - sigma_2).abs().max(), 1.5)
        self.assertAlmostEqual(sigma_1.max().item(), 15, delta=1)
        self.assertLess(noise_1.mean().abs(), 0.1)
        correlation = (noise_1 * noise_2).mean(dim=1) / (sigma_1 * sigma_2)
        self.assertLess(correlation.abs().max(), 0.1)
