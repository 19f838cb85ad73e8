"""Data files of a user's own: two shots of every scene, and noises other than the course's."""

import torch
import torch.nn.functional as F

from ..data import noises, pictures, shots
from ..data.pairs import SAMPLE, load_pairs
from . import TestCase, needs_pillow, random_images
from .test_commands import CommandCase


def scene(seed, side=120):
    """A picture (3, side, side) with edges: large random squares, softened a little."""
    coarse = random_images(1, side // 12, side // 12, seed)[0].float()
    fine = coarse.repeat_interleave(12, 1).repeat_interleave(12, 2)
    return F.avg_pool2d(F.pad(fine[None], (1, 1, 1, 1), mode="reflect"), 3, 1)[0]


def shot(picture, seed, sigma=10.0):
    return picture + sigma * torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))


class TestShift(TestCase):
    def test_finds_shifts_of_fractions_of_a_pixel_in_noise(self):
        large = scene(0, 240)
        for down, right in ((0, 0), (0.5, 0.25), (-1, 2), (3.25, -0.75), (-7, 7)):
            axis = torch.arange(200.0) + 20
            rows, columns = torch.meshgrid(axis - down, axis - right, indexing="ij")
            grid = torch.stack([columns, rows], 2)[None] / 239 * 2 - 1
            moved = F.grid_sample(large[None], grid, mode="bicubic", align_corners=True)[0]
            found = shots.shift(shot(large[:, 20:220, 20:220], 1), shot(moved, 2))
            self.assertLess(max(abs(found[0] - down), abs(found[1] - right)), 0.15, (down, right, found))

    def test_noise_alone_has_no_shift(self):
        flat = torch.full((3, 100, 130), 128.0)
        for seed in range(5):
            self.assertEqual(shots.shift(shot(flat, seed), shot(flat, seed + 10)), (0, 0))


@needs_pillow
class TestShots(CommandCase):
    def write(self, name, picture):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write_picture(picture, path)

    def scenes(self, number=5):
        """Two folders of shots, every scene with a red of its own, and a folder of clean pictures of three."""
        for index in range(number):
            picture = scene(index)
            for folder in "ab":
                noisy = shot(picture, 10 * index + ord(folder))
                noisy[0] = 40 * index
                self.write(f"{folder}/deep/{index}.{'png' if folder == 'a' else 'bmp'}", noisy)
            if index < 3:
                picture[0] = 40 * index
                self.write(f"clean/deep/{index}.png", picture)

    def test_cuts_the_same_squares_from_both_and_keeps_scenes_apart(self):
        self.scenes()
        command = ("make-data", "--pairs", "a", "b", "out", "--clean", "clean", "--train-pairs", 30)
        command += ("--validation-pairs", 8)
        out = self.succeed(*command)
        self.assertIn("30 pairs from 4 scenes", out)
        noisy_1, noisy_2 = load_pairs(self.folder / "out", "train_data.pkl")
        noisy, clean = load_pairs(self.folder / "out", "val_data.pkl")
        self.assertEqual([len(each) for each in (noisy_1, noisy_2, noisy, clean)], [30, 30, 8, 8])
        self.assertTrue(torch.equal(noisy_1[:, 0], noisy_2[:, 0]))
        for first, second, sigma in ((noisy_1, noisy_2, 10 * 2**0.5), (noisy, clean, 10)):
            difference = (first[:, 1:].float() - second[:, 1:].float()).std()
            self.assertAlmostEqual(difference.item(), sigma, delta=2)  # less where values are cut off
        reds = [set(each[:, 0].flatten().tolist()) for each in (noisy_1, noisy)]
        self.assertEqual((len(reds[0]), len(reds[1]), reds[0] & reds[1]), (4, 1, set()))
        self.assertLess(max(reds[1]), 120)  # it has a clean picture
        self.refuse("exists already", *command)
        first = (self.folder / "out" / "train_data.pkl").read_bytes()
        self.succeed(*command, "--overwrite")
        self.assertEqual(first, (self.folder / "out" / "train_data.pkl").read_bytes())
        self.succeed("train", "out", "--epochs", 1, "--batch-size", 30, "--no-hybrid")

    def test_pairs_that_cannot_be_learned_from_are_named(self):
        self.scenes(3)
        big = scene(9, 132)
        for name, first, second in (
            ("identical", big, big),
            ("smaller", big, big[:, :, :100]),
            ("tiny", big[:, :20, :20], big[:, :20, :20] + 1),
            ("shifted", shot(big[:, :120, :120], 1), shot(big[:, 2:122, :120], 2)),
        ):
            self.write(f"a/{name}.png", first)
            self.write(f"b/{name}.png", second)
        self.write("a/alone.png", big)
        (self.folder / "b" / "broken.png").write_bytes(b"no picture")
        self.write("a/broken.png", big)
        out = self.succeed("make-data", "out", "--train-pairs", 6, "--pairs", "a", "b")
        for words in (
            r"a/identical.png and b/identical.png: they are identical",
            r"smaller.png: they differ in size, 132 x 132 and 100 x 132",
            r"tiny.png: 20 x 20 is too small",
            r"shifted.png: the second is shifted by [-+]0.\d pixels to the right and -[12].\d down; align them",
            r"passed over a/alone.png: it has no partner",
            r"broken.png cannot be read",
        ):
            self.assertRegex(out, words)
        self.assertEqual(out.count("passed over"), 6)
        self.assertIn("6 pairs from 3 scenes", out)
        self.assertFalse((self.folder / "out" / "val_data.pkl").exists())

    def test_what_does_not_go_together_is_refused(self):
        self.scenes(2)
        self.refuse("nowhere is not a folder", "make-data", "--pairs", "a", "nowhere", "out")
        self.refuse("small_crops, noise cannot be combined", "make-data", "--pairs", "a", "b", "out", "--noise", "text",
                    "--small-crops", 0.5)  # fmt: skip
        self.refuse("--clean goes with --pairs", "make-data", "a", "out", "--clean", "clean")
        self.write("a/deep/1.tif", scene(1))
        self.refuse("have the same name", "make-data", "--pairs", "a", "b", "out")
        (self.folder / "empty").mkdir()
        status, _, err = self.run_command("make-data", "--pairs", "b", "empty", "out")
        self.assertEqual((status, "no two pictures of the same scene can be used" in err), (2, True))


@needs_pillow
class TestNoises(CommandCase):
    def setUp(self):
        super().setUp()
        (self.folder / "photos").mkdir()
        for index in range(4):
            pictures.write_picture(torch.full((3, 40, 50), 50 + 40 * index), self.folder / "photos" / f"{index}.png")

    def make(self, noise, *options):
        out = self.succeed("make-data", "photos", "out", "--train-pairs", 60, "--validation-pairs", 20, "--overwrite",
                           "--validation-share", 0.5, "--noise", noise, *options)  # fmt: skip
        return out, *load_pairs(self.folder / "out", "train_data.pkl"), *load_pairs(self.folder / "out", "val_data.pkl")

    def test_gaussian_and_poisson_have_their_strength_and_are_not_cut_off(self):
        for noise, variance in (("gaussian:60", lambda x: 3600.0), ("poisson:4", lambda x: x * 255 / 4)):
            _, noisy_1, noisy_2, noisy, clean = self.make(noise)
            self.assertEqual({images.dtype for images in (noisy_1, noisy_2, noisy, clean)}, {torch.int16})
            level = clean.float().mean((1, 2, 3))
            self.assertEqual(clean.float().std((1, 2, 3)).max(), 0)
            found = (noisy.float() - clean).var((1, 2, 3)) / variance(level)
            self.assertLess((found - 1).abs().mean(), 0.1)
            self.assertAlmostEqual((noisy.float() - clean).mean().item(), 0, delta=1.5)
            products = (noisy_1.float() - noisy_1.float().mean((1, 2, 3), keepdim=True)) * (
                noisy_2.float() - level.mean()
            )
            self.assertLess(products.mean().abs(), 0.05 * variance(level.mean()))
        self.assertLess(self.make("gaussian:60")[1].min(), -50)

    def test_bernoulli_and_text_say_which_loss_they_want(self):
        out, noisy_1, noisy_2, *_ = self.make("bernoulli:0.25")
        self.assertAlmostEqual((noisy_1 == 0).float().mean().item(), 0.25, delta=0.02)
        self.assertAlmostEqual(((noisy_1 == 0) & (noisy_2 == 0)).float().mean().item(), 0.0625, delta=0.02)
        self.assertIn("train out --loss masked", out)
        out, _, _, noisy, clean = self.make("text:0.3")
        self.assertIn("--loss l1", out)
        self.assertAlmostEqual(((noisy != clean).any(1)).float().mean().item(), 0.32, delta=0.05)
        record = []
        for loss in ("mse", "l1", "masked"):
            self.succeed("train", "out", "--loss", loss, "--output", f"{loss}.pth", "--batch-size", 60, "--no-hybrid")
            record.append(self.weights(f"{loss}.pth")["0.weight"])
        self.assertFalse(torch.equal(record[0], record[1]) or torch.equal(record[1], record[2]))

    def test_noises_that_do_not_exist_are_refused(self):
        for noise, words in (
            ("salt", "noise must be one of 'gaussian'"),
            ("gaussian:x", "gaussian:X with X a number from 0 to 255"),
            ("bernoulli:1", "from 0 to 0.99"),
            ("poisson:nan", "number from 1"),
        ):
            self.refuse(words, "make-data", "photos", "out", "--noise", noise)
        self.refuse("is for the course's noise", "make-data", "photos", "out", "--noise", "text", "--small-crops", 0.5)

    def test_a_clean_image_is_left_as_it_is(self):
        _, clean = (images.float() for images in load_pairs(SAMPLE, "val_data.pkl"))
        before, generator = clean[:4].clone(), torch.Generator().manual_seed(0)
        for noise, _ in noises.NOISES.values():
            noise(clean[:4], generator)
            self.assertTrue(torch.equal(clean[:4], before))
