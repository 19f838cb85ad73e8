"""The noise of the course's images, and the crops of photographs that it is put on.

It is block sampling. A square crop of a photograph is divided into 32 x 32 blocks of s x s pixels.
The *clean* image is the mean of every block. A *noisy* image takes one pixel of every block at
random, the same for the three channels. Two noisy images are two independent draws, so the mean
over draws is the clean image: all that Noise2Noise asks for (Lehtinen et al., 2018,
https://arxiv.org/abs/1803.04189). Flat regions have no noise, edges and texture have much.
"""

import math

import torch
import torch.nn.functional as F

IMAGE_SIZE = 32  # blocks along each side of a crop: the height and width of the course's images
CROP_SHARE = (0.75, 1.0)  # of a photograph's short side; gives 21.0 dB, the course's set has 20.7
SMALLEST_BLOCK = 2  # pixels, height and width
SMALLEST_SIDE = math.ceil(SMALLEST_BLOCK * IMAGE_SIZE / CROP_SHARE[0])  # of a usable photograph


def sample_blocks(crop, generator):
    """A noisy image of a crop: one pixel of each of its 32 x 32 blocks.

    Args:
        crop: (3, 32 s, 32 s), any dtype.
        generator: the `torch.Generator` of the random choice.

    Returns:
        tensor (3, 32, 32) of the same dtype.
    """
    side = crop.shape[-1]
    block = side // IMAGE_SIZE
    starts = torch.arange(0, side, block)  # (32,)
    offsets = torch.randint(block, (2, IMAGE_SIZE, IMAGE_SIZE), generator=generator)
    rows = starts[:, None] + offsets[0]  # (32, 32)
    columns = starts + offsets[1]
    return crop[:, rows, columns]


def average_blocks(crop):
    """The clean image of a crop: the mean of each block, rounded.

    Args:
        crop: (3, 32 s, 32 s), values 0 to 255, any dtype.

    Returns:
        uint8 tensor (3, 32, 32).
    """
    block = crop.shape[-1] // IMAGE_SIZE
    mean = F.avg_pool2d(crop[None].float(), block)[0]
    return mean.round().clamp(0, 255).to(torch.uint8)


def random_crop(photograph, generator, shares=CROP_SHARE):
    """Cut a random square out of a photograph, by default 75 to 100 % of its short side.

    Its side is rounded down to whole blocks.

    Args:
        photograph: (3, H, W), both sides at least `SMALLEST_SIDE`.
        generator: the `torch.Generator` of the random choices.
        shares: the smallest and the largest share of the short side.

    Returns:
        tensor (3, 32 s, 32 s), a view; s is at least 2.
    """
    height, width = photograph.shape[1:]
    smallest, largest = shares
    share = smallest + (largest - smallest) * torch.rand((), generator=generator).item()
    block = int(min(height, width) * share) // IMAGE_SIZE
    side = IMAGE_SIZE * max(block, SMALLEST_BLOCK)
    return random_square(photograph, generator, side)


def random_square(images, generator, side=IMAGE_SIZE):
    """Cut a random square out of images: (..., H, W) to (..., 32, 32), or of another side."""
    height, width = images.shape[-2:]
    top = torch.randint(height - side + 1, (), generator=generator).item()
    left = torch.randint(width - side + 1, (), generator=generator).item()
    return images[..., top : top + side, left : left + side]


def noisy_pair(photograph, generator):
    """Two independent noisy images of a random crop: a pair to train on."""
    crop = random_crop(photograph, generator)
    return sample_blocks(crop, generator), sample_blocks(crop, generator)


def noisy_and_clean(photograph, generator):
    """A noisy image of a random crop and the clean image: a pair to validate on."""
    crop = random_crop(photograph, generator)
    return sample_blocks(crop, generator), average_blocks(crop)
