"""A picture of pictures, to compare them by eye."""

import torch
from torch.nn.functional import pad

from .picture import pillow, tensor_of

LABEL_WIDTH = 100  # pixels
LABEL_SIZE = 20  # pixels from line to line
WHITE = 255.0


def comparison(rows, scale=4, gap=8, labels=()):
    """Lay images out in a grid, one row for each batch.

    Args:
        rows: tensors (N, 3, H, W) of equal shape, values 0 to 255: noisy, denoised and clean, say.
        scale: the side of the square of pixels that stands for one pixel.
        gap: white pixels between the images.
        labels: a word for each row, written at its left.

    Returns:
        float32 tensor (3, height, width).
    """
    lines = [line_of(images.detach().cpu().float(), scale, gap) for images in rows]
    grid = torch.cat(lines, 1)
    grid = pad(grid, (gap, 0, 0, gap), value=WHITE)
    if labels:
        grid = torch.cat([margin_of(labels, gap, grid.shape[1]), grid], 2)
    return grid


def line_of(images, scale, gap):
    """Images beside each other, with a gap above and behind each: (3, height, width)."""
    images = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    images = pad(images, (0, gap, gap, 0), value=WHITE)
    return torch.cat(list(images), 2)


def margin_of(labels, gap, height):
    """The labels, each at the middle of its row: (3, height, LABEL_WIDTH)."""
    Image = pillow()
    from PIL import ImageDraw

    margin = Image.new("RGB", (LABEL_WIDTH, height), "white")
    draw = ImageDraw.Draw(margin)
    row_height = (height - gap) / len(labels)
    for number, label in enumerate(labels):
        middle = (number + 0.5) * row_height + gap / 2
        draw.text((gap, middle), label, fill="black", anchor="lm", font_size=LABEL_SIZE)
    return tensor_of(margin).float()
