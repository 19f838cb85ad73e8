"""`train` and `reproduce`, as a user calls them, and what they measure."""

import contextlib
import io
import json
import os
import signal
from unittest import mock

import torch

from ...model import WEIGHTS, Model, build_network
from ..commands import main, reproduce
from ..training import measuring
from ..training.recipe import Recipe
from ..training.revive import dead_channels, mortal_layers, revive
from . import TestCase, needs_pillow, random_images, weights_of

FAST = ("--precision", "float32", "--batch-size", 8)


class CommandCase(TestCase):
    """Runs commands in an empty folder, `self.folder`."""

    def run_command(self, *arguments):
        """Exit status, standard output and standard error of a command."""
        out = io.StringIO()
        err = io.StringIO()
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main([str(argument) for argument in arguments])
        finally:
            os.chdir(before)
        return status, out.getvalue(), err.getvalue()

    def succeed(self, *arguments):
        """Standard output of a command that ends with status 0."""
        status, out, err = self.run_command(*arguments)
        self.assertEqual(status, 0, err)
        return out

    def refuse(self, words, *arguments):
        """The command ends with status 2 and one line with these words, and changes no file."""
        before = self.files()
        status, out, err = self.run_command(*arguments)
        self.assertEqual((status, out), (2, ""), arguments)
        self.assertRegex(err, rf"\Aerror: [^\n]*{words}[^\n]*\n\Z")
        self.assertEqual(self.files(), before)

    def files(self):
        """The files in the folder and what they hold."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    def record(self, name):
        return json.loads((self.folder / f"{name}.json").read_text())

    def write_photographs(self):
        """Write five small ones into the folder "photos"."""
        from ..pictures import write_picture

        (self.folder / "photos").mkdir()
        for number in range(5):
            pixels = random_images(1, 90 + number, 100, seed=number)[0]
            write_picture(pixels, self.folder / "photos" / f"{number}.png")


# --------------------------------------------------------------------------------------------------
# train


class TestTrain(CommandCase):
    def setUp(self):
        super().setUp()
        (self.folder / "data").mkdir()
        self.write_pairs("data/train_data.pkl")

    def write_pairs(self, name, number=16):
        torch.save([random_images(number, 8, 8, seed=seed) for seed in (1, 2)], self.folder / name)

    def test_it_writes_weights_and_a_record_and_leaves_nothing_else(self):
        start = Model("default", seed=9).network.state_dict()
        torch.save(start, self.folder / "start.pth")
        before = set(self.files())
        options = ("--epochs", 2, "--start", "start.pth", "--learning-rate", 0, *FAST)
        out = self.succeed("train", "data", *options)
        self.assertIn("trained.pth: weights after 4 steps", out)
        self.assertEqual(set(self.files()) - before, {"trained.pth", "trained.pth.json"})
        record = self.record("trained.pth")
        self.assertEqual(len(record["history"]["loss"]), 4)
        self.assertEqual(record["start"], "start.pth")
        weights = torch.load(self.folder / "trained.pth")
        self.assertSame(weights["0.weight"], start["0.weight"])

    def test_defaults_follow_from_the_optimizer(self):
        muon = {"optimizer": "Muon", "batch_size": 16, "learning_rate": 0.004, "hybrid": False}
        adam = {"optimizer": "ADAM", "batch_size": 16, "learning_rate": 0.001, "loss": "l1"}
        for options, wanted in ((), muon), (("--optimizer", "adam", "--loss", "L1"), adam):
            self.succeed("train", "data", "--overwrite", *options)
            found = self.record("trained.pth")["settings"]
            self.assertEqual({name: found[name] for name in wanted}, wanted)

    def test_the_data_say_which_loss_they_need(self):
        """Unless an option says otherwise."""
        (self.folder / "data" / "train_data.json").write_text('{"loss": "masked"}')
        pairs = torch.load(self.folder / "data" / "train_data.pkl")
        for images in pairs:
            images[:, :, ::2] = 0  # pixels that are missing
        torch.save(pairs, self.folder / "data" / "train_data.pkl")
        losses = []
        for options in ((), ("--loss", "masked"), ("--loss", "mse")):
            self.succeed("train", "data", "--overwrite", *options, *FAST)
            losses.append(self.record("trained.pth")["history"]["loss"])
        self.assertEqual(losses[0], losses[1])
        self.assertNotEqual(losses[0], losses[2])

    def test_minutes_that_are_short_make_batches_small(self):
        self.succeed("train", "data", "--minutes", 0.01, "--precision", "float32")
        record = self.record("trained.pth")
        self.assertEqual(record["settings"]["batch_size"], 4)
        rates = record["history"]["learning_rate"]
        self.assertEqual(rates, sorted(rates, reverse=True))

    def test_only_a_folder_is_validated_on_its_own_images(self):
        self.write_pairs("data/val_data.pkl", 5)
        self.write_pairs("data/mine.pkl", 100)
        out = self.succeed("train", "data", *FAST)
        self.assertIn("mean PSNR of 5 images with known clean images", out)
        out = self.succeed("train", "data/mine.pkl", "--output", "m.pth", *FAST)
        self.assertIn("estimated from 1 pairs kept apart", out)

    def test_a_training_that_fails_leaves_a_checkpoint_with_good_weights(self):
        options = ("--epochs", 20, "--learning-rate", 1e12, "--optimizer", "momAGD", *FAST)
        status, _, err = self.run_command("train", "data", *options)
        self.assertEqual(status, 2)
        self.assertIn("back to the last good weights, at half the learning rate", err)
        self.assertRegex(err, r"go on with: python .* --resume trained.pth.checkpoint")
        saved = torch.load(self.folder / "trained.pth.checkpoint")
        self.assertFinite(saved["training"]["network"])

    def test_everything_is_checked_before_the_first_step(self):
        (self.folder / "photos").mkdir()
        (self.folder / "there.pth").write_bytes(b"mine")
        (self.folder / "m.pth.json").write_bytes(b"mine")
        overwrite = ("--overwrite", "--output")
        for words, options in (
            ("--epochs must be an integer from 1", ("--epochs", 0)),
            ("--minutes must be", ("--minutes", 0)),
            ("not allowed with", ("--epochs", 1, "--minutes", 1)),
            ("must be one of Muon, momAGD, ADAM", ("--optimizer", "Adamax")),
            ("no folder .*no", ("--output", "no/m.pth")),
            ("there.pth exists already", ("--output", "there.pth")),
            ("m.pth.json exists already", ("--output", "m.pth")),
            ("data/train_data.pkl is an input", (*overwrite, "data/train_data.pkl")),
            ("s.pth is an input", (*overwrite, "s.pth", "--start", "s.pth")),
            ("not a checkpoint", ("--resume", WEIGHTS)),
            ("not a checkpoint .* or is damaged", ("--resume", "there.pth")),
            ("exclude each other", ("--resume", "there.pth", "--start", WEIGHTS)),
        ):
            with self.subTest(words):
                self.refuse(words, "train", "data", *options)
        self.refuse("nowhere.pkl", "train", "nowhere.pkl")
        self.refuse("make-data makes it from photographs", "train", "photos")
        images = random_images(16, 8, 8)
        torch.save([images, images], self.folder / "same.pkl")
        self.refuse("the two images of each pair are identical", "train", "same.pkl")

    def test_several_processes_that_torchrun_has_not_started_are_refused(self):
        with mock.patch.dict(os.environ, {"WORLD_SIZE": "2"}):
            self.refuse("torchrun.* or unset WORLD_SIZE", "train", "data")


class Halving:
    """A "model" that halves the distance to mid-grey."""

    def predict(self, images, average):
        return (images.float() + 127.5) / 2


class Darkening:
    def predict(self, images, average):
        return images - 40


class TestMeasuring(TestCase):
    """On grey images with independent noise of 20 of 255: a PSNR of 22.1 dB, halved 28.1."""

    def setUp(self):
        super().setUp()
        generator = torch.Generator().manual_seed(0)
        self.clean = torch.full((300, 3, 8, 8), 127.5)
        noise = 20 * torch.randn(2, *self.clean.shape, generator=generator)
        self.pairs = list(self.clean + noise)

    def result(self, model, kept, validation=None, num_steps=5000):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            with contextlib.redirect_stderr(out):
                measuring.report_result(model, kept, validation, num_steps)
        return out.getvalue()

    def test_pairs_kept_apart_are_not_trained_on(self):
        images = random_images(500, 4, 4)
        kept, others = measuring.keep_apart(images, images)
        self.assertEqual((len(kept[0]), len(others[0])), (5, 495))
        everything = torch.cat([kept[0], others[1]]).flatten(1)
        self.assertEqual(len(everything.unique(dim=0)), 500)

    def test_the_psnr_is_estimated_on_the_way(self):
        self.patch(mock.patch.object(measuring, "SECONDS_BETWEEN_MEASUREMENTS", -1))
        measurements = measuring.Measurements(Halving(), *self.pairs)
        measurements.measure_now_and_then()
        self.assertRegex(measurements.text, r"^estimated PSNR 28.\d dB \(noisy 22.\d dB\), $")

    def test_the_last_line_says_how_far_the_result_is_ahead(self):
        interval = r"( \(\d+.\d\d to \d+.\d\d\))?"
        for validation in (None, (self.pairs[0], self.clean)):
            printed = self.result(Halving(), self.pairs, validation)
            text = rf"noisy 22.\d\d dB{interval}, denoised 28.\d\d dB{interval}: "
            self.assertRegex(printed, text)
            self.assertRegex(printed, r"the result is [56].\d\d dB ahead of its noisy input\n$")
            self.assertEqual("estimated" in printed, validation is None)

    def test_a_result_behind_its_input_is_called_that_and_few_steps_are_no_reason_for_another_rate(
        self,
    ):
        printed = self.result(Darkening(), self.pairs, num_steps=100)
        self.assertRegex(printed, r"\d dB BEHIND its noisy input: train longer\n$")
        printed = self.result(Darkening(), self.pairs)
        self.assertRegex(printed, r"BEHIND .* train longer, or with a lower learning rate\n$")

    def test_nothing_is_claimed_where_the_estimate_is_not_above_zero_or_there_are_no_pairs(self):
        noisy, target = self.pairs
        knows_by_heart = mock.Mock()
        knows_by_heart.predict.side_effect = lambda images, average: target
        printed = self.result(knows_by_heart, (noisy, target))
        self.assertIn("denoised unknown (the estimated error is not above zero", printed)
        self.assertNotIn("the result is", printed)
        printed = self.result(Halving(), [images[:0] for images in self.pairs])
        self.assertEqual(printed.count("\n"), 1)


# --------------------------------------------------------------------------------------------------
# reproduce


class StoppedBatches(reproduce.PhotoBatches):
    """Presses Ctrl-C in the middle of every step."""

    def __call__(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        return super().__call__(*arguments)


@needs_pillow
class TestReproduce(CommandCase):
    def setUp(self):
        super().setUp()
        self.write_photographs()
        # At this rate channels die, and are drawn anew in step 2
        recipe = Recipe(pairs=8, batch_size=2, learning_rate=0.05, warm_up=1, share_of_fall=0.4)
        self.patch(mock.patch.object(reproduce, "RECIPE", recipe))
        self.patch(mock.patch.object(reproduce, "STEPS_BETWEEN_MEASUREMENTS", 2))
        self.patch(mock.patch.object(reproduce, "BATCHES_TO_REVIVE", 1))

    def record(self, name):
        """The record of a run, without its times."""
        record = super().record(name)
        for point in record["curve"]:
            point.pop("hours")
        return record

    def test_stopped_in_every_step_and_resumed_it_is_the_unbroken_run(self):
        self.succeed("reproduce", "photos", "--output", "whole.pth")
        command = ("reproduce", "photos", "--output", "part.pth")
        with mock.patch.object(reproduce, "PhotoBatches", StoppedBatches):
            for _ in range(3):
                status, _, err = self.run_command(*command)
                self.assertEqual(status, 130)
                self.assertIn("go on with: python -m Miniproject_1 reproduce photos", err)
                command = ("reproduce", "photos", "--resume", "part.pth.checkpoint")
        self.refuse("begun with pairs = 8, not 6", *command, "--pairs", 6)
        self.succeed(*command)
        whole, part = (torch.load(self.folder / f"{name}.pth") for name in ("whole", "part"))
        self.assertSameWeights(whole, part)
        self.assertEqual(self.record("whole.pth"), self.record("part.pth"))
        self.assertNotIn("part.pth.checkpoint", self.files())

    def test_its_record_tells_how_the_weights_came_about(self):
        """The photographs that are kept apart do not depend on the seed."""
        for seed in (0, 1):
            self.succeed("reproduce", "photos", "--seed", seed, "--output", f"{seed}.pth")
        record = self.record("1.pth")
        self.assertEqual([point["step"] for point in record["curve"]], [2, 4])
        self.assertEqual([point["pairs"] for point in record["curve"]], [4, 8])
        self.assertGreater(record["curve"][0]["revived"], 0)
        self.assertAlmostEqual(record["curve"][-1]["learning_rate"], 0.05 * 0.25 / 0.4)
        settings, data = record["settings"], record["data"]
        self.assertEqual((settings["pairs"], settings["seed"]), (8, 1))
        self.assertEqual((data["photographs"], data["kept_apart"]), (4, 1))
        self.assertEqual(len(record["machines"]), 1)
        self.assertEqual(data, self.record("0.pth")["data"])

    def test_it_refuses_what_it_cannot_do_before_it_trains(self):
        self.refuse("nosuch is not a folder", "reproduce", "nosuch")
        self.refuse("--pairs must be an integer from 1", "reproduce", "photos", "--pairs", 0)
        output = ("--overwrite", "--output", "photos/0.png")
        self.refuse("photos/0.png is an input", "reproduce", "photos", *output)


class TestRevive(TestCase):
    def test_channels_can_die_where_a_relu_follows_but_no_batch_norm(self):
        self.assertEqual(mortal_layers(build_network()), [0, 2, 17, 19])

    def test_revived_channels_change_nothing_and_learn(self):
        model = Model("default", device="cpu")
        images = random_images(4, 8, 8)
        inputs = images / 255
        killed = {0: 3, 2: 5, 17: 60, 19: 7}
        for index, channel in killed.items():
            model.network[index].bias.data[channel] = -1e3
        before = model.predict(images)

        dead = dead_channels(model.network, inputs)
        for index, channel in killed.items():
            self.assertTrue(dead[index][channel])
        num_dead = sum(int(channels.sum()) for channels in dead.values())
        self.assertGreaterEqual(revive(model.network, inputs), num_dead)
        self.assertClose(model.predict(images), before, 1e-2)
        self.assertEqual(revive(model.network, inputs), 0)

        revived = weights_of(model)
        model.train(images, images, 3, False, 2, "ADAM", 0.001, progress=False)
        learned = weights_of(model)
        for index, channel in killed.items():
            name = f"{index}.bias"
            self.assertDiffer(learned[name][channel], revived[name][channel])
