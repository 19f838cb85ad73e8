"""Batches that are drawn from photographs when their step comes, so that no pair is seen twice.

A batch follows from the seed and its step alone. On a GPU other numbers are drawn than on a CPU.
The noise of the course is that of `data/course_noise.py`, here for all images of a batch at once.
"""

from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model import FLIPS, generator_of, moved_if_it_fits
from ..data.course_noise import CROP_SHARE, IMAGE_SIZE, SMALLEST_BLOCK

LARGEST_SIGMA = 15.0  # of 255, of Gaussian noise


class Crops(NamedTuple):
    """Squares of photographs, divided into 32 x 32 square blocks; each entry is int64 (B,)."""

    photograph: Tensor  # its number
    top: Tensor
    left: Tensor
    block: Tensor  # side of a block, in pixels


class Photographs:
    """The pixels of photographs in one tensor, on a GPU if they fit there.

    Args:
        photographs: uint8 tensors (3, H, W), both sides at least 86 pixels.
        device: where they should lie, see `model.moved_if_it_fits`.
    """

    def __init__(self, photographs, device=None):
        photographs = list(photographs)
        pixels = torch.cat([photograph.flatten(1).T for photograph in photographs])
        self.pixels = moved_if_it_fits(pixels, device)  # (pixels of all photographs, 3)
        self.device = self.pixels.device
        heights = [photograph.shape[1] for photograph in photographs]
        widths = [photograph.shape[2] for photograph in photographs]
        self.heights = torch.tensor(heights, device=self.device)
        self.widths = torch.tensor(widths, device=self.device)
        areas = self.heights * self.widths
        self.starts = areas.cumsum(0) - areas  # of each photograph in `pixels`

    def __len__(self):
        return len(self.heights)

    @cached_property
    def sums(self):
        """The `SumsOfPixels`, of which clean images are made."""
        return SumsOfPixels(self.pixels, self.heights, self.widths)


class PhotoBatches:
    """Pairs of images that are drawn anew for each step: crops of photographs, noisy twice.

    `batches(step)` is the batch of a step: for each draw a tensor (B, 3, 32, 32), values 0 to 255,
    of the same crops. They are uint8; or float32, if there is Gaussian noise, which is not cut off
    at 0 and 255, since that would move its mean. Every pair is flipped and turned at random.

    Args:
        photographs: a `Photographs`. Batches are made where it lies.
        batch_size: pairs in a batch.
        small_crops: share of the pairs whose crop has less than 75 % of the photograph's short
            side. Their blocks are smaller, so their noise is weaker.
        gaussian: share of the pairs with Gaussian noise added to all draws, independently, of a
            random sigma from 0 to `LARGEST_SIGMA`.
        clean: the second image is the clean one. The first is the same as without this option.
        seed: of all random choices, from 0 to 2^62.
        num_draws: noisy images of each crop.
    """

    def __init__(self, photographs, batch_size=16, small_crops=0.0, gaussian=0.0, clean=False,
                 seed=0, num_draws=2):  # fmt: skip
        self.batch_size = batch_size
        self.small_crops = small_crops
        self.gaussian = gaussian
        self.clean = clean
        self.seed = seed
        self.num_draws = num_draws
        self.photographs = photographs
        self.device = photographs.device
        self.sums = photographs.sums if clean else None

    def __call__(self, step, part=slice(None)):
        """Return the images of all crops of a step, or of those that the slice `part` selects."""
        generator = generator_on(self.device, self.seed, f"step {step}")

        def drawn(draw, *shape):
            values = draw(self.batch_size, *shape, generator=generator, device=self.device)
            return values[part]

        crops = self.crops(drawn(torch.rand, 5))
        flips = drawn(torch.rand, len(FLIPS))
        sigmas = self.sigmas(drawn(torch.rand, 2))
        images = []
        for draw in range(self.num_draws):
            if self.clean and draw == 1:
                image = self.clean_images(crops)
            else:
                image = self.noisy(crops, drawn(torch.rand, 2, IMAGE_SIZE, IMAGE_SIZE))
                if self.gaussian > 0:
                    image = image + sigmas * drawn(torch.randn, 3, IMAGE_SIZE, IMAGE_SIZE)
            images.append(flipped(image, flips))
        return tuple(images)

    def crops(self, choices):
        """The crops that these numbers choose: (B, 5), 0 to 1."""
        of_photograph, of_smallness, of_size, of_top, of_left = choices.unbind(1)
        photograph = (of_photograph * len(self.photographs)).long()
        height = self.photographs.heights[photograph]
        width = self.photographs.widths[photograph]

        lowest, highest = CROP_SHARE
        usual = lowest + (highest - lowest) * of_size
        size = torch.where(of_smallness < self.small_crops, lowest * of_size, usual)
        block = (torch.minimum(height, width) * size / IMAGE_SIZE).long().clamp(min=SMALLEST_BLOCK)

        side = IMAGE_SIZE * block
        top = (of_top * (height - side + 1)).long()
        left = (of_left * (width - side + 1)).long()
        return Crops(photograph, top, left, block)

    def sigmas(self, choices):
        """The standard deviations of Gaussian noise, (B, 1, 1, 1), that (B, 2), 0 to 1, choose."""
        of_share, of_strength = choices.view(-1, 2, 1, 1, 1).unbind(1)
        return LARGEST_SIGMA * of_strength * (of_share < self.gaussian)

    def noisy(self, crops, places):
        """Take a random pixel of each block; all three channels are of the same pixel.

        `places` are (B, 2, 32, 32), 0 to 1: row and column of the pixel within its block.
        """
        photograph, top, left, block = (values.view(-1, 1, 1) for values in crops)
        start = self.photographs.starts[photograph]
        width = self.photographs.widths[photograph]
        row_in_block, column_in_block = (places * block[:, None]).long().unbind(1)  # (B, 32, 32)
        number = torch.arange(IMAGE_SIZE, device=self.device)
        rows = top + number[:, None] * block + row_in_block
        columns = left + number * block + column_in_block
        images = self.photographs.pixels[start + rows * width + columns]  # (B, 32, 32, 3)
        return images.permute(0, 3, 1, 2)

    def clean_images(self, crops):
        """The mean of each block, rounded; its sum is that of four entries of `SumsOfPixels`."""
        photograph, top, left, block = (values.view(-1, 1, 1) for values in crops)
        number = torch.arange(IMAGE_SIZE + 1, device=self.device)
        rows = top + number[:, None] * block  # (B, 33, 1), where blocks meet
        columns = left + number * block  # (B, 1, 33)
        sums = self.sums.before(photograph, rows, columns)  # (B, 33, 33, 3)
        sums = sums[:, 1:] - sums[:, :-1]
        sums = sums[:, :, 1:] - sums[:, :, :-1]  # (B, 32, 32, 3)
        means = sums / (block**2)[..., None]
        return means.round().to(torch.uint8).permute(0, 3, 1, 2)


class SumsOfPixels:
    """For each place of each photograph, the sum of all pixels above and to the left of it.

    So the sum over any rectangle is known from its four corners (Crow, "Summed-area tables for
    texture mapping", 1984).
    """

    def __init__(self, pixels, heights, widths):
        tables = []
        areas = (heights * widths).tolist()
        for part, width in zip(pixels.split(areas), widths.tolist()):
            # sums may wrap around; their differences are right all the same
            image = part.view(-1, width, 3).to(torch.int32)
            table = image.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
            tables.append(F.pad(table, (0, 0, 1, 0, 1, 0)).flatten(0, 1))  # zeros come first
        sizes = (heights + 1) * (widths + 1)
        self.table = torch.cat(tables)  # (places in all photographs, 3)
        self.starts = sizes.cumsum(0) - sizes
        self.row_lengths = widths + 1

    def before(self, photograph, row, column):
        """The sums of the pixels above these rows and to the left of these columns: (..., 3)."""
        row_length = self.row_lengths[photograph]
        return self.table[self.starts[photograph] + row * row_length + column]


def flipped(images, choices):
    """Flip a random half of the images, for each flip anew; `choices` are (B, 3), 0 to 1."""
    for flip, choice in zip(FLIPS.values(), choices.unbind(1)):
        images = torch.where(choice.view(-1, 1, 1, 1) < 0.5, flip(images), images)
    return images


def generator_on(device, seed, purpose):
    """Random numbers of a device that follow from these; see `model.generator_of`."""
    return torch.Generator(device).manual_seed(generator_of(seed, purpose).initial_seed())
