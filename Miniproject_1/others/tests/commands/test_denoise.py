"""`denoise`: pictures in, the same pictures without noise out."""

import os
import tempfile
from unittest import mock

import torch

from ....model import Model
from ...pictures import load_picture, pillow, read_picture, write_picture
from .. import needs_pillow, random_images
from ..pictures import kinds
from ..pictures.kinds import image
from . import CommandCase


@needs_pillow
class DenoiseCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.network_is(lambda images: images.float())

    def network_is(self, function):
        def predict(model, images, **_):
            return function(images)

        self.patch(mock.patch.object(Model, "predict", predict))

    def denoise(self, *arguments):
        return self.run_command("denoise", *arguments)

    def make(self, *names):
        """Write pictures under these names."""
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(random_images(1, 8, 8)[0], path)

    def assertCounted(self, text, result, status=1):
        self.assertEqual(result[0], status, result[2])
        self.assertIn(text, result[1])


class TestOnePicture(DenoiseCase):
    def test_it_is_what_the_network_makes_of_it(self):
        self.make("in.png")
        self.network_is(lambda images: 255 - images.float())
        self.assertIn("out.png", self.succeed("denoise", "in.png", "out.png"))
        before, after = (read_picture(self.folder / name) for name in ("in.png", "out.png"))
        self.assertSame(after, 255 - before)

    def test_options_reach_the_network(self):
        self.make("in.png")
        with mock.patch.object(Model, "predict", side_effect=lambda images, **_: images) as predict:
            self.denoise("in.png", "out.png", "--one-pass", "--precision", "bfloat16")
        wanted = {"average": False, "progress": True, "precision": "bfloat16"}
        self.assertEqual(predict.call_args[1], wanted)

    def test_what_cannot_be_written_in_its_place_is_written_elsewhere(self):
        self.make("in.png")
        self.patch(mock.patch.object(tempfile, "tempdir", str(self.folder)))

        def write_a_file_meanwhile(images):
            (self.folder / "out.png").write_bytes(b"mine")
            return 255 - images.float()

        self.network_is(write_a_file_meanwhile)
        status, out, err = self.denoise("in.png", "out.png")
        self.assertEqual((status, self.files()["out.png"]), (1, b"mine"))
        (path,) = self.folder.glob("out-*.png")
        self.assertIn(f"saved as {path} instead", err)
        self.assertSame(read_picture(path), 255 - read_picture(self.folder / "in.png"))

    def test_an_output_that_is_not_finite_is_refused(self):
        self.make("in.png")
        self.network_is(lambda images: images / 0 * 0)
        status, _, err = self.denoise("in.png", "out.png")
        self.assertEqual((status, "out.png" in self.files()), (2, False))
        self.assertIn("error: the output of the network is not finite", err)

    def test_grey_stays_grey_and_ink_stays_ink(self):
        tint = torch.tensor([0.0, 6.0, 12.0]).view(1, 3, 1, 1)
        self.network_is(lambda images: images + tint)
        grey_in_rgb = self.folder / "grey in RGB.png"
        pillow().merge("RGB", [image("L")] * 3).save(grey_in_rgb)
        for path, added in (
            (kinds.write("grey", self.folder), [6]),
            (kinds.write("RGB", self.folder), [0, 6, 12]),
            (kinds.write("CMYK", self.folder), [0, -6, -12, -6]),
            (grey_in_rgb, [6, 6, 6]),
        ):
            out = self.folder / f"out{path.suffix}"
            self.denoise(path, out, "--overwrite")
            wanted = load_picture(path).pixels.int() + torch.tensor(added).view(-1, 1, 1)
            with self.subTest(path.name):
                self.assertSame(load_picture(out).pixels, wanted.clamp(0, 255))

    def test_a_line_says_what_is_not_kept(self):
        path = kinds.write("transparent", self.folder)
        _, _, err = self.denoise(path, "out.jpg")
        self.assertIn("out.jpg does not keep: transparency", err)

    def test_everything_is_checked_before_anything_is_computed(self):
        self.network_is(mock.Mock(side_effect=AssertionError("computed")))
        self.patch(mock.patch.object(pillow(), "MAX_IMAGE_PIXELS", 20_000))
        self.make("in.png", "there.png")
        pillow().new("L", (16_384, 1)).save(self.folder / "wide.png")
        pillow().new("1", (300, 300)).save(self.folder / "huge.png")
        for source, target, words in (
            ("in.png", "no/out.png", "folder no does not exist"),
            ("in.png", "out.gif", "must name a format"),
            ("in.png", "there.png", "exists already"),
            ("nowhere.png", "out.png", "nowhere.png does not exist"),
            ("wide.png", "out.webp", "holds 16383 pixels a side"),
            (kinds.write("CMYK", self.folder), "out.png", "no CMYK"),
            ("huge.png", "out.png", "--any-size lifts the limit"),
        ):
            with self.subTest(words):
                self.refuse(words, "denoise", source, target)

    def test_existing_outputs(self):
        self.make("in.png", "out.png")
        before = self.files()
        self.network_is(lambda images: 255 - images.float())
        self.succeed("denoise", "in.png", "out.png", "--skip-existing")
        self.assertEqual(self.files(), before)
        self.succeed("denoise", "in.png", "out.png", "--overwrite")
        self.assertNotEqual(self.files(), before)


class TestFolders(DenoiseCase):
    def test_pictures_keep_their_names_and_places(self):
        self.make("a/1.png", "a/b/2.jpg", "single.tif", "写真/3.webp")
        out = self.succeed("denoise", "single.tif", "a", "写真", "out")
        self.assertIn("4 pictures denoised, 0 passed over; they are in out", out)
        outputs = {name for name in self.files() if name.startswith("out")}
        self.assertEqual(outputs, {"out/1.png", "out/b/2.jpg", "out/single.tif", "out/3.webp"})

    def test_an_output_within_the_input_is_not_denoised_again(self):
        self.make("a/1.png")
        self.succeed("denoise", "a", "a/out")
        self.succeed("denoise", "a", "a/out", "--overwrite")
        self.assertEqual(set(self.files()), {"a/1.png", "a/out/1.png"})

    def test_what_cannot_be_denoised_is_counted_and_named_and_hidden_is_hidden(self):
        self.make("a/1.png", "a/.hidden.png", "a/.thumbnails/2.png")
        for name in ("a/2.heic", "a/3.NEF", "a/cut off.png", "a/notes.txt"):
            (self.folder / name).write_bytes(b"something")
        (self.folder / "a/broken.png").symlink_to("nowhere.png")
        (self.folder / "a/elsewhere").symlink_to(self.folder)
        result = self.denoise("a", "out")
        self.assertCounted("1 pictures denoised, 5 passed over", result)
        for name in ("2.heic", "3.NEF", "cut off.png", "broken.png", "elsewhere"):
            self.assertEqual(result[2].count(name), 1, result[2])
        self.assertNotRegex(result[2], "notes.txt|hidden|thumbnails")

    def test_a_folder_that_may_not_be_read_is_named(self):
        self.make("a/1.png", "a/locked/2.png")
        scandir = os.scandir

        def locked(path):
            if os.path.basename(path) == "locked":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        with mock.patch("os.scandir", locked):
            result = self.denoise("a", "out")
        self.assertCounted("1 pictures denoised, 1 passed over", result)
        self.assertEqual(result[2].count("locked"), 1)

    def test_one_that_fails_does_not_stop_the_others(self):
        self.make("a/1.png", "a/2.png", "a/3.png")
        errors = [MemoryError(), RuntimeError("can't allocate memory")]
        self.network_is(mock.Mock(side_effect=[*errors, torch.zeros(1, 3, 8, 8)]))
        result = self.denoise("a", "out")
        self.assertCounted("1 pictures denoised, 2 passed over", result)
        self.assertIn("1.png: MemoryError", result[2])
        self.assertIn("2.png: can't allocate memory", result[2])
        self.assertIn("out/3.png", self.files())

    def test_an_interrupted_folder_goes_on(self):
        self.make("a/1.png", "a/2.png")
        zeros = torch.zeros(1, 3, 8, 8)
        self.network_is(mock.Mock(side_effect=[zeros, KeyboardInterrupt, zeros]))
        status, _, err = self.denoise("a", "out")
        self.assertEqual(status, 130)
        self.assertIn("--skip-existing", err)
        self.network_is(mock.Mock(side_effect=[zeros, KeyboardInterrupt, zeros]))
        _, _, err = self.denoise("a", "out", "--overwrite")
        self.assertIn("pictures that were not reached keep their old outputs", err)
        (self.folder / "out" / "2.png").unlink(missing_ok=True)
        result = self.denoise("a", "out", "--skip-existing")
        self.assertCounted("1 pictures denoised, 0 passed over, 1 there already", result, status=0)

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
            with self.subTest(words):
                self.refuse(words, "denoise", *arguments)
