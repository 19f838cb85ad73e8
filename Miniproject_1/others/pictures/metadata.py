"""What a picture file says beside its pixels: reading it, and writing it to another file.

`read` gives each part a name, for example "EXIF" or "resolution". Parts of several entries are
dictionaries, so that an entry which cannot be written is left out alone.
"""

import io
import re
import struct
import warnings
from contextlib import suppress

from . import png, tiff
from .picture import pillow

MAIN, EXIF, GPS, INTEROPERABILITY = 0, 0x8769, 0x8825, 0xA005  # tables of EXIF; MAIN is our number
JPEG = ("JPEG", "MPO")  # the latter: with further pictures
X_RESOLUTION = 282
ORIENTATION = 0x0112  # tag of EXIF; from 5 on the picture lies on its side
SIZE = {(EXIF, 0xA002): "width", (EXIF, 0xA003): "height"}
IPTC = 0x0404  # Photoshop's number for the block with captions and keywords
JPEG_SEGMENTS = (  # beginnings of those that are read, or that say how the file is stored
    b"JFIF",
    b"JFXX",
    b"Exif",
    b"http://ns.adobe.com/xap/1.0/",
    b"ICC_PROFILE",
    b"Photoshop 3.0",
    b"Adobe",
    b"Ducky",
    b"MPF",
)
XMP_VALUE = rb"(:(?:%b)\s*(?:=\s*[\"']|>)\s*)(\d+)"  # of one of these properties


# ----------------------------------------------------------------------------------------------
# Reading


def read(image):
    """What the file of a Pillow image says, by name; only what is there."""
    info = image.info
    found = {
        "ICC profile": info.get("icc_profile"),
        "XMP": info.get("xmp"),
        "IPTC": iptc_of(image),
        "resolution": resolution_of(image),
    }
    try:
        found["EXIF"] = exif_of(image)
    except Exception:  # damaged metadata raise nearly everything
        found["EXIF, which is damaged"] = True
    if found["XMP"] and b"\0" in found["XMP"]:  # the orientation within would not be found
        found["XMP in UTF-16"] = found.pop("XMP")
    if image.format in JPEG:
        found["comment"] = info.get("comment")
        found["further pictures"] = getattr(image, "n_frames", 1) > 1
        found["other segments of JPEG"] = [
            name
            for name, data in image.applist
            if name != "COM" and not data.startswith(JPEG_SEGMENTS)
        ]
    if image.format == "PNG":
        found.update(png.metadata_of(image))
    if image.format == "TIFF":
        found.update(tiff.metadata_of(image))
    return {name: value for name, value in found.items() if value}


def exif_object(image):
    """Pillow's object for EXIF; where it is damaged, with what could be read of it."""
    with suppress(Exception):
        return image.getexif()
    return image.getexif()  # the second call returns what the first one has read


def exif_of(image):
    """The entries of EXIF by table and tag, without those that say how the file is stored."""
    exif = exif_object(image)
    if image.info.get("exif") and not exif:
        raise ValueError("nothing can be read of it")
    entries = {(MAIN, tag): value for tag, value in exif.items() if tag not in tiff.STORAGE}
    if image.format == "TIFF":
        entries = {key: value for key, value in entries.items() if not tiff.is_private(key[1])}
    for table in (EXIF, GPS, INTEROPERABILITY):
        for tag, value in exif.get_ifd(table).items():
            entries[table, tag] = value
    entries.pop((EXIF, INTEROPERABILITY), None)  # where the table is in the file
    return entries


def iptc_of(image):
    if image.format == "TIFF":
        return tiff.iptc_of(image) or image.get_photoshop_blocks().get(IPTC, {}).get("data")
    return image.info.get("photoshop", {}).get(IPTC)


def resolution_of(image):
    """Pixels per inch along both sides, or None."""
    resolution = image.info.get("dpi")
    if not resolution or min(resolution) <= 1:  # 1 is Pillow's for TIFF files without
        return None
    is_said = image.info.get("jfif_unit") or X_RESOLUTION in exif_object(image)
    if image.format in JPEG and not is_said:  # Pillow takes it for 72
        return None
    return tuple(round(float(value), 1) for value in resolution)


def orientation(image):
    """How a Pillow image must be turned, 1 to 8.

    Where XMP alone says it, EXIF is made to say it too: this is where Pillow looks.
    """
    exif = exif_object(image)
    xmp = image.info.get("xmp") or b""
    match = re.search(XMP_VALUE % b"Orientation", xmp)
    if match and ORIENTATION not in exif:
        exif[ORIENTATION] = int(match[2])
    return exif.get(ORIENTATION, 1)


def made_upright(found, on_its_side, height, width):
    """Metadata for a picture that was turned upright and has this size now."""
    upright = dict(found)
    if on_its_side and "resolution" in found:
        upright["resolution"] = found["resolution"][::-1]
    if "EXIF" in found:
        size = {"height": height, "width": width}
        changed = {key: size[side] for key, side in SIZE.items() if key in found["EXIF"]}
        upright["EXIF"] = {**found["EXIF"], **changed}
    for properties, value in (
        (b"Orientation", 1),
        (b"ImageWidth|PixelXDimension", width),
        (b"ImageLength|ImageHeight|PixelYDimension", height),
    ):
        if "XMP" in upright:
            new = rb"\g<1>%d" % value
            upright["XMP"] = re.sub(XMP_VALUE % properties, new, upright["XMP"])
    return upright


# ----------------------------------------------------------------------------------------------
# Writing


def writable(metadata, name, mode):
    """Metadata without what Pillow cannot write to this format; tried on a picture of one pixel."""

    def is_writable(part):
        pixel = pillow().new(mode, (1, 1))
        try:
            save(pixel, io.BytesIO(), name, part)
        except Exception:  # as many kinds as there are of metadata
            return False
        return True

    kept = {}
    for part, value in metadata.items():
        if isinstance(value, dict):
            value = {
                key: entry for key, entry in value.items() if is_writable({part: {key: entry}})
            }
        if is_writable({part: value}):
            kept[part] = value
    return kept


def save(image, file, name, metadata, **options):
    """Write a Pillow image with metadata to a file or path, without Pillow's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.save(file, name, **options, **save_options(metadata, name))


def save_options(metadata, name):
    """Metadata as the options of Pillow's `save` for a format."""
    options = {}
    if "ICC profile" in metadata:
        options["icc_profile"] = metadata["ICC profile"]
    if "resolution" in metadata:
        options["dpi"] = metadata["resolution"]
    tags = exif_tags(metadata.get("EXIF", {}))
    if name == "TIFF":
        options["tiffinfo"] = {**tags, **tiff.tags_of(metadata)}
    elif tags:
        exif = pillow().Exif()
        exif.update(tags)
        options["exif"] = exif.tobytes()
    if name == "PNG":
        options["pnginfo"] = png.chunks_of(metadata)
    if name in ("JPEG", "WEBP") and "XMP" in metadata:
        options["xmp"] = metadata["XMP"]
    if name == "JPEG" and "comment" in metadata:
        options["comment"] = metadata["comment"]
    if name == "JPEG" and "IPTC" in metadata:
        options["extra"] = photoshop_segment(metadata["IPTC"])
    return options


def exif_tags(entries):
    """Entries of EXIF as Pillow writes them: tables within tables."""
    tables = {MAIN: {}, EXIF: {}, GPS: {}, INTEROPERABILITY: {}}
    for (table, tag), value in entries.items():
        tables[table][tag] = value
    for table, parent in ((INTEROPERABILITY, EXIF), (EXIF, MAIN), (GPS, MAIN)):
        if tables[table]:
            tables[parent][table] = tables[table]
    return tables[MAIN]


def photoshop_segment(iptc):
    """The segment of a JPEG file with captions and keywords."""
    block = b"8BIM" + struct.pack(">HHI", IPTC, 0, len(iptc)) + iptc
    if len(iptc) % 2:
        block += b"\0"
    content = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def not_kept(before, after):
    """The names of the parts of `before` that `after` does not have, or not so."""
    lost = []
    for name, value in before.items():
        if not isinstance(value, dict):
            if str(value) != str(after.get(name)):
                lost.append(name)
            continue
        entries = after.get(name, {})
        changed = [key for key in value if str(value[key]) != str(entries.get(key))]
        if len(changed) == len(value):
            lost.append(name)
        elif changed:
            lost.append(f"{name} ({', '.join(entry_name(key) for key in changed)})")
    return lost


def entry_name(key):
    """An entry in words: the name of a tag of EXIF, or the name itself."""
    from PIL import ExifTags

    if not isinstance(key, tuple):
        return str(key)
    table, tag = key
    names = ExifTags.GPSTAGS if table == GPS else ExifTags.TAGS
    return names.get(tag, f"tag {tag}")
