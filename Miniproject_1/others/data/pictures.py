"""Picture files in and out. Pillow does the work, and is imported only here, where it is used.

What a file held beside its colours (transparency, bits, ICC profile, EXIF, XMP, resolution) is in the file that is
written too, as far as its format can hold it. What is not is found by reading the new file again.
"""

import ctypes
import io
import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from .files import check_output, replaced

LABEL_WIDTH = 100  # pixels
ORIENTATION, EXIF, GPS, INTEROPERABILITY = 0x0112, 0x8769, 0x8825, 0xA005  # EXIF's tags; the last three are tables
LEVELS, XMP = (340, 341), 700  # TIFF's tags: the smallest and largest sample, and XMP
# Tags that describe a picture, not how its file stores it: title, maker, model, program, date, artist, host, rating,
# Windows' title, comment, author, keywords and subject, copyright
DESCRIPTIONS = (270, 271, 272, 305, 306, 315, 316, 18246, 40091, 40092, 40093, 40094, 40095, 33432)
FORMATS = {  # what can be written: Pillow's names for the kinds of pixels, and the options that lose least
    "PNG": ("L LA RGB RGBA I;16", {}),
    "TIFF": ("L LA RGB RGBA CMYK I;16 F", {}),
    "JPEG": ("L RGB CMYK", dict(quality=95, subsampling=0)),
    "WEBP": ("RGB RGBA", dict(lossless=True, exact=True)),  # exact: colours stay where nothing is seen of them
    "AVIF": ("L RGB RGBA", dict(quality=95, subsampling="4:4:4")),
    "JPEG2000": ("L LA RGB RGBA CMYK I;16", {}),
    "GIF": ("L RGB RGBA", {}),
    "BMP": ("L RGB", {}),
    "PPM": ("L RGB I;16", {}),
    "TGA": ("L LA RGB RGBA", {}),
}
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535, "TGA": 65_535}  # pixels
LOSS = 40.0  # dB of the stored pixels against those to be stored, below which the user is told


@dataclass
class Picture:
    """What a picture file holds, turned upright.

    Attributes:
        pixels: (C, H, W), values 0 to 255, any real dtype; C is 1 for grey, 3 for RGB, 4 for CMYK (255: all ink).
        alpha: uint8 (H, W), 255 where the picture is opaque; None: everywhere.
        levels: what black and white are in the file, where values are 32 bits wide.
        about: whatever else the file says of itself, by its name: "bits" of a value, "palette", "transparent
            value", "ICC profile", "EXIF", "XMP", "resolution" in pixels per inch, "text". Only what is there.
    """

    pixels: torch.Tensor
    alpha: torch.Tensor = None
    levels: tuple = None
    about: dict = field(default_factory=dict)


def pillow():
    """Pillow's `Image` and `ImageOps`, or an error that says what to install."""
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise ModuleNotFoundError("reading and writing pictures needs Pillow: pip install pillow") from None
    return Image, ImageOps


@contextmanager
def opened(path, any_size=False):
    """Yield the Pillow image of a file. Whatever goes wrong with it is a FileNotFoundError or ValueError.

    With `any_size`, Pillow's limit on the number of pixels, 179 million, is lifted.
    """
    Image, _ = pillow()
    limit = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = None if any_size else limit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are read all the same
            with Image.open(path) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":  # a telephone's second picture is of the first
                    raise ValueError(f"it has {frames} frames; save each as a file of its own")
                yield image
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} cannot be read as a picture: {error} (denoise --any-size lifts the limit)") from error
    except Exception as error:  # damaged files raise nearly everything
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read_picture(path, shrink=None):
    """Read a picture file upright, as a uint8 RGB tensor (3, H, W): colours to learn from.

    16-bit pictures are reduced to 8 bits, and transparent ones laid on white. Pictures of floats or 32-bit integers
    are scaled where the file says its range (TIFF's tags for the smallest and largest sample), else refused.

    Args:
        path: the file, of any format that Pillow reads.
        shrink: a short side of more pixels than this is reduced to it. None: never.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, not a picture, has several frames, or more pixels than Pillow trusts.
    """
    Image, ImageOps = pillow()
    with opened(path) as image:
        levels = value_range(image) if image.mode[0] in "IF" else None  # convert() would cut off at 255
        image = ImageOps.exif_transpose(image)
        if levels:
            image = image.convert("I" if image.mode[0] == "I" else "F").convert("F")
            scale = 255 / (levels[1] - levels[0])
            image = image.point(lambda value: value * scale + (0.5 - levels[0] * scale)).convert("L")
        if is_transparent(image):
            image = on_white(image.convert("RGBA"))
        image = image.convert("RGB")
        if shrink and min(image.size) > shrink:
            image = image.resize([math.ceil(side * shrink / min(image.size)) for side in image.size], Image.LANCZOS)
        return tensor_of(image)


def load_picture(path, any_size=False):
    """Read a picture file as a `Picture`, with all that it says; errors as of `read_picture`.

    Palettes become grey or RGB, and so do the colour models other than CMYK. Values of 16 and 32 bits are float32.
    """
    _, ImageOps = pillow()
    with opened(path, any_size) as image:
        levels = value_range(image) if image.mode[0] in "IF" else None
        wide = not levels and any(  # Pillow reads the higher 8 of the 16 bits
            ";16" in str(tile[3]) or "65535" in str(tile[3]) for tile in image.tile
        )
        about = description(image)
        if image.getexif().get(ORIENTATION, 1) > 4 and "resolution" in about:
            about["resolution"] = about["resolution"][::-1]
        image = ImageOps.exif_transpose(image)
        picture = Picture(None, about=about)
        about["bits"] = 16 if wide or levels == (0, 65535) else 32 if levels else 1 if image.mode == "1" else 8
        if levels:
            low, high = levels
            values = tensor_of(image.convert("F" if image.mode == "F" else "I"))
            picture.pixels = (values.double() - low).mul_(255 / (high - low)).float()
            picture.levels = levels if about["bits"] == 32 else None
            if "transparency" in image.info:
                about["transparent value"] = image.info["transparency"]
            return picture
        if image.mode[0] == "P":
            about["palette"] = True
        grey = image.mode[0] in "1L" or (image.mode[0] == "P" and is_grey(image.convert("RGB")))
        if is_transparent(image):
            image = image.convert("RGBA")
            picture.alpha = tensor_of(image.getchannel("A"))[0]
        image = image if image.mode == "CMYK" else image.convert("RGB")
        picture.pixels = tensor_of(image.getchannel("R") if grey else image)
        return picture


def description(image):
    """What a Pillow image says of itself, as in `Picture.about`, but for its bits and palette."""
    exif, info = image.getexif(), image.info
    tables = {tag: {**exif.get_ifd(tag)} for tag in (EXIF, GPS)}
    tables[EXIF].pop(INTEROPERABILITY, None)
    described = {tag: exif[tag] for tag in DESCRIPTIONS if tag in exif}
    tables = {**{tag: table for tag, table in tables.items() if table}, **described}
    dpi, text = info.get("dpi"), getattr(image, "text", None) or info.get("comment")
    text = {key: value for key, value in text.items() if "adobe.xmp" not in key} if isinstance(text, dict) else text
    about = {
        "EXIF": tables,
        "ICC profile": info.get("icc_profile"),
        "XMP": info.get("xmp"),
        "resolution": dpi and min(dpi) > 1 and tuple(round(float(value)) for value in dpi),  # 1: of TIFFs without
        "text": image.format != "JPEG2000" and text,  # there it is the name of the program
    }
    return {name: value for name, value in about.items() if value}


def is_transparent(image):
    return "transparency" in image.info or image.mode.endswith(("A", "a"))


def is_grey(image):
    """Whether the channels of an RGB image are equal."""
    red, *others = tensor_of(image)
    return all(torch.equal(red, other) for other in others)


def on_white(image):
    """An RGBA image laid on white, as RGB."""
    Image, _ = pillow()
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def tensor_of(image):
    """The values of a Pillow image as they are, (C, H, W): uint8, int32 or float32."""
    dtype = {"I": torch.int32, "F": torch.float32}.get(image.mode, torch.uint8)
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=dtype)
    return values.view(image.height, image.width, -1).permute(2, 0, 1).contiguous()


def image_of(pixels, mode):
    """A Pillow image of this mode from (C, H, W), values 0 to 255 but for "F"."""
    Image, _ = pillow()
    pixels = pixels.detach().cpu()
    if mode == "I;16":
        values = (pixels.double() * 257).round().clamp(0, 65535).to(torch.int32)
        pixels = torch.where(values > 32767, values - 65536, values).to(torch.int16)
    elif mode == "F":
        pixels = pixels.float()
    else:
        pixels = pixels.round().clamp(0, 255).to(torch.uint8)
    pixels = pixels.permute(1, 2, 0).contiguous()  # (H, W, C)
    height, width, _ = pixels.shape
    data = ctypes.string_at(pixels.data_ptr(), pixels.numel() * pixels.element_size())  # NumPy need not be there
    return Image.frombytes(mode, (width, height), data)


def value_range(image):
    """What black and white are in a Pillow image of 16 bits, 32-bit integers ("I") or floats ("F").

    Raises:
        ValueError: the file does not say it.
    """
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):
        return 0, 65535
    tags = getattr(image, "tag_v2", {})
    for low, high in (LEVELS, (280, 281)):  # also MinSampleValue and MaxSampleValue
        found = [tags.get(tag) for tag in (low, high)]
        low, high = (value[0] if isinstance(value, tuple) else value for value in found)
        if low is not None and high is not None and low < high:
            return low, high
    lowest, highest = image.getextrema()
    raise ValueError(
        f"it has values {lowest:.4g} to {highest:.4g} and does not say which is white; save it with 8 or 16 bits"
    )


def format_of(path):
    """Pillow's name of the format that the file's ending stands for, or ValueError where it is not in `FORMATS`."""
    Image, _ = pillow()
    name = Image.registered_extensions().get(path.suffix.lower())
    if name not in FORMATS or name not in Image.SAVE:
        raise ValueError(f"{path}: the ending must name one of the formats {', '.join(FORMATS)}, as .png and .jpg do")
    return name


def check_picture_output(path, overwrite=False):
    """`check_output`, and ValueError where the ending names no format that is written; returns the path."""
    path = check_output(path, overwrite)
    format_of(path)
    return path


def check_sides(height, width, path):
    """ValueError where the format of `path` cannot hold a picture of so many pixels."""
    longest = LONGEST_SIDE.get(format_of(path), math.inf)
    if max(height, width) > longest:
        raise ValueError(f"{path}: this format holds {longest} pixels a side, the picture is {width} x {height}")


def write_picture(image, path):
    """Write an image (1, H, W) or (3, H, W), values 0 to 255, in the format of the file's ending.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        OSError: the file cannot be written; if there was one of this name it is still there.
        ValueError: the ending is unknown.
    """
    save_picture(Picture(image), path)


def save_picture(picture, path):
    """Write a `Picture` in the format of the file's ending; errors as of `write_picture`.

    Returns:
        the names of what the new file does not hold, found by reading it: "transparency", "EXIF", ...
    """
    name = format_of(path)
    check_sides(*picture.pixels.shape[1:], path)
    image, about = fitted(picture, FORMATS[name][0].split(), degrees=name != "GIF"), picture.about
    options = {**FORMATS[name][1], **(tiff_tags if name == "TIFF" else other_tags)(picture, image.mode, name)}
    channels = {"C": 4, "R": 3}.get(image.mode[0], 1)  # a profile is for colours of one kind
    if "ICC profile" in about and channels == len(picture.pixels):
        options["icc_profile"] = about["ICC profile"]
    if "resolution" in about:
        options["dpi"] = about["resolution"]
    with replaced(path) as temporary:
        image.save(temporary, name, **options)
        return not_kept(picture, load_picture(temporary, any_size=True))


def fitted(picture, modes, degrees=True):
    """A Pillow image of a `Picture`, of the one among `modes` that keeps most of it; without `degrees`, its pixels are
    transparent or opaque and nothing between."""
    pixels, alpha = picture.pixels, picture.alpha
    if len(pixels) == 1 and alpha is None:
        if picture.levels and "F" in modes:
            low, high = picture.levels
            return image_of(pixels.double() * ((high - low) / 255) + low, "F")
        if picture.about.get("bits", 8) > 8 and "I;16" in modes:
            return image_of(pixels, "I;16")
    image = image_of(pixels, {1: "L", 3: "RGB", 4: "CMYK"}[len(pixels)])
    if image.mode == "CMYK" and "CMYK" not in modes:
        image = cmyk_to_srgb(image, picture.about.get("ICC profile"))
    if alpha is not None and image.mode != "CMYK":
        image.putalpha(image_of(alpha[None] if degrees else (alpha[None] > 127) * 255, "L"))
        if image.mode not in modes and "RGBA" in modes:
            return image.convert("RGBA")
        image = image if image.mode in modes else on_white(image.convert("RGBA")).convert(image.mode[:-1])
    return image if image.mode in modes else image.convert("RGB")


def cmyk_to_srgb(image, profile):
    """RGB from CMYK, by the ICC profile if there is one that says how."""
    from PIL import ImageCms

    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # it is damaged, or of another colour model
            pass
    return image.convert("RGB")


def other_tags(picture, mode, name):
    """The options of Pillow's `save` for EXIF, XMP and text, in all formats but TIFF."""
    Image, _ = pillow()
    from PIL.PngImagePlugin import PngInfo

    about, exif, options = picture.about, Image.Exif(), {}
    for tag, value in about.get("EXIF", {}).items():
        if tag in (EXIF, GPS):
            exif.get_ifd(tag).update(value)
        else:
            exif[tag] = value
    if "EXIF" in about:
        options["exif"] = exif
    text, xmp = about.get("text"), about.get("XMP")
    if name == "PNG":
        options["pnginfo"] = chunks = PngInfo()
        for key, value in text.items() if isinstance(text, dict) else ():
            chunks.add_itxt(key, value)
        if xmp:
            chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    else:
        options.update(xmp and dict(xmp=xmp) or {}, **(dict(comment=text) if isinstance(text, bytes) else {}))
    return options


def tiff_tags(picture, mode, name):
    """The same for TIFF, which has tags of its own for them and for the levels of floats."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    about, tags = picture.about, ImageFileDirectory_v2()
    for tag, value in about.get("EXIF", {}).items():
        if tag in (EXIF, GPS):
            tags.tagtype[tag] = 4  # its place in the file
        tags[tag] = value
    if "XMP" in about:
        tags.tagtype[XMP], tags[XMP] = 1, about["XMP"]
    if mode == "F":
        for tag, level in zip(LEVELS, picture.levels):
            tags.tagtype[tag], tags[tag] = 12, float(level)  # 64-bit floats
    return dict(tiffinfo=tags)


def not_kept(before, after):
    """What of a `Picture` is not in another one, in words."""
    channels = {1: "grey", 3: "RGB", 4: "CMYK"}
    lost, same_colours = [], len(before.pixels) == len(after.pixels)
    if not same_colours:
        lost.append(f"{channels[len(before.pixels)]}, it is {channels[len(after.pixels)]} now")
    for name, value in before.about.items():
        other = after.about.get(name)
        if name == "bits" and other != value:
            lost.append(f"{value} bit{'s' * (value > 1)} a value, there are {other} now")
        elif name != "bits" and repr(value) != repr(other):
            lost.append(name)
    opaque = torch.full(before.pixels.shape[1:], 255, dtype=torch.uint8)
    alphas = [opaque if each.alpha is None else each.alpha for each in (before, after)]
    if not torch.equal(*alphas):
        lost.append("transparency" if after.alpha is None else "degrees of transparency")
    elif same_colours:
        strips = zip(*(each.pixels.cpu().split(1024, 1) for each in (before, after)))  # large pictures fill memory
        error = sum(
            (wanted.float().clamp(0, 255) - stored).square().sum(dtype=torch.float64) for wanted, stored in strips
        )
        stored_psnr = -10 * math.log10(error / (255**2 * before.pixels.numel()) + 1e-12)
        if stored_psnr < LOSS:
            lost.append(f"all of its colours: those of the file are {stored_psnr:.1f} dB from them")
    return lost


def comparison(rows, scale=4, gap=8, labels=()):
    """Lay images out in a grid, one row for each batch, every pixel a square of `scale` pixels.

    Args:
        rows: tensors (N, 3, H, W) of equal shape, values 0 to 255: noisy, denoised and clean, say.
        scale: pixels for one pixel.
        gap: white pixels between the images.
        labels: a word for each row, written at its left.

    Returns:
        float32 tensor (3, height, width).
    """
    lines = []
    for images in rows:
        images = images.detach().cpu().float().repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        padded = torch.nn.functional.pad(images, (gap, 0, gap, 0), value=255.0)
        lines.append(torch.cat(list(padded), 2))  # (3, height, width)
    grid = torch.nn.functional.pad(torch.cat(lines, 1), (0, gap, 0, gap), value=255.0)
    if not labels:
        return grid
    Image, _ = pillow()
    from PIL import ImageDraw

    margin = Image.new("L", (LABEL_WIDTH, grid.shape[1]), 255)
    for number, label in enumerate(labels):
        middle = (number + 0.5) * (grid.shape[1] - gap) / len(labels)
        ImageDraw.Draw(margin).text((gap, middle), label, fill=0, anchor="lm", font_size=LABEL_WIDTH / 5)
    margin = torch.frombuffer(bytearray(margin.tobytes()), dtype=torch.uint8).view(-1, LABEL_WIDTH)
    return torch.cat([margin.float().expand(3, -1, -1), grid], 2)
