"""The `train` command: its settings, and what it refuses. `training/test_long_run.py` has more."""

import json
import signal
from unittest import mock

import torch

from .... import model as module
from ....model import WEIGHTS, Model
from ...commands import train
from ...data.files import SAMPLE
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

    def assertSettings(self, found, **wanted):
        self.assertEqual({name: found[name] for name in wanted}, wanted)

    def test_defaults_are_what_trains_best(self):
        self.assertSettings(
            self.settings(),
            optimizer="Muon",
            hybrid=False,
            batch_size=16,
            learning_rate=0.004,
            momentum=0.95,
            epochs=1,
        )

    def test_hybrid_is_the_loop_of_brown_et_al(self):
        self.patch(mock.patch.object(module, "LBFGS_STEPS", 2))
        loop = {"hybrid": True, "learning_rate": 0.05, "momentum": 0.9}
        self.assertSettings(self.settings("--hybrid"), optimizer="momAGD", batch_size=50, **loop)
        self.assertGreater(self.record("m.pth")["history"]["evaluations"][0], 1)
        found = self.settings("--hybrid", "--batch-size", 4, "--optimizer", "nesterov")
        self.assertSettings(found, optimizer="Nesterov", batch_size=4, **loop)

    def test_names_are_taken_in_any_case(self):
        found = self.settings("--optimizer", "adam", "--loss", "L1", "--precision", "BFloat16")
        self.assertSettings(found, optimizer="ADAM", loss="l1", precision="bfloat16")
        self.assertSettings(found, learning_rate=0.001, momentum=0.9)

    def test_options_reach_the_training(self):
        options = ("--epochs", 2, "--seed", 3, "--no-swap", "--loss", "masked", "--momentum", 0.5)
        with mock.patch.object(train, "build_training", wraps=train.build_training) as build:
            self.settings(*options, "--learning-rate", 0.001, "--batch-size", 4)
        self.assertSettings(build.call_args.kwargs, num_epochs=2, seed=3, swap=False, momentum=0.5)
        self.assertSettings(build.call_args.kwargs, learning_rate=0.001, batch_size=4)
        self.assertEqual(build.call_args.kwargs["loss"], train.LOSSES["masked"])


class TestTrain(TrainCase):
    def test_writes_weights_and_record_and_leaves_nothing_else(self):
        out = self.succeed("train", self.folder, "--output", "m.pth", "--epochs", 2, *FAST)
        self.assertIn("m.pth: weights after 4 steps", out)
        self.assertEqual(len(self.record("m.pth")["history"]["loss"]), 4)
        self.assertEqual(set(self.files()), {"m.pth", "m.pth.json", "train_data.pkl"})
        model = Model(device="cpu")
        before = model.network[0].weight.clone()
        model.load_pretrained_model(self.folder / "m.pth")
        self.assertFalse(torch.equal(model.network[0].weight, before))

    def test_says_how_far_the_result_is_ahead_or_behind(self):
        share = ("--validation-share", 0.5)
        out = self.succeed("train", self.folder, "--start", WEIGHTS, *FAST[:-2], *share)
        self.assertRegex(out, r"denoised .*from 8 pairs kept apart.*\nthe .*result.*\n$")
        self.write_pairs("val_data.pkl", 4)
        out = self.succeed("train", self.folder, "--overwrite", *FAST[:-2], *share)
        self.assertRegex(
            out, r"denoised .* of 4 images with known clean images\nthe result is .*\n$"
        )

    def test_begins_where_it_is_told(self):
        weights = Model("default", seed=9).network.state_dict()
        torch.save(weights, self.folder / "start.pth")
        self.succeed("train", self.folder, "--start", "start.pth", "--learning-rate", 0, *FAST)
        self.assertTrue(torch.equal(self.load("trained.pth")["0.weight"], weights["0.weight"]))

    def test_stopped_and_resumed_it_is_the_unbroken_one(self):
        options = ("--epochs", 2, *FAST)
        self.succeed("train", self.folder, "--output", "whole.pth", *options)
        self.succeed("train", self.folder, "--output", "part.pth", "--deadline", 0, *options)
        self.refuse("begun with other pairs", "train", SAMPLE, "--resume", "part.pth.checkpoint")
        resume = ("train", self.folder, "--resume", "part.pth.checkpoint")
        take_step = module.Training.take_step

        def interrupted(training):
            signal.raise_signal(signal.SIGINT)
            return take_step(training)

        with mock.patch.object(module.Training, "take_step", interrupted):
            self.assertEqual(self.run_command(*resume)[0], 130)
        self.succeed(*resume)
        self.assertSameWeights(self.load("whole.pth"), self.load("part.pth"))
        self.assertEqual(
            self.record("whole.pth")["history"]["loss"], self.record("part.pth")["history"]["loss"]
        )

    def test_minutes_choose_the_number_of_steps_and_a_resumed_run_keeps_it(self):
        with mock.patch.object(train, "median", return_value=0.5):
            options = ("--minutes", 1, "--deadline", 0, "--output", "m.pth", *FAST)
            status, _, err = self.run_command("train", self.folder, *options)
        self.assertEqual(status, 0, err)
        num_steps = self.load("m.pth.checkpoint")["about"]["num_steps"]
        self.assertTrue(100 < num_steps <= 120, num_steps)
        self.assertEqual(self.load("m.pth.checkpoint")["training"]["step"], 1)
        resume = ("--resume", "m.pth.checkpoint", "--deadline", 0)
        self.succeed("train", self.folder, *resume)
        self.assertEqual(self.load("m.pth.checkpoint")["about"]["num_steps"], num_steps)
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


class TestRefusals(TrainCase):
    def setUp(self):
        super().setUp()
        stop = AssertionError("a step was taken")
        self.patch(mock.patch.object(module.Training, "take_step", side_effect=stop))

    def test_numbers_out_of_range(self):
        for option, value in (
            ("epochs", 0),
            ("batch-size", 0),
            ("deadline", -1),
            ("minutes", -1),
            ("validation-share", 0.6),
            ("seed", -1),
        ):
            name = option.replace("-", "_")
            self.refuse(f"{name} must be an? \\w+ from", "train", self.folder, f"--{option}", value)
        self.refuse("not allowed with", "train", self.folder, "--epochs", 1, "--minutes", 1)
        self.refuse("must be one of momAGD", "train", self.folder, "--optimizer", "Adamax")

    def test_data_that_is_not_there_or_damaged(self):
        self.refuse("nowhere.pkl does not exist", "train", "nowhere.pkl")
        (self.folder / "photos").mkdir()
        self.refuse("make-data makes it from photographs", "train", "photos")
        (self.folder / "val_data.pkl").write_bytes(b"damaged")
        self.refuse("val_data.pkl is damaged", "train", self.folder)

    def test_outputs_that_cannot_be_written(self):
        (self.folder / "there.pth").write_bytes(b"mine")
        (self.folder / "m.pth.json").write_bytes(b"mine")
        for output, words in (
            ("no/m.pth", "the folder no does not exist"),
            (self.folder, "is a folder"),
            ("there.pth", "exists already"),
            ("m.pth", "m.pth.json exists already"),
        ):
            self.refuse(words, "train", self.folder, "--output", output)

    def test_checkpoints_of_something_else(self):
        self.refuse("not a checkpoint", "train", self.folder, "--resume", WEIGHTS)
        about = {"settings": {"batch_size": 2}, "output": "m.pth"}
        for command, words in (("train", "begun with batch_size = 2, not 4"),
                               ("reproduce", "is a checkpoint of reproduce")):  # fmt: skip
            checkpoint = {"command": command, "about": about, "training": {}}
            torch.save(checkpoint, self.folder / "c.checkpoint")
            options = ("--resume", "c.checkpoint", "--batch-size", 4)
            self.refuse(words, "train", self.folder, *options)
