"""Picture files of every kind, made up for the tests: 40 x 24 pixels."""

import struct
import zlib
from pathlib import Path

import torch

EXIF, GPS, INTEROPERABILITY, ORIENTATION = 0x8769, 0x8825, 0xA005, 0x0112  # tags
WIDTH, HEIGHT = 40, 24
MODES = {  # Pillow's names for the kinds of pixels; of the others: RGB
    "grey": "L",
    "black and white": "1",
    "palette": "P",
    "transparent": "RGBA",
    "grey, transparent": "LA",
    "CMYK": "CMYK",
    "grey, 16 bits": "I;16",
}
ENDINGS = {  # of the others: png
    "CMYK": "tif",
    "GeoTIFF": "tif",
    "EXIF": "jpg",
    "XMP": "jpg",
    "IPTC": "jpg",
    "comment": "jpg",
}
LINEAR = b"gAMA", struct.pack(">I", 100_000)
GEOTIFF = {33550: (0.5, 0.5, 0.0), 34735: (1, 1, 0, 1), 34737: "WGS 84|"}
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d">'
    b"<exif:PixelXDimension>%d</exif:PixelXDimension></rdf:Description></x:xmpmeta>"
)


def smooth(channels):
    """Values of a picture without edges, which JPEG keeps to a fraction of a percent: (C, H, W)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, 3, 4, generator=generator) * 255
    fine = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")
    return fine[0].round().to(torch.uint8)


def image(mode="RGB"):
    """A Pillow image of a mode."""
    from PIL import Image

    if mode == "1":
        return image("L").point(lambda value: 255 * (value > 127)).convert("1")
    if mode == "P":
        return image("RGB").quantize(32)
    if mode == "I;16":
        values = smooth(1).int() * 256 + 7
        content = struct.pack(f"<{values.numel()}H", *values.flatten().tolist())
        return Image.frombytes(mode, (WIDTH, HEIGHT), content)
    values = smooth(len(Image.new(mode, (1, 1)).getbands()))
    return Image.frombytes(mode, (WIDTH, HEIGHT), bytes(values.permute(1, 2, 0).flatten().tolist()))


def exif(tags):
    """EXIF as bytes, from tags and tables of tags."""
    from PIL import Image

    made = Image.Exif()
    made.update(tags)
    return made.tobytes()


def camera_exif(orientation=1):
    """EXIF as a camera writes it, with Adobe's colours."""
    table = {0x829A: 0.01, 0xA002: WIDTH, 0xA003: HEIGHT, INTEROPERABILITY: {1: "R03"}}
    tags = {271: "Maker", 306: "2020:02:02 20:20:20", ORIENTATION: orientation}
    return exif({**tags, EXIF: table, GPS: {1: "N"}})


def srgb():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def png_info(*chunks, **text):
    """Chunks with a name and content, and text by its keys, for Pillow to write."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, content in chunks:
        info.add(name, content)
    for key, value in text.items():
        info.add_text(key, value)
    return info


def photoshop(number, content):
    """The segment of a JPEG file with a block of Photoshop's of even length."""
    block = b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content
    segment = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment


def save_options(kind):
    """What Pillow must be told to write a picture that holds this."""
    return {
        "EXIF": {"exif": camera_exif()},
        "ICC profile": {"icc_profile": srgb()},
        "XMP": {"xmp": XMP % (1, WIDTH)},
        "IPTC": {"extra": photoshop(0x0404, b"\x1c\x02\x78\0\x07caption")},
        "resolution": {"dpi": (300, 150)},
        "text": {"pnginfo": png_info(Title="a picture")},
        "comment": {"comment": b"a picture"},
        "linear colours": {"pnginfo": png_info(LINEAR)},
        "GeoTIFF": {"tiffinfo": GEOTIFF},
    }.get(kind, {})


def write(kind, folder):
    """Write a picture of this kind, a row of the table in `others/pictures/README.md`."""
    path = Path(folder, f"{kind}.{ENDINGS.get(kind, 'png')}")
    if kind == "RGB, 16 bits":  # Pillow does not write it
        return write_png_of_16_bits(path, smooth(3))
    image(MODES.get(kind, "RGB")).save(path, quality=95, subsampling=0, **save_options(kind))
    return path


def write_png_of_16_bits(path, values, colour_type=2, after=()):
    """Write a PNG file of values (C, H, W) whose higher 8 bits these are; the lower ones are 7.

    Args:
        colour_type: 2 for RGB, 4 for grey with alpha.
        after: names and contents of chunks to stand behind the pixels.
    """
    _, height, width = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    lines = b""
    for row in values.permute(1, 2, 0).flatten(1).tolist():
        lines += b"\0" + bytes(byte for value in row for byte in (value, 7))
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with path.open("ab") as file:
        pixels = (b"IDAT", zlib.compress(lines))
        for name, content in ((b"IHDR", header), pixels, *after, (b"IEND", b"")):
            checksum = struct.pack(">I", zlib.crc32(name + content))
            file.write(struct.pack(">I", len(content)) + name + content + checksum)
    return path


def write_tiff(path, **tags):
    """Write a black TIFF file of 4 x 4 pixels from its tags, by the names that TIFF gives them."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2
    from PIL.TiffTags import TAGS_V2

    numbers = {information.name: tag for tag, information in TAGS_V2.items()}
    content = bytes(96)
    usual = {"ImageWidth": 4, "ImageLength": 4, "Compression": 1, "PhotometricInterpretation": 1}
    place = {"StripOffsets": 0, "StripByteCounts": len(content), "RowsPerStrip": 4}
    directory = ImageFileDirectory_v2()
    for name, value in {**usual, **place, **tags}.items():
        directory[numbers[name]] = value
    start = 8  # bytes; Pillow counts the offset of the strip from the end of the directory
    header = b"II*\0" + struct.pack("<I", start)
    path.write_bytes(header + directory.tobytes(start) + content)
    return path
