"""`train` and `reproduce`, as a user calls them, and what they measure."""

import contextlib
import io
import json
import os
import signal
from types import SimpleNamespace
from unittest import mock

import torch

from ...model import WEIGHTS, Model
from ..commands import reproduce
from ..training import measuring
from ..training.photo_batches import PhotoBatches
from ..training.recipe import MORTAL, Recipe, revive
from . import TestCase, needs_pillow, random_images, weights_of
from .test_commands import CommandCase


class TestTrain(CommandCase):
    def setUp(self):
        super().setUp()
        self.pairs = [random_images(8, 8, 8, seed=seed) for seed in (1, 2)]
        (self.folder / "data").mkdir()
        torch.save(self.pairs, self.folder / "data" / "train_data.pkl")

    def record_of(self, *options):
        """The record of a training with these options."""
        self.succeed("train", "data", "--overwrite", *options)
        return json.loads((self.folder / "trained.pth.json").read_text())

    def test_it_writes_weights_and_a_record_and_leaves_nothing_else(self):
        start = Model("default", seed=9).network.state_dict()
        torch.save(start, self.folder / "start.pth")
        before = set(self.files())
        options = ("--start", "start.pth", "--learning-rate", 0, "--batch-size", 4, "--epochs", 2)
        record = self.record_of(*options)
        self.assertEqual(set(self.files()) - before, {"trained.pth", "trained.pth.json"})
        self.assertEqual(len(record["history"]["loss"]), 4)
        self.assertEqual(record["settings"]["start"], "start.pth")
        weights = torch.load(self.folder / "trained.pth")
        self.assertSame(weights["0.weight"], start["0.weight"])

    def test_the_data_say_which_loss_they_need(self):
        for images in self.pairs:
            images[:, :, ::2] = 0  # pixels that are missing
        torch.save(self.pairs, self.folder / "data" / "train_data.pkl")
        mse = self.record_of()
        (self.folder / "data" / "train_data.json").write_text('{"loss": "masked"}')
        masked = self.record_of()
        self.assertEqual(masked["settings"]["loss"], "masked")
        # half of the pixels are black, and fresh weights predict grey
        self.assertGreater(mse["history"]["loss"][0], 1.5 * masked["history"]["loss"][0])

    def test_minutes_that_are_short_make_batches_small(self):
        settings = self.record_of("--minutes", 0.01)["settings"]
        self.assertEqual((settings["batch_size"], settings["learning_rate"]), (4, 0.004))

    def test_minutes_end_it_with_a_learning_rate_that_falls(self):
        rates = self.record_of("--minutes", 0.01)["history"]["learning_rate"]
        self.assertEqual(rates[0], 0.004)
        self.assertLess(rates[-1], 0.001)

    def test_everything_is_checked_before_the_first_step(self):
        (self.folder / "there.pth").write_bytes(b"mine")
        overwrite = ("--overwrite", "--output")
        for words, options in (
            ("--epochs must be an integer from 1", ("--epochs", 0)),
            ("--minutes must be", ("--minutes", 0)),
            ("not allowed with", ("--epochs", 1, "--minutes", 1)),
            ("there.pth exists already", ("--output", "there.pth")),
            ("data/train_data.pkl is an input", (*overwrite, "data/train_data.pkl")),
            ("s.pth is an input", (*overwrite, "s.pth", "--start", "s.pth")),
            ("no checkpoint of", ("--resume", WEIGHTS)),
            ("so leave out start", ("--resume", "there.pth", "--start", WEIGHTS)),
        ):
            with self.subTest(words):
                self.refuse(words, "train", "data", *options)
        with mock.patch.dict(os.environ, {"WORLD_SIZE": "2"}):
            self.refuse("torchrun.* or unset WORLD_SIZE", "train", "data")
        torch.save(self.pairs[:1] * 2, self.folder / "same.pkl")
        self.refuse("the two images of each pair are identical", "train", "same.pkl")


def model_that(function):
    """A "model" that does one thing with images."""
    return SimpleNamespace(predict=lambda images, average: function(images))


HALVING = model_that(lambda images: (images + 127.5) / 2)
DARKENING = model_that(lambda images: images - 40)


class TestMeasuring(TestCase):
    """On grey images with independent noise of 20 of 255: a PSNR of 22.1 dB, halved 28.1."""

    def setUp(self):
        super().setUp()
        generator = torch.Generator().manual_seed(0)
        self.pairs = 127.5 + 20 * torch.randn(2, 300, 3, 8, 8, generator=generator)

    def reported(self, model, pairs, are_neighbours=False):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            measuring.Measurements(model, pairs).report(are_neighbours)
        return out.getvalue()

    def test_pairs_kept_apart_are_not_trained_on(self):
        images = random_images(500, 4, 4)
        kept, others = measuring.keep_apart(images, images)
        self.assertEqual((len(kept[0]), len(others[0])), (5, 495))
        everything = torch.cat([kept[0], others[1]]).flatten(1)
        self.assertEqual(len(everything.unique(dim=0)), 500)

    def test_the_psnr_is_estimated_on_the_way_and_at_the_end(self):
        self.patch(mock.patch.object(measuring, "SECONDS_BETWEEN_MEASUREMENTS", -1))
        text = measuring.Measurements(HALVING, self.pairs).on_the_way()
        self.assertRegex(text, r"^estimated PSNR 28.\d dB \(noisy 22.\d dB\), $")
        printed = self.reported(HALVING, self.pairs)
        self.assertRegex(printed, r"^noisy 22.\d\d dB \(.*\), denoised 28.\d\d dB \(.*\): .*estim")
        self.assertNotIn("BEHIND", printed)
        self.assertIn("it is too high if the same scenes", printed)
        self.assertIn("1.3 dB too low", self.reported(HALVING, self.pairs, are_neighbours=True))
        self.assertIn("the result is BEHIND its noisy input", self.reported(DARKENING, self.pairs))

    def test_nothing_is_claimed_where_the_estimate_is_not_above_zero_or_there_are_no_pairs(self):
        knows_by_heart = model_that(lambda images: self.pairs[1])
        printed = self.reported(knows_by_heart, self.pairs)
        self.assertIn("denoised unknown (the error cannot be told from 0", printed)
        self.assertNotIn("the result is", printed)
        self.assertIn("too few pairs", self.reported(HALVING, self.pairs[:, :0]))


class StoppedBatches(PhotoBatches):
    """Presses Ctrl-C in the middle of every step."""

    def __call__(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        return super().__call__(*arguments)


class PhotographsCase(CommandCase):
    """Runs commands on a folder "photos" of five small ones."""

    def setUp(self):
        super().setUp()
        for number in range(5):
            pixels = random_images(1, 90 + number, 100, seed=number)[0]
            self.write(f"photos/{number}.png", pixels)

    def stopped_and_resumed(self, command, module, stops):
        """Records of an unbroken training and one that is stopped several times and ends alike."""
        whole, part = (self.folder / name for name in ("whole.pth", "part.pth"))
        self.succeed(command, "photos", "--output", whole)
        options = ("--output", part)
        for _ in range(stops):
            with mock.patch.object(module, "PhotoBatches", StoppedBatches):
                status, _, err = self.run_command(command, "photos", *options)
            self.assertEqual(status, 130)
            self.assertIn(f"go on with: python -m Miniproject_1 {command} photos", err)
            options = ("--resume", f"{part}.checkpoint")
        self.succeed(command, "photos", *options)
        self.assertSameWeights(torch.load(whole), torch.load(part))
        self.assertNotIn("part.pth.checkpoint", self.files())
        return [json.loads(path.with_suffix(".pth.json").read_text()) for path in (whole, part)]


@needs_pillow
class TestReproduce(PhotographsCase):
    def test_stopped_in_every_step_and_resumed_it_is_the_unbroken_run(self):
        # At this rate channels die, and are drawn anew in step 2
        recipe = Recipe(pairs=8, batch_size=2, learning_rate=0.05, warm_up=1, share_of_fall=0.4)
        self.patch(mock.patch.object(reproduce, "RECIPE", recipe))
        self.patch(mock.patch.object(reproduce, "STEPS_BETWEEN_MEASUREMENTS", 2))
        self.patch(mock.patch.object(reproduce, "BATCHES_TO_REVIVE", 1))
        whole, part = self.stopped_and_resumed("reproduce", reproduce, 3)
        for record in (whole, part):
            for point in (record, *record["curve"]):
                point.pop("hours")
        self.assertEqual(whole, part)
        curve = part["curve"]
        self.assertEqual([point["pairs"] for point in curve], [4, 8])
        self.assertGreater(curve[0]["revived"], 0)
        self.assertEqual(part["data"], {"photographs": 4, "kept_apart": 1})


class TestRevive(TestCase):
    def test_revived_channels_change_nothing_and_learn(self):
        model = Model("default", device="cpu")
        images = random_images(4, 8, 8)
        inputs = images / 255
        for index in MORTAL:
            model.network[index].bias.data[7] = -1e3
        before = model.predict(images)
        self.assertGreaterEqual(revive(model.network, inputs), len(MORTAL))
        self.assertClose(model.predict(images), before, 1e-2)
        self.assertEqual(revive(model.network, inputs), 0)

        revived = weights_of(model)
        model.train(images, images, 3, False, 2, "ADAM", 0.001, progress=False)
        for index in MORTAL:
            bias = model.network[index].bias
            self.assertNotEqual(bias[7], revived[f"{index}.bias"][7])
