"""Batches that are drawn from photographs when their step comes, so that no pair is seen twice.

A batch is a function of the seed and of the number of its step alone. It has the same bits on every
device and in any number of processes: all draws are the counter-based `random_bits`, and Gaussian
noise is looked up in a table. The noise of the course is that of `data/course_noise.py`, here for
all images of a batch at once.
"""

from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model import FLIPS, moved_if_it_fits, splitmix64, uniform_from
from ..data.course_noise import CROP_SHARE, IMAGE_SIZE, SMALLEST_BLOCK
from ..fast.graphs import RecordedFunction

LARGEST_SIGMA = 15.0  # of 255, of Gaussian noise
QUANTILES = 2**16  # of the normal distribution that are in the table

# How many random numbers are drawn for a pair
CHOICES = 10  # of the crop, the flips, and the strength of Gaussian noise
PLACES = 2 * IMAGE_SIZE * IMAGE_SIZE  # row and column of a pixel within each block, of one image
VALUES = 3 * IMAGE_SIZE * IMAGE_SIZE  # of Gaussian noise, of one image


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
        self.quantiles = normal_quantiles().to(self.device)
        self.sums = photographs.sums if clean else None
        self.recorded_batch = RecordedFunction(self.batch)

    def __call__(self, step, part=slice(None)):
        """Return the images of all crops of a step, or of those that the slice `part` selects."""
        stream = splitmix64(self.seed, torch.tensor(step, device="cpu")).to(self.device)
        if part == slice(None):
            return self.recorded_batch(stream)
        return self.batch(stream, part)

    def batch(self, stream, part=slice(None)):
        """The pairs that follow from a seed of SplitMix64."""
        num_values = VALUES
        if self.gaussian == 0:
            num_values = 0
        sizes = [CHOICES, *[PLACES] * self.num_draws, *[num_values] * self.num_draws]
        index = torch.arange(self.batch_size * sum(sizes), device=self.device)
        bits = splitmix64(stream, index).view(self.batch_size, -1)[part]
        choices, *of_draws = bits.split(sizes, dim=1)
        places, values = of_draws[: self.num_draws], of_draws[self.num_draws :]
        choices = uniform_from(choices)
        crops = self.crops(choices[:, :5])
        flips, noise = choices[:, 5:8], choices[:, 8:]

        images = []
        for draw in range(self.num_draws):
            if self.clean and draw == 1:
                image = self.clean_images(crops)
            else:
                image = self.noisy(crops, places[draw])
                image = self.with_gaussian_noise(image, noise, values[draw])
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

    def noisy(self, crops, bits):
        """Take a random pixel of each block; all three channels are of the same pixel."""
        photograph, top, left, block = (values.view(-1, 1, 1) for values in crops)
        start = self.photographs.starts[photograph]
        width = self.photographs.widths[photograph]
        places = uniform_from(bits).view(-1, 2, IMAGE_SIZE, IMAGE_SIZE)
        row_in_block = (places[:, 0] * block).long()  # (B, 32, 32)
        column_in_block = (places[:, 1] * block).long()
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

    def with_gaussian_noise(self, images, noise, bits):
        """Add Gaussian noise to some images, as `noise` (B, 2), 0 to 1, chooses them."""
        if self.gaussian == 0:
            return images
        chosen, strength = noise[:, 0] < self.gaussian, noise[:, 1]
        sigma = LARGEST_SIGMA * strength * chosen
        normal = self.quantiles[bits & (QUANTILES - 1)].view(images.shape)
        return images + sigma.view(-1, 1, 1, 1) * normal


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


def normal_quantiles():
    """Values that are equally likely under the normal distribution: float32, ascending.

    One drawn at random has mean 0 and variance 1 to within 1e-4. A table is the same on all
    devices; `torch.randn` is not.
    """
    probabilities = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
    return torch.special.ndtri(probabilities).to(torch.float32)
