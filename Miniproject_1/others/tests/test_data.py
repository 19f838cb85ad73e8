"""Pairs of images: noises, data files, photographs, and a user's own shots."""

import contextlib
import io

import torch
import torch.nn.functional as F

from ..data import course_noise, files, noises, photographs, shots
from ..metrics import LOSSES
from ..pictures import write_picture
from . import TestCase, needs_pillow, random_images


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scene(seed, side=160):
    """A picture (3, side, side) with soft edges and fine texture, values 40 to 215."""
    picture = torch.zeros(1, 3, side, side)
    for cell, weight in ((25, 0.5), (8, 0.3), (2, 0.2)):
        number = side // cell + 1
        coarse = random_images(1, number, number, seed + cell).float()
        picture += weight * F.interpolate(coarse, side, mode="bilinear")
    return 40 + picture[0] * (175 / 255)


def shot(picture, seed, sigma=10.0):
    """A noisy version as a file of 8 bits holds it."""
    noisy = picture + sigma * torch.randn(picture.shape, generator=generator(seed))
    return noisy.round().clamp(0, 255)


class TestCourseNoise(TestCase):
    def test_a_noisy_image_takes_a_pixel_of_each_block_and_the_clean_one_the_mean(self):
        crop = random_images(1, 96, 96)[0]
        block = crop[:, 15:18, 21:24]  # that of the pixel in row 5 and column 7
        colours = block.flatten(1).t()  # (9, 3)
        draw = generator()
        images = [course_noise.sample_blocks(crop, draw) for _ in range(400)]
        drawn = [image[:, 5, 7] for image in images]
        self.assertSame(torch.stack(drawn).unique(dim=0), colours.unique(dim=0))
        clean = course_noise.average_blocks(crop)
        self.assertClose(clean[:, 5, 7], colours.float().mean(0), 0.51)

    def test_a_crop_has_75_to_100_percent_of_the_short_side(self):
        photograph = random_images(1, 400, 500)[0]
        draw = generator()
        crops = [course_noise.random_crop(photograph, draw) for _ in range(200)]
        sides = {tuple(crop.shape[1:]) for crop in crops}
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
        noise, draw = noises.named_noise(name), generator()
        return torch.stack([noise(self.clean, draw) for _ in range(number)])

    def test_over_noisy_targets_the_loss_of_each_noise_is_least_at_the_clean_images(self):
        for name, noise in noises.NOISES.items():
            with self.subTest(name):
                self.assertTrue(noise.lowest <= noise.default <= noise.highest)
                targets = self.draws_of(name, 60).flatten(0, 1) / 255
                losses = []
                for offset in (-8, 0, 8):
                    output = (self.clean + offset).repeat(60, 1, 1, 1) / 255
                    losses.append(LOSSES[noise.loss](output, targets).item())
                self.assertEqual(min(losses), losses[1])

    def test_a_noise_has_the_strength_that_is_asked_for_and_is_not_cut_off(self):
        for name, variance in (("gaussian:60", 60**2), ("Poisson:4", self.clean * 255 / 4)):
            noise = self.draws_of(name) - self.clean
            ratio = noise.square() / variance
            self.assertAlmostEqual(ratio.mean().item(), 1, delta=0.02)
        self.assertLess(self.draws_of("gaussian:60").min(), -50)
        draws = self.draws_of("BERNOULLI:0.3")
        self.assertTrue(((draws == 0) | (draws == self.clean)).all())
        missing = (draws == 0).float().mean().item()
        self.assertAlmostEqual(missing, 0.3, delta=0.02)
        is_covered = (self.draws_of("text", 30) != self.clean).any(2).float()
        self.assertAlmostEqual(is_covered.mean().item(), 0.27, delta=0.04)

    def test_both_images_of_a_pair_show_the_same_square(self):
        photograph = random_images(1, 40, 50)[0]
        noise = noises.named_noise("gaussian:0")
        noisy, clean = noises.square_pair(photograph, generator(), noise, clean=True)
        self.assertEqual(noisy.shape, (3, 32, 32))
        self.assertEqual(noisy.dtype, torch.int16)
        self.assertSame(noisy, clean)


class TestDataFiles(TestCase):
    def test_what_does_not_hold_pairs_is_refused(self):
        good = random_images(2, 4, 4)
        not_a_number = good.float()
        not_a_number[1, 2, 3, 3] = torch.nan
        wrong = {
            "one tensor": good,
            "three": [good] * 3,
            "no images": (good[0], good[0]),
            "grey": (good[:, :1], good[:, :1]),
            "empty": (good[:0], good[:0]),
            "bool": (good > 9, good > 9),
            "sparse": (good.to_sparse(), good.to_sparse()),
            "no tensors": (good.tolist(), good.tolist()),
            "sizes": (good, good[:1]),
        }
        for name, content in wrong.items():
            torch.save(content, self.folder / name)
            with self.assertRaisesRegex(ValueError, f"{name} does not hold two tensors of images"):
                files.load_pairs(self.folder / name, "")
        torch.save((good, not_a_number), self.folder / "nan")
        with self.assertRaisesRegex(ValueError, "nan holds values that are not finite"):
            files.load_pairs(self.folder / "nan", "")
        (self.folder / "text").write_text("hello")
        with self.assertRaisesRegex(ValueError, r"text cannot be read; torch.save\(\(noisy, clean"):
            files.load_pairs(self.folder / "text", "")

    def test_a_folder_stands_for_the_file_in_it(self):
        good = random_images(2, 4, 4)
        torch.save([good, good], self.folder / "val_data.pkl")
        self.assertSame(files.load_pairs(self.folder, "val_data.pkl")[0], good)
        with self.assertRaisesRegex(FileNotFoundError, "train_data.pkl"):
            files.load_pairs(self.folder, "train_data.pkl")

    def test_the_loss_is_that_of_the_record_beside_the_data(self):
        path = self.folder / "train_data.pkl"
        self.assertEqual(files.load_loss(self.folder), "mse")
        record = self.folder / "train_data.json"
        record.write_text(files.record("text:0.1", "l1", 0))
        self.assertEqual(files.load_loss(self.folder), "l1")
        self.assertEqual(files.load_loss(path), "l1")
        for text in ("no record", "[]", "{}", files.record("salt", "huber", 0)):
            record.write_text(text)
            with self.assertRaisesRegex(ValueError, "train_data.json does not say which loss"):
                files.load_loss(self.folder)


class TestPhotographs(TestCase):
    def test_hidden_and_equal_files_are_left_out_and_other_kinds_are_counted(self):
        same = ("b.png", "c.png")
        hidden = (".d.png", ".folder/e.png")
        others = ("f.nef", "g.txt")
        for name in ("a/a.JPG", *same, *hidden, *others):
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text("same" if name in same else name)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            found = photographs.distinct_photographs(self.folder)
        self.assertEqual([path.name for path in found], ["a.JPG", "b.png"])
        self.assertIn("2 files of other kinds (.nef, .txt)", err.getvalue())

    @needs_pillow
    def test_one_bad_photograph_does_not_stop_the_others(self):
        paths = [self.folder / name for name in ("a.png", "b.png", "small.png", "z.png")]
        for path, height in zip(paths, (40, 40, 10, 40)):
            write_picture(torch.full((3, height, 50), 100), path)
        paths[1].write_bytes(b"no picture")
        with contextlib.redirect_stderr(io.StringIO()) as err:
            readable, num_failed = photographs.readable_photographs(paths, smallest=32)
        self.assertEqual([path.name for path in readable], ["a.png", "z.png"])
        self.assertEqual(num_failed, 1)
        self.assertRegex(err.getvalue(), "passed over: .*b.png")
        self.assertRegex(err.getvalue(), "small.png: 50 x 10 is too small, both sides need 32")

    def test_each_source_gives_the_same_number_of_pairs_in_random_order(self):
        def draw(content, generator):
            return torch.tensor(content), torch.tensor(-content)

        def drawn():
            with contextlib.redirect_stderr(io.StringIO()):
                return photographs.draw_pairs([1, 2, 3], 31, draw, generator(), read=int)

        first, second = drawn()
        self.assertSame(first, -second)
        self.assertSame(first, drawn()[0])
        counts = [(first == source).sum() for source in (1, 2, 3)]
        self.assertEqual(counts, [11, 10, 10])
        self.assertDiffer(first, first.sort().values)


class TestShots(TestCase):
    def test_shifts_are_found_in_noise(self):
        picture = scene(0, 200)
        for down, right in ((0, 0), (0, 1), (-1, 1), (2, 0), (-5, 3), (30, -20)):
            moved = picture.roll((down, right), (1, 2))
            for sigma in (5, 10):
                first = shot(picture[:, 30:170, 30:170], 1, sigma)
                second = shot(moved[:, 30:170, 30:170], 2, sigma)
                self.assertEqual(shots.shift(first, second), (down, right))

    def test_no_shift_is_told_where_nothing_shows_it(self):
        grey = torch.full((3, 100, 130), 128.0)
        self.assertIsNone(shots.shift(grey, shot(grey, 1)))
        for seed in range(5):
            for picture, other, sigma in (
                (grey, grey, 10),
                (scene(seed), scene(seed + 1), 10),
                (scene(seed, 64), scene(seed, 64), 200),
            ):
                first = shot(picture, seed, sigma)
                second = shot(other, seed + 10, sigma)
                self.assertIsNone(shots.shift(first, second))

    def test_shots_that_are_no_pair_are_told_why(self):
        first = shot(scene(9), 1)
        second = shot(scene(9), 2)
        self.assertTrue(shots.check_shots(first, second))
        warmer = second.clone()
        warmer[0] += 5
        cases = {
            "identical": first,
            "differ in size, 160 x 160 and 100 x 160": second[:, :, :100],
            r"shifted by \+0 pixels to the right and \+2 down": second.roll(2, 1),
            r"are \+1.{3}, \+1.{3}, \+1.{3} of 255 off; exposure": second * 1.15,
            r"are \+5.., [+-]0.., [+-]0.. of 255 off; .*white balance": warmer,
        }
        for words, other in cases.items():
            with self.assertRaisesRegex(ValueError, words):
                shots.check_shots(first, other)

    def test_neighbours_are_two_pixels_that_touch_in_each_cell(self):
        cells = 10 * torch.arange(6).view(2, 3)
        places = torch.tensor([[0, 1], [2, 3]])  # in each cell
        values = cells.repeat_interleave(2, 0).repeat_interleave(2, 1) + places.repeat(2, 3)
        picture = torch.stack([values, values + 100, values + 200])  # (3, 4, 6)
        draw = generator()
        seen = set()
        for _ in range(200):
            first, second = shots.neighbours(picture, draw)
            self.assertSame(first - first[:1], second - second[:1])  # the same in each channel
            self.assertSame(first[0] // 10 * 10, cells)
            self.assertSame(second[0] // 10 * 10, cells)
            chosen = [image[0, 1, 2].item() % 10 for image in (first, second)]
            seen.add("{} {}".format(*chosen))
        self.assertEqual(seen, {"0 1", "1 0", "2 3", "3 2", "0 2", "2 0", "1 3", "3 1"})

    def test_scenes_are_found_by_their_path_without_the_ending(self):
        for name in ("a/deep/x.png", "a/y.JPG", "a/alone.png", "b/deep/x.tif", "b/y.png"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()
        folders = (self.folder / "a", self.folder / "b")
        with contextlib.redirect_stderr(io.StringIO()) as err:
            found = shots.scenes_of(*folders)
        names = [[path.name for path in paths] for paths in found]
        self.assertEqual(names, [["x.png", "x.tif"], ["y.JPG", "y.png"]])
        self.assertRegex(err.getvalue(), "passed over 1 pictures without a partner .*alone.png")
        (self.folder / "a" / "y.png").touch()
        with self.assertRaisesRegex(ValueError, "y.JPG and .*y.png have the same name"):
            shots.scenes_of(*folders)
