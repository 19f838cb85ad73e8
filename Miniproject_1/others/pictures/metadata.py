"""What a picture file says apart from its pixels: reading it, and writing it to another file.

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
ORIENTATION, X_RESOLUTION = 0x0112, 282  # tags of the main table
WIDTH, HEIGHT = (EXIF, 0xA002), (EXIF, 0xA003)
JPEG = ("JPEG", "MPO")  # MPO: with further pictures
JPEG_SEGMENTS = (  # beginnings of those that are read, or that say how the file is stored
    *(b"JFIF", b"JFXX", b"Exif", b"http://ns.adobe.com/xap/1.0/", b"ICC_PROFILE"),
    *(b"Photoshop 3.0", b"Adobe", b"Ducky", b"MPF"),
)
XMP_VALUE = (  # of one of these properties, an attribute or an element, which may have attributes
    rb"([:<](?:%b)(?:\s+[\w:]+\s*=\s*[\"'][^\"']*[\"'])*\s*(?:=\s*[\"']|>)\s*)(\d+)"
)


# ----------------------------------------------------------------------------------------------
# Reading


def read(image):
    """What the file of a Pillow image says, by name; only what is there."""
    read_to_its_end(image)
    found = {}
    for name, part_of in READERS.items():
        try:
            part = part_of(image)
        except Exception:  # damaged metadata raise nearly everything
            found[f"{name}, damaged"] = True
            continue
        if part:
            found[name] = part
    return found


def read_to_its_end(image):
    """Of a PNG file, Pillow knows what stands behind the pixels once they are loaded."""
    if image.format == "PNG":
        image.load()


def exif_of(image):
    """The entries of EXIF by table and tag, without those that say how the file is stored."""
    exif = exif_object(image)
    if image.info.get("exif") and not exif:
        raise ValueError("nothing can be read of it")
    entries = {(MAIN, tag): value for tag, value in exif.items() if tag not in tiff.STORAGE}
    if image.format == "TIFF":
        entries = {key: value for key, value in entries.items() if not tiff.is_private(key[1])}
    tables = [EXIF, GPS]
    if INTEROPERABILITY in exif.get_ifd(EXIF):
        tables.append(INTEROPERABILITY)
    for table in tables:
        for tag, value in exif.get_ifd(table).items():
            entries[table, tag] = value
    entries.pop((EXIF, INTEROPERABILITY), None)  # where the table is in the file
    return entries


def exif_object(image):
    """Pillow's object for EXIF; where it is damaged, with what could be read of it."""
    with suppress(Exception):
        return image.getexif()
    return image.getexif()  # the second call returns what the first one has read


def xmp_of(image):
    xmp = (image.info.get("xmp") or b"").rstrip(b"\0")
    if b"\0" in xmp:  # an orientation would not be found
        raise ValueError("it is not in UTF-8")
    return xmp


def iptc_of(image):
    if image.format == "TIFF":
        return tiff.iptc_of(image)
    return image.info.get("photoshop", {}).get(tiff.IPTC_BLOCK)


def resolution_of(image):
    """Pixels per inch along both sides, or None."""
    resolution = image.info.get("dpi")
    if not resolution or min(resolution) <= 1:  # 1 is Pillow's for TIFF files without
        return None
    is_said = image.info.get("jfif_unit") or X_RESOLUTION in exif_object(image)
    if image.format in JPEG and not is_said:  # Pillow takes it for 72
        return None
    return tuple(round(float(value), 1) for value in resolution)


def other_photoshop_blocks_of(image):
    """The numbers of Photoshop's blocks but for captions and keywords, such as clipping paths."""
    blocks = image.info.get("photoshop", {})
    if image.format == "TIFF":
        blocks = image.get_photoshop_blocks()
    return sorted(set(blocks) - {tiff.IPTC_BLOCK})


def comment_of(image):
    if image.format in JPEG:
        return image.info.get("comment")
    return None


def has_further_pictures(image):
    return getattr(image, "n_frames", 1) > 1


def other_segments_of(image):
    """The names of what else is in a JPEG file."""
    if image.format not in JPEG:
        return None
    others = [name for name, data in image.applist if not data.startswith(JPEG_SEGMENTS)]
    return [name for name in others if name != "COM"]  # the comment


READERS = {
    "EXIF": exif_of,
    "XMP": xmp_of,
    "IPTC": iptc_of,
    "ICC profile": lambda image: image.info.get("icc_profile"),
    "resolution": resolution_of,
    "comment": comment_of,
    "text": png.text_of,
    "colour chunks": png.colours_of,
    "TIFF tags": tiff.private_tags_of,
    # What is never written
    "Photoshop's blocks": other_photoshop_blocks_of,
    "further pictures": has_further_pictures,
    "other segments of JPEG": other_segments_of,
    "raw profiles": png.raw_profiles_of,
    "layers": tiff.has_layers,
    "further channels": tiff.has_further_channels,
}


# ----------------------------------------------------------------------------------------------
# Turning upright


def find_orientation(image):
    """How a Pillow image must be turned, 1 to 8, by EXIF or by XMP.

    Where XMP alone says it, EXIF is made to say it too, since Pillow turns by EXIF.
    """
    read_to_its_end(image)
    exif = exif_object(image)
    xmp = image.info.get("xmp") or b""
    match = re.search(XMP_VALUE % b"Orientation", xmp)
    if match and ORIENTATION not in exif:
        exif[ORIENTATION] = int(match[2])
    return exif.get(ORIENTATION, 1)


def made_upright(found, orientation, height, width):
    """Metadata for a picture that was turned upright and has this size now."""
    upright = dict(found)
    if orientation in (5, 6, 7, 8) and "resolution" in found:  # it lay on its side
        upright["resolution"] = found["resolution"][::-1]
    if "EXIF" in found:
        upright["EXIF"] = dict(found["EXIF"])
        for key, size in ((WIDTH, width), (HEIGHT, height)):
            if key in found["EXIF"]:
                upright["EXIF"][key] = size
    if "XMP" in found:
        for properties, value in (
            (b"Orientation", 1),
            (b"ImageWidth|PixelXDimension", width),
            (b"ImageLength|ImageHeight|PixelYDimension", height),
        ):
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
            good = [key for key, entry in value.items() if is_writable({part: {key: entry}})]
            value = {key: value[key] for key in good}
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
        if isinstance(value, str) and not value.isascii():
            value = value.encode("latin-1")  # as Pillow has decoded it
        tables[table][tag] = value
    for table, parent in ((INTEROPERABILITY, EXIF), (EXIF, MAIN), (GPS, MAIN)):
        if tables[table]:
            tables[parent][table] = tables[table]
    return tables[MAIN]


def photoshop_segment(iptc):
    """The segment of a JPEG file with captions and keywords."""
    block = b"8BIM" + struct.pack(">HHI", tiff.IPTC_BLOCK, 0, len(iptc)) + iptc
    if len(iptc) % 2:
        block += b"\0"
    content = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def not_kept(before, after):
    """The names of the parts of `before` that `after` lacks, or has with another value."""
    lost = []
    for name, value in before.items():
        if name == "resolution" and is_near(value, after.get(name)):
            continue
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


def is_near(resolution, other):
    """Whether two resolutions are equal but for rounding: JPEG holds whole numbers."""
    if other is None:
        return False
    return all(abs(first - second) <= 0.5 for first, second in zip(resolution, other))


def entry_name(key):
    """An entry in words: the name of a tag of EXIF, or the name itself."""
    from PIL import ExifTags

    if not isinstance(key, tuple):
        return str(key)
    table, tag = key
    names = ExifTags.GPSTAGS if table == GPS else ExifTags.TAGS
    return names.get(tag, f"tag {tag}")
