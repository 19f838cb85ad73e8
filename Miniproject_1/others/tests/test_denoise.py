"""`denoise`, `sample` and the demonstration, as a user types them."""

import shlex
from unittest import mock

import torch

from ...model import Model
from ..pictures import load_picture, pillow, read_picture
from . import needs_pillow, random_images, weights_of
from .test_commands import CommandCase


@needs_pillow
class PictureCase(CommandCase):
    def make(self, *names):
        """Write pictures under these names, in colour and different from each other."""
        for seed, name in enumerate(names):
            self.write(name, random_images(1, 12, 16, seed)[0])

    def read(self, name):
        return read_picture(self.folder / name)

    def predicted(self, name, **options):
        """What `Model.predict` makes of a picture: uint8 (3, H, W)."""
        model = Model(device="cpu")
        model.load_pretrained_model()
        return model.predict(self.read(name)[None], **options)[0].round().byte()


class TestOnePicture(PictureCase):
    def test_it_is_what_predict_makes_of_it(self):
        self.make("in.png")
        denoise = ("denoise", "in.png", "out.png", "--device", "cpu", "--overwrite")
        self.assertEqual(self.run_command(*denoise), (0, "wrote out.png\n", ""))
        self.assertSame(self.read("out.png"), self.predicted("in.png"))
        self.succeed(*denoise, "--one-pass")
        self.assertSame(self.read("out.png"), self.predicted("in.png", average=False))
        black = {name: 0 * value for name, value in weights_of(Model()).items()}
        torch.save(black, self.folder / "black.pth")
        self.succeed(*denoise, "--weights", "black.pth")
        self.assertEqual(self.read("out.png").max(), 0)

    def test_grey_stays_grey_and_alpha_as_it_is(self):
        noise = pillow().effect_noise((16, 12), 80)
        pillow().merge("LA", [noise] * 2).save(self.folder / "grey.png")
        pillow().merge("RGBA", [noise] * 4).save(self.folder / "rgb.png")
        for name, channels in (("grey.png", 1), ("rgb.png", 3)):
            self.succeed("denoise", name, "out.tif", "--one-pass", "--overwrite")
            before, after = (load_picture(self.folder / each) for each in (name, "out.tif"))
            self.assertEqual(len(after.pixels), channels)
            self.assertSame(after.pixels, after.pixels[:1].expand_as(after.pixels))
            self.assertDiffer(after.pixels, before.pixels)
            self.assertSame(after.alpha, before.alpha)


class TestFolders(PictureCase):
    def denoise(self, *arguments):
        return self.run_command("denoise", *arguments, "--one-pass", "--device", "cpu")

    def test_pictures_keep_their_names_and_places(self):
        names = ("1.png", "b/2.tif", "写真/3.webp")
        self.make(*(f"a/{name}" for name in names), "a/.hidden.png", "a/.thumbnails/2.png")
        (self.folder / "a" / "notes.txt").touch()
        wrote = "".join(f"wrote out/{name}\n" for name in names)
        status, out, err = self.denoise("a", "out")
        self.assertIn("left out in a: 1 files that are not .png, ", err)
        self.assertEqual((status, out), (0, wrote))
        for name in names:
            predicted = self.predicted(f"a/{name}", average=False)
            self.assertSame(self.read(f"out/{name}"), predicted)

    def test_one_that_fails_is_named_and_does_not_stop_the_others(self):
        self.make("a/1.png", "a/3.png")
        (self.folder / "a" / "2.png").write_bytes(b"something")
        pillow().new("CMYK", (8, 8)).save(self.folder / "a" / "ink.tif")
        status, out, err = self.denoise("a", "new/out")
        self.assertEqual((status, out), (1, "wrote new/out/1.png\nwrote new/out/3.png\n"))
        self.assertRegex(err, r"\Apassed over a/2.png: [^\n]*\npassed over a/ink.tif: .*CMYK")

    def test_skip_existing_goes_on_within_the_folder_itself(self):
        self.make("a/1.png", "a/2.png", "a/out/1.png")
        before = self.read("a/out/1.png")
        status, out, _ = self.denoise("a", "a/out", "--skip-existing")
        self.assertEqual((status, out), (0, "wrote a/out/2.png\n"))
        self.assertSame(self.read("a/out/1.png"), before)


class TestSample(PictureCase):
    def test_samples_differ_and_the_same_seed_draws_them_again(self):
        self.make("noisy.png")
        self.succeed("sample", "noisy.png", "drawn", "--number", 2)
        self.succeed("sample", "noisy.png", "again", "--number", 1)
        first, second = self.read("drawn/1.png"), self.read("drawn/2.png")
        self.assertEqual(first.shape, (3, 12, 16))
        self.assertDiffer(first, second)
        self.assertSame(self.read("again/1.png"), first)
        self.write("grey.png", random_images(1, 12, 16)[0, :1])
        self.succeed("sample", "grey.png", "grey", "--number", 1)
        self.assertEqual(len(load_picture(self.folder / "grey" / "1.png").pixels), 1)


class TestDemo(PictureCase):
    def test_it_prints_the_scores_and_replaces_its_picture(self):
        (self.folder / "demo.png").write_bytes(b"the picture of another time")
        with mock.patch.object(Model, "predict", lambda model, images, **_: images.float()):
            out = self.succeed()
        self.assertRegex(out, r"noisy +22\.70 dB [^\n]*\ndenoised +22\.70 dB ")
        self.assertGreater(self.read("demo.png").shape[2], 12 * 4 * 32)  # not the former picture
        self.assertEqual(set(self.files()), {"demo.png"})


class TestRefusals(PictureCase):
    def test_what_cannot_be_done_is_refused_before_the_work(self):
        self.make("1.png", "a/1.png", "there/1.png")
        pillow().new("I;16", (8, 8)).save(self.folder / "deep.png")
        (self.folder / "empty").mkdir()
        for line, words in (
            ("denoise 1.png out.gif", "ending of a picture must be"),
            ("denoise 1.png there/1.png", "there/1.png exists already; --overwrite"),
            ("denoise a a --overwrite", "a/1.png is an input"),
            ("denoise deep.png out.png", "deep.png .* 16 bits"),
            ("denoise '' out.png", "must not be empty"),
            ("denoise empty out", "no pictures in empty"),
            ("sample 1.png . --overwrite", "1.png is an input"),
            ("sample 1.png there", "there/1.png exists already; --overwrite"),
            ("sample 1.png out --number 0", "number must be"),
        ):
            with self.subTest(line):
                self.refuse(words, *shlex.split(line))
