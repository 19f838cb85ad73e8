"""Batches that are drawn from photographs when their step comes, so that no pair is seen twice.

The noise is that of `data/course_noise.py`, here for all images of a batch at once.
"""

import torch

from ...model import FLIPS, generator_of, moved_if_it_fits
from ..data.course_noise import CROP_SHARE, IMAGE_SIZE, SMALLEST_BLOCK, average_blocks

LARGEST_SIGMA = 15.0  # of 255, of Gaussian noise


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
        sizes = torch.tensor([photograph.shape[1:] for photograph in photographs])
        self.heights, self.widths = sizes.to(self.device).unbind(1)
        areas = self.heights * self.widths
        self.starts = areas.cumsum(0) - areas  # of each photograph in `pixels`

    def __len__(self):
        return len(self.heights)

    def __getitem__(self, number):
        """A photograph, (3, H, W)."""
        height, width = int(self.heights[number]), int(self.widths[number])
        start = int(self.starts[number])
        pixels = self.pixels[start : start + height * width]
        return pixels.view(height, width, 3).permute(2, 0, 1)


class PhotoBatches:
    """Pairs of images that are drawn anew for each step: crops of photographs, noisy twice.

    `batches(step)` returns two tensors (B, 3, 32, 32) of the same crops, values 0 to 255, flipped
    and turned at random. They are uint8; or float32, if there is Gaussian noise, which is not cut
    off at 0 and 255, since that would move its mean. A batch follows from seed and step alone. On a
    GPU other numbers are drawn than on a CPU.

    Args:
        photographs: a `Photographs`. Batches are made where it lies.
        batch_size: pairs in a batch.
        small_crops: share of the pairs whose crop has less than 75 % of the photograph's short
            side. Their blocks are smaller, so their noise is weaker.
        gaussian: share of the pairs with Gaussian noise added to both images, independently, of a
            random sigma from 0 to `LARGEST_SIGMA`.
        clean: the second image is the clean one. The first is the same as without this option.
        seed: of all random choices, from 0 to 2^62.
    """

    def __init__(self, photographs, batch_size=16, small_crops=0.0, gaussian=0.0, clean=False,
                 seed=0):  # fmt: skip
        self.photographs = photographs
        self.device = photographs.device
        self.batch_size = batch_size
        self.small_crops = small_crops
        self.gaussian = gaussian
        self.clean = clean
        self.seed = seed

    def __call__(self, step, part=slice(None)):
        """Return the images of all crops of a step, or of those that the slice `part` selects."""
        generator = generator_on(self.device, self.seed, f"step {step}")

        def drawn(draw, *shape):
            values = draw(self.batch_size, *shape, generator=generator, device=self.device)
            return values[part]

        def noisy():
            image = self.sampled(crops, drawn(torch.rand, 2, IMAGE_SIZE, IMAGE_SIZE))
            if self.gaussian > 0:
                image = image + sigmas * drawn(torch.randn, 3, IMAGE_SIZE, IMAGE_SIZE)
            return image

        crops = self.crops(drawn(torch.rand, 5))
        flips = drawn(torch.rand, len(FLIPS))
        of_share, of_strength = drawn(torch.rand, 2).view(-1, 2, 1, 1, 1).unbind(1)
        sigmas = LARGEST_SIGMA * of_strength * (of_share < self.gaussian)
        first = noisy()
        second = self.averaged(crops) if self.clean else noisy()
        return flipped(first, flips), flipped(second, flips)

    def crops(self, choices):
        """The crops that numbers (B, 5), 0 to 1, choose: four int64 tensors (B,).

        They are the number of the photograph, the top and the left of the crop, and the side of a
        block in pixels.
        """
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
        return photograph, top, left, block

    def sampled(self, crops, places):
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

    def averaged(self, crops):
        """The clean images: the mean of each block, rounded."""
        clean = []
        for number, top, left, block in torch.stack(crops, dim=1).tolist():
            side = IMAGE_SIZE * block
            crop = self.photographs[number][:, top : top + side, left : left + side]
            clean.append(average_blocks(crop))
        return torch.stack(clean)


def flipped(images, choices):
    """Flip a random half of the images, for each flip anew; `choices` are (B, 3), 0 to 1."""
    for flip, choice in zip(FLIPS.values(), choices.unbind(1)):
        images = torch.where(choice.view(-1, 1, 1, 1) < 0.5, flip(images), images)
    return images


def generator_on(device, seed, purpose):
    """Random numbers of a device that follow from these; see `model.generator_of`."""
    return torch.Generator(device).manual_seed(generator_of(seed, purpose).initial_seed())
