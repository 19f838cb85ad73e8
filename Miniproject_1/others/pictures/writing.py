"""Picture files out."""

import math
from pathlib import Path

import torch

from ..outputs import check_output, replaced
from ..signals import requests_postponed
from . import metadata
from .picture import FORMATS, Picture, image_of, on_white, pillow
from .reading import opened

OPTIONS = {  # of Pillow's `save`, those that lose least
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},  # exact: colours stay where nothing is seen of them
}
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # pixels
LOST_GREY = "one channel of grey (it has three that are equal)"


def is_written(path):
    """Whether a file's ending stands for one of `FORMATS`."""
    ending = Path(path).suffix.lower()
    return pillow().registered_extensions().get(ending) in FORMATS


def format_of(path):
    """Pillow's name of the format that a file's ending stands for, or ValueError."""
    if not is_written(path):
        raise ValueError(
            f"{path}: the ending must name a format that is written: .png, .jpg, .tif or .webp"
        )
    return pillow().registered_extensions()[Path(path).suffix.lower()]


def check_picture_output(path, overwrite=False):
    """Refuse the output file of a picture that cannot be written, before any work is done for it.

    Args:
        path: the file; its ending names the format.
        overwrite: whether a file that is there already may be replaced.

    Returns:
        the path as a `Path`.

    Raises:
        OSError: as in `check_output`.
        ValueError: the ending names no format that is written.
    """
    path = check_output(path, overwrite)
    format_of(path)
    return path


def check_fit(picture, path):
    """Raise ValueError where the format of `path` cannot hold a `Picture`."""
    name = format_of(path)
    channels, height, width = picture.pixels.shape
    longest = LONGEST_SIDE.get(name, math.inf)
    if max(height, width) > longest:
        raise ValueError(
            f"{path}: this format holds {longest} pixels a side, the picture is {width} x {height}"
        )
    if channels == 4 and "CMYK" not in FORMATS[name]:
        raise ValueError(f"{path}: this format holds no CMYK; write it as .tif or .jpg")


def write_picture(image, path, overwrite=True):
    """Write an image (1, H, W) or (3, H, W), values 0 to 255; see `save_picture`."""
    save_picture(Picture(image), path, overwrite)


def save_picture(picture, path, overwrite=True):
    """Write a `Picture` in the format of the file's ending; a first Ctrl-C waits until then.

    Args:
        picture: what to write.
        path: the file to write.
        overwrite: whether a file that is there by then may be replaced.

    Returns:
        what the new file does not hold, in words: "transparency", "EXIF (GPSAltitude)", ...

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        OSError: the file cannot be written; if there was one of this name it is still there.
        ValueError: the ending names no format that is written, or one that cannot hold the picture.
    """
    check_fit(picture, path)
    name = format_of(path)
    image = fitted(picture, FORMATS[name])
    lost = lost_of_pixels(picture, image)
    wanted = dict(picture.metadata)
    if LOST_GREY in lost:
        wanted.pop("ICC profile", None)  # it is for grey
    writable = metadata.writable(wanted, name, image.mode)
    with requests_postponed(), replaced(path, overwrite) as temporary:
        metadata.save(image, temporary, name, writable, **OPTIONS.get(name, {}))
        with opened(temporary, [name], any_size=True) as written:
            found = metadata.read(written)
    return lost + metadata.not_kept(picture.metadata, found)


def fitted(picture, modes):
    """A Pillow image of a `Picture`, in the mode, of these, that keeps most of it."""
    pixels, alpha = picture.pixels.cpu(), picture.alpha
    if picture.bits == 16 and alpha is None and len(pixels) == 1 and "I;16" in modes:
        return image_of(pixels, "I;16")
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[len(pixels)]
    if mode == "L" and "L" not in modes:
        mode = "RGB"
        pixels = pixels.expand(3, -1, -1)
    if alpha is not None and mode + "A" in modes:
        mode += "A"
        pixels = torch.cat([pixels, alpha])
    elif alpha is not None:
        pixels = on_white(pixels, alpha)
    return image_of(pixels, mode)


def lost_of_pixels(picture, image):
    """What a picture's pixels lose as this Pillow image, in words."""
    lost = []
    if len(picture.pixels) == 1 and image.mode.startswith("RGB"):
        lost.append(LOST_GREY)
    if picture.alpha is not None and not image.mode.endswith("A"):
        lost.append("transparency")
    if picture.bits == 16 and image.mode != "I;16":
        lost.append("16 bits a value (it has 8)")
    return lost
