"""Two shots of a scene: which are pairs to learn from, and how far one is shifted."""

import torch
import torch.nn.functional as F

from ...data import shots
from .. import TestCase
from .test_checks import scene, shot


def moved(picture, down, right):
    """The inner 200 x 200 pixels of a picture (3, 240, 240), its content moved."""
    axis = torch.arange(200.0) + 20
    rows, columns = torch.meshgrid(axis - down, axis - right, indexing="ij")
    grid = torch.stack([columns, rows], 2)[None] / 239 * 2 - 1
    return F.grid_sample(picture[None], grid, mode="bicubic", align_corners=True)[0]


class TestShift(TestCase):
    def test_fractions_of_a_pixel_are_found_in_noise(self):
        picture = scene(0, 240)
        for down, right in ((0, 0), (0.5, 0.25), (-1, 2), (3.25, -0.75), (-7, 7)):
            first = shot(moved(picture, 0, 0), 1, sigma=5)
            second = shot(moved(picture, down, right), 2, sigma=5)
            found = shots.shift(first, second)
            self.assertAlmostEqual(found[0], down, delta=0.15)
            self.assertAlmostEqual(found[1], right, delta=0.15)

    def test_noise_alone_has_no_shift(self):
        grey = torch.full((3, 100, 130), 128.0)
        for seed in range(5):
            found = shots.shift(shot(grey, seed), shot(grey, seed + 10))
            self.assertIn(found, (None, (0.0, 0.0)))

    def test_a_constant_picture_tells_no_shift(self):
        constant = torch.full((3, 100, 130), 255.0)
        self.assertIsNone(shots.shift(constant, shot(constant / 2, 1)))

    def test_large_shifts_are_found_and_other_scenes_have_none(self):
        picture = scene(0, 300)
        first = shot(picture[:, :240, :240], 1)
        for down, right in ((9, 0), (-20, 12), (30, 30)):
            rows, columns = slice(30 - down, 270 - down), slice(30 - right, 270 - right)
            second = shot(picture[:, rows, columns], 2)
            found = shots.shift(shot(picture[:, 30:270, 30:270], 1), second)
            self.assertAlmostEqual(found[0], down, delta=0.3)
            self.assertAlmostEqual(found[1], right, delta=0.3)
            self.assertIn("is shifted by", shots.fault_of_shift(found))
        for other in (scene(1, 240), scene(2, 240), first.flip(1, 2)):
            self.assertIsNone(shots.shift(first, shot(other, 3)))


class TestFaults(TestCase):
    def test_pictures_that_are_no_pair_are_told_why(self):
        picture = scene(9, 132)
        first = shot(picture, 1)
        cases = {"identical": first, "differ in size, 132 x 132 and 100 x 132": first[:, :, :100]}
        for words, second in cases.items():
            self.assertRegex(shots.fault_of(first, second), words)
        tiny = first[:, :20, :20]
        self.assertIn("20 x 20 is too small", shots.fault_of(tiny, tiny + 1))
        second = shot(picture, 2)
        self.assertIsNone(shots.fault_of(first, second))
        self.assertIsNone(shots.fault_of_shift(shots.shift(first, second)))
        shifted = shots.shift(first, second.roll(2, 1))
        words = "shifted by [-+]0.. pixels to the right and [-+]2.. down; align"
        self.assertRegex(shots.fault_of_shift(shifted), words)


class TestNames(TestCase):
    def test_pictures_are_found_by_their_path_without_the_ending(self):
        (self.folder / "deep").mkdir()
        for name in ("deep/a.png", "b.JPG"):
            (self.folder / name).touch()
        found = shots.pictures_by_name(self.folder)
        self.assertEqual(sorted(found), ["b", "deep/a"])
        (self.folder / "deep" / "a.tif").touch()
        with self.assertRaisesRegex(ValueError, "a.png and .*a.tif have the same name"):
            shots.pictures_by_name(self.folder)
