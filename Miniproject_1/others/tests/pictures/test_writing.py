"""What is kept of a picture when it is written to another file."""

import os
import re
import unittest
from pathlib import Path
from unittest import mock

import torch
from torch.nn.functional import interpolate

from ... import pictures
from ...pictures import check_picture_output, load_picture, pillow, save_picture
from ...pictures.comparison import LABEL_WIDTH
from .. import needs_pillow, random_images
from . import ENDINGS, PictureCase, kinds
from .kinds import image

TABLE = Path(pictures.__file__).with_name("README.md")
WORDS = {  # what is said of a picture that loses something, and what the table says
    "transparency": "on white",
    "one channel of grey (it has three that are equal)": "three channels",
    "16 bits a value (it has 8)": "8 bits",
}


def kept(source, target):
    """What becomes of a picture that is read and written again, as the table says it."""
    try:
        lost = save_picture(load_picture(source), target)
    except ValueError:
        return "refused"
    return ", ".join(WORDS.get(words, "lost") for words in lost) or "kept"


@needs_pillow
class TestWhatIsKept(PictureCase):
    def test_the_table_says_what_happens(self):
        lines = TABLE.read_text(encoding="utf-8").splitlines()
        rows = [re.split(r" \| ", line.strip("| ")) for line in lines if line.startswith("| ")]
        start = next(number for number, row in enumerate(rows) if row[0] == "input")
        self.assertEqual(rows[start][1:], list(ENDINGS))
        for kind, *cells in rows[start + 2 :]:
            path = kinds.write(kind, self.folder)
            for name, cell in zip(ENDINGS, cells, strict=True):
                with self.subTest(kind, to=name):
                    self.assertEqual(kept(path, self.folder / f"copy{ENDINGS[name]}"), cell)

    def test_pixels_and_metadata_are_afterwards_what_they_were(self):
        for kind in ("RGB", "grey", "transparent", "CMYK", "grey, 16 bits", "ICC profile", "text"):
            path = kinds.write(kind, self.folder)
            copied, lost = self.copy(path)
            with self.subTest(kind), pillow().open(path) as before, pillow().open(copied) as after:
                self.assertEqual(lost, [])
                self.assertEqual(after.mode, before.mode)
                self.assertEqual(after.tobytes(), before.tobytes())
                self.assertEqual(after.info.get("icc_profile"), before.info.get("icc_profile"))
                self.assertEqual(getattr(after, "text", None), getattr(before, "text", None))

    def test_transparent_pixels(self):
        clear = image("RGBA")
        clear.putalpha(0)
        clear.save(self.folder / "a.png")
        copied, _ = self.copy(self.folder / "a.png", ".webp")
        self.assertEqual(load_picture(copied).pixels.tolist(), kinds.smooth(3).tolist())
        copied, _ = self.copy(self.folder / "a.png", ".jpg")
        self.assertEqual(load_picture(copied).pixels.unique().tolist(), [255])


@needs_pillow
class TestOutputs(PictureCase):
    def test_endings(self):
        for name in ("a.gif", "a.bmp", "a.jp2", "a.avif", "a.xyz", "a"):
            with self.subTest(name), self.assertRaisesRegex(ValueError, "must name a format"):
                check_picture_output(self.folder / name)
        for name in ("a.png", "a.JPG", "a.jpeg", "a.tif", "a.tiff", "a.webp"):
            self.assertEqual(check_picture_output(self.folder / name), self.folder / name)
        self.assertEqual(list(self.folder.iterdir()), [])

    @unittest.skipUnless(hasattr(os, "mkfifo"), "there are no pipes with names")
    def test_devices_and_pipes_are_refused(self):
        os.mkfifo(self.folder / "pipe.png")
        (self.folder / "null.png").symlink_to(os.devnull)
        for name in ("pipe.png", "null.png"):
            with self.subTest(name), self.assertRaisesRegex(OSError, "device or a pipe"):
                check_picture_output(self.folder / name, overwrite=True)

    def test_sides_are_checked(self):
        with self.assertRaisesRegex(ValueError, "holds 16383 pixels a side, .* 16384 x 5"):
            pictures.check_sides(5, 16384, self.folder / "a.webp")
        pictures.check_sides(5, 16384, self.folder / "a.jpg")

    def test_an_error_leaves_the_old_file(self):
        path = self.folder / "a.png"
        path.write_bytes(b"mine")
        self.patch(mock.patch.object(pillow().Image, "save", side_effect=OSError("disk full")))
        with self.assertRaisesRegex(OSError, "disk full"):
            pictures.write_picture(random_images(1, 4, 4)[0], path)
        self.assertEqual(list(self.folder.iterdir()), [path])
        self.assertEqual(path.read_bytes(), b"mine")


@needs_pillow
class TestComparison(PictureCase):
    def test_images_lie_in_a_grid(self):
        rows = [random_images(2, 5, 4, seed).float() for seed in (0, 1)]
        grid = pictures.comparison(rows, scale=2, gap=3)
        self.assertEqual(grid.shape, (3, 3 + 2 * (10 + 3), 3 + 2 * (8 + 3)))
        for row, images in enumerate(rows):
            for column, picture in enumerate(images):
                top, left = 3 + row * 13, 3 + column * 11
                found = grid[:, top : top + 10, left : left + 8]
                self.assertTrue(torch.equal(found, interpolate(picture[None], scale_factor=2)[0]))

    def test_labels_stand_at_the_left(self):
        grid = pictures.comparison([random_images(1, 20, 20)] * 2, labels=("noisy", "clean"))
        margin = grid[0, :, :LABEL_WIDTH]
        for half in margin.chunk(2):
            self.assertLess(half.min(), 100)

    def test_captions_stand_below_their_columns(self):
        images = random_images(2, 20, 20)
        without = pictures.comparison([images])
        grid = pictures.comparison([images], captions=("18 dB", "20 dB"))
        height = without.shape[1]
        self.assertTrue(torch.equal(grid[:, :height], without))
        for half in grid[0, height:].chunk(2, 1):
            self.assertLess(half.min(), 100)
