"""The `denoise` command: pictures in, the same pictures without noise out."""

import argparse
import contextlib
import io
import os
import unittest
import warnings
from unittest import mock

import torch

from ....model import Model
from ...commands import denoise
from ...pictures import load_picture, pillow, read_picture, write_picture
from .. import TestCase, needs_pillow, random_images
from . import kinds
from .kinds import HEIGHT, WIDTH, image


@needs_pillow
class DenoiseCase(TestCase):
    def setUp(self):
        """Work in an empty folder, with a network that changes nothing."""
        super().setUp()
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        self.network_is(lambda images: images.float())

    def network_is(self, function):
        def predict(model, images, **_):
            return function(images)

        self.patch(mock.patch.object(Model, "predict", predict))

    def denoise(self, *arguments):
        """Run the command; returns its status, standard output and standard error."""
        parser = argparse.ArgumentParser()
        denoise.add_arguments(parser)
        options = parser.parse_args([str(argument) for argument in arguments])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = denoise.run(options)
        return status, out.getvalue(), err.getvalue()

    def make(self, *names):
        """Write pictures under these names."""
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(random_images(1, 8, 8)[0], path)

    def files(self):
        """The names of all files."""
        found = (path for path in self.folder.rglob("*") if not path.is_dir())
        return {path.relative_to(self.folder).as_posix() for path in found}


class TestOnePicture(DenoiseCase):
    def test_it_is_what_the_network_makes_of_it(self):
        self.make("in.png")
        self.network_is(lambda images: 255 - images.float())
        status, out, _ = self.denoise("in.png", "out.png")
        self.assertEqual(status, 0)
        self.assertIn("out.png", out)
        self.assertTrue(torch.equal(read_picture("out.png"), 255 - read_picture("in.png")))

    def test_options_reach_the_network(self):
        self.make("in.png")
        with mock.patch.object(Model, "predict", side_effect=lambda images, **_: images) as predict:
            self.denoise("in.png", "out.png", "--one-pass", "--precision", "bfloat16")
        self.assertEqual(
            predict.call_args[1], {"average": False, "progress": True, "precision": "bfloat16"}
        )

    def test_grey_stays_grey_and_ink_stays_ink(self):
        tint = torch.tensor([0.0, 6.0, 12.0]).view(1, 3, 1, 1)
        self.network_is(lambda images: images + tint)
        pillow().merge("RGB", [image("L")] * 3).save("grey in RGB.png")
        for path, added in (
            (kinds.write("grey", self.folder), [6]),
            (kinds.write("RGB", self.folder), [0, 6, 12]),
            (kinds.write("CMYK", self.folder), [0, -6, -12, -6]),
            (self.folder / "grey in RGB.png", [6, 6, 6]),
        ):
            self.denoise(path, f"out{path.suffix}", "--overwrite")
            before, after = load_picture(path), load_picture(f"out{path.suffix}")
            wanted = before.pixels.int() + torch.tensor(added).view(-1, 1, 1)
            with self.subTest(path.name):
                self.assertEqual(after.pixels.tolist(), wanted.clamp(0, 255).tolist())

    def test_a_line_says_what_is_not_kept(self):
        path = kinds.write("transparent", self.folder)
        _, _, err = self.denoise(path, "out.jpg")
        self.assertIn("out.jpg does not keep: transparency", err)

    def test_a_turned_picture_is_turned_once(self):
        image().save("in.png", exif=kinds.camera_exif(6))
        self.denoise("in.png", "out.png")
        self.assertEqual(read_picture("out.png").shape, (3, WIDTH, HEIGHT))
        self.assertTrue(torch.equal(read_picture("out.png"), read_picture("in.png")))

    def test_everything_is_checked_before_anything_is_computed(self):
        self.network_is(mock.Mock(side_effect=AssertionError("computed")))
        self.make("in.png", "there.png")
        image().save("frames.png", save_all=True, append_images=[image("L").convert("RGB")])
        pillow().new("L", (16_384, 1)).save("wide.png")
        ink = kinds.write("CMYK", self.folder)
        before = self.files()
        for source, target, words in (
            ("in.png", "no/out.png", "folder no does not exist"),
            ("in.png", "out.gif", "must name a format"),
            ("in.png", "there.png", "exists already"),
            ("in.png", ".", "in.png exists already"),
            ("nowhere.png", "out.png", "nowhere.png does not exist"),
            ("frames.png", "out.png", "2 frames"),
            ("wide.png", "out.webp", "holds 16383 pixels a side"),
            (ink, "out.png", "no CMYK"),
        ):
            with self.subTest(words), self.assertRaisesRegex((OSError, ValueError), words):
                self.denoise(source, target)
        self.assertEqual(self.files(), before)

    def test_the_limit_of_pixels_can_be_lifted(self):
        self.make("in.png")
        self.patch(mock.patch.object(pillow(), "MAX_IMAGE_PIXELS", 10))
        with self.assertRaisesRegex(ValueError, "--any-size"):
            self.denoise("in.png", "out.png")
        self.assertEqual(self.denoise("in.png", "out.png", "--any-size")[0], 0)

    def test_there_is_no_warning_of_dark_pictures(self):
        def warn(images):
            warnings.warn("values 0 to 255, got 0 to 1", stacklevel=2)
            return images

        self.make("in.png")
        self.network_is(warn)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEqual(self.denoise("in.png", "out.png")[0], 0)

    def test_existing_outputs(self):
        self.make("in.png", "out.png")
        before = (self.folder / "out.png").read_bytes()
        self.network_is(lambda images: 255 - images.float())
        self.denoise("in.png", "out.png", "--skip-existing")
        self.assertEqual((self.folder / "out.png").read_bytes(), before)
        self.denoise("in.png", "out.png", "--overwrite")
        self.assertNotEqual((self.folder / "out.png").read_bytes(), before)

    def test_what_appears_while_it_works_is_not_replaced(self):
        self.make("in.png")

        def somebody_else_writes(images):
            (self.folder / "out.png").write_bytes(b"mine")
            return images

        self.network_is(somebody_else_writes)
        with self.assertRaises(FileExistsError):
            self.denoise("in.png", "out.png")
        self.assertEqual((self.folder / "out.png").read_bytes(), b"mine")


class TestFolders(DenoiseCase):
    def test_pictures_keep_their_names_and_places(self):
        self.make("a/1.png", "a/b/2.jpg", "single.tif", "写真/3.webp")
        status, out, _ = self.denoise("single.tif", "a", "写真", "out")
        self.assertEqual(status, 0)
        outputs = {"out/1.png", "out/b/2.jpg", "out/single.tif", "out/3.webp"}
        self.assertEqual({name for name in self.files() if name.startswith("out/")}, outputs)
        self.assertIn("4 pictures denoised, 0 passed over; they are in out", out)

    def test_an_output_within_the_input_is_not_denoised_again(self):
        self.make("a/1.png")
        self.denoise("a", "a/out")
        self.denoise("a", "a/out", "--overwrite")
        self.assertEqual(self.files(), {"a/1.png", "a/out/1.png"})

    def test_hidden_files_and_folders_are_passed_over(self):
        self.make("a/1.png", "a/.hidden.png", "a/.thumbnails/2.png")
        _, out, err = self.denoise("a", "out")
        self.assertIn("1 pictures denoised, 0 passed over", out)
        self.assertNotIn("hidden", err)

    @unittest.skipUnless(hasattr(os, "mkfifo"), "there are no pipes with names")
    def test_what_cannot_be_denoised_is_counted_and_named(self):
        self.make("a/1.png")
        for name in ("a/2.heic", "a/3.NEF", "a/cut off.png", "a/notes.txt"):
            (self.folder / name).write_bytes(b"something")
        (self.folder / "a/broken.png").symlink_to("nowhere.png")
        (self.folder / "a/elsewhere").symlink_to(self.folder)
        os.mkfifo("a/pipe.png")
        status, out, err = self.denoise("a", "out")
        self.assertEqual(status, 1)
        self.assertIn("1 pictures denoised, 6 passed over", out)
        for name in ("2.heic", "3.NEF", "cut off.png", "broken.png", "elsewhere", "pipe"):
            self.assertEqual(err.count(name), 1, err)
        self.assertNotIn("notes.txt", err)

    def test_only_the_first_of_many_are_named(self):
        self.make("a/1.png")
        for number in range(7):
            (self.folder / f"a/{number}.heic").write_bytes(b"something")
        _, out, err = self.denoise("a", "out")
        self.assertIn("4.heic and 2 more", err)
        self.assertIn("7 passed over", out)

    def test_a_folder_that_may_not_be_read_is_named(self):
        self.make("a/1.png", "a/locked/2.png")
        scandir = os.scandir

        def locked(path):
            if os.path.basename(path) == "locked":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        self.patch(mock.patch("os.scandir", locked))
        status, out, err = self.denoise("a", "out")
        self.assertIn("1 pictures denoised, 1 passed over", out)
        self.assertEqual(err.count("locked"), 1)
        self.assertEqual(status, 1)

    def test_one_that_fails_does_not_stop_the_others(self):
        self.make("a/1.png", "a/2.png", "a/3.png", "a/4.png")
        errors = [MemoryError(), RuntimeError("can't allocate memory"), KeyError("x")]
        self.network_is(mock.Mock(side_effect=[*errors, torch.zeros(1, 3, 8, 8)]))
        status, out, err = self.denoise("a", "out")
        self.assertEqual(status, 1)
        self.assertIn("1 pictures denoised, 3 passed over", out)
        for name in ("1.png: MemoryError", "2.png: can't allocate memory", "3.png"):
            self.assertIn(name, err)
        self.assertEqual({name for name in self.files() if "out/" in name}, {"out/4.png"})

    def test_an_interrupted_folder_goes_on(self):
        self.make("a/1.png", "a/2.png")
        zeros = torch.zeros(1, 3, 8, 8)
        self.network_is(mock.Mock(side_effect=[zeros, KeyboardInterrupt, zeros]))
        messages = io.StringIO()
        with self.assertRaises(KeyboardInterrupt), mock.patch.object(
            denoise, "say", messages.write
        ):
            self.denoise("a", "out")
        self.assertIn("--skip-existing", messages.getvalue())
        status, out, _ = self.denoise("a", "out", "--skip-existing")
        self.assertEqual(status, 0)
        self.assertIn("1 pictures denoised, 0 passed over, 1 there already", out)

    def test_everything_is_checked_before_anything_is_computed(self):
        self.network_is(mock.Mock(side_effect=AssertionError("computed")))
        self.make("a/1.png", "b/1.png", "there/1.png", "file.png")
        (self.folder / "empty").mkdir()
        for arguments, words in (
            (("a", "b", "out"), "a/1.png and b/1.png would both be written"),
            (("a", "there"), "1.png exists already"),
            (("a", "file.png"), "file.png is a file"),
            (("a", "nowhere", "out"), "nowhere does not exist"),
            (("empty", "out"), "no pictures in empty"),
        ):
            with self.subTest(words), self.assertRaisesRegex((OSError, ValueError), words):
                self.denoise(*arguments)
        self.assertFalse((self.folder / "out").exists())
