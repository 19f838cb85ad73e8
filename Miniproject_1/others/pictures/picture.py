"""What a picture file holds, and how its values get from Pillow to PyTorch and back."""

from dataclasses import dataclass, field

import torch

FORMATS = {  # those that are written, and the kinds of pixels that they hold, by Pillow's names
    "PNG": ("L", "LA", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "I;16", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
}
LARGEST = 65535  # of 16 bits


@dataclass
class Picture:
    """What a picture file holds, turned upright.

    Attributes:
        pixels: (C, H, W), values 0 to 255, any real dtype; C is 1 for grey, 3 for RGB, 4 for CMYK,
            where 255 is all ink.
        alpha: uint8 (1, H, W), 255 where the picture is opaque; None: everywhere.
        bits: of a value in the file, 8 or 16.
        metadata: what else the file says, by the names that `metadata.read` gives.
    """

    pixels: torch.Tensor
    alpha: torch.Tensor | None = None
    bits: int = 8
    metadata: dict = field(default_factory=dict)


def pillow():
    """Pillow's module `Image`, or an error that says what to install."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        message = "reading and writing pictures needs Pillow: pip install pillow"
        raise ModuleNotFoundError(message) from None
    except ImportError as error:  # it is there, but not whole
        message = f"Pillow cannot be used ({error}): pip install --force-reinstall pillow"
        raise ModuleNotFoundError(message) from None
    return Image


def tensor_of(image):
    """The values of a Pillow image as they are: (C, H, W), uint8, or int32 where it has 16 bits."""
    dtype = torch.uint8
    if image.mode.startswith("I"):
        image = image.convert("I")
        dtype = torch.int32
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=dtype)
    values = values.view(image.height, image.width, -1)  # (H, W, C)
    return values.permute(2, 0, 1).contiguous()


def image_of(pixels, mode):
    """A Pillow image of this mode, from values 0 to 255, (C, H, W)."""
    if mode == "I;16":
        values = (pixels.double() * (LARGEST / 255)).round().clamp(0, LARGEST)
        return image_from_bytes(values.to(torch.int32), "I").convert("I;16")
    values = pixels.round() if pixels.is_floating_point() else pixels
    return image_from_bytes(values.clamp(0, 255).to(torch.uint8), mode)


def image_from_bytes(values, mode):
    """NumPy need not be there, so the values are copied to memory that Pillow can read."""
    _, height, width = values.shape
    values = values.detach().permute(1, 2, 0).flatten()
    memory = bytearray(values.numel() * values.element_size())
    torch.frombuffer(memory, dtype=values.dtype).copy_(values)
    return pillow().frombytes(mode, (width, height), memory)


def on_white(pixels, alpha):
    """Transparent pixels laid on white, as floats."""
    return 255 - (255 - pixels.float()) * (alpha / 255)
