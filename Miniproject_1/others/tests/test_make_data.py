"""`make-data` and `make-pairs`: data files from photographs and from a user's own shots."""

import torch

from ..data.files import NEIGHBOURS, load_pairs, load_record
from . import needs_pillow, random_images
from .test_commands import CommandCase
from .test_data import scene, shot


def reds(images):
    """Every photograph has a red of its own, by which its crops are known."""
    return set(images[:, 0].flatten().tolist())


@needs_pillow
class TestMakeData(CommandCase):
    def setUp(self):
        super().setUp()
        for index in range(6):
            pixels = random_images(1, 100, 120, seed=index)[0]
            pixels[0] = 40 * index
            self.write(f"photos/{index}.png", pixels)

    def test_no_photograph_is_in_both_files_and_what_cannot_be_used_is_named(self):
        (self.folder / "photos" / "broken.jpg").write_bytes(b"no picture")
        self.write("photos/small.png", random_images(1, 20, 500)[0])
        make = ("make-data", "photos", "out", "--train-pairs", 40)
        status, out, err = self.run_command(*make)
        self.assertEqual(status, 1)
        self.assertIn("wrote out/train_data.pkl: 40 pairs\n", out)
        self.assertRegex(err, "passed over photos/broken.jpg: ")
        self.assertIn("small.png: 500 x 20 is too small", err)
        self.assertIn("drawing 40 pairs from 5 scenes, so few that the pairs say little", err)
        sources = []
        for name, number in (("train_data.pkl", 40), ("val_data.pkl", 1000)):
            for images in load_pairs(self.folder / "out", name):
                self.assertEqual((images.shape, images.dtype), ((number, 3, 32, 32), torch.uint8))
            sources.append(reds(images))
        self.assertEqual(sorted(map(len, sources)), [1, 5])
        self.assertFalse(sources[0] & sources[1])

    def test_the_same_seed_gives_the_same_bytes_and_another_one_others(self):
        command = ("make-data", "photos", "out", "--train-pairs", 40)
        self.succeed(*command)
        first = self.files()
        self.refuse("exists already; --overwrite", *command)
        self.succeed(*command, "--overwrite")
        self.assertEqual(self.files(), first)
        self.succeed(*command, "--overwrite", "--seed", 1)
        self.assertNotEqual(self.files()["out/train_data.pkl"], first["out/train_data.pkl"])

    def test_without_training_pairs_all_photographs_are_validated_on(self):
        self.succeed("make-data", "photos", "out", "--train-pairs", 0)
        self.assertEqual(len(reds(load_pairs(self.folder / "out", "val_data.pkl")[0])), 6)
        self.assertNotIn("out/train_data.pkl", self.files())

    def test_the_data_say_which_loss_their_noise_needs(self):
        for options, loss in ((("--noise", "Bernoulli:0.25"), "masked"), ((), "mse")):
            self.succeed("make-data", "photos", "out", "--overwrite", "--train-pairs", 40, *options)
            self.assertEqual(load_record(self.folder / "out")["loss"], loss)
            noisy, clean = load_pairs(self.folder / "out", "val_data.pkl")
            is_missing = ((noisy == 0) & (clean > 0)).float().mean().item()
            self.assertAlmostEqual(is_missing, 0.2 if loss == "masked" else 0, delta=0.06)

    def test_wrong_arguments_are_refused_before_anything_is_made(self):
        make = ("make-data", "photos", "out")
        self.refuse("nowhere is not a folder", "make-data", "nowhere", "out")
        self.refuse("--train-pairs must be an integer from 0", *make, "--train-pairs", -1)
        self.refuse("noise must be one of 'gaussian'", *make, "--noise", "salt")
        self.refuse("missing must be a number from 0 to 0.99", *make, "--noise", "bernoulli:1")
        self.refuse("photos, which holds pictures", "make-pairs", "photos", "photos")
        (self.folder / "empty").mkdir()
        self.refuse("empty has no scene that can be used", "make-pairs", "empty", "empty", "out")


@needs_pillow
class TestMakePairs(CommandCase):
    def setUp(self):
        super().setUp()
        for index in range(5):
            clean = scene(index, 120)
            shots = [shot(clean, 10 * index), shot(clean, 10 * index + 1)]
            for picture, place in zip(shots, ("a/deep/{}.png", "b/deep/{}.tif")):
                picture[0] = 40 * index
                self.write(place.format(index), picture)

    def differences(self, num_pairs):
        """What the green and blue of the pairs that were made differ by."""
        noisy_1, noisy_2 = load_pairs(self.folder / "out", "train_data.pkl")
        self.assertEqual(noisy_1.shape, (num_pairs, 3, 32, 32))
        self.assertSame(noisy_1[:, 0], noisy_2[:, 0])
        self.assertEqual(len(reds(noisy_1)), 5)
        return noisy_1[:, 1:].float() - noisy_2[:, 1:].float()

    def test_cuts_the_same_squares_from_both_as_many_as_there_is_room_for(self):
        self.succeed("make-pairs", "a", "b", "out")
        differences = self.differences(180)  # 6 x 6 squares, which overlap by half, of each scene
        self.assertAlmostEqual(differences.std().item(), 10 * 2**0.5, delta=0.5)

    def test_one_folder_gives_pairs_of_neighbouring_pixels(self):
        _, _, err = self.run_command("make-pairs", "a", "out")
        self.assertRegex(err, "independent from pixel to pixel .* JPEG, demosaicing")
        self.assertEqual(load_record(self.folder / "out")["noise"], NEIGHBOURS)
        differences = self.differences(20)
        self.assertAlmostEqual(differences.mean().item(), 0, delta=0.3)
        self.assertGreater(differences.std().item(), 10 * 2**0.5)

    def test_scenes_that_do_not_fit_are_named_and_the_status_is_1(self):
        clean = scene(8, 120)
        grey = torch.full((3, 120, 120), 128.0)
        for name, first, second in (
            ("shifted", clean, clean.roll(2, 1)),
            ("grey", grey, grey),
            ("broken", clean, clean),
        ):
            self.write(f"a/{name}.png", shot(first, 1))
            self.write(f"b/{name}.jpg", shot(second, 2))
        (self.folder / "b" / "broken.jpg").write_bytes(b"no picture")
        self.write("a/alone.png", clean)
        status, _, err = self.run_command("make-pairs", "a", "b", "out")
        self.assertEqual(status, 1)
        self.assertRegex(err, "passed over 1 pictures without a partner .* alone")
        self.assertRegex(err, "passed over a/shifted.png and b/shifted.jpg: .*shifted by")
        self.assertRegex(err, "passed over a/broken.png and b/broken.jpg: b/broken.jpg")
        self.assertRegex(err, "warning: a/grey.png and b/grey.jpg show too few clear edges")
        self.assertIn("from 6 scenes", err)
