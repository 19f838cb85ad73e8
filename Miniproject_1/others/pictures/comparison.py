"""A picture of pictures, to compare them by eye."""

import torch
from torch.nn.functional import pad

from .picture import pillow, tensor_of

LABEL_WIDTH = 100  # pixels
LABEL_SIZE = 20  # pixels from line to line
CAPTION_HEIGHT = 28  # pixels
CAPTION_SIZE = 18  # pixels from line to line
WHITE = 255.0


def comparison(rows, scale=4, gap=8, labels=(), captions=()):
    """Lay images out in a grid, one row for each batch.

    Args:
        rows: tensors (N, 3, H, W) of equal shape, values 0 to 255: noisy, denoised and clean, say.
        scale: the side of the square of pixels that stands for one pixel.
        gap: white pixels between the images.
        labels: a word for each row, written at its left.
        captions: a text for each column, written below it.

    Returns:
        float32 tensor (3, height, width).
    """
    lines = [line_of(images.detach().cpu().float(), scale, gap) for images in rows]
    grid = torch.cat(lines, 1)
    grid = pad(grid, (gap, 0, 0, gap), value=WHITE)
    if captions:
        grid = torch.cat([grid, footer_of(captions, gap, grid.shape[2])], 1)
    if labels:
        height_of_rows = len(lines) * lines[0].shape[1]
        margin = margin_of(labels, gap, grid.shape[1], height_of_rows)
        grid = torch.cat([margin, grid], 2)
    return grid


def line_of(images, scale, gap):
    """Images beside each other, with a gap above and behind each: (3, height, width)."""
    images = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    images = pad(images, (0, gap, gap, 0), value=WHITE)
    return torch.cat(list(images), 2)


def margin_of(labels, gap, height, height_of_rows):
    """The labels, each at the middle of its row: (3, height, LABEL_WIDTH)."""
    row_height = height_of_rows / len(labels)
    middles = [(number + 0.5) * row_height + gap / 2 for number in range(len(labels))]
    places = [(gap, middle) for middle in middles]
    return written(labels, places, "lm", LABEL_SIZE, (LABEL_WIDTH, height))


def footer_of(captions, gap, width):
    """The captions, each at the middle of its column: (3, CAPTION_HEIGHT, width)."""
    column_width = (width - gap) / len(captions)
    middles = [(number + 0.5) * column_width + gap / 2 for number in range(len(captions))]
    places = [(middle, CAPTION_HEIGHT / 2) for middle in middles]
    return written(captions, places, "mm", CAPTION_SIZE, (width, CAPTION_HEIGHT))


def written(texts, places, anchor, size, size_of_all):
    """Black texts on white, each at its place: (3, height, width)."""
    Image = pillow()
    from PIL import ImageDraw

    image = Image.new("RGB", size_of_all, "white")
    draw = ImageDraw.Draw(image)
    for text, place in zip(texts, places):
        draw.text(place, text, fill="black", anchor=anchor, font_size=size)
    return tensor_of(image).float()
