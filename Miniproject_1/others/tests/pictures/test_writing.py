"""What is kept of a picture when it is written to another file."""

import re
from pathlib import Path

from torch.nn.functional import interpolate

from ... import pictures
from ...pictures import load_picture, pillow, read_picture, save_picture
from .. import needs_pillow, random_images
from . import ENDINGS, PictureCase, kinds

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
        _, _, table = TABLE.read_text(encoding="utf-8").partition("| input |")
        header, _, *lines = [line for line in table.splitlines() if "|" in line]
        self.assertEqual(re.findall(r"\w+", header), list(ENDINGS))
        for line in lines:
            kind, *cells = line.strip("| ").split(" | ")
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

    def test_webp_is_lossless_and_jpeg_has_full_resolution_of_colours(self):
        from PIL.JpegImagePlugin import get_sampling

        path = kinds.write("RGB", self.folder)
        copied, _ = self.copy(path, ".webp")
        self.assertSame(read_picture(copied), read_picture(path))
        copied, _ = self.copy(path, ".jpg")
        with pillow().open(copied) as image:
            self.assertEqual(get_sampling(image), 0)


class TestComparison(PictureCase):
    def test_images_lie_in_a_grid(self):
        rows = [random_images(2, 5, 4, seed).float() for seed in (0, 1)]
        grid = pictures.comparison(rows, scale=2, gap=3)
        self.assertEqual(grid.shape, (3, 3 + 2 * (10 + 3), 3 + 2 * (8 + 3)))
        for row, images in enumerate(rows):
            for column, picture in enumerate(images):
                top, left = 3 + row * 13, 3 + column * 11
                found = grid[:, top : top + 10, left : left + 8]
                self.assertSame(found, interpolate(picture[None], scale_factor=2)[0])
