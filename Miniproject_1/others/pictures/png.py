"""What PNG files say in chunks that Pillow does not read, or not all of."""

import struct

SRGB = {  # how chunks say that the colours are the usual ones
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"cICP": bytes([1, 13, 0, 1]),
}
SIGNATURE = 8  # bytes
RAW_PROFILE = "Raw profile type"


def text_of(image):
    """Text by its keys, without what is read by another name."""
    others = ("XML:com.adobe.xmp", RAW_PROFILE, "exif:Orientation")
    text = getattr(image, "text", {})
    return {key: value for key, value in text.items() if not key.startswith(others)}


def raw_profiles_of(image):
    """Metadata in ImageMagick's own form, of which Pillow reads EXIF."""
    keys = [key for key in getattr(image, "text", {}) if key.startswith(RAW_PROFILE)]
    return [key for key in keys if key != f"{RAW_PROFILE} exif"]


def colours_of(image):
    """The chunks that say what the colours mean, by name, where they are not sRGB.

    As the standard has it, cICP counts before an ICC profile, this before sRGB, and this before
    gAMA and cHRM.
    """
    if image.format != "PNG":
        return None
    chunks = dict(chunks_before_pixels(image.filename))
    if b"cICP" in chunks:
        names = (b"cICP", b"mDCV", b"cLLI")
    elif b"iCCP" in chunks or b"sRGB" in chunks:
        names = ()
    else:
        names = (b"gAMA", b"cHRM")
    found = {name: chunks[name] for name in names if name in chunks}
    return {name.decode(): data for name, data in found.items() if data != SRGB.get(name)}


def chunks_before_pixels(path):
    """Yield name and content of the chunks that come before the pixels."""
    with open(path, "rb") as file:
        file.seek(SIGNATURE)
        while True:
            length, name = struct.unpack(">I4s", file.read(8))
            if name == b"IDAT":
                return
            yield name, file.read(length)
            file.seek(4, 1)  # the checksum


def chunks_of(metadata):
    """Text, XMP and colours for Pillow to write."""
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for name, data in metadata.get("colour chunks", {}).items():
        chunks.add(name.encode(), data)
    for key, value in metadata.get("text", {}).items():
        chunks.add_itxt(key, value)
    if "XMP" in metadata:
        chunks.add_itxt("XML:com.adobe.xmp", metadata["XMP"].decode())
    return chunks
