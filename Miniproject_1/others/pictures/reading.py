"""Picture files in."""

import math
import os
import warnings
from contextlib import contextmanager

import torch

from . import metadata, tiff
from .picture import FORMATS, LARGEST, Picture, image_of, on_white, pillow, tensor_of

TO_LEARN_FROM = (*FORMATS, "BMP", "PPM")  # formats of which only the colours are read
KINDS_OF_PIXELS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")  # by Pillow's names
ADVICE = "save it as grey, RGB or CMYK with 8 or 16 bits a value"


def read_picture(path, shrink=None):
    """Read a picture file upright: colours to learn from.

    Values of 16 bits are reduced to 8, transparent pixels are laid on white, and CMYK becomes RGB.

    Args:
        path: a PNG, JPEG, TIFF, WebP, BMP or PPM file.
        shrink: a picture whose short side has more pixels is reduced to so many. None: never.

    Returns:
        uint8 tensor (3, H, W).

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, of a kind that is not read, or too large for Pillow.
    """
    with opened(path, TO_LEARN_FROM) as image:
        pixels, alpha = decoded(image, has_one_channel(image))
    colours = as_rgb(pixels, alpha)
    short_side = min(colours.shape[1:])
    if shrink and short_side > shrink:
        image = image_of(colours, "RGB")
        size = [math.ceil(side * shrink / short_side) for side in image.size]
        colours = tensor_of(image.resize(size, pillow().Resampling.LANCZOS))
    return colours


def load_picture(path, any_size=False):
    """Read a picture file with all that it holds.

    Args:
        path: a PNG, JPEG, TIFF or WebP file.
        any_size: read it also if it has more pixels than Pillow trusts, 179 million.

    Returns:
        a `Picture`.

    Raises:
        ModuleNotFoundError, FileNotFoundError, ValueError: as in `read_picture`.
    """
    with opened(path, FORMATS, any_size) as image:
        # first, since Pillow forgets both when it unpacks the values
        bits, is_grey = bits_of(image), has_one_channel(image)
        found = metadata.read(image)
        orientation = metadata.find_orientation(image)
        pixels, alpha = decoded(image, is_grey)
    _, height, width = pixels.shape
    return Picture(pixels, alpha, bits, metadata.made_upright(found, orientation, height, width))


@contextmanager
def opened(path, formats, any_size=False):
    """Yield the Pillow image of a file. Whatever goes wrong with it names the file.

    Pillow's limit of pixels is a setting of the process; `any_size` lifts it for the time being.
    """
    Image = pillow()
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path} cannot be read as a picture: it is no file")
    limit = Image.MAX_IMAGE_PIXELS
    try:
        if any_size:
            Image.MAX_IMAGE_PIXELS = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are read all the same
            with Image.open(path, formats=tuple(formats)) as image:
                refuse_what_would_be_misread(image, path)
                if image.format == "TIFF":
                    # or Pillow maps the file, and mixes up the sides of one that lies on its side
                    image.filename = ""
                yield image
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except MemoryError:
        raise MemoryError(f"{path} does not fit into memory") from None
    except Image.UnidentifiedImageError:
        fault = f"it is none of {', '.join(formats)}"
        if tiff.is_tiff(path):
            fault = f"it is a TIFF file of a kind that is not read; {ADVICE}"
        raise ValueError(f"{path} cannot be read as a picture: {fault}") from None
    except Image.DecompressionBombError as error:
        message = (
            f"{path} cannot be read as a picture: {error} (denoise --any-size lifts the limit)"
        )
        raise ValueError(message) from error
    except Exception as error:  # damaged files raise nearly everything
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def refuse_what_would_be_misread(image, path):
    """Raise ValueError for what Pillow opens, but reads in part or as something else."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a telephone's second picture belongs to the first
        raise ValueError(f"it has {frames} frames; save each as a file of its own")
    if image.format == "TIFF":
        tiff.refuse_what_would_be_misread(image, path)
    if image.mode not in KINDS_OF_PIXELS and not image.mode.startswith("I"):
        raise ValueError(f"its pixels are {image.mode}; {ADVICE}")
    is_scaled = image.mode != "P" and raw_mode(image).endswith((";2", ";4", ";16B"))
    if "transparency" in image.info and is_scaled:
        raise ValueError("one of its colours stands for transparent; save it with alpha")


def raw_mode(image):
    """How Pillow will unpack the values of the file, for example "RGB;16B"."""
    if not image.tile:
        return image.mode
    arguments = image.tile[0][3]
    if isinstance(arguments, str):
        return arguments
    return str(arguments[0])


def bits_of(image):
    if image.mode.startswith("I") or ";16" in raw_mode(image):
        return 16
    return 8


def has_one_channel(image):
    """Whether a picture is grey. Pillow unpacks 16 bits of grey and alpha into colours."""
    return image.mode in ("1", "L", "LA") or raw_mode(image).startswith("LA;")


def decoded(image, is_grey):
    """The pixels of a Pillow image, upright, and its alpha or None; both as in `Picture`."""
    from PIL import ImageOps

    metadata.find_orientation(image)  # so that Pillow knows it
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        pixels = tensor_of(image).double() * (255 / LARGEST)
        return pixels.float(), None
    alpha = None
    if "transparency" in image.info or image.mode.endswith("A"):
        image = image.convert("RGBA")
        alpha = tensor_of(image.getchannel("A"))
    if is_grey:
        return tensor_of(image.convert("L")), alpha
    if image.mode != "CMYK":
        image = image.convert("RGB")
    return tensor_of(image), alpha


def as_rgb(pixels, alpha):
    """Pixels as uint8 (3, H, W), without transparency."""
    if len(pixels) == 4:
        light = 255 - pixels.float()
        pixels = light[:3] * light[3:] / 255
    if alpha is not None:
        pixels = on_white(pixels, alpha)
    if pixels.is_floating_point():
        pixels = pixels.round().to(torch.uint8)
    return pixels.expand(3, -1, -1).contiguous()
