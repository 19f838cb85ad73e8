"""Pairs made from photographs, data files, picture files, noises."""

import math
import os
import pickle
import shutil
import unittest
from pathlib import Path
from unittest import mock

import torch

from ...model import load_file
from ..data import files, noises, photos, pictures
from ..data.pairs import SAMPLE, described, load_pairs, psnr
from . import TestCase, needs_pillow, random_images, thorough


class TestNoise(TestCase):
    def test_noise_takes_a_pixel_of_each_block_and_clean_is_the_mean(self):
        generator = torch.Generator().manual_seed(0)
        crop = random_images(1, 96, 96)[0]
        draws = torch.stack([photos.sample_blocks(crop, generator) for _ in range(400)])
        blocks = crop.view(3, 32, 3, 32, 3).permute(0, 1, 3, 2, 4).flatten(3)  # (3, 32, 32, 9)
        pixels = blocks[:, 5, 7].t().tolist()
        for draw in draws[:50, :, 5, 7].tolist():
            self.assertIn(draw, pixels)
        self.assertEqual(len({tuple(draw) for draw in draws[:, :, 5, 7].tolist()}), 9)
        clean = photos.average_blocks(crop)
        self.assertLess((clean.float() - blocks.float().mean(3)).abs().max(), 0.51)
        self.assertLess((draws.float().mean(0) - clean).abs().mean(), 5)

    @needs_pillow
    def test_other_noises_have_the_clean_image_as_their_mean(self):
        """Missing pixels do not count, and of letters most pixels are free."""
        clean = random_images(4, 32, 32).float().clamp(min=1)
        generator = torch.Generator().manual_seed(0)
        for name, (noise, _) in noises.NOISES.items():
            with self.subTest(name):
                draws = torch.stack([noise(clean.clone(), generator) for _ in range(300)])
                if name == "Bernoulli":
                    self.assertAlmostEqual((draws == 0).float().mean().item(), 0.5, delta=0.02)
                    draws[draws == 0] = math.nan
                mean = draws.median(0)[0] if name == "text" else draws.nanmean(0)
                self.assertLess((mean - clean).abs().mean(), 2.0)


@needs_pillow
class TestPhotoPairs(TestCase):
    def setUp(self):
        super().setUp()
        for index in range(3):  # each photograph has a red of its own; green and blue tell the place of a pixel
            pixels = torch.stack(torch.meshgrid(torch.arange(120), torch.arange(100 + index), indexing="ij"))
            pixels = torch.cat([torch.full_like(pixels[:1], 80 * index), pixels])
            pictures.write_picture(pixels, self.folder / f"{index}.png")
        self.paths = sorted(self.folder.glob("*.png"))

    def test_a_batch_follows_from_seed_and_step_alone(self):
        first = photos.PhotoPairs(self.paths, 8, 0.4, seed=5)
        later = photos.PhotoPairs(self.paths, 8, 0.4, seed=5)
        batches = [first(step) for step in (0, 1, 7)]
        for one, other in zip(reversed(batches), (later(step) for step in (7, 1, 0))):
            self.assertTrue(all(map(torch.equal, one, other)))
        self.assertFalse(torch.equal(batches[0][0], batches[1][0]))
        self.assertFalse(torch.equal(batches[0][0], photos.PhotoPairs(self.paths, 8, 0.4, seed=6)(0)[0]))

    def test_images_are_two_draws_of_the_blocks_of_one_crop(self):
        noisy_1, noisy_2 = photos.PhotoPairs(self.paths, 200, small_crops=0.5)(0)
        self.assertEqual((noisy_1.shape, noisy_1.dtype), ((200, 3, 32, 32), torch.uint8))
        self.assertEqual(set(noisy_1[:, 0].flatten().tolist()), {0, 80, 160})
        kinds, blocks = set(), set()
        for first, second in zip(noisy_1.int(), noisy_2.int()):
            self.assertEqual(len(first[0].unique()), 1)
            rows, columns = first[1:]
            transposed = (rows[0] - rows[-1]).abs().float().mean() < (rows[:, 0] - rows[:, -1]).abs().float().mean()
            kinds.add((bool(transposed), bool(rows[0, 0] > rows[-1, -1]), bool(columns[0, 0] > columns[-1, -1])))
            step = ((rows.max() - rows.min()) / 31).round().item()  # pixels from block to block: their side
            blocks.add(step)
            self.assertLess((first - second).abs().max(), step + 1)  # in one block, so less than its side apart
            self.assertGreater((first - second).abs().float().mean(), 0.1)  # drawn independently
        self.assertEqual(len(kinds), 8)
        self.assertEqual(blocks, {2, 3})

    def test_gaussian_noise_is_independent_on_both_images_and_not_cut_off(self):
        white = self.folder / "white.png"
        pictures.write_picture(torch.full((3, 100, 100), 255), white)
        noise = [images - 255 for images in photos.PhotoPairs([white], 2000, gaussian=0.5)(0)]
        sigmas = [images.std((1, 2, 3)) for images in noise]
        self.assertEqual([(each == 0).float().mean().item() for each in sigmas], [(sigmas[0] == 0).float().mean()] * 2)
        self.assertAlmostEqual((sigmas[0] > 0).float().mean().item(), 0.5, delta=0.05)
        self.assertLess((sigmas[0] - sigmas[1]).abs().max(), 1.5)  # alike strong
        self.assertAlmostEqual(sigmas[0][sigmas[0] > 0].mean().item(), 7.5, delta=0.6)
        self.assertLess(sigmas[0].max(), 16)
        for images in noise:
            self.assertAlmostEqual(images.mean().item(), 0, delta=0.03)
        self.assertAlmostEqual((noise[0] * noise[1]).mean().item(), 0, delta=0.1)


class TestFiles(TestCase):
    def test_outputs_are_checked_before_any_work(self):
        there = self.folder / "there.txt"
        there.write_text("mine")
        for path, words in (
            (self.folder, "is a folder"),
            (self.folder / "no" / "o.png", "no does not exist"),
            (there / "o.png", "does not exist"),
            (there, "exists already.*--overwrite"),
            (self.folder / ("a" * 300), "name too long|exists|written"),
        ):
            with self.subTest(path.name[:9]), self.assertRaisesRegex(OSError, words):
                files.check_output(path)
        self.assertEqual(files.check_output(there, overwrite=True), there)
        self.assertEqual(files.check_output(self.folder / "free"), self.folder / "free")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["there.txt"])
        self.assertEqual(there.read_text(), "mine")

    def test_what_was_there_stays_until_the_new_file_is_whole(self):
        path = self.folder / "file.pth"
        path.write_bytes(b"good")
        for error in (KeyboardInterrupt, ValueError, OSError):
            with self.assertRaises(error), files.replaced(path) as temporary:
                temporary.write_bytes(b"half")
                self.assertEqual((path.read_bytes(), temporary.suffix), (b"good", ".pth"))
                raise error
            self.assertEqual([each.read_bytes() for each in self.folder.iterdir()], [b"good"])

    def test_links_and_permissions_stay(self):
        target, link = self.folder / "target", self.folder / "link"
        target.write_bytes(b"old")
        target.chmod(0o640)
        link.symlink_to(target)
        files.save([1], link)
        self.assertTrue(link.is_symlink())
        self.assertEqual((load_file(target), target.stat().st_mode & 0o777), ([1], 0o640))

    def test_no_file_of_the_users_is_touched(self):
        names = ("m.pth.part", "part-m.pth", ".m.pth.part", "m.pth.tmp", ".part-m.pth")
        for name in names:
            (self.folder / name).write_text("mine")
        files.save([1], self.folder / "m.pth")
        (self.folder / ".part-same.pth").write_text("mine")
        with mock.patch.object(files.secrets, "token_hex", return_value="same"), self.assertRaises(OSError):
            files.save([1], self.folder / "m.pth")
        (self.folder / ".part-same.pth").unlink()
        self.assertEqual({path.name for path in self.folder.iterdir()}, {*names, "m.pth"})
        for name in names:
            self.assertEqual((self.folder / name).read_text(), "mine")

    @thorough
    def test_a_full_disk_leaves_the_file_that_was_there(self):
        """The limit on the size of a file stands for a full disk."""
        code = """
import resource, sys, torch
from pathlib import Path
from Miniproject_1.model import Model
from Miniproject_1.others.data.files import save
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
path = Path(sys.argv[1])
path.write_bytes(b"good")
try:
    save(Model().network.state_dict(), path)
except OSError as error:
    assert f"{path} cannot be written" in str(error), error
else:
    raise AssertionError("no error")
assert path.read_bytes() == b"good" and len(list(path.parent.iterdir())) == 1
"""
        self.python(code, self.folder / "file")

    def test_data_files_are_checked(self):
        good = random_images(2, 4, 4)
        for name, content in dict(
            single=good, flat=(good[0], good[0]), shapes=(good, good[:1]), three=[good] * 3
        ).items():
            torch.save(content, str(self.folder / name))
            with self.assertRaisesRegex(ValueError, f"{name} must hold two tensors"):
                load_pairs(self.folder / name, "")
        torch.save([good, good], str(self.folder / "val_data.pkl"))
        self.assertTrue(torch.equal(load_pairs(self.folder, "val_data.pkl")[0], good))
        with self.assertRaisesRegex(FileNotFoundError, "train_data.pkl does not exist"):
            load_pairs(self.folder, "train_data.pkl")

    @unittest.skipUnless(Path("/proc/self/maps").exists(), "memory maps are listed on Linux alone")
    def test_data_files_are_read_where_they_are_indexed(self):
        path = self.folder / "train_data.pkl"
        torch.save([random_images(2, 4, 4)] * 2, str(path))
        pairs = load_pairs(path, "")
        self.assertIn(str(path), Path("/proc/self/maps").read_text())
        del pairs
        torch.save([random_images(2, 4, 4)] * 2, str(path), _use_new_zipfile_serialization=False)
        self.assertEqual(load_pairs(path, "")[0].shape, (2, 3, 4, 4))  # a format that cannot be mapped

    def test_a_pickle_that_runs_code_is_refused(self):
        marker, path = self.folder / "executed", self.folder / "attack"

        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        for write in (lambda: torch.save(Attack(), str(path)), lambda: path.write_bytes(pickle.dumps(Attack()))):
            write()
            with self.assertRaisesRegex(ValueError, "attack"):
                load_file(path)
        self.assertFalse(marker.exists())

    @thorough
    def test_data_cut_off_anywhere_are_refused(self):
        path = self.folder / "truncated"
        shutil.copy(str(SAMPLE / "val_data.pkl"), str(path))
        for length in range(path.stat().st_size - 1, -1, -1000):
            os.truncate(str(path), length)
            with self.assertRaisesRegex(ValueError, "truncated"):
                load_pairs(path, "")


class TestScores(TestCase):
    def test_psnr_is_the_courses(self):
        images, clean = random_images(3, 4, 4), random_images(3, 4, 4, seed=1)
        error = ((images.double() - clean.double()) / 255).square().mean((1, 2, 3))
        self.assertTrue(torch.allclose(psnr(images, clean).double(), -10 * error.log10(), atol=1e-5))

    def test_exact_images_are_counted_apart(self):
        self.assertEqual(described(torch.tensor([20.0, 30.0])), " 25.00 dB")
        self.assertEqual(described(torch.tensor([20.0, math.inf, 30.0])), " 25.00 dB (1 exact, not in the mean)")
        self.assertEqual(described(torch.tensor([math.inf])), "   all exact")
