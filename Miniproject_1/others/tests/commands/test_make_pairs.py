"""`make-pairs`: data files from a user's own shots."""

from unittest import mock

from ...commands import make_pairs
from ...data.files import load_pairs
from ...pictures import write_picture
from .. import needs_pillow
from ..data.test_checks import scene, shot
from . import CommandCase

FEW = ("--train-pairs", 30, "--validation-pairs", 8)


@needs_pillow
class TestMakePairs(CommandCase):
    def setUp(self):
        super().setUp()
        for index in range(5):
            self.write_scene(index)

    def write(self, name, picture):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(picture, path)

    def write_scene(self, index):
        """Two shots with a red of their own, and a clean picture of the first three scenes."""
        clean = scene(index, 120)
        shots = [shot(clean, 10 * index), shot(clean, 10 * index + 1)]
        for picture in (clean, *shots):
            picture[0] = 40 * index
        self.write(f"a/deep/{index}.png", shots[0])
        self.write(f"b/deep/{index}.tif", shots[1])
        if index < 3:
            self.write(f"clean/deep/{index}.png", clean)

    def reds(self, images):
        return set(images[:, 0].flatten().tolist())

    def test_cuts_the_same_squares_from_both_and_keeps_scenes_apart(self):
        status, out, err = self.run_command("make-pairs", "a", "b", "out", "--clean", "clean", *FEW)
        self.assertEqual((status, "warning" in err), (0, False), err)
        self.assertIn("30 pairs from 4 scenes", out)
        noisy_1, noisy_2 = load_pairs(self.folder / "out", "train_data.pkl")
        noisy, clean = load_pairs(self.folder / "out", "val_data.pkl")
        self.assertEqual((len(noisy_1), len(noisy)), (30, 8))
        self.assertTrue(noisy_1[:, 0].equal(noisy_2[:, 0]))
        for first, second, sigma in ((noisy_1, noisy_2, 10 * 2**0.5), (noisy, clean, 10)):
            difference = first[:, 1:].float() - second[:, 1:].float()
            self.assertAlmostEqual(difference.std().item(), sigma, delta=1)
        trained, validated = self.reds(noisy_1), self.reds(noisy)
        self.assertEqual((len(trained), len(validated)), (4, 1))
        self.assertFalse(trained & validated)
        self.assertLess(max(validated), 120)  # a scene with a clean picture

    def test_a_file_that_is_not_in_its_place_makes_the_status_1(self):
        elsewhere = self.folder / "elsewhere.pkl"
        self.patch(mock.patch.object(make_pairs, "save_somewhere", return_value=elsewhere))
        status, out, _ = self.run_command("make-pairs", "a", "b", "out", "--train-pairs", 30)
        self.assertEqual((status, out.count(f"{elsewhere}: ")), (1, 1))

    def test_pictures_that_do_not_fit_are_named_and_passed_over(self):
        self.write("a/alone.png", scene(7, 120))
        self.write("a/shifted.png", shot(scene(8, 120), 1))
        self.write("b/shifted.png", shot(scene(8, 120).roll(2, 1), 2))
        status, out, err = self.run_command("make-pairs", "a", "b", "out", *FEW)
        self.assertEqual(status, 0)
        self.assertIn("passed over a/alone.png: it has no partner", err)
        self.assertRegex(err, "passed over a/shifted.png and b/shifted.png: .*shifted by")
        self.assertIn("30 pairs from 5 scenes", out)
        self.write("a/broken.png", scene(9, 120))
        (self.folder / "b" / "broken.png").write_bytes(b"no picture")
        status, out, err = self.run_command("make-pairs", "a", "b", "new", *FEW)
        self.assertEqual(status, 1)
        self.assertRegex(err, "passed over a/broken.png and b/broken.png: .*cannot be read")

    def test_clean_pictures_that_do_not_fit_are_named_and_the_scene_is_trained_on(self):
        self.write("c/deep/0.png", scene(0, 100))
        self.write("c/other.png", scene(7, 120))
        self.write("c/deep/1.png", scene(1, 120))
        options = ("--clean", "c", *FEW)
        status, out, err = self.run_command("make-pairs", "a", "b", "out", *options)
        self.assertEqual(status, 0, err)
        self.assertRegex(err, "not validated on: a/deep/0.png and c/deep/0.png: they differ")
        self.assertIn("passed over c/other.png: it has no partner", err)
        self.assertIn("30 pairs from 4 scenes", out)

    def test_noise_that_is_not_independent_is_warned_of(self):
        first = shot(scene(6, 120), 1)
        self.write("c/made.png", first)
        self.write("d/made.png", shot(first, 2))
        status, _, err = self.run_command("make-pairs", "c", "d", "out", *FEW)
        self.assertEqual(status, 0)
        self.assertRegex(err, "warning: 1 of 1 pairs, d/made.png .*contains the noise of the first")

    def test_folders_without_usable_scenes_are_refused(self):
        self.refuse("nowhere is not a folder", "make-pairs", "a", "nowhere", "out")
        (self.folder / "empty").mkdir()
        _, _, err = self.run_command("make-pairs", "a", "empty", "out")
        self.assertIn("no two pictures of the same scene can be used", err)
