"""Picture files in and out, and a picture of pictures.

Files are PNG, JPEG, TIFF or WebP with 8 bits a value: grey, RGB or a palette, opaque or
transparent. Pillow does the work; it is imported where it is used. NumPy is not needed.
"""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from .outputs import replaced

FORMATS = {  # which ending stands for which format, by Pillow's names
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
SUFFIXES = tuple(FORMATS)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # kinds of pixels that are read
SAVE_OPTIONS = {  # those that lose least
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "WEBP": {"lossless": True},
}
TIFF_BITS = 258  # the tag with the bits of a value


def pillow():
    """Pillow's module `Image`, or an error that says what to install."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        text = "reading and writing pictures needs Pillow: pip install pillow"
        raise ModuleNotFoundError(text) from None
    return Image


def format_of(path):
    """Pillow's name of the format that a file's ending stands for, or ValueError."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path}: the ending of a picture must be one of {', '.join(SUFFIXES)}")
    return FORMATS[suffix]


# --------------------------------------------------------------------------------------------------
# Reading


@dataclass
class Picture:
    """What a picture file holds, turned upright.

    Attributes:
        pixels: (C, H, W), values 0 to 255, any real dtype; C is 1 for grey and 3 for RGB.
        alpha: uint8 (1, H, W), 255 where the picture is opaque; None: everywhere.
        metadata: EXIF, colour profile and resolution, as options of Pillow's `save`.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    metadata: dict = field(default_factory=dict)


def read_picture(path):
    """Read the colours of a picture file, upright: grey is repeated, transparency lies on white.

    Returns:
        uint8 tensor (3, H, W).

    Raises:
        ModuleNotFoundError, OSError, ValueError: as in `load_picture`.
    """
    picture = load_picture(path)
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = on_white(pixels, picture.alpha).round().byte()
    return pixels.expand(3, -1, -1).contiguous()


def load_picture(path):
    """Read a picture file with all that is kept of it.

    Returns:
        a `Picture`, its pixels uint8.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        OSError: there is no such file, or it may not be read.
        ValueError: it is damaged, of a kind that is not read, or has more than 178 megapixels.
    """
    Image = pillow()
    format_of(path)
    # Pillow would map a file with a name into memory, and mix up the sides of a TIFF picture
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that are read all the same
        try:
            image = Image.open(file, formats=tuple(SAVE_OPTIONS))
            refuse_other_kinds(image)
            return decoded(image)
        except Image.UnidentifiedImageError:
            text = f"{path} is no PNG, JPEG, TIFF or WebP file with 8 bits a value"
            raise ValueError(text) from None
        except Exception as error:  # damaged files raise nearly everything
            raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def refuse_other_kinds(image):
    """Raise ValueError for what Pillow would read in part, or as something else."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a telephone's second picture belongs to the first
        raise ValueError(f"it has {frames} frames; save each as a file of its own")
    bits = 16 if ";16" in str(image.tile) else 8
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(TIFF_BITS, (1,)))
    if bits > 8:
        raise ValueError(f"its values have {bits} bits; save it with 8")
    if image.mode not in MODES:
        raise ValueError(f"its colours are {image.mode}; save it as grey or RGB with 8 bits")


def decoded(image):
    """The `Picture` that an opened image of Pillow's is."""
    from PIL import ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    metadata = metadata_of(image)
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = tensor_of(image.getchannel("A"))
    return Picture(tensor_of(image.convert(mode)), alpha, metadata)


def metadata_of(image):
    """EXIF, colour profile and resolution of an image that is loaded, as options of `save`."""
    metadata = {}
    exif = image.info.get("exif")
    if exif and image.format != "TIFF":  # where it lies among tags about the file
        metadata["exif"] = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
    if image.info.get("icc_profile"):
        metadata["icc_profile"] = image.info["icc_profile"]
    if min(image.info.get("dpi", (0, 0))) > 1:  # 1 is what Pillow says of a TIFF file without
        metadata["dpi"] = image.info["dpi"]
    return metadata


# --------------------------------------------------------------------------------------------------
# Writing


def write_picture(pixels, path):
    """Write pixels (1, H, W) or (3, H, W), values 0 to 255, to a file; see `save_picture`."""
    save_picture(Picture(pixels), path)


def save_picture(picture, path):
    """Write a `Picture` in the format of the file's ending, whole or not at all.

    JPEG holds no transparency: the picture lies on white. WebP holds no grey: its three channels
    are equal. TIFF gets no EXIF.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        OSError: the file cannot be written.
        ValueError: the ending names no format that is written.
    """
    name = format_of(path)
    pixels = picture.pixels.cpu()
    mode = "L" if len(pixels) == 1 else "RGB"
    if picture.alpha is not None and name == "JPEG":
        pixels = on_white(pixels, picture.alpha)
    elif picture.alpha is not None:
        pixels = torch.cat([pixels, picture.alpha])
        mode += "A"
    options = {**SAVE_OPTIONS[name], **picture.metadata}
    if name == "TIFF":
        options.pop("exif", None)  # with it Pillow cannot always compress
    with replaced(path) as temporary:
        image_of(pixels, mode).save(temporary, name, **options)


def tensor_of(image):
    """The values of a Pillow image with 8 bits a value: uint8 (C, H, W)."""
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(image.height, image.width, -1).permute(2, 0, 1).contiguous()


def image_of(pixels, mode):
    """A Pillow image of this mode, from values 0 to 255, (C, H, W), which are rounded."""
    _, height, width = pixels.shape
    values = pixels.detach().cpu().float().round().clamp(0, 255).byte()
    memory = bytearray(values.numel())
    torch.frombuffer(memory, dtype=torch.uint8).copy_(values.permute(1, 2, 0).flatten())
    return pillow().frombytes(mode, (width, height), memory)


def on_white(pixels, alpha):
    """Transparent pixels laid on white, as floats."""
    return 255 - (255 - pixels.float()) * (alpha / 255)


# --------------------------------------------------------------------------------------------------
# A picture of pictures

SCALE = 4  # the side of the square of pixels that stands for one pixel
GAP = 8  # white pixels between the images
LABEL_WIDTH = 100  # pixels
CAPTION_HEIGHT = 28  # pixels
TEXT_SIZE = 18  # pixels from line to line


def comparison(rows, labels=(), captions=()):
    """Lay images out in a grid, one row for each batch.

    Args:
        rows: tensors (N, 3, H, W) of equal shape, values 0 to 255: noisy, denoised and clean, say.
        labels: a word for each row, written at its left.
        captions: a text for each column, written below it.

    Returns:
        uint8 tensor (3, height, width).
    """
    Image = pillow()
    from PIL import ImageDraw

    number, _, height, width = rows[0].shape
    height, width = SCALE * height + GAP, SCALE * width + GAP  # of an image and the gap behind it
    left = GAP + (LABEL_WIDTH if labels else 0)
    bottom = GAP + len(rows) * height
    size = (left + number * width, bottom + (CAPTION_HEIGHT if captions else 0))
    canvas = Image.new("RGB", size, "white")
    for row, images in enumerate(rows):
        for column, pixels in enumerate(images):
            image = image_of(pixels, "RGB").resize((width - GAP, height - GAP), Image.NEAREST)
            canvas.paste(image, (left + column * width, GAP + row * height))

    draw = ImageDraw.Draw(canvas)
    for row, label in enumerate(labels):
        place = (GAP, GAP / 2 + (row + 0.5) * height)
        draw.text(place, label, "black", anchor="lm", font_size=TEXT_SIZE)
    for column, caption in enumerate(captions):
        place = (left - GAP / 2 + (column + 0.5) * width, bottom + CAPTION_HEIGHT / 2)
        draw.text(place, caption, "black", anchor="mm", font_size=TEXT_SIZE)
    return tensor_of(canvas)
