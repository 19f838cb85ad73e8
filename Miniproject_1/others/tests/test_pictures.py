"""Picture files: what is read of them, what of them is kept, and the `denoise` command."""

import re
import zlib
from pathlib import Path
from unittest import mock

import torch

from ...model import Model
from ..data import pictures
from ..data.pairs import SAMPLE, load_pairs, psnr
from . import kinds, needs_pillow, random_images
from .test_commands import CommandCase, TestCase

TABLE = Path(pictures.__file__).with_name("README.md")
ENDINGS = {
    "PNG": "png", "TIFF": "tif", "JPEG": "jpg", "WebP": "webp", "AVIF": "avif", "JPEG 2000": "jp2", "GIF": "gif",
    "BMP": "bmp", "PPM": "ppm", "TGA": "tga",
}  # fmt: skip
WORDS = (  # what `denoise` says, and what the table says
    (r"(grey|CMYK), it is RGB now", "RGB"),
    (r"\d+ bits? a value, there are (\d+) now", r"\1 bits"),
    ("degrees of transparency", "transparency nearly"),
    ("transparency", "on white"),
    ("palette", "true colours"),
    ("all of its colours: those of the file are .* dB from them", "other colours"),
    ("EXIF|ICC profile|XMP|resolution|text", "lost"),
)


def in_short(words):
    """As the table says it."""
    found = next((pattern, short) for pattern, short in WORDS if re.fullmatch(pattern, words))
    return re.sub(*found, words)


@needs_pillow
class TestPictures(TestCase):
    def test_every_kind_is_read(self):
        from PIL import Image, TiffImagePlugin

        pixels = random_images(1, 5, 4)[0]
        path = self.folder / "picture.png"
        pictures.write_picture(pixels, path)
        plain = Image.open(str(path))
        grey = plain.convert("L")
        same_in_all = torch.tensor(list(grey.tobytes())).view(1, 5, 4).expand(3, 5, 4)
        gradient = Image.new("I;16", (2, 1))
        gradient.putpixel((0, 0), 65535)
        gradient.putpixel((1, 0), 25700)
        levels = torch.tensor([255, 100]).view(1, 1, 2).expand(3, 1, 2)
        floats, integers = Image.new("F", (2, 1), 1.0), Image.new("I", (2, 1), 255)
        floats.putpixel((1, 0), 100 / 255)
        integers.putpixel((1, 0), 100)
        tags = {}
        for name, kind, values in (("float", 12, (0.0, 1.0)), ("integer", 9, (0, 255))):
            tags[name] = TiffImagePlugin.ImageFileDirectory_v2()
            for tag, value in zip((340, 341), values):
                tags[name].tagtype[tag] = kind
                tags[name][tag] = value
        upside_down = Image.Exif()
        upside_down[0x0112] = 3  # orientation: turned by 180 degrees
        clear = plain.convert("RGBA")
        clear.putalpha(0)
        red = torch.tensor([255, 0, 0]).view(3, 1, 1).expand(3, 2, 2)
        for name, image, expected, options in (
            ("rgb.png", plain, pixels, {}),
            ("grey.png", grey, same_in_all, {}),
            ("palette.png", grey.convert("P"), same_in_all, {}),
            ("16 bits.png", gradient, levels, {}),
            ("16 bits.tif", gradient, levels, {}),
            ("floats.tif", floats, levels, dict(tiffinfo=tags["float"])),
            ("integers.tif", integers, levels, dict(tiffinfo=tags["integer"])),
            ("clear.png", clear, torch.full((3, 5, 4), 255), {}),
            ("turned.png", plain, pixels.flip((1, 2)), dict(exif=upside_down)),
            ("single.png", Image.new("RGB", (1, 1), (1, 2, 3)), torch.tensor([1, 2, 3]).view(3, 1, 1), {}),
            ("cmyk.tif", Image.new("CMYK", (2, 2), (0, 255, 255, 0)), red, {}),
        ):
            with self.subTest(name):
                image.save(str(self.folder / name), **options)
                self.assertEqual(pictures.read_picture(self.folder / name).tolist(), expected.tolist())
        for name, image in (("floats 1.tif", floats), ("integers 255.tif", integers)):  # black, or white?
            image.save(str(self.folder / name))
            with self.assertRaisesRegex(ValueError, f"{name} .*does not say which is white"):
                pictures.read_picture(self.folder / name)

    def test_damaged_ones_are_refused(self):
        path, noise = self.folder / "picture.png", random_images(1, 90, 90)[0]
        pictures.write_picture(noise, path)
        good = path.read_bytes()
        header = good[:16] + (20_000).to_bytes(4, "big") * 2 + good[24:29]  # more pixels than Pillow trusts
        large = header + zlib.crc32(header[12:29]).to_bytes(4, "big") + good[33:]
        for content in (large, *(good[:length] for length in range(0, len(good) - 100, 1000))):
            path.write_bytes(content)
            with self.assertRaisesRegex(ValueError, "picture.png cannot be read"):
                pictures.read_picture(path)

    def test_the_table_tells_what_is_kept(self):
        rows = [line.strip("| \n").split(" | ") for line in TABLE.open() if line.startswith("| ")]
        header = next(row for row in rows if row[0] == "input")
        rows = rows[rows.index(header) + 2 :]
        self.assertEqual((header[1:], len(rows)), (list(ENDINGS), 16))
        for kind, *cells in rows:
            picture = pictures.load_picture(kinds.write(kind, self.folder))
            for name, cell in zip(header[1:], cells):
                path = self.folder / f"out.{ENDINGS[name]}"
                try:
                    pictures.format_of(path)
                except ValueError:
                    continue  # this Pillow does not write it
                with self.subTest(f"{kind} to {name}"):
                    said = [in_short(words) for words in pictures.save_picture(picture, path)]
                    self.assertEqual(", ".join(said) or "kept", cell)

    def test_what_is_read_is_what_another_reader_sees(self):
        from PIL import Image

        for kind, mode in (
            ("RGB", "RGB"), ("grey", "L"), ("black and white", "L"), ("palette", "RGB"), ("transparent", "RGBA"),
            ("grey, transparent", "LA"), ("palette, transparent", "RGBA"), ("CMYK", "CMYK"),
        ):  # fmt: skip
            path = kinds.write(kind, self.folder)
            picture = pictures.load_picture(path)
            with Image.open(str(path)) as image, self.subTest(kind):
                bands = [torch.tensor(list(band.tobytes())) for band in image.convert(mode).split()]
                expected = torch.stack(bands).view(len(bands), image.height, image.width)
                channels = len(mode.replace("A", ""))
                self.assertEqual(picture.pixels.tolist(), expected[:channels].tolist())
                self.assertEqual(picture.alpha is None, channels == len(mode))
                if picture.alpha is not None:
                    self.assertEqual(picture.alpha.tolist(), expected[-1].tolist())
        floats = torch.tensor(list(kinds.smooth(1))).view(1, 24, 40)  # in the file 2 x + 10, black at 10, white at 520
        self.assertLess(
            (pictures.load_picture(kinds.write("grey, floats", self.folder)).pixels - floats).abs().max(), 1e-3
        )
        sixteen = (floats * 256 + 255 - floats) / 257
        self.assertLess(
            (pictures.load_picture(kinds.write("grey, 16 bits", self.folder)).pixels - sixteen).abs().max(), 1e-3
        )

    def test_a_profile_is_dropped_with_the_kind_of_colours_that_it_is_for(self):
        for channels, ending, kept in ((1, "webp", False), (1, "png", True), (3, "webp", True), (4, "png", False)):
            picture = pictures.Picture(torch.full((channels, 4, 4), 99), about={"ICC profile": kinds.srgb()})
            path = self.folder / f"{channels}.{ending}"
            said = pictures.save_picture(picture, path)
            self.assertEqual(
                ("ICC profile" in said, "ICC profile" in pictures.load_picture(path).about), (not kept, kept)
            )

    def test_dark_or_large_or_of_many_frames(self):
        from PIL import Image

        path = self.folder / "frames.gif"
        frames = [Image.new("L", (8, 8), grey) for grey in (0, 100, 200)]
        frames[0].save(str(path), save_all=True, append_images=frames[1:])
        frames[0].save(str(self.folder / "frames.tif"), save_all=True, append_images=frames[1:])
        for name in ("frames.gif", "frames.tif"):
            with self.assertRaisesRegex(ValueError, f"{name} .* has 3 frames"):
                pictures.load_picture(self.folder / name)
        with mock.patch.object(Image, "MAX_IMAGE_PIXELS", 400):
            large = kinds.write("RGB", self.folder)
            with self.assertRaisesRegex(ValueError, "--any-size lifts the limit"):
                pictures.load_picture(large)
            self.assertEqual(pictures.load_picture(large, any_size=True).pixels.shape, (3, 24, 40))
            self.assertEqual(Image.MAX_IMAGE_PIXELS, 400)
        with self.assertRaisesRegex(ValueError, "holds 16383 pixels a side, the picture is 16384 x 5"):
            pictures.check_sides(5, 16384, self.folder / "o.webp")


@needs_pillow
class TestDenoise(CommandCase):
    def nothing_done(self):
        """Replace the network by one that changes nothing."""
        self.patch(mock.patch.object(Model, "predict", lambda model, images, **_: images.float()))

    def test_every_kind_is_afterwards_what_it_was(self):
        from PIL import Image

        self.nothing_done()
        names = ("RGB", "grey", "transparent", "grey, transparent", "CMYK", "grey, 16 bits", "grey, floats", "EXIF",
                 "ICC profile", "resolution", "XMP", "text")  # fmt: skip
        for kind in names:
            path = kinds.write(kind, self.folder)
            self.succeed("denoise", path.name, f"out{path.suffix}", "--overwrite")
            with Image.open(str(path)) as before, Image.open(str(self.folder / f"out{path.suffix}")) as after:
                with self.subTest(kind):
                    self.assertEqual((after.mode, after.size), (before.mode, before.size))
                    if path.suffix != ".jpg":
                        self.assertEqual(after.tobytes(), before.tobytes())
                    for name in ("icc_profile", "xmp", "dpi"):
                        self.assertEqual(after.info.get(name), before.info.get(name))
                    self.assertEqual(getattr(after, "text", None), getattr(before, "text", None))
                    for table in (kinds.EXIF_TABLE, kinds.GPS_TABLE):
                        self.assertEqual(after.getexif().get_ifd(table), before.getexif().get_ifd(table))
                    self.assertEqual([after.getexif().get(tag) for tag in (271, 306)],
                                     [before.getexif().get(tag) for tag in (271, 306)])  # fmt: skip

    def test_a_turned_picture_is_turned_once(self):
        from PIL import Image

        self.nothing_done()
        for ending in ("jpg", "tif", "png"):
            kinds.image("RGB").save(str(self.folder / f"in.{ending}"), exif=kinds.exif(6), dpi=(300, 150), quality=95)
            self.succeed("denoise", f"in.{ending}", f"out.{ending}")
            with Image.open(str(self.folder / f"out.{ending}")) as after:
                self.assertEqual((after.size, after.getexif().get(kinds.ORIENTATION, 1)), (kinds.SIZE[::-1], 1))
                self.assertEqual([round(float(value)) for value in after.info["dpi"]], [150, 300])
                self.assertEqual(after.getexif()[271], "Maker")
                error = pictures.tensor_of(after).float() - pictures.tensor_of(
                    kinds.image("RGB").rotate(-90, expand=True)
                )
                self.assertLess(error.abs().mean(), 2)

    def test_grey_stays_grey_and_ink_stays_ink(self):
        from PIL import Image

        def tinted(model, images, **_):  # a network that gives every channel a tint of its own
            return images.float() + torch.tensor([0.0, 6.0, 12.0]).view(1, 3, 1, 1)

        self.patch(mock.patch.object(Model, "predict", tinted))
        for kind, added in (("grey", [6]), ("RGB", [0, 6, 12]), ("CMYK", [0, -6, -12, -6])):
            path = kinds.write(kind, self.folder)
            self.succeed("denoise", path.name, f"out{path.suffix}", "--overwrite")
            with Image.open(str(path)) as before, Image.open(str(self.folder / f"out{path.suffix}")) as after:
                wanted = pictures.tensor_of(before).int() + torch.tensor(added).view(-1, 1, 1)
                self.assertEqual(pictures.tensor_of(after).tolist(), wanted.clamp(0, 255).tolist())
        Image.merge("RGB", [kinds.image("L")] * 3).save(str(self.folder / "grey in RGB.png"))
        self.succeed("denoise", "grey in RGB.png", "out.png", "--overwrite")
        red, *others = pictures.read_picture(self.folder / "out.png")
        self.assertTrue(all(torch.equal(red, other) for other in others))

    def test_a_folder_of_mixed_pictures(self):
        """Every picture is afterwards as it was, without its noise; a truncated one is named."""
        from PIL import Image

        noisy, clean = (images.float() for images in load_pairs(SAMPLE, "val_data.pkl"))
        noisy, clean = (
            [torch.cat(list(each[place : place + 6]), 2) for place in range(0, 30, 6)] for each in (noisy, clean)
        )
        folder = self.folder / "写真"
        (folder / "deeper").mkdir(parents=True)
        alpha = Image.linear_gradient("L").resize((192, 32))
        ink = [torch.cat([255 - each[3], torch.zeros(1, 32, 192)]) for each in (noisy, clean)]
        grey = [each[1].mean(0, keepdim=True) for each in (noisy, clean)]
        made = {
            "transparent.png": pictures.image_of(noisy[0], "RGB"),
            "grey.jpg": pictures.image_of(grey[0], "L"),
            "16 bits.tif": pictures.image_of(grey[0], "I;16"),
            "deeper/palette.gif": pictures.image_of(noisy[2], "RGB").quantize(),
            "cmyk.jpg": pictures.image_of(ink[0], "CMYK"),
        }
        wanted = dict(zip(made, (clean[0], grey[1], grey[1], clean[2], ink[1])))
        made["transparent.png"].putalpha(alpha)
        made["grey.jpg"] = made["grey.jpg"].rotate(90, expand=True)
        for name, image in made.items():
            options = {"grey.jpg": dict(exif=kinds.exif(6)), "cmyk.jpg": dict(icc_profile=b"a profile of inks")}
            image.save(str(folder / name), **options.get(name, {}), quality=98, subsampling=0)
        (folder / "cut off.png").write_bytes((folder / "transparent.png").read_bytes()[:3000])
        (folder / "notes.txt").write_text("mine")
        status, out, err = self.run_command("denoise", folder, "out", "--one-pass")
        self.assertEqual((status, err.count("passed over")), (1, 1), err)
        self.assertIn("cut off.png cannot be read", err)
        self.assertIn("5 pictures denoised, 1 passed over", out)
        found = {path.relative_to(self.folder / "out").as_posix() for path in (self.folder / "out").rglob("*.*")}
        self.assertEqual(found, set(made))
        for name, target in wanted.items():
            before, after = (pictures.load_picture(self.folder / place / name) for place in (folder, "out"))
            with self.subTest(name), Image.open(str(folder / name)) as first, Image.open(
                str(self.folder / "out" / name)
            ) as last:
                gain = [psnr(picture.pixels[None], target[None]).item() for picture in (before, after)]
                self.assertGreater(gain[1], gain[0] + 1.5)
                self.assertEqual(last.mode, first.mode)
                self.assertEqual(last.info.get("icc_profile"), first.info.get("icc_profile"))
                self.assertEqual(last.getexif().get(271), first.getexif().get(271))
        self.assertEqual(pictures.load_picture(self.folder / "out" / "transparent.png").alpha.tolist(),
                         pictures.tensor_of(alpha)[0].tolist())  # fmt: skip

    def test_where_pictures_go(self):
        self.nothing_done()
        for name in ("a/1.png", "a/b/2.png", "c/1.png", "single.png"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            pictures.write_picture(random_images(1, 8, 8)[0], self.folder / name)
        (self.folder / "a" / ".hidden.png").write_bytes(b"not a picture")
        self.succeed("denoise", "single.png", "a", "out")
        (self.folder / "there").mkdir()
        self.succeed("denoise", "single.png", "there")
        self.succeed("denoise", "a", "a/denoised")
        found = {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.png")}
        inputs = {"a/1.png", "a/.hidden.png", "a/b/2.png", "c/1.png", "single.png"}
        outputs = {"out/single.png", "out/1.png", "out/b/2.png", "there/single.png", "a/denoised/1.png"}
        self.assertEqual(found, inputs | outputs | {"a/denoised/b/2.png"})
        self.refuse("a/1.png and c/1.png would both be written", "denoise", "a", "c", "new")
        self.refuse("exists already.*--overwrite", "denoise", "a", "a/denoised")
        self.succeed("denoise", "a", "a/denoised", "--overwrite")
        self.assertFalse((self.folder / "a" / "denoised" / "denoised").exists())
        self.succeed("denoise", "c", "c", "--overwrite")
        self.refuse("nowhere does not exist", "denoise", "nowhere", "single.png", "new")
        (self.folder / "empty").mkdir()
        self.refuse("no pictures in empty", "denoise", "empty", "new")
        self.refuse("too large|holds 65500 pixels", "denoise", self.large("png"), "large.jpg")
        (self.folder / "link.png").symlink_to(self.folder / "there" / "single.png")
        self.refuse("link.png exists already", "denoise", "c/1.png", "link.png")
        self.succeed("denoise", "c/1.png", "link.png", "--overwrite")
        self.assertTrue((self.folder / "link.png").is_symlink())

    def large(self, ending):
        from PIL import Image

        path = self.folder / f"large.{ending}"
        Image.new("L", (65_501, 1)).save(str(path))
        return path
