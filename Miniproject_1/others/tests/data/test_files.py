"""Data files are checked, and read where they are indexed."""

import os

import torch

from ...data import files
from .. import TestCase, random_images


class TestDataFiles(TestCase):
    def test_what_does_not_hold_pairs_is_refused(self):
        good = random_images(2, 4, 4)
        wrong = {
            "single": good,
            "flat": (good[0], good[0]),
            "shapes": (good, good[:1]),
            "three": [good] * 3,
            "grey": (good[:, :1], good[:, :1]),
            "empty": (good[:0], good[:0]),
        }
        for name, content in wrong.items():
            torch.save(content, self.folder / name)
            with self.assertRaisesRegex(ValueError, f"{name} must hold two tensors"):
                files.load_pairs(self.folder / name, "")

    def test_a_folder_stands_for_the_file_in_it(self):
        good = random_images(2, 4, 4)
        torch.save([good, good], self.folder / "val_data.pkl")
        self.assertSame(files.load_pairs(self.folder, "val_data.pkl")[0], good)
        with self.assertRaisesRegex(FileNotFoundError, "train_data.pkl does not exist"):
            files.load_pairs(self.folder, "train_data.pkl")

    def test_a_pickle_that_runs_code_is_refused(self):
        marker = self.folder / "executed"
        path = self.folder / "attack"

        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        torch.save(Attack(), path)
        with self.assertRaisesRegex(ValueError, "attack"):
            files.load_pairs(path, "")
        self.assertFalse(marker.exists())


class TestSample(TestCase):
    def test_images_of_one_photograph_are_alike(self):
        """Their mean colours vary much less than those of all images."""
        _, clean = files.load_pairs(files.SAMPLE, "val_data.pkl")
        colours = clean.float().mean((2, 3))  # (210, 3)
        photographs = files.sample_photographs()
        self.assertEqual(sorted(sum(photographs.values(), [])), list(range(210)))
        within = torch.stack([colours[images].var(0) for images in photographs.values()])
        self.assertLess(within.mean(), 0.2 * colours.var(0).mean())
        for name in photographs:
            self.assertIn(f"`{name}`", (files.SAMPLE / "sources.md").read_text())
