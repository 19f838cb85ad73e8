"""Picture files: what is read of them, and what of them is kept."""

from ...pictures import load_picture, save_picture
from .. import TestCase

ENDINGS = {"PNG": ".png", "TIFF": ".tif", "JPEG": ".jpg", "WebP": ".webp"}


class PictureCase(TestCase):
    def copy(self, path, ending=None):
        """Read and write a picture; returns the new path, and what was said to be lost."""
        copied = self.folder / f"copy{ending or path.suffix}"
        return copied, save_picture(load_picture(path), copied)
