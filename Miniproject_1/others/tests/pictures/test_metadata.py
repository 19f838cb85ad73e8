"""What a picture file says apart from its pixels: kept in the new file, or named."""

import re

from ...pictures import load_picture, metadata, pillow, read_picture, save_picture
from .. import needs_pillow
from . import ENDINGS, PictureCase, kinds
from .kinds import EXIF, GPS, ORIENTATION, WIDTH, image


@needs_pillow
class TestMetadata(PictureCase):
    def test_exif_without_main_tags(self):
        path = self.folder / "a.jpg"
        image().save(path, exif=kinds.exif({EXIF: {0x829A: 0.01}}))
        for ending in ENDINGS.values():
            copied, lost = self.copy(path, ending)
            with self.subTest(ending), pillow().open(copied) as after:
                self.assertEqual(lost, [])
                self.assertEqual(after.getexif().get_ifd(EXIF)[0x829A], 0.01)

    def test_captions_and_places_are_kept(self):
        path = kinds.write("IPTC", self.folder)
        with pillow().open(path) as before:
            caption = before.info["photoshop"][0x0404]
        with pillow().open(self.copy(path)[0]) as after:
            self.assertEqual(after.info["photoshop"][0x0404], caption)
        with pillow().open(self.copy(path, ".tif")[0]) as after:
            self.assertEqual(after.tag_v2[33723], caption)
        copied, _ = self.copy(kinds.write("GeoTIFF", self.folder))
        with pillow().open(copied) as after:
            for tag, value in kinds.GEOTIFF.items():
                self.assertEqual(after.tag_v2[tag], value)

    def test_what_colours_of_png_mean(self):
        usual = b"gAMA", bytes([0, 0, 177, 143])
        path = self.folder / "a.png"
        for chunks, lost_as_jpeg in (
            ([usual], []),
            ([kinds.LINEAR], ["colour chunks"]),
            ([(b"sRGB", b"\0"), kinds.LINEAR], []),  # sRGB counts
            ([(b"cICP", bytes([9, 16, 0, 1])), usual], ["colour chunks"]),
        ):
            image().save(path, pnginfo=kinds.png_info(*chunks))
            with self.subTest(chunks=chunks):
                copied, lost = self.copy(path)
                self.assertEqual(lost, [])
                if lost_as_jpeg:
                    self.assertIn(chunks[0][1], copied.read_bytes())
                self.assertEqual(self.copy(path, ".jpg")[1], lost_as_jpeg)

    def test_what_is_never_written_is_said(self):
        in_utf16 = (kinds.XMP % (1, WIDTH)).decode().encode("utf-16")
        for name, options, words in (
            ("a.jpg", {"extra": b"\xff\xeb\0\x08JP\0\x01\0\0"}, "other segments of JPEG"),
            ("a.jpg", {"xmp": in_utf16}, "XMP, damaged"),
            ("a.jpg", {"exif": b"Exif\0\0nonsense"}, "EXIF, damaged"),
            ("a.jpg", {"format": "MPO", "save_all": True, "append_images": [image()]}, "further"),
            ("a.tif", {"tiffinfo": {37724: b"layers"}}, "layers"),
            ("a.jpg", {"extra": kinds.photoshop(0x07D0, b"path")}, "Photoshop's blocks"),
        ):
            image().save(self.folder / name, **options)
            with self.subTest(words):
                self.assertIn(words, " ".join(self.copy(self.folder / name)[1]))


@needs_pillow
class TestUpright(PictureCase):
    def test_no_orientation_is_left(self):
        for ending in ENDINGS.values():
            for orientation in (3, 6):
                path = self.folder / f"in{ending}"
                self.save_turned(path, orientation)
                copied = self.folder / f"out{ending}"
                self.assertEqual(save_picture(load_picture(path), copied), [])
                with self.subTest(ending, orientation=orientation):
                    self.assertUpright(path, copied)
                    if ending != ".webp":
                        turned = {3: (300, 150), 6: (150, 300)}[orientation]
                        self.assertEqual(load_picture(copied).metadata["resolution"], turned)

    def save_turned(self, path, orientation):
        """Write a picture whose EXIF and XMP say how it lies."""
        options = {"exif": kinds.camera_exif(orientation), "dpi": (300, 150)}
        options.update(lossless=True, quality=95)
        xmp = kinds.XMP % (orientation, WIDTH)
        if path.suffix == ".png":
            options["pnginfo"] = kinds.png_info()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
        elif path.suffix == ".tif":
            with_xmp = pillow().Exif()
            with_xmp.load(options["exif"])
            with_xmp[700] = xmp
            options["exif"] = with_xmp
        else:
            options["xmp"] = xmp
        image().save(path, **options)

    def assertUpright(self, path, copied):
        """The copy is upright for every reader, and of the size that it says."""
        with pillow().open(copied) as after:
            size, xmp, exif = after.size, after.info["xmp"], after.getexif()
            table = exif.get_ifd(EXIF)
        self.assertEqual(exif.get(ORIENTATION, 1), 1)
        self.assertIn(b'tiff:Orientation="1"', xmp)
        self.assertIn(b"<exif:PixelXDimension>%d<" % size[0], xmp)
        self.assertEqual((table[0xA002], table[0xA003]), size)
        error = read_picture(copied).float() - read_picture(path)
        self.assertLess(error.abs().mean(), 2)

    def test_xmp_spells_the_orientation_in_several_ways(self):
        for xmp in (
            b'<rdf:Description tiff:Orientation="6"/>',
            b"<tiff:Orientation>6</tiff:Orientation>",
            b'<Orientation xmlns="http://ns.adobe.com/tiff/1.0/">6</Orientation>',
            b'<tiff:Orientation rdf:datatype="x">6</tiff:Orientation>',
        ):
            upright = metadata.made_upright({"XMP": xmp}, 6, 20, 10)["XMP"]
            self.assertEqual(upright, re.sub(rb"6", b"1", xmp))


@needs_pillow
class TestMetadataThatCannotBeWritten(PictureCase):
    def test_they_are_left_out_alone_and_named(self):
        from PIL.TiffImagePlugin import IFDRational

        picture = load_picture(kinds.write("EXIF", self.folder))
        below_the_sea = {(GPS, 6): IFDRational(-12, 1)}
        no_text = {(0, 306): IFDRational(4041, 2)}
        for ending in ENDINGS.values():
            for entries, name in ((below_the_sea, "GPSAltitude"), (no_text, "DateTime")):
                picture.metadata["EXIF"] = {(0, 271): "Maker", **entries}
                path = self.folder / f"out{ending}"
                with self.subTest(name, ending=ending):
                    self.assertEqual(save_picture(picture, path), [f"EXIF ({name})"])
                    self.assertEqual(load_picture(path).metadata["EXIF"], {(0, 271): "Maker"})
