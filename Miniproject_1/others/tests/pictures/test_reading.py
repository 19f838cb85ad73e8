"""What is read of picture files, and which are refused."""

import zlib

import torch

from ...pictures import load_picture, pillow, read_picture
from .. import TestCase, needs_pillow
from . import kinds
from .kinds import HEIGHT, MODES, WIDTH, image


@needs_pillow
class TestReading(TestCase):
    def test_pixels_are_those_that_another_reader_sees(self):
        for kind, mode in MODES.items():
            if mode == "I;16":
                continue
            path = kinds.write(kind, self.folder)
            with pillow().open(path) as opened:
                bands = opened.convert({"1": "L", "P": "RGB"}.get(mode, mode)).split()
            expected = b"".join(band.tobytes() for band in bands)
            picture = load_picture(path)
            found = bytes(picture.pixels.flatten().tolist())
            if picture.alpha is not None:
                found += bytes(picture.alpha.flatten().tolist())
            with self.subTest(kind):
                self.assertEqual(found, expected)

    def test_16_bits_keep_their_precision(self):
        picture = load_picture(kinds.write("grey, 16 bits", self.folder))
        expected = (kinds.smooth(1).float() * 256 + 7) / 257
        self.assertEqual(picture.bits, 16)
        self.assertClose(picture.pixels, expected, 1e-4)

    def test_colours_to_learn_from_are_rgb(self):
        red = torch.tensor([255, 0, 0]).view(3, 1, 1).expand(3, HEIGHT, WIDTH)
        white = torch.full((3, HEIGHT, WIDTH), 255)
        grey = kinds.smooth(1).expand(3, -1, -1)
        sixteen = (grey.float() * 256 + 7) / 257
        clear = image("RGBA")
        clear.putalpha(0)
        new = pillow().new
        for name, picture, expected in (
            ("rgb.bmp", image(), kinds.smooth(3)),
            ("rgb.ppm", image(), kinds.smooth(3)),
            ("grey.png", image("L"), grey),
            ("16 bits.tif", image("I;16"), sixteen.round()),
            ("clear.png", clear, white),
            ("ink.tif", new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)), red),
        ):
            picture.save(self.folder / name)
            with self.subTest(name):
                self.assertEqual(read_picture(self.folder / name).tolist(), expected.tolist())

    def test_large_photographs_are_reduced(self):
        path = kinds.write("RGB", self.folder)
        self.assertEqual(read_picture(path, shrink=12).shape, (3, 12, 20))
        self.assertEqual(read_picture(path, shrink=30).shape, (3, HEIGHT, WIDTH))

    def test_pictures_are_turned_upright_whatever_says_how(self):
        from PIL import Image

        path = self.folder / "a.webp"
        turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270}
        for orientation, method in turned.items():
            xmp = kinds.XMP % (orientation, WIDTH)
            for options in (
                {"exif": kinds.camera_exif(orientation)},
                {"xmp": xmp},
                {"xmp": xmp.replace(b'"', b"'")},
            ):
                image().save(path, lossless=True, **options)
                upright = read_picture(path).permute(1, 2, 0).flatten().tolist()
                with self.subTest(orientation=orientation, **options):
                    self.assertEqual(bytes(upright), image().transpose(method).tobytes())

    def test_tiff_files_of_all_kinds_are_turned_upright(self):
        from PIL import Image, ImageOps

        path = self.folder / "a.tif"
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
            for orientation in range(1, 9):
                with self.subTest(mode, orientation=orientation):
                    tags = Image.Exif()
                    tags[0x0112] = orientation
                    lying = image(mode)
                    lying.save(path, exif=tags)
                    lying.getexif()[0x0112] = orientation
                    ImageOps.exif_transpose(lying, in_place=True)
                    upright = self.folder / "upright.tif"
                    lying.save(upright)
                    found, expected = load_picture(path), load_picture(upright)
                    self.assertSame(found.pixels, expected.pixels)
                    self.assertEqual(found.bits, expected.bits)

    def test_an_orientation_behind_the_pixels_of_a_png_is_found(self):
        xmp = b"XML:com.adobe.xmp" + bytes(5) + kinds.XMP % (6, WIDTH)
        path = self.folder / "a.png"
        kinds.write_png_of_16_bits(path, kinds.smooth(3), after=[(b"iTXt", xmp)])
        self.assertEqual(read_picture(path).shape, (3, WIDTH, HEIGHT))
        picture = load_picture(path)
        self.assertEqual(picture.pixels.shape, (3, WIDTH, HEIGHT))
        self.assertIn("XMP", picture.metadata)

    def test_grey_of_16_bits_with_alpha_is_grey(self):
        path = kinds.write_png_of_16_bits(self.folder / "a.png", kinds.smooth(2), colour_type=4)
        picture = load_picture(path)
        self.assertEqual((len(picture.pixels), picture.bits), (1, 16))
        self.assertSame(picture.pixels, kinds.smooth(2)[:1])
        self.assertSame(picture.alpha, kinds.smooth(2)[1:])


@needs_pillow
class TestRefusals(TestCase):
    def refuse(self, path, words):
        for read in (read_picture, load_picture):
            with self.assertRaisesRegex(ValueError, f"{path.name} cannot be read .*{words}"):
                read(path)

    def test_tiff_files_that_would_be_misread(self):
        rgb = {"BitsPerSample": (16, 16, 16), "SamplesPerPixel": 3, "PhotometricInterpretation": 2}
        for words, tags in (
            ("its 0 is white", {"BitsPerSample": 16, "PhotometricInterpretation": 0}),
            ("12 bits", {"BitsPerSample": 12}),
            ("have a sign", {"BitsPerSample": 8, "SampleFormat": 2}),
            ("have a sign", {"BitsPerSample": 16, "SampleFormat": 2}),
            ("floats", {"BitsPerSample": 32, "SampleFormat": 3}),
            ("32 bits", {"BitsPerSample": 32}),
            ("channels are apart", {**rgb, "PlanarConfiguration": 2}),
            ("is a preview", {"BitsPerSample": 8, "NewSubfileType": 1}),
        ):
            with self.subTest(words, **tags):
                self.refuse(kinds.write_tiff(self.folder / "a.tif", **tags), words)

    def test_other_kinds_are_refused_by_name(self):
        from PIL import Image

        frames = [Image.new("L", (8, 8), grey) for grey in (0, 100, 200)]
        several = {"save_all": True, "append_images": frames[1:]}
        for name, picture, options, words in (
            ("frames.tif", frames[0], several, "3 frames"),
            ("frames.png", frames[0], several, "3 frames"),
            ("frames.webp", frames[0], several, "3 frames"),
            ("lab.tif", Image.new("LAB", (8, 8)), {}, "LAB"),
            ("animation.gif", image(), {}, "none of PNG, JPEG"),
        ):
            picture.save(self.folder / name, **options)
            with self.subTest(name):
                self.refuse(self.folder / name, words)

    def test_damaged_ones(self):
        path = kinds.write("RGB", self.folder)
        good = path.read_bytes()
        size = (20_000).to_bytes(4, "big") * 2  # more pixels than Pillow trusts
        header = good[:16] + size + good[24:29]
        large = header + zlib.crc32(header[12:]).to_bytes(4, "big") + good[33:]
        for content in (b"", good[:20], good[: len(good) // 2], b"text" + good, large):
            path.write_bytes(content)
            self.refuse(path, "")
