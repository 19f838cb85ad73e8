"""`make-data`: data files from photographs."""

from unittest import mock

import torch

from ...commands import make_data
from ...data.files import load_pairs
from ...pictures import write_picture
from .. import needs_pillow, random_images
from . import CommandCase

FEW = ("--train-pairs", 40, "--validation-pairs", 10)


@needs_pillow
class TestMakeData(CommandCase):
    def setUp(self):
        super().setUp()
        (self.folder / "photos").mkdir()
        for index in range(6):
            self.photograph(index)

    def photograph(self, index):
        """Every photograph has a red of its own, by which its crops are known."""
        pixels = random_images(1, 100, 120, seed=index)[0]
        pixels[0] = 40 * index
        write_picture(pixels, self.folder / "photos" / f"{index}.png")

    def reds(self, name):
        images, _ = load_pairs(self.folder / "out", name)
        return set(images[:, 0].flatten().tolist())

    def test_keeps_photographs_apart_and_says_that_they_are_few(self):
        command = ("make-data", "photos", "out", *FEW, "--validation-share", 0.4)
        status, out, err = self.run_command(*command)
        self.assertEqual(status, 0)
        self.assertIn("train_data.pkl: 40 pairs from 4 photographs", out)
        self.assertIn("warning: the number of photographs to validate on is only 2", err)
        for name, number in (("train_data.pkl", 40), ("val_data.pkl", 10)):
            for images in load_pairs(self.folder / "out", name):
                self.assertEqual(images.shape, (number, 3, 32, 32))
                self.assertEqual(images.dtype, torch.uint8)
        train, validation = self.reds("train_data.pkl"), self.reds("val_data.pkl")
        self.assertEqual((len(train), len(validation)), (4, 2))
        self.assertFalse(train & validation)

    def test_the_same_seed_gives_the_same_bytes_and_another_one_others(self):
        command = ("make-data", "photos", "out", *FEW)
        self.succeed(*command)
        first = self.files()
        self.refuse("exists already", *command)
        self.succeed(*command, "--overwrite")
        self.assertEqual(self.files(), first)
        self.succeed(*command, "--overwrite", "--seed", 1)
        self.assertNotEqual(self.files()["out/train_data.pkl"], first["out/train_data.pkl"])

    def test_without_validation_pairs_all_photographs_are_trained_on(self):
        self.succeed("make-data", "photos", "out", "--train-pairs", 40, "--validation-pairs", 0)
        self.assertEqual(len(self.reds("train_data.pkl")), 6)
        self.assertFalse((self.folder / "out" / "val_data.pkl").exists())

    def test_a_data_file_that_stays_is_named(self):
        self.succeed("make-data", "photos", "out", *FEW)
        options = ("--train-pairs", 40, "--validation-pairs", 0, "--overwrite")
        status, _, err = self.run_command("make-data", "photos", "out", *options)
        self.assertEqual(status, 0)
        self.assertIn("warning: out/val_data.pkl is there already and stays", err)

    def test_what_cannot_be_read_is_named_and_the_status_is_1(self):
        (self.folder / "photos" / "broken.jpg").write_bytes(b"no picture")
        write_picture(random_images(1, 20, 500)[0], self.folder / "photos" / "small.png")
        status, out, err = self.run_command("make-data", "photos", "out", *FEW)
        self.assertEqual(status, 1)
        self.assertRegex(err, "passed over: .*broken.jpg")
        self.assertIn("small.png: 500 x 20 is too small", err)
        self.assertIn("40 pairs from 5 photographs", out)

    def test_a_file_that_is_not_in_its_place_makes_the_status_1(self):
        elsewhere = self.folder / "elsewhere.pkl"
        self.patch(mock.patch.object(make_data, "save_somewhere", return_value=elsewhere))
        status, out, _ = self.run_command("make-data", "photos", "out", *FEW)
        self.assertEqual((status, out.count(f"{elsewhere}: ")), (1, 2))

    def test_other_noises_say_which_loss_they_need(self):
        command = ("make-data", "photos", "out", *FEW, "--noise", "Bernoulli:0.25")
        self.assertIn("python -m Miniproject_1 train out --loss masked", self.succeed(*command))

    def test_wrong_arguments_are_refused_before_anything_is_read(self):
        make = ("make-data", "photos", "out")
        self.refuse("nowhere is not a folder", "make-data", "nowhere", "out")
        self.refuse("--train-pairs must be an integer of at least 0", *make, "--train-pairs", -1)
        self.refuse("noise must be one of", *make, "--noise", "salt")
        self.refuse("must not both be 0", *make, "--train-pairs", 0, "--validation-pairs", 0)
        (self.folder / "out").write_bytes(b"mine")
        self.refuse("out is a file", *make)
