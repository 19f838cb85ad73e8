"""Picture files in and out. Pillow does the work, and is imported only here, where it is used."""

import ctypes
import math
import warnings

import torch

from .files import check_output, replaced

LABEL_WIDTH = 100  # pixels


def pillow():
    """Pillow's `Image` and `ImageOps`, or an error that says what to install."""
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise ModuleNotFoundError("reading and writing pictures needs Pillow: pip install pillow") from None
    return Image, ImageOps


def read_picture(path, shrink=None):
    """Read a picture file upright, as a uint8 RGB tensor (3, H, W).

    16-bit pictures are reduced to 8 bits, and transparent ones laid on white. Pictures of floats or 32-bit integers
    are scaled where the file says its range (TIFF's tags for the smallest and largest sample), else refused.

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
                levels = value_range(image) if image.mode[0] in "IF" else None  # convert() would cut off at 255
                image = ImageOps.exif_transpose(image)
                if levels:
                    image = image.convert("I" if image.mode[0] == "I" else "F").convert("F")
                    scale = 255 / (levels[1] - levels[0])
                    image = image.point(lambda value: value * scale + (0.5 - levels[0] * scale)).convert("L")
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


def value_range(image):
    """What black and white are in a Pillow image of 16 bits, 32-bit integers ("I") or floats ("F").

    Raises:
        ValueError: the file does not say it.
    """
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):
        return 0, 65535
    tags = getattr(image, "tag_v2", {})
    for low, high in ((340, 341), (280, 281)):  # SMinSampleValue and SMaxSampleValue; MinSampleValue, MaxSampleValue
        found = [tags.get(tag) for tag in (low, high)]
        low, high = (value[0] if isinstance(value, tuple) else value for value in found)
        if low is not None and high is not None and low < high:
            return low, high
    lowest, highest = image.getextrema()
    raise ValueError(
        f"it has values {lowest:.4g} to {highest:.4g} and does not say which is white; save it with 8 or 16 bits"
    )


def check_picture_output(path, overwrite=False):
    """`check_output`, and ValueError where the ending names no format that Pillow writes."""
    Image, _ = pillow()
    path = check_output(path, overwrite)
    known = Image.registered_extensions()
    if known.get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{path}: the ending must name a picture format, as .png and .jpg do")
    return path


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
    with replaced(path) as temporary:  # it has the same ending, which tells the format
        Image.frombytes("RGB", (width, height), data).save(temporary)


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
