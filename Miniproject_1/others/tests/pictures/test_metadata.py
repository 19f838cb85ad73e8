"""What a picture file says apart from its pixels: kept in the new file, or named."""

from ... import pictures
from ...pictures import load_picture, pillow, read_picture, save_picture
from .. import needs_pillow
from . import ENDINGS, PictureCase, kinds
from .kinds import EXIF, GPS, HEIGHT, INTEROPERABILITY, ORIENTATION, WIDTH, image


@needs_pillow
class TestMetadata(PictureCase):
    def test_exif_is_kept_by_all_formats(self):
        path = kinds.write("EXIF", self.folder)
        for ending in ENDINGS.values():
            copied, _ = self.copy(path, ending)
            with self.subTest(ending), pillow().open(copied) as after:
                exif = after.getexif()
                self.assertEqual((exif[271], exif[306]), ("Maker", "2020:02:02 20:20:20"))
                self.assertEqual(exif.get_ifd(EXIF)[0x829A], 0.01)
                self.assertEqual(exif.get_ifd(GPS)[1], "N")
                self.assertEqual(exif.get_ifd(INTEROPERABILITY)[1], "R03")

    def test_exif_without_main_tags(self):
        path = self.folder / "a.jpg"
        image().save(path, exif=kinds.exif({EXIF: {0x829A: 0.01}}))
        for ending in ENDINGS.values():
            copied, lost = self.copy(path, ending)
            with self.subTest(ending), pillow().open(copied) as after:
                self.assertEqual(lost, [])
                self.assertEqual(after.getexif().get_ifd(EXIF)[0x829A], 0.01)

    def test_exif_in_other_letters(self):
        path = self.folder / "a.jpg"
        image().save(path, exif=kinds.exif({315: "José".encode()}))  # artist, in UTF-8
        for ending in ENDINGS.values():
            copied, lost = self.copy(path, ending)
            with self.subTest(ending):
                self.assertEqual(lost, [])
                self.assertTrue("José".encode() in copied.read_bytes())

    def test_captions_and_places_are_kept(self):
        path = kinds.write("IPTC", self.folder)
        with pillow().open(path) as before:
            photoshop = before.app["APP13"]
            caption = before.info["photoshop"][0x0404]
        copied, _ = self.copy(path)
        with pillow().open(copied) as after:
            self.assertEqual(after.info["photoshop"][0x0404], caption)
        copied, _ = self.copy(path, ".tif")
        with pillow().open(copied) as after:
            self.assertEqual(after.tag_v2[33723], caption)
        image().save(path.with_suffix(".tif"), tiffinfo={34377: photoshop[14:]})
        copied, _ = self.copy(path.with_suffix(".tif"))
        with pillow().open(copied) as after:
            self.assertEqual(after.tag_v2[33723], caption)
        path = kinds.write("GeoTIFF", self.folder)
        self.assertEqual(self.copy(path, ".jpg")[1], ["TIFF tags"])
        copied, _ = self.copy(path)
        self.assertEqual(list(load_picture(copied).metadata), ["TIFF tags"])
        with pillow().open(copied) as after:
            for tag, value in kinds.GEOTIFF.items():
                self.assertEqual(after.tag_v2[tag], value)

    def test_what_colours_of_png_mean(self):
        gamma, cicp = (b"gAMA", bytes([0, 0, 177, 143])), (b"cICP", bytes([9, 16, 0, 1]))
        for chunks, lost_as_jpeg in (
            ([gamma], []),  # as in sRGB
            ([(b"gAMA", bytes([0, 1, 134, 160]))], ["colour chunks"]),
            ([(b"sRGB", b"\0"), (b"gAMA", bytes([0, 1, 134, 160]))], []),  # sRGB counts
            ([cicp, gamma], ["colour chunks"]),
        ):
            path = kinds.write_png(self.folder / "a.png", 8, kinds.smooth(3), *chunks)
            with self.subTest(chunks=chunks):
                copied, lost = self.copy(path)
                self.assertEqual(lost, [])
                if lost_as_jpeg:
                    self.assertTrue(chunks[0][1] in copied.read_bytes())
                self.assertEqual(self.copy(path, ".jpg")[1], lost_as_jpeg)

    def test_a_profile_goes_with_the_kind_of_colours_that_it_is_for(self):
        path = self.folder / "a.png"
        image("L").save(path, icc_profile=kinds.srgb())
        self.assertEqual(self.copy(path)[1], [])
        self.assertIn("ICC profile", self.copy(path, ".webp")[1])

    def test_what_cannot_be_read_of_a_file_is_said(self):
        segment = b"\xff\xeb\0\x08JP\0\x01\0\0"
        path = self.folder / "a.jpg"
        image().save(path, extra=segment)
        self.assertEqual(self.copy(path)[1], ["other segments of JPEG"])
        image().save(path, xmp=(kinds.XMP % (1, WIDTH)).decode().encode("utf-16"))
        self.assertEqual(self.copy(path)[1], ["XMP, damaged"])
        image().save(path, "MPO", save_all=True, append_images=[image()])
        self.assertEqual(self.copy(path)[1], ["further pictures"])
        path = self.folder / "a.tif"
        image().save(path, tiffinfo={37724: b"layers"})
        self.assertEqual(self.copy(path)[1], ["layers"])
        rgb = {"PhotometricInterpretation": 2, "BitsPerSample": (8, 8, 8, 8), "SamplesPerPixel": 4}
        kinds.write_tiff(path, **rgb, ExtraSamples=(0,))
        self.assertEqual(self.copy(path)[1], ["further channels"])


@needs_pillow
class TestUpright(PictureCase):
    def test_no_orientation_is_left(self):
        for ending in ENDINGS.values():
            for orientation in (3, 6):
                path = self.folder / f"in{ending}"
                options = {"exif": kinds.camera_exif(orientation), "lossless": True, "quality": 95}
                xmp = kinds.XMP % (orientation, WIDTH)
                self.save_with_xmp(path, xmp, options)
                copied = self.folder / f"out{ending}"
                self.assertEqual(save_picture(load_picture(path), copied), [])
                with self.subTest(ending, orientation=orientation):
                    self.check(path, copied)

    def save_with_xmp(self, path, xmp, options):
        """PNG and TIFF have no option of this name."""
        if path.suffix == ".png":
            from PIL.PngImagePlugin import PngInfo

            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
            options["pnginfo"].add_text("exif:Orientation", "6")
        elif path.suffix == ".tif":
            with_xmp = pillow().Exif()
            with_xmp.load(options["exif"])
            with_xmp[700] = xmp
            options["exif"] = with_xmp
        else:
            options["xmp"] = xmp
        image().save(path, **options)

    def check(self, path, copied):
        """The copy is upright for every reader, and of the size that it says."""
        with pillow().open(copied) as after:
            size = after.size
            xmp = after.info["xmp"]
            exif = after.getexif()
            tables = exif.get_ifd(EXIF)
            text = after.info
        self.assertEqual(exif.get(ORIENTATION, 1), 1)
        self.assertNotIn("exif:Orientation", text)
        self.assertIn(b'tiff:Orientation="1"', xmp)
        self.assertIn(b"<exif:PixelXDimension>%d<" % size[0], xmp)
        self.assertEqual((tables[0xA002], tables[0xA003]), size)
        error = read_picture(copied).float() - read_picture(path)
        self.assertLess(error.abs().mean(), 2)

    def test_resolution_is_turned_too(self):
        path = self.folder / "a.png"
        image().save(path, exif=kinds.camera_exif(6), dpi=(300, 150))
        self.assertEqual(load_picture(path).metadata["resolution"], (150, 300))


@needs_pillow
class TestMetadataThatCannotBeWritten(PictureCase):
    def test_they_are_left_out_alone_and_named(self):
        from PIL.TiffImagePlugin import IFDRational

        picture = load_picture(kinds.write("EXIF", self.folder))
        below_the_sea = {(GPS, 6): IFDRational(-12, 1)}
        for entries, ending, name in (
            (below_the_sea, ".jpg", "GPSAltitude"),
            (below_the_sea, ".png", "GPSAltitude"),
            (below_the_sea, ".tif", "GPSAltitude"),
            (below_the_sea, ".webp", "GPSAltitude"),
            ({(0, 306): IFDRational(4041, 2)}, ".jpg", "DateTime"),  # must be text
            ({(0, 306): IFDRational(4041, 2)}, ".tif", "DateTime"),
        ):
            picture.metadata["EXIF"] = {(0, 271): "Maker", **entries}
            path = self.folder / f"out{ending}"
            with self.subTest(name, ending=ending):
                self.assertEqual(save_picture(picture, path), [f"EXIF ({name})"])
                self.assertEqual(load_picture(path).metadata["EXIF"], {(0, 271): "Maker"})

    def test_they_are_left_out_where_they_are_too_long(self):
        long = 70_000
        for metadata in (
            {"XMP": b"x" * long},
            {"comment": b"x" * long},
            {"IPTC": b"x" * long},
            {"EXIF": {(EXIF, 0x927C): b"x" * long}},
        ):
            path = self.folder / "a.jpg"
            picture = pictures.Picture(kinds.smooth(3), metadata=metadata)
            self.assertEqual(save_picture(picture, path), list(metadata))
            self.assertEqual(read_picture(path).shape, (3, HEIGHT, WIDTH))
