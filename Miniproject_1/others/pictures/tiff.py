"""What is particular to TIFF files: tags say how pixels are stored, and also what they show."""

import struct
from pathlib import Path

KIND_OF_IMAGE, BITS, PHOTOMETRIC, PLANES, EXTRA, FORMAT = 254, 258, 262, 284, 338, 339
XMP, IPTC, PHOTOSHOP, ICC, LAYERS = 700, 33723, 34377, 34675, 37724
EXIF_TABLE, GPS_TABLE, RAW_VERSION = 34665, 34853, 50706
STORAGE = {  # tags that say how a file stores its pixels, or that are read by another name
    *range(254, 260), *range(262, 267), 273, 274, *range(277, 285), *range(288, 294), 296, 317,
    *range(320, 326), 330, *range(338, 342), 347, *range(512, 522), *range(529, 533),
    XMP, IPTC, PHOTOSHOP, ICC, LAYERS, EXIF_TABLE, GPS_TABLE,
}  # fmt: skip
OF_EXIF = {33432, *range(40091, 40096)}  # copyright, and what Windows writes


def refuse_what_would_be_misread(image, path):
    """Raise ValueError for a TIFF file that Pillow opens, but reads as something else."""
    tags = image.tag_v2
    bits = max(tags.get(BITS, (1,)))
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(
            "it is a camera's raw file, or a TIFF file by another name: save it as .tif"
        )
    if tags.get(KIND_OF_IMAGE, 0) & 1 or RAW_VERSION in tags:
        raise ValueError(
            "its first picture is a preview, as in raw files of cameras: save it as .tif"
        )
    if set(tags.get(FORMAT, (1,))) != {1}:
        raise ValueError("its values are floats or have a sign: save it with 8 or 16 bits")
    if bits not in (1, 2, 4, 8, 16):
        raise ValueError(f"its values have {bits} bits: save it with 8 or 16")
    if bits == 16 and tags.get(PHOTOMETRIC) == 0:
        raise ValueError("its 0 is white, with 16 bits: save it with 0 for black")
    if bits == 16 and tags.get(PLANES) == 2:
        raise ValueError("its channels are apart, with 16 bits: save it with interleaved channels")


def is_private(tag):
    """Whether a tag is neither of TIFF nor of EXIF, but of GeoTIFF or a program, for example."""
    return tag >= 32768 and tag not in OF_EXIF


def metadata_of(image):
    """Private tags, and what is not read."""
    tags = image.tag_v2
    private = {tag: tags[tag] for tag in tags if is_private(tag) and tag not in STORAGE}
    return {
        "TIFF tags": private,
        "layers": LAYERS in tags,
        "further channels": 0 in tags.get(EXTRA, ()),  # 0: not alpha
    }


def iptc_of(image):
    """Captions and keywords as bytes; some programs declare them as 32-bit integers."""
    found = image.tag_v2.get(IPTC)
    if found is None or isinstance(found, bytes):
        return found
    byte_order = "<" if image.tag_v2.prefix == b"II" else ">"
    return struct.pack(f"{byte_order}{len(found)}I", *found)


def tags_of(metadata):
    """Private tags, XMP and IPTC for Pillow to write."""
    tags = dict(metadata.get("TIFF tags", {}))
    if "XMP" in metadata:
        tags[XMP] = metadata["XMP"]
    if "IPTC" in metadata:
        tags[IPTC] = metadata["IPTC"]
    return tags
