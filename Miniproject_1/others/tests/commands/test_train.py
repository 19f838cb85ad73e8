"""The `train` command: its settings, and what it refuses. `training/test_long_run.py` has more."""

import json
import math
import shutil
from unittest import mock

import torch

from .... import model as module
from ....model import WEIGHTS, Model
from ...commands import train
from ...data.files import SAMPLE, load_pairs
from .. import random_images
from . import CommandCase

FAST = ("--precision", "float32", "--batch-size", 8, "--validation-share", 0)


class TrainCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.write_pairs("train_data.pkl", 16)

    def write_pairs(self, name, number):
        pairs = [random_images(number, 8, 8, seed=seed) for seed in (1, 2)]
        torch.save(pairs, self.folder / name)

    def record(self, name):
        return json.loads((self.folder / f"{name}.json").read_text())


class TestSettings(TrainCase):
    def settings(self, *options):
        """The settings of a training with these options, which takes one step."""
        limits = ("--deadline", 0, "--output", "m.pth", "--overwrite")
        self.succeed("train", self.folder, *limits, *options)
        return self.record("m.pth")["settings"]

    def test_defaults_follow_from_the_optimizer_and_names_are_taken_in_any_case(self):
        self.patch(mock.patch.object(module, "LBFGS_STEPS", 2))
        muon = {"optimizer": "Muon", "batch_size": 16, "learning_rate": 0.004, "momentum": 0.95}
        brown = {"optimizer": "momAGD", "batch_size": 50, "learning_rate": 0.05, "momentum": 0.9}
        adam = {"optimizer": "ADAM", "learning_rate": 0.001, "momentum": 0.9}
        for options, wanted in (
            ((), {**muon, "hybrid": False, "epochs": 1}),
            (("--hybrid",), {**brown, "hybrid": True}),
            (("--optimizer", "adam", "--loss", "L1"), {**adam, "loss": "l1"}),
        ):
            with self.subTest(options=options):
                found = self.settings(*options)
                self.assertEqual({name: found[name] for name in wanted}, wanted)

    def test_options_reach_the_training(self):
        options = ("--epochs", 2, "--seed", 3, "--no-swap", "--loss", "masked", "--momentum", 0.5)
        with mock.patch.object(train, "build_training", wraps=train.build_training) as build:
            self.settings(*options, "--learning-rate", 0.001, "--batch-size", 4)
        wanted = {"num_epochs": 2, "seed": 3, "swap": False, "momentum": 0.5, "batch_size": 4}
        wanted.update(learning_rate=0.001, loss=train.LOSSES["masked"])
        found = build.call_args.kwargs
        self.assertEqual({name: found[name] for name in wanted}, wanted)


class TestTrain(TrainCase):
    def test_writes_weights_and_record_and_leaves_nothing_else(self):
        start = Model("default", seed=9).network.state_dict()
        torch.save(start, self.folder / "start.pth")
        options = ("--epochs", 2, "--start", "start.pth", "--learning-rate", 0, *FAST)
        out = self.succeed("train", self.folder, "--output", "m.pth", *options)
        self.assertIn("m.pth: weights after 4 steps", out)
        self.assertEqual(len(self.record("m.pth")["history"]["loss"]), 4)
        self.assertEqual(set(self.files()), {"m.pth", "m.pth.json", "start.pth", "train_data.pkl"})
        self.assertSame(self.load("m.pth")["0.weight"], start["0.weight"])

    def test_says_how_far_the_result_is_ahead_or_behind(self):
        share = ("--validation-share", 0.5)
        out = self.succeed("train", self.folder, "--start", WEIGHTS, *FAST[:-2], *share)
        self.assertRegex(out, r"denoised .*from 8 pairs kept apart.*\n.*\nthe result.*\n$")

    def test_a_checkpoint_goes_on_with_the_same_pairs_alone(self):
        options = ("--epochs", 2, *FAST)
        self.succeed("train", self.folder, "--output", "m.pth", "--deadline", 0, *options)
        self.refuse("begun with other pairs", "train", SAMPLE, "--resume", "m.pth.checkpoint")
        self.succeed("train", self.folder, "--resume", "m.pth.checkpoint")
        self.assertEqual(len(self.record("m.pth")["history"]["loss"]), 4)

    def test_a_copied_checkpoint_goes_on_beside_itself_and_leaves_the_first_alone(self):
        options = ("--epochs", 2, *FAST)
        self.succeed("train", self.folder, "--output", "m.pth", "--deadline", 0, *options)
        before = {name: (self.folder / name).read_bytes() for name in self.files()}
        copy = self.folder / "copy"
        shutil.copytree(self.folder, copy)
        self.succeed("train", copy, "--resume", "copy/m.pth.checkpoint")
        self.assertFalse((copy / "m.pth.checkpoint").exists())
        self.assertNotEqual((copy / "m.pth").read_bytes(), before["m.pth"])
        shutil.rmtree(copy)
        after = {name: (self.folder / name).read_bytes() for name in self.files()}
        self.assertEqual(after, before)

    def test_a_copied_checkpoint_replaces_no_weights_of_another_training(self):
        options = ("--epochs", 2, *FAST)
        self.succeed("train", self.folder, "--output", "m.pth", "--deadline", 0, *options)
        other = self.folder / "other"
        other.mkdir()
        shutil.copy(self.folder / "m.pth.checkpoint", other)
        (other / "m.pth").write_text("mine")
        resume = ("--resume", "other/m.pth.checkpoint")
        self.refuse("other/m.pth exists already", "train", self.folder, *resume)
        (other / "m.pth").unlink()
        self.succeed("train", self.folder, *resume)
        self.assertTrue((other / "m.pth.json").exists())

    def test_a_link_to_weights_goes_on_as_a_link(self):
        (self.folder / "m.pth").symlink_to(self.folder / "run7.pth")
        options = ("--output", "m.pth", "--overwrite", "--deadline", 0, "--epochs", 2, *FAST)
        self.succeed("train", self.folder, *options)
        self.succeed("train", self.folder, "--resume", "m.pth.checkpoint")
        self.assertTrue((self.folder / "m.pth").is_symlink())
        self.assertFalse((self.folder / "m.pth.checkpoint").exists())
        self.assertFalse((self.folder / "trained.pth").exists())

    def test_a_renamed_checkpoint_replaces_nothing(self):
        options = ("--epochs", 2, *FAST)
        self.succeed("train", self.folder, "--output", "m.pth", "--deadline", 0, *options)
        (self.folder / "m.pth.checkpoint").rename(self.folder / "other")
        output = ("--output", "m.pth", "--resume", "other")
        self.refuse("m.pth exists already", "train", self.folder, *output)
        self.succeed("train", self.folder, *output, "--overwrite")

    def test_the_sum_of_pixels_tells_floats_apart_to_the_last_bit(self):
        images = torch.rand(2, 3, 4, 4)
        changed = images.clone()
        changed[1, 2, 3, 3] = changed[1, 2, 3, 3].nextafter(torch.tensor(2.0))
        self.assertEqual(train.exact_sum(images.flip(0)), train.exact_sum(images))
        self.assertNotEqual(train.exact_sum(changed), train.exact_sum(images))

    def test_minutes_choose_the_number_of_steps_and_a_resumed_run_keeps_it(self):
        with mock.patch.object(train, "median", return_value=0.5):
            options = ("--minutes", 1, "--deadline", 0, "--output", "m.pth", *FAST)
            self.succeed("train", self.folder, *options)
        num_steps = self.load("m.pth.checkpoint")["about"]["num_steps"]
        self.assertTrue(100 < num_steps <= 120, num_steps)
        resume = ("--resume", "m.pth.checkpoint", "--deadline", 0)
        self.succeed("train", self.folder, *resume)
        rates = self.record("m.pth")["history"]["learning_rate"]
        self.assertAlmostEqual(rates[1], 0.004 * (1 - 1 / num_steps))

    def test_a_training_that_fails_leaves_its_good_weights(self):
        options = ("--epochs", 20, "--learning-rate", 1e12, "--optimizer", "SGD", *FAST)
        status, _, err = self.run_command("train", self.folder, "--output", "m.pth", *options)
        self.assertEqual(status, 2)
        self.assertIn("back to the last good weights, at half the learning rate", err)
        self.assertIn("m.pth has the last good weights", err)
        self.assertFinite(self.load("m.pth"))

    def test_warns_of_pairs_that_cannot_teach(self):
        images = random_images(16, 8, 8)
        torch.save([images, images], self.folder / "same.pkl")
        _, _, err = self.run_command("train", "same.pkl", "--deadline", 0, *FAST)
        self.assertIn("warning: the two images of each pair are identical", err)

    def test_warns_of_validation_data_that_is_exchanged(self):
        noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
        torch.save([clean[:8].clone(), noisy[:8].clone()], self.folder / "val_data.pkl")
        _, _, err = self.run_command("train", self.folder, "--deadline", 0, *FAST)
        self.assertIn("warning: val_data.pkl: the second images are noisier", err)


class TestRefusals(TrainCase):
    def setUp(self):
        super().setUp()
        stop = AssertionError("a step was taken")
        self.patch(mock.patch.object(module.Training, "take_step", side_effect=stop))
        (self.folder / "photos").mkdir()
        (self.folder / "there.pth").write_bytes(b"mine")
        (self.folder / "m.pth.json").write_bytes(b"mine")

    def test_everything_is_checked_before_the_first_step(self):
        for words, options in (
            ("--epochs must be an integer of at least 1", ("--epochs", 0)),
            ("--deadline must be a number of at least 0", ("--deadline", -1)),
            ("--validation-share must be a number from 0 to 0.5", ("--validation-share", 0.6)),
            ("not allowed with", ("--epochs", 1, "--minutes", 1)),
            ("must be one of momAGD", ("--optimizer", "Adamax")),
            ("the folder no does not exist", ("--output", "no/m.pth")),
            ("is a folder", ("--output", self.folder)),
            ("there.pth exists already", ("--output", "there.pth")),
            ("m.pth.json exists already", ("--output", "m.pth")),
            ("not a checkpoint", ("--resume", WEIGHTS)),
            ("not a checkpoint .* or is damaged", ("--resume", "there.pth")),
            ("exclude each other", ("--resume", "there.pth", "--start", WEIGHTS)),
        ):
            with self.subTest(words):
                self.refuse(words, "train", self.folder, *options)

    def test_data_that_is_not_there_or_damaged(self):
        self.refuse("nowhere.pkl does not exist", "train", "nowhere.pkl")
        self.refuse("make-data makes it from photographs", "train", "photos")
        (self.folder / "val_data.pkl").write_bytes(b"damaged")
        self.refuse("val_data.pkl is damaged", "train", self.folder)
        images = torch.full((2, 3, 4, 4), math.nan)
        torch.save([images, images], self.folder / "val_data.pkl")
        self.refuse("images in val_data.pkl must be finite", "train", self.folder)

    def test_checkpoints_of_something_else(self):
        about = {"settings": {"batch_size": 2}, "output": "m.pth"}
        for command, words in (
            ("train", "begun with batch_size = 2, not 4"),
            ("reproduce", "is a checkpoint of reproduce"),
        ):
            checkpoint = {"command": command, "about": about, "training": {}}
            torch.save(checkpoint, self.folder / "c.checkpoint")
            options = ("--resume", "c.checkpoint", "--batch-size", 4)
            self.refuse(words, "train", self.folder, *options)
