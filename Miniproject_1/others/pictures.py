"""Picture files in and out. Pillow does the work, and is imported only here, where it is used."""

import ctypes
import math
import warnings
from pathlib import Path

import torch

from .support import replaced


def pillow():
    """Pillow's `Image` and `ImageOps`, or an error that says what to install."""
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise ModuleNotFoundError("reading and writing pictures needs Pillow: pip install pillow") from None
    return Image, ImageOps


def read_picture(path, shrink=None):
    """Read a picture file upright, as a uint8 RGB tensor (3, H, W).

    16-bit pictures are reduced to 8 bits, and transparent ones laid on white.

    Args:
        path: the file, of any format that Pillow reads.
        shrink: a short side of more pixels than this is reduced to it. None: never.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, not a picture, or has more pixels than Pillow trusts.
    """
    Image, ImageOps = pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are read all the same
            with Image.open(path) as image:
                image = ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):  # 16 bits; convert() would cut them off at 255
                    image = image.convert("I").point(lambda value: value / 257).convert("L")
                if "transparency" in image.info or image.mode.endswith(("A", "a")):
                    image = image.convert("RGBA")
                    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                image = image.convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except Exception as error:  # damaged files raise nearly everything
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    if shrink and min(image.size) > shrink:
        image = image.resize([math.ceil(side * shrink / min(image.size)) for side in image.size], Image.LANCZOS)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1).contiguous()  # (3, H, W)


def write_picture(image, path):
    """Write an image (3, H, W), values 0 to 255, in the format of the file's ending.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        OSError: the file cannot be written; if there was one of this name it is still there.
        ValueError: the ending is unknown.
    """
    Image, _ = pillow()
    pixels = image.detach().cpu().round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()  # (H, W, 3)
    height, width, _ = pixels.shape
    data = ctypes.string_at(pixels.data_ptr(), pixels.numel())  # fast, and NumPy need not be there
    path = Path(path)
    with replaced(path, path.with_name("part-" + path.name)) as temporary:  # the ending tells the format
        Image.frombytes("RGB", (width, height), data).save(temporary)


def comparison(rows, scale=4, gap=8):
    """Lay images out in a grid, one row for each batch, every pixel a square of `scale` pixels.

    Args:
        rows: tensors (N, 3, H, W) of equal shape, values 0 to 255: noisy, denoised and clean, say.
        scale: pixels for one pixel.
        gap: white pixels between the images.

    Returns:
        float32 tensor (3, height, width).
    """
    lines = []
    for images in rows:
        images = images.detach().cpu().float().repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        padded = torch.nn.functional.pad(images, (gap, 0, gap, 0), value=255.0)
        lines.append(torch.cat(list(padded), 2))  # (3, height, width)
    return torch.nn.functional.pad(torch.cat(lines, 1), (0, gap, 0, gap), value=255.0)
