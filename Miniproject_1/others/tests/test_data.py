"""Pairs of images: noises, data files, photographs, and a user's own shots."""

import torch
import torch.nn.functional as F

from ..data import course_noise, files, noises, shots
from ..metrics import LOSSES
from . import TestCase, needs_pillow, random_images


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scene(seed, side=160):
    """A picture (3, side, side) with soft edges and fine texture, values 40 to 215."""
    picture = torch.zeros(1, 3, side, side)
    for cell, weight in {25: 0.5, 8: 0.3, 2: 0.2}.items():
        number = side // cell + 1
        coarse = random_images(1, number, number, seed + cell).float()
        picture += weight * F.interpolate(coarse, side, mode="bilinear")
    return 40 + picture[0] * (175 / 255)


def shot(picture, seed, sigma=10.0):
    """A noisy version as a file of 8 bits holds it."""
    noise = torch.randn(picture.shape, generator=generator(seed))
    noisy = picture + sigma * noise
    return noisy.round().clamp(0, 255)


class TestCourseNoise(TestCase):
    def test_a_noisy_image_takes_a_pixel_of_each_block_and_the_clean_one_the_mean(self):
        crop = random_images(1, 96, 96)[0]
        block = crop[:, 15:18, 21:24]  # that of the pixel in row 5 and column 7
        colours = block.flatten(1)  # (3, 9)
        draw = generator()
        images = [course_noise.sample_blocks(crop, draw) for _ in range(400)]
        drawn = torch.stack(images, -1)[:, 5, 7]  # (3, 400)
        self.assertSame(drawn.unique(dim=1), colours.unique(dim=1))
        clean = course_noise.average_blocks(crop)
        self.assertClose(clean[:, 5, 7], colours.float().mean(1), 0.51)

    def test_a_crop_has_75_to_100_percent_of_the_short_side(self):
        photograph = random_images(1, 400, 500)[0]
        draw = generator()
        crops = [course_noise.random_crop(photograph, draw) for _ in range(200)]
        sides = {crop.shape[1:] for crop in crops}
        self.assertEqual(sides, {(288, 288), (320, 320), (352, 352), (384, 384)})

    def test_the_two_images_of_a_pair_are_independent_draws_of_one_crop(self):
        rows = torch.arange(120)[:, None].expand(3, 120, 100)  # each pixel tells its row
        first, second = course_noise.noisy_pair(rows, generator())
        self.assertDiffer(first, second)
        self.assertClose(first, second, 3)  # in the same block of 2 or 3 pixels


@needs_pillow
class TestNoises(TestCase):
    def setUp(self):
        super().setUp()
        self.clean = random_images(2, 32, 32).float().clamp(20, 235)

    def draws_of(self, name, number=100):
        noise = noises.named_noise(name)
        draw = generator()
        return torch.stack([noise(self.clean, draw) for _ in range(number)])

    def test_over_noisy_targets_the_loss_of_each_noise_is_least_at_the_clean_images(self):
        for name, noise in noises.NOISES.items():
            with self.subTest(name):
                targets = self.draws_of(name, 60) / 255
                loss = LOSSES[noise.loss]
                losses = []
                for offset in (-8, 0, 8):
                    output = (self.clean + offset) / 255
                    losses.append(sum(loss(output, target) for target in targets))
                self.assertEqual(min(losses), losses[1])

    def test_a_noise_has_the_strength_that_is_asked_for_and_is_not_cut_off(self):
        variances = {"gaussian:60": 60**2, "Poisson:4": self.clean * 255 / 4}
        for name, variance in variances.items():
            noise = self.draws_of(name) - self.clean
            ratio = noise.square() / variance
            self.assertAlmostEqual(ratio.mean().item(), 1, delta=0.02)
        self.assertLess(self.draws_of("gaussian:60").min(), -50)


class TestDataFiles(TestCase):
    def test_what_does_not_hold_pairs_is_refused(self):
        path = self.folder / "wrong.pkl"
        good = random_images(2, 4, 4)
        grey = good[:, :1]
        for content in (good, [good] * 3, [grey, grey], [good, grey], "hello"):
            torch.save(content, path)
            with self.assertRaisesRegex(ValueError, "wrong.pkl holds no pairs .* torch.save"):
                files.load_pairs(path, "")


class TestShots(TestCase):
    def test_shifts_are_found_in_noise(self):
        picture = scene(0, 200)
        middle = slice(30, 170)
        for shift in ((0, 0), (0, 1), (-1, 1), (2, 0), (-5, 3), (30, -20)):
            moved = picture.roll(shift, (1, 2))
            first = shot(picture[:, middle, middle], 1)
            second = shot(moved[:, middle, middle], 2)
            self.assertEqual(shots.shift(first, second), shift)

    def test_no_shift_is_told_where_nothing_shows_it(self):
        grey = torch.full((3, 100, 130), 128.0)
        small = scene(0, 64)
        for picture, other, sigma in (
            (grey, grey, 10),
            (scene(0), scene(1), 10),
            (small, small, 200),
        ):
            first = shot(picture, 1, sigma)
            second = shot(other, 2, sigma)
            self.assertIsNone(shots.shift(first, second))

    def test_shots_that_are_no_pair_are_told_why(self):
        first = shot(scene(9), 1)
        second = shot(scene(9), 2)
        self.assertTrue(shots.check_shots(first, second))
        for words, other in (
            ("identical", first),
            ("differ in size", second[:, :, :100]),
            (r"shifted by \(2, 0\) pixels \(down, right\)", second.roll(2, 1)),
            ("exposure or white balance", second * 1.15),
        ):
            with self.assertRaisesRegex(ValueError, words):
                shots.check_shots(first, other)

    def test_neighbours_are_two_pixels_that_touch_in_each_cell(self):
        rows = torch.arange(64)[:, None].expand(64, 64)
        picture = torch.stack([rows, rows.t(), rows])  # each pixel tells its row and column
        first, second = shots.neighbours(picture[None], generator())
        for image in (first, second):
            self.assertSame(image[:2] // 2, picture[:2, :32, :32])
            self.assertSame(image[0], image[2])  # the same choice in each channel
        steps = (second - first)[:2].flatten(1).unique(dim=1).t()
        self.assertEqual(steps.tolist(), [[-1, 0], [0, -1], [0, 1], [1, 0]])
