"""Picture files: what is read, what is kept when they are written, and what is refused."""

import zlib

import torch
from torch.nn.functional import interpolate

from ..pictures import Picture, comparison, load_picture, pillow, read_picture, save_picture
from . import TestCase, needs_pillow, random_images

HEIGHT, WIDTH = 24, 40
EXIF, GPS, ORIENTATION = 0x8769, 0x8825, 0x0112  # tags
FORMATS = (".png", ".jpg", ".tif", ".webp")


def image(mode="RGB"):
    """A Pillow image without edges, which JPEG changes little."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 4, 3, 4, generator=generator) * 255
    values = interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")[0]
    values = values.round().byte().permute(1, 2, 0)
    colours = bytes(values.flatten().tolist())
    made = pillow().frombytes("RGBA", (WIDTH, HEIGHT), colours)
    return made.convert(mode)


def values_of(picture):
    """The red, green, blue and alpha of a Pillow image: uint8 (4, H, W)."""
    content = picture.convert("RGBA").tobytes()
    values = torch.tensor(list(content), dtype=torch.uint8)
    return values.view(HEIGHT, WIDTH, 4).permute(2, 0, 1)


def exif(tags):
    """EXIF as bytes, from tags and tables of tags."""
    made = pillow().Exif()
    made.update(tags)
    return made.tobytes()


def change_header(path, place, content):
    """Overwrite bytes of a PNG file's header, from this place on."""
    file = bytearray(path.read_bytes())
    file[place : place + len(content)] = content
    file[29:33] = zlib.crc32(file[12:29]).to_bytes(4, "big")
    path.write_bytes(file)


@needs_pillow
class PictureCase(TestCase):
    def path(self, ending):
        return self.folder / f"picture{ending}"

    def copy(self, path, ending):
        """Read and write a picture; returns the path of the new one."""
        copied = self.folder / f"copy{ending}"
        save_picture(load_picture(path), copied)
        return copied


class TestPixels(PictureCase):
    def test_every_kind_is_read_as_it_is(self):
        transparent = image().quantize(32)
        transparent.info["transparency"] = 3
        modes = ("1", "L", "LA", "P", "RGB", "RGBA")
        for picture in (*map(image, modes), transparent):
            picture.save(self.path(".png"))
            found = load_picture(self.path(".png"))
            colours, alpha = values_of(picture).split((3, 1))
            is_grey = picture.mode in ("1", "L", "LA")
            with self.subTest(picture.mode):
                self.assertSame(found.pixels.expand(3, -1, -1), colours)
                self.assertEqual(len(found.pixels), 1 if is_grey else 3)
                if (alpha == 255).all():
                    self.assertIsNone(found.alpha)
                else:
                    self.assertSame(found.alpha, alpha)

    def test_all_formats_keep_every_value_but_jpeg_is_near_and_on_white(self):
        for mode in ("L", "LA", "RGB", "RGBA"):
            image(mode).save(self.path(".png"))
            colours, alpha = values_of(image(mode)).float().split((3, 1))
            on_white = (colours * alpha + 255 * (255 - alpha)) / 255
            self.assertClose(read_picture(self.path(".png")), on_white, 0.51)
            copied = self.copy(self.path(".png"), ".jpg")
            self.assertClose(read_picture(copied), on_white, 9)
            for ending in (".png", ".tif", ".webp"):
                copied = self.copy(self.path(".png"), ending)
                with self.subTest(mode, to=ending):
                    written = pillow().open(copied)
                    self.assertSame(values_of(written), values_of(image(mode)))

    def test_tiff_is_compressed_and_values_are_rounded_and_clipped(self):
        path = self.path(".tif")
        grey = torch.full((1, 500, 500), 1.6)
        save_picture(Picture(grey), path)
        self.assertLess(path.stat().st_size, 10_000)
        self.assertEqual(read_picture(path).unique().tolist(), [2])
        beyond = torch.tensor([[[-9.0, 300.0]]])
        save_picture(Picture(beyond), path)
        self.assertEqual(read_picture(path)[2].tolist(), [[0, 255]])


class TestMetadata(PictureCase):
    def test_profile_and_resolution_are_passed_on_and_exif_but_for_tiff(self):
        from PIL import ImageCms

        profile = ImageCms.createProfile("sRGB")
        profile = ImageCms.ImageCmsProfile(profile).tobytes()
        tags = {271: "Maker", EXIF: {0x829A: 0.01}, GPS: {1: "N"}}
        for before in FORMATS:
            options = {"exif": exif(tags), "icc_profile": profile, "dpi": (300, 150)}
            image().save(self.path(before), **options)
            for after in FORMATS:
                copied = self.copy(self.path(before), after)
                with self.subTest(before, to=after), pillow().open(copied) as written:
                    written.load()
                    self.assertEqual(written.info["icc_profile"], profile)
                    if ".tif" not in (before, after):
                        found = written.getexif()
                        self.assertEqual(found[271], "Maker")
                        self.assertEqual(found.get_ifd(EXIF), {0x829A: 0.01})
                        self.assertEqual(found.get_ifd(GPS), {1: "N"})
                    if ".webp" not in (before, after):  # which holds no resolution
                        self.assertAlmostEqual(written.info["dpi"][1], 150, delta=1)

    def test_pictures_are_turned_upright(self):
        upright = image("L")
        for ending in FORMATS:
            for orientation, quarter_turns in ((3, 2), (6, 1), (8, 3)):
                turned = upright.rotate(90 * quarter_turns, expand=True)
                tags = exif({ORIENTATION: orientation})
                turned.save(self.path(ending), exif=tags, quality=95)
                copied = self.copy(self.path(ending), ending)
                with self.subTest(ending, orientation=orientation):
                    expected = values_of(upright)[:3].float()
                    self.assertClose(read_picture(copied), expected, 9)
                    written = pillow().open(copied)
                    self.assertEqual(written.getexif().get(ORIENTATION, 1), 1)


class TestRefusals(PictureCase):
    def refuse(self, path, words):
        with self.assertRaisesRegex(ValueError, f"{path.name}.*{words}"):
            read_picture(path)

    def test_other_kinds_are_refused_by_name(self):
        new = pillow().new
        deep = new("I;16", (8, 8))
        for picture, name, words in (
            (deep, "deep.png", "16 bits"),
            (deep, "deep.tif", "16 bits"),
            (new("F", (8, 8)), "float.tif", "32 bits"),
            (new("CMYK", (8, 8)), "ink.jpg", "CMYK"),
            (new("LAB", (8, 8)), "lab.tif", "LAB"),
            (image(), "a.gif", "ending of a picture must be one of .png"),
        ):
            picture.save(self.folder / name)
            with self.subTest(name):
                self.refuse(self.folder / name, words)
        image().save(self.path(".tif"), save_all=True, append_images=[image()])
        self.refuse(self.path(".tif"), "2 frames")

    def test_16_bits_that_pillow_would_cut_to_8_and_178_megapixels_are_refused(self):
        image().save(self.path(".png"))
        change_header(self.path(".png"), 24, bytes([16]))
        self.refuse(self.path(".png"), "16 bits")
        change_header(self.path(".png"), 16, (20_000).to_bytes(4, "big") * 2)
        self.refuse(self.path(".png"), "exceeds limit of 178956970 pixels")

    def test_damaged_files(self):
        image().save(self.path(".png"))
        good = self.path(".png").read_bytes()
        half = good[: len(good) // 2]
        for content in (b"", half, b"text" + good):
            self.path(".png").write_bytes(content)
            self.refuse(self.path(".png"), "")


class TestComparison(PictureCase):
    def test_images_lie_in_a_grid_with_labels_and_captions_around(self):
        rows = [random_images(2, 5, 4, seed).float() for seed in (0, 1)]
        plain = comparison(rows)
        self.assertEqual(plain.shape, (3, 8 + 2 * (20 + 8), 8 + 2 * (16 + 8)))
        last = plain[None, :, 36:56, 32:48].float()
        self.assertSame(last, interpolate(rows[1][1:], scale_factor=4))
        full = comparison(rows, labels=("noisy", "clean"), captions=("1", "2"))
        height, width = plain.shape[1:]
        self.assertSame(full[:, :height, -width:], plain)
        self.assertLess(full[:, :, :-width].min(), 100)  # black text
