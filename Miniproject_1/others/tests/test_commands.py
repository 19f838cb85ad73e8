"""The commands, as a user calls them."""

import contextlib
import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from unittest import mock

import torch

from ... import model as module
from ...__main__ import main
from ...model import Model
from ..data import pictures
from ..data.pairs import SAMPLE, load_pairs, psnr
from ..training import longrun
from . import PROJECT, TestCase, needs_pillow, random_images, thorough


class CommandCase(TestCase):
    def run_command(self, *arguments):
        """Exit status, standard output and standard error of a command, run in an empty folder."""
        out, err, before = io.StringIO(), io.StringIO(), os.getcwd()
        os.chdir(str(self.folder))
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main([str(argument) for argument in arguments])
        finally:
            os.chdir(before)
        return status, out.getvalue(), err.getvalue()

    def succeed(self, *arguments):
        status, out, err = self.run_command(*arguments)
        self.assertEqual(status, 0, err)
        return out

    def refuse(self, words, *arguments):
        """The command ends with status 2 and one line with these words, and changes no file."""
        before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        status, out, err = self.run_command(*arguments)
        self.assertEqual((status, out), (2, ""), arguments)
        self.assertRegex(err, rf"\Aerror: [^\n]*{words}[^\n]*\n\Z")
        self.assertEqual(before, {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()})

    def data_files(self, number=8):
        """A small train_data.pkl and val_data.pkl of the sample."""
        noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
        torch.save((noisy[:8].clone(), clean[:8].clone()), str(self.folder / "val_data.pkl"))
        torch.save((noisy[:number].clone(), noisy[8 : 8 + number].clone()), str(self.folder / "train_data.pkl"))
        return noisy, clean

    def weights(self, name):
        return torch.load(str(self.folder / name))


class TestCommands(CommandCase):
    def test_evaluate(self):
        noisy, clean = self.data_files()
        model = Model()
        model.load_pretrained_model()
        for options, given in (
            ((), {}),
            (("--one-pass", "--device", "cpu"), dict(average=False)),
            (("--one-pass", "--precision", "bfloat16"), dict(average=False, precision="bfloat16")),
        ):
            with mock.patch.object(Model, "predict", autospec=True, side_effect=Model.predict) as predict:
                out = self.succeed("evaluate", self.folder, *options)
            expected = psnr(model.predict(noisy[:8], **given), clean[:8]).mean().item()
            self.assertIn(f"denoised {expected:6.2f} dB", out)
            self.assertIn(given.get("precision", "float32"), predict.call_args[1].values())
            self.assertIn(f"noisy    {psnr(noisy[:8], clean[:8]).mean().item():6.2f} dB", out)
        torch.save((clean[:3].clone(), clean[:3].clone()), str(self.folder / "flat.pkl"))
        self.assertIn("noisy       all exact", self.succeed("evaluate", "flat.pkl", "--one-pass"))

    @needs_pillow
    def test_denoise(self):
        noisy, _ = self.data_files()
        pictures.write_picture(noisy[0], self.folder / "in.png")
        self.succeed("denoise", "in.png", "out.png", "--one-pass")
        model = Model()
        model.load_pretrained_model()
        expected = model.predict(noisy[:1], average=False)[0].round().to(torch.uint8)
        self.assertTrue(torch.equal(pictures.read_picture(self.folder / "out.png"), expected))
        self.assertEqual({path.suffix for path in self.folder.iterdir()}, {".png", ".pkl"})

    @needs_pillow
    def test_outputs_are_checked_before_anything_is_computed(self):
        self.data_files()
        pictures.write_picture(random_images(1, 8, 8)[0], self.folder / "in.png")
        (self.folder / "there.png").write_bytes(b"mine")
        (self.folder / "denoised.png").write_bytes(b"mine")
        (self.folder / "m.pth.json").write_bytes(b"mine")
        stop = AssertionError("computed before the output was checked")
        self.patch(mock.patch.object(Model, "predict", side_effect=stop))
        self.patch(mock.patch.object(module.Training, "__next__", side_effect=stop))
        for output, words in (
            ("no/o.png", "no does not exist"),
            ("o.xyz", "must name one of the formats"),
            ("o", "must name one of the formats"),
            ("there.png", "exists already"),
            (self.folder, "in.png exists already"),
        ):
            self.refuse(words, "denoise", "in.png", output)
        self.refuse("nowhere.png", "denoise", "nowhere.png", "out.png")
        self.refuse("exists already.*--overwrite")  # the demonstration's denoised.png
        self.refuse("no does not exist", "--output", "no/o.png")
        for output, words in (("no/m.pth", "no does not exist"), (self.folder, "is a folder"), ("there.png", "exists")):
            self.refuse(words, "train", self.folder, "--output", output)
        self.refuse("m.pth.json exists already", "train", self.folder, "--output", "m.pth")
        self.refuse("exists already", "make-data", SAMPLE, self.folder)

    @needs_pillow
    def test_demonstration_writes_where_it_is_told(self):
        with mock.patch.object(Model, "predict", lambda model, images, **_: images.float()):
            out = self.succeed("--output", "shown.png")
        self.assertIn("shown.png shows", out)
        self.assertTrue((self.folder / "shown.png").exists())

    def test_errors_are_one_line_with_status_2(self):
        (self.folder / "broken.pth").write_bytes(b"no weights")
        self.refuse("nowhere.pkl does not exist", "evaluate", "nowhere.pkl")
        self.refuse("broken.pth is damaged", "evaluate", SAMPLE, "--weights", "broken.pth")
        self.refuse("num_epochs|epochs must be an integer from 1", "train", SAMPLE, "--epochs", 0)
        self.refuse("pairs must be an integer from 1 to 100", "train", SAMPLE, "--pairs", -92)
        self.refuse("crop must be an integer from 1 to 32", "train", SAMPLE, "--crop", 0)
        self.refuse("deadline must be a number", "train", SAMPLE, "--deadline", -1)
        self.refuse("broken.pth is damaged", "train", SAMPLE, "--resume", "broken.pth")
        self.refuse("not a checkpoint", "train", SAMPLE, "--resume", module.WEIGHTS)
        self.refuse("nowhere is not a folder", "make-data", "nowhere", "out")
        self.refuse("small_crops must be a number from 0 to 1", "make-data", SAMPLE, "out", "--small-crops", 2)

    def test_a_device_that_cannot_be_used_and_memory_that_is_full_are_one_line(self):
        self.data_files()
        if not torch.cuda.is_available():
            self.refuse("the device cannot do it.*--device cpu", "evaluate", self.folder, "--device", "cuda")
        self.refuse("the device cannot do it", "evaluate", self.folder, "--device", "no device")
        for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 TB")):
            with mock.patch.object(Model, "predict", side_effect=error):
                self.refuse("smaller pictures", "evaluate", self.folder)
        with mock.patch.object(Model, "predict", side_effect=RuntimeError("a bug")), self.assertRaises(RuntimeError):
            self.run_command("evaluate", self.folder)

    def test_help_explains_every_command(self):
        for folder, call in ((PROJECT, ["-m", "Miniproject_1"]), (self.folder, [str(PROJECT / "Miniproject_1")])):
            result = subprocess.run(
                [sys.executable, *call, "--help"], cwd=str(folder), stdout=subprocess.PIPE, text=True
            )
            self.assertEqual(result.returncode, 0)
            for name in ("evaluate", "denoise", "train", "make-data"):
                self.assertIn(name, result.stdout)

    @needs_pillow
    def test_a_path_that_the_console_cannot_show_stops_nothing(self):
        names = {"train_data.pkl", "val_data.pkl"}
        (self.folder / "写真").mkdir()
        (self.folder / "写真" / "caf\udce9.png").write_bytes(b"no picture")
        for number in range(2):
            pictures.write_picture(random_images(1, 90, 90, seed=number)[0], self.folder / "写真" / f"{number}é.png")
        for encoding, how in (("ascii", ["-O", str(PROJECT / "Miniproject_1")]), ("cp1252", ["-m", "Miniproject_1"])):
            options = dict(
                cwd=str(self.folder), capture_output=True, text=True, encoding=encoding,
                env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "PYTHONPATH": str(PROJECT)},
            )  # fmt: skip
            call = ("make-data", "写真", encoding, "--train-pairs", "2", "--validation-pairs", "1")
            result = subprocess.run([sys.executable, *how, *call], **options)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("passed over", result.stdout)
            self.assertEqual({path.name for path in (self.folder / encoding).iterdir()}, names)
            call = ("denoise", "写真", f"写真 {encoding}", "--one-pass")
            result = subprocess.run([sys.executable, *how, *call], **options)
            self.assertEqual(
                (result.returncode, result.stdout), (1, "2 pictures denoised, 1 passed over\n"), result.stderr
            )
            self.assertEqual(len(list((self.folder / f"写真 {encoding}").iterdir())), 2)


@needs_pillow
class TestMakeData(CommandCase):
    def photographs(self, number=6):
        from PIL import Image

        folder = self.folder / "photos"
        folder.mkdir()
        for index in range(number):  # every photograph has a red of its own
            pixels = random_images(1, 100, 120, seed=index)[0]
            pixels[0] = 40 * index
            pictures.write_picture(pixels, folder / f"{index}.png")
        (folder / "broken.jpg").write_bytes(b"no picture")
        Image.new("RGB", (500, 20)).save(str(folder / "small.png"))
        return folder

    def test_keeps_photographs_apart_and_repeats_itself(self):
        photos = self.photographs()
        command = ("make-data", photos, "out", "--train-pairs", 40, "--validation-pairs", 10, "--validation-share", 0.4)
        out = self.succeed(*command)
        self.assertRegex(out, "passed over: .*broken.jpg cannot be read")
        self.assertIn("small.png: 500 x 20 is too small", out)
        noisy_1, noisy_2 = self.weights("out/train_data.pkl")
        noisy, clean = self.weights("out/val_data.pkl")
        for images, number in ((noisy_1, 40), (noisy_2, 40), (noisy, 10), (clean, 10)):
            self.assertEqual((images.shape, images.dtype), ((number, 3, 32, 32), torch.uint8))
        self.assertFalse(torch.equal(noisy_1, noisy_2))
        reds = [set(images[:, 0].flatten().tolist()) for images in (noisy_1, noisy)]
        self.assertEqual([len(each) for each in reds], [4, 2])
        self.assertFalse(reds[0] & reds[1])
        first = [(self.folder / "out" / name).read_bytes() for name in ("train_data.pkl", "val_data.pkl")]
        self.refuse("exists already", *command)
        self.succeed(*command, "--overwrite")
        again = [(self.folder / "out" / name).read_bytes() for name in ("train_data.pkl", "val_data.pkl")]
        self.assertEqual(first, again)
        self.succeed(*command, "--seed", 1, "--overwrite")
        self.assertNotEqual(first[0], (self.folder / "out" / "train_data.pkl").read_bytes())


class TestTrainCommand(CommandCase):
    FAST = ("--batch-size", 2, "--no-hybrid", "--crop", 8, "--learning-rate", 0.01)

    def setUp(self):
        super().setUp()
        self.data_files()

    def test_writes_weights_and_history_and_leaves_nothing_else(self):
        out = self.succeed(
            "train", self.folder, "--output", "m.pth", "--optimizer", "Muon", "--precision", "bfloat16", *self.FAST
        )
        self.assertRegex(out, r"weights after 4 steps(.|\n)*denoised +\d")
        record = json.loads((self.folder / "m.pth.json").read_text())
        self.assertEqual(len(record["history"]["loss"]), 4)
        self.assertEqual((record["settings"]["optimizer"], record["settings"]["precision"]), ("Muon", "bfloat16"))
        names = {path.name for path in self.folder.iterdir()}
        self.assertEqual(names, {"m.pth", "m.pth.json", "train_data.pkl", "val_data.pkl"})
        model = Model()
        model.load_pretrained_model(self.folder / "m.pth")
        self.assertFalse(torch.equal(model.network[0].weight, Model().network[0].weight))

    def test_begins_where_it_is_told(self):
        model = Model("default", seed=9)
        torch.save(model.network.state_dict(), str(self.folder / "start.pth"))
        options = ("--start", "start.pth", "--learning-rate", 0, *self.FAST[:-2])
        self.succeed("train", self.folder, *options, "--output", "m.pth")
        self.assertTrue(torch.equal(self.weights("m.pth")["0.weight"], model.network[0].weight))

    def test_stopped_by_deadline_and_ctrl_c_and_resumed_it_is_the_unbroken_one(self):
        handler = signal.getsignal(signal.SIGINT)
        self.succeed("train", self.folder, "--output", "whole.pth", *self.FAST)
        out = self.succeed("train", self.folder, "--output", "part.pth", "--deadline", 0, *self.FAST)
        self.assertIn("continue with: train", out)
        self.assertFinite(self.weights("part.pth"))
        self.refuse("continue that training with --resume", "train", self.folder, "--output", "part.pth", *self.FAST)
        self.refuse("begun with batch_size = 2, not 4", "train", self.folder, "--resume", "part.pth.checkpoint",
                  "--batch-size", 4)  # fmt: skip
        self.refuse("begun with other pairs", "train", SAMPLE, "--resume", "part.pth.checkpoint")
        step = module.Training.take_step

        def interrupted(*arguments):
            signal.raise_signal(signal.SIGINT)
            return step(*arguments)

        with mock.patch.object(module.Training, "take_step", interrupted):
            status, _, err = self.run_command("train", self.folder, "--resume", "part.pth.checkpoint")
        self.assertEqual(status, 130)
        self.assertEqual(signal.getsignal(signal.SIGINT), handler)
        self.assertIn("stopping after this step", err)
        self.succeed("train", self.folder, "--resume", "part.pth.checkpoint")
        self.assertFalse((self.folder / "part.pth.checkpoint").exists())
        self.assertSameWeights(self.weights("whole.pth"), self.weights("part.pth"))
        whole, part = (
            json.loads((self.folder / name).read_text())["history"] for name in ("whole.pth.json", "part.pth.json")
        )
        self.assertEqual(whole["loss"], part["loss"])
        self.assertEqual(part["seconds"], sorted(part["seconds"]))

    def test_a_training_that_fails_leaves_its_good_weights(self):
        status, _, err = self.run_command(
            "train", self.folder, "--output", "m.pth", "--epochs", 20, *self.FAST[:-1], 1e12
        )
        self.assertEqual(status, 2)
        self.assertIn("m.pth has the last good weights", err)
        self.assertFinite(self.weights("m.pth"))

    def test_a_checkpoint_that_cannot_be_written_is_a_warning_and_tried_again(self):
        self.patch(mock.patch.object(longrun, "CHECKPOINT_MINUTES", 0))
        tried = []

        def save(training, path, about):
            tried.append(path.name)
            raise OSError("disk full")

        with mock.patch.object(longrun, "save_checkpoint", save):
            status, _, err = self.run_command("train", self.folder, "--output", "m.pth", *self.FAST)
        self.assertEqual((status, err.count("warning: disk full")), (0, 4), err)
        self.assertEqual(tried, ["m.pth.checkpoint"] * 4)
        self.assertTrue((self.folder / "m.pth").exists())

    def test_going_back_is_told_and_resumes(self):
        options = ("--batch-size", 2, "--no-hybrid", "--learning-rate", 20, "--epochs", 4)
        status, _, err = self.run_command("train", self.folder, "--output", "whole.pth", *options)
        self.assertIn("back to the last good weights, with half the learning rate", err)
        self.run_command("train", self.folder, "--output", "part.pth", "--deadline", 0, *options)
        for _ in range(20):
            last = self.run_command("train", self.folder, "--resume", "part.pth.checkpoint", "--deadline", 0)[0]
            if last or not (self.folder / "part.pth.checkpoint").exists():
                break
        self.assertEqual(status, last)
        self.assertSameWeights(self.weights("whole.pth"), self.weights("part.pth"))

    def test_a_deadline_is_in_minutes(self):
        clock = itertools.count(0, 20)  # seconds, three looks at it a minute
        with mock.patch.object(longrun.time, "monotonic", side_effect=lambda: next(clock)):
            training = mock.MagicMock(history=dict(loss=[]), num_steps=1000, rollbacks=0)
            training.__iter__.return_value = iter([(0.0, 0.0)] * 1000)
            with mock.patch.object(longrun, "save_checkpoint") as saved:
                ended = longrun.run(training, "checkpoint", {}, deadline=30, progress=False)
        self.assertEqual(ended, longrun.DEADLINE)
        self.assertIn(saved.call_count, range(4, 8))  # every five minutes, and at the end

    def test_checkpoints_are_written_on_the_way(self):
        self.patch(mock.patch.object(longrun, "CHECKPOINT_MINUTES", 0))
        seen, save = [], longrun.save_checkpoint
        self.patch(mock.patch.object(longrun, "save_checkpoint", lambda *a: (save(*a), seen.append(load(a[1])))))

        def load(path):
            return len(longrun.load_checkpoint(path)["training"]["history"]["loss"])

        self.succeed("train", self.folder, "--output", "m.pth", *self.FAST)
        self.assertEqual(seen, [1, 2, 3, 4])


@thorough
class TestKilled(CommandCase):
    CODE = """
import sys
from Miniproject_1 import model
from Miniproject_1.__main__ import main
from Miniproject_1.others.training import longrun
model.LBFGS_STEPS, longrun.CHECKPOINT_MINUTES = 2, 0
print("ready", flush=True)
sys.exit(main(["train", *sys.argv[1:]]))
"""

    def test_killed_at_random_moments_and_resumed_it_ends_the_same(self):
        """12 kills, each within a second of the training's start; then the training is left alone."""
        pairs = [random_images(16, 16, 16, seed=seed) for seed in (1, 2)]
        torch.save(pairs, str(self.folder / "pairs.pkl"))
        generator = random.Random(0)

        def run(name, kill_after=None):
            checkpoint = self.folder / f"{name}.checkpoint"
            options = ["--resume", checkpoint] if checkpoint.exists() else ["--epochs", 6, "--batch-size", 2]
            options += [] if checkpoint.exists() else ["--learning-rate", 5, "--output", name]
            command = [sys.executable, "-c", self.CODE, "pairs.pkl", *map(str, options)]
            environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
            with subprocess.Popen(command, cwd=str(self.folder), stdout=subprocess.PIPE, env=environment) as process:
                process.stdout.readline()
                if kill_after is not None:
                    time.sleep(kill_after)
                    process.kill()
            return process.returncode

        status = run("unbroken")
        kills = sum(run("killed", generator.random()) == -signal.SIGKILL for _ in range(12))
        print(f"{kills} trainings were killed before their end")
        self.assertGreater(kills, 5)
        self.assertEqual(run("killed"), status)
        self.assertSameWeights(self.weights("unbroken"), self.weights("killed"))
