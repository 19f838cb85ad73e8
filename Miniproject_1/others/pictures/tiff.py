"""What is particular to TIFF files: tags say how pixels are stored, and also what they show."""

from pathlib import Path

# Tags
KIND_OF_IMAGE, BITS, PHOTOMETRIC, CHANNELS = 254, 258, 262, 277
PLANES, EXTRA, FORMAT = 284, 338, 339
XMP, IPTC, PHOTOSHOP, ICC, LAYERS = 700, 33723, 34377, 34675, 37724
EXIF_TABLE, GPS_TABLE = 34665, 34853
STORAGE = {  # those that say how a file stores its pixels, or that are read by another name
    *range(254, 260), *range(262, 267), 273, 274, *range(277, 285), *range(288, 294), 296, 317,
    *range(320, 326), 330, *range(338, 342), 347, *range(512, 522), *range(529, 533),
    XMP, IPTC, PHOTOSHOP, ICC, LAYERS, EXIF_TABLE, GPS_TABLE,
}  # fmt: skip
OF_EXIF = {33432, *range(40091, 40096)}  # copyright, and what Windows writes

IPTC_BLOCK = 0x0404  # Photoshop's number for captions and keywords
BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF files, and of BigTIFF


def is_tiff(path):
    """Whether a file begins as TIFF files do."""
    with open(path, "rb") as file:
        return file.read(4) in BEGINNINGS


def refuse_what_would_be_misread(image, path):
    """Raise ValueError for a TIFF file that Pillow opens, but reads as something else."""
    tags = image.tag_v2
    bits = max(tags.get(BITS, (1,)))
    is_apart = tags.get(CHANNELS, 1) > 1 and tags.get(PLANES) == 2
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise ValueError("it may be a camera's raw file: save it as .tif")
    if tags.get(KIND_OF_IMAGE, 0) & 1:
        raise ValueError("its first picture is a preview, as in a raw file: develop it first")
    if set(tags.get(FORMAT, (1,))) != {1}:
        raise ValueError("its values are floats or have a sign: save it with 8 or 16 bits")
    if bits not in (1, 2, 4, 8, 16):
        raise ValueError(f"its values have {bits} bits: save it with 8 or 16")
    if bits == 16 and tags.get(PHOTOMETRIC) == 0:
        raise ValueError("its 0 is white, with 16 bits: save it with 0 for black")
    if bits == 16 and is_apart:
        raise ValueError("its channels are apart, with 16 bits: save it with interleaved channels")


def is_private(tag):
    """Whether a tag is neither of TIFF nor of EXIF, but of GeoTIFF or a program, for example."""
    return tag >= 32768 and tag not in OF_EXIF


def private_tags_of(image):
    tags = getattr(image, "tag_v2", {})
    return {tag: tags[tag] for tag in tags if is_private(tag) and tag not in STORAGE}


def has_layers(image):
    return LAYERS in getattr(image, "tag_v2", {})


def has_further_channels(image):
    return 0 in getattr(image, "tag_v2", {}).get(EXTRA, ())  # 0: it is not alpha


def iptc_of(image):
    """Captions and keywords; from Photoshop's blocks where they have no tag of their own."""
    found = image.tag_v2.get(IPTC)
    blocks = image.get_photoshop_blocks()
    if not isinstance(found, bytes) and IPTC_BLOCK in blocks:
        return blocks[IPTC_BLOCK]["data"]
    if found is not None and not isinstance(found, bytes):
        raise ValueError("they are declared as integers")
    return found


def tags_of(metadata):
    """Private tags, XMP and IPTC for Pillow to write."""
    tags = dict(metadata.get("TIFF tags", {}))
    if "XMP" in metadata:
        tags[XMP] = metadata["XMP"]
    if "IPTC" in metadata:
        tags[IPTC] = metadata["IPTC"]
    return tags
