"""Picture files of every kind, made up for the tests."""

import struct
import zlib

import torch

EXIF_TABLE, GPS_TABLE, ORIENTATION = 0x8769, 0x8825, 0x0112
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
SIZE = (40, 24)  # pixels, width and height


def smooth(channels, seed=0):
    """Bytes of a picture without edges, which formats with loss keep to a fraction of a percent."""
    width, height = SIZE
    coarse = torch.rand(1, channels, 3, 4, generator=torch.Generator().manual_seed(seed)) * 255
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    return bytes(fine.clamp(0, 255).round().to(torch.uint8)[0].permute(1, 2, 0).flatten().tolist())


def image(mode):
    from PIL import Image

    if mode == "I;16":
        return Image.frombytes(mode, SIZE, bytes(value for high in smooth(1) for value in (255 - high, high)))
    if mode == "F":
        return image("L").convert("F").point(lambda value: value * 2 + 10)
    if mode == "1":
        return image("L").point(lambda value: 255 * (value > 127)).convert("1")
    if mode == "P":
        return image("RGB").quantize(32)
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, SIZE, smooth(channels))


def exif(orientation=None):
    from PIL import Image

    tags = Image.Exif()
    tags[271], tags[306] = "Maker", "2020:02:02 20:20:20"
    tags.get_ifd(EXIF_TABLE)[0x829A] = 0.01  # exposure time
    tags.get_ifd(GPS_TABLE)[1] = "N"
    if orientation:
        tags[ORIENTATION] = orientation
    return tags


def srgb():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write(kind, folder):
    """Write a picture of this kind, a row of the table in `others/data/README.md`; returns its path."""
    from PIL import PngImagePlugin, TiffImagePlugin

    path = folder / f"{kind}.png"
    if kind == "RGB, 16 bits":  # Pillow does not write it
        width, height = SIZE
        header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
        values = smooth(3)
        rows = [values[3 * width * y : 3 * width * (y + 1)] for y in range(height)]
        data = b"".join(b"\0" + bytes(byte for value in row for byte in (value, 7)) for row in rows)
        parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        return path
    modes = {
        "grey": "L", "grey, transparent": "LA", "black and white": "1", "palette": "P", "palette, transparent": "P",
        "transparent": "RGBA", "CMYK": "CMYK", "grey, 16 bits": "I;16", "grey, floats": "F",
    }  # fmt: skip
    picture, options = image(modes.get(kind, "RGB")), {}
    if kind == "palette, transparent":
        options["transparency"] = 5
    if kind == "text":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Title", "a picture")
    if kind == "EXIF":
        options["exif"] = exif()
    if kind == "ICC profile":
        options["icc_profile"] = srgb()
    if kind == "resolution":
        options["dpi"] = (300, 150)
    if kind == "XMP":
        path, options["xmp"] = path.with_suffix(".jpg"), XMP
        options.update(quality=95, subsampling=0)
    if kind in ("CMYK", "grey, floats"):
        path = path.with_suffix(".tif")
    if kind == "grey, floats":
        options["tiffinfo"] = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in ((340, 10.0), (341, 520.0)):
            options["tiffinfo"].tagtype[tag] = 12
            options["tiffinfo"][tag] = value
    picture.save(str(path), **options)
    return path
