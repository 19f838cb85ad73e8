"""Picture files: what is read, what is kept when they are written, and what is refused."""

import zlib

import torch
from torch.nn.functional import interpolate

from ..pictures import (
    SUFFIXES,
    Picture,
    check_picture_output,
    comparison,
    load_picture,
    pillow,
    read_picture,
    save_picture,
    write_picture,
)
from . import TestCase, needs_pillow, random_images

HEIGHT, WIDTH = 24, 40
EXIF, GPS, ORIENTATION = 0x8769, 0x8825, 0x0112  # tags
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}  # by Pillow's name of the kind of pixels
FORMATS = (".png", ".jpg", ".tif", ".webp")


def smooth(channels):
    """Values of a picture without edges, which JPEG changes little: uint8 (C, H, W)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, 3, 4, generator=generator) * 255
    return interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")[0].round().byte()


def image(mode="RGB"):
    """A Pillow image with these values, or the nearest of black and white, or of 32 colours."""
    if mode == "1":
        return image("L").convert("1")
    if mode == "P":
        return image().quantize(32)
    values = bytes(smooth(CHANNELS[mode]).permute(1, 2, 0).flatten().tolist())
    return pillow().frombytes(mode, (WIDTH, HEIGHT), values)


def exif(tags):
    """EXIF as bytes, from tags and tables of tags."""
    made = pillow().Exif()
    made.update(tags)
    return made.tobytes()


def values_of(picture):
    """Pixels and alpha in one tensor."""
    if picture.alpha is None:
        return picture.pixels
    return torch.cat([picture.pixels, picture.alpha])


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
    def test_they_are_read_as_they_are(self):
        for ending in (".png", ".tif"):
            for mode, channels in CHANNELS.items():
                image(mode).save(self.path(ending))
                with self.subTest(ending, mode=mode):
                    self.assertSame(values_of(load_picture(self.path(ending))), smooth(channels))

    def test_black_and_white_is_grey_and_a_palette_is_rgb(self):
        for mode, other in (("1", "L"), ("P", "RGB")):
            image(mode).save(self.path(".png"))
            pixels = load_picture(self.path(".png")).pixels
            image(mode).convert(other).save(self.path(".tif"))
            self.assertSame(pixels, load_picture(self.path(".tif")).pixels)

    def test_a_transparent_colour_of_a_palette_is_alpha(self):
        image("P").save(self.path(".png"), transparency=3)
        places = torch.tensor(list(image("P").tobytes())).view(1, HEIGHT, WIDTH)
        self.assertSame(load_picture(self.path(".png")).alpha, (places != 3).byte() * 255)

    def test_colours_to_learn_from_are_rgb_on_white(self):
        grey, alpha = smooth(2).float()
        image("LA").save(self.path(".png"))
        expected = (grey * alpha + 255 * (255 - alpha)) / 255
        found = read_picture(self.path(".png"))
        self.assertEqual((found.shape, found.dtype), ((3, HEIGHT, WIDTH), torch.uint8))
        self.assertClose(found, expected, 0.51)

    def test_all_formats_but_jpeg_keep_every_value(self):
        for mode in CHANNELS:
            image(mode).save(self.path(".png"))
            before = load_picture(self.path(".png"))
            for ending in (".png", ".tif", ".webp"):
                after = load_picture(self.copy(self.path(".png"), ending))
                with self.subTest(mode, to=ending):
                    self.assertEqual(after.alpha is None, before.alpha is None)
                    self.assertSame(values_of(after)[-1], values_of(before)[-1])
                    self.assertSame(after.pixels, before.pixels.expand_as(after.pixels))
                    if ending != ".webp":  # it has no grey
                        self.assertEqual(len(after.pixels), len(before.pixels))

    def test_jpeg_is_near_on_white_and_grey_where_the_picture_is(self):
        for mode in CHANNELS:
            image(mode).save(self.path(".png"))
            copied = self.copy(self.path(".png"), ".jpg")
            with self.subTest(mode):
                self.assertEqual(len(load_picture(copied).pixels), 1 if mode[0] == "L" else 3)
                expected = read_picture(self.path(".png")).float()
                self.assertClose(read_picture(copied), expected, 9)

    def test_tiff_is_compressed(self):
        save_picture(Picture(torch.zeros(3, 500, 500)), self.path(".tif"))
        self.assertLess(self.path(".tif").stat().st_size, 10_000)

    def test_values_are_rounded_and_clipped(self):
        write_picture(torch.tensor([[[-9.0, 1.4, 1.6, 300.0]]]), self.path(".png"))
        self.assertEqual(read_picture(self.path(".png"))[2].tolist(), [[0, 1, 2, 255]])


class TestMetadata(PictureCase):
    def test_profile_and_resolution_are_passed_on_and_exif_but_for_tiff(self):
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
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
                        rounded = tuple(round(float(value)) for value in written.info["dpi"])
                        self.assertEqual(rounded, (300, 150))

    def test_a_picture_that_says_nothing_says_nothing_afterwards(self):
        for ending in FORMATS:
            image().save(self.path(ending))
            self.assertEqual(load_picture(self.path(ending)).metadata, {})

    def test_pictures_are_turned_upright(self):
        upright = smooth(1).float()
        turned = {3: upright.flip(1, 2), 6: upright.rot90(1, (1, 2)), 8: upright.rot90(-1, (1, 2))}
        for ending in FORMATS:
            for orientation, pixels in turned.items():
                save_picture(Picture(pixels, None, {}), self.path(".png"))
                raw = pillow().open(self.path(".png"))
                raw.save(self.path(ending), exif=exif({ORIENTATION: orientation}), quality=95)
                copied = self.copy(self.path(ending), ending)
                with self.subTest(ending, orientation=orientation):
                    self.assertClose(read_picture(copied)[:1], upright, 9)
                    with pillow().open(copied) as written:
                        self.assertEqual(written.getexif().get(ORIENTATION, 1), 1)


class TestRefusals(PictureCase):
    def refuse(self, path, words):
        for read in (read_picture, load_picture):
            with self.assertRaisesRegex(ValueError, f"{path.name}.*{words}"):
                read(path)

    def test_other_kinds_are_refused_by_name(self):
        new = pillow().new
        frames = {"save_all": True, "append_images": [image("L")]}
        for picture, ending, options, words in (
            (new("I;16", (8, 8)), ".png", {}, "16 bits"),
            (new("I;16", (8, 8)), ".tif", {}, "16 bits"),
            (new("F", (8, 8)), ".tif", {}, "32 bits"),
            (new("CMYK", (8, 8)), ".tif", {}, "CMYK"),
            (new("CMYK", (8, 8)), ".jpg", {}, "CMYK"),
            (new("LAB", (8, 8)), ".tif", {}, "LAB"),
            (image(), ".tif", frames, "2 frames"),
            (image(), ".png", frames, "2 frames"),
            (image(), ".webp", frames, "2 frames"),
            (image(), ".gif", {}, "ending of a picture must be one of .png"),
        ):
            picture.save(self.path(ending), **options)
            with self.subTest(ending, words=words):
                self.refuse(self.path(ending), words)

    def test_16_bits_that_pillow_would_cut_to_8_are_refused(self):
        for mode in ("LA", "RGB", "RGBA"):
            image(mode).save(self.path(".png"))
            change_header(self.path(".png"), 24, bytes([16]))
            self.refuse(self.path(".png"), "16 bits")

    def test_more_than_178_megapixels_are_refused(self):
        image().save(self.path(".png"))
        change_header(self.path(".png"), 16, (20_000).to_bytes(4, "big") * 2)
        self.refuse(self.path(".png"), "exceeds limit of 178956970 pixels")

    def test_damaged_files(self):
        image().save(self.path(".png"))
        good = self.path(".png").read_bytes()
        for content in (b"", good[:20], good[: len(good) // 2], b"text" + good):
            self.path(".png").write_bytes(content)
            self.refuse(self.path(".png"), "")

    def test_an_output_needs_an_ending_that_is_written(self):
        for suffix in SUFFIXES:
            check_picture_output(self.path(suffix.upper()))
        with self.assertRaisesRegex(ValueError, "picture.gif: the ending .* must be one of .png"):
            check_picture_output(self.path(".gif"))


class TestComparison(PictureCase):
    def test_images_lie_in_a_grid_with_labels_and_captions_around(self):
        rows = [random_images(2, 5, 4, seed).float() for seed in (0, 1)]
        plain = comparison(rows, scale=2, gap=4)
        self.assertEqual(plain.shape, (3, 4 + 2 * (10 + 4), 4 + 2 * (8 + 4)))
        for row, images in enumerate(rows):
            for column, pixels in enumerate(images):
                top, left = 4 + row * 14, 4 + column * 12
                found = plain[:, top : top + 10, left : left + 8].float()
                self.assertSame(found, interpolate(pixels[None], scale_factor=2)[0])
        full = comparison(rows, scale=2, gap=4, labels=("noisy", "clean"), captions=("1", "2"))
        height, width = plain.shape[1:]
        self.assertSame(full[:, :height, -width:], plain)
        for text in (full[:, : height // 2, :-width], full[:, height:, -width // 2 :]):
            self.assertLess(text.min(), 100)
