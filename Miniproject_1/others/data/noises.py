"""Noises beyond the course's, as in Lehtinen et al., 2018 (https://arxiv.org/abs/1803.04189), sections 3.1 to 3.3.

Each is a function of (clean, generator), with clean images (N, 3, H, W), values 0 to 255, that returns float32 of the
same shape. Values are not cut off at 0 and 255: the mean over many draws would no longer be the clean image.
"""

import torch
import torch.nn.functional as F

from .pictures import pillow

SIGMA = 25.0  # of 255
PEAK = 30.0  # photons for a white pixel
TEXT_SHARE = 0.25  # of the pixels, at least, that letters cover
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FONT_SIZE = 9  # pixels


def gaussian(clean, generator):
    return clean + SIGMA * torch.randn(clean.shape, generator=generator)


def poisson(clean, generator):
    return torch.poisson(clean.float() / 255 * PEAK, generator=generator) / PEAK * 255


def bernoulli(clean, generator):
    """Half of the pixels are missing, that is 0."""
    return clean * (torch.rand(clean[:, :1].shape, generator=generator) < 0.5).float()


def text(clean, generator):
    """Letters of random colours at random places, until they cover a quarter of the image."""
    Image, _ = pillow()
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(FONT_SIZE)
    height, width = clean.shape[2:]

    def draw(high):
        return torch.randint(high, (), generator=generator).item()

    result = clean.float()
    for image in result:
        covered = torch.zeros(height, width, dtype=torch.bool)
        while covered.float().mean() < TEXT_SHARE:
            letter = Image.new("L", (width, height))
            place = draw(width) - FONT_SIZE // 2, draw(height) - FONT_SIZE // 2
            ImageDraw.Draw(letter).text(place, LETTERS[draw(len(LETTERS))], fill=255, font=font)
            here = torch.frombuffer(bytearray(letter.tobytes()), dtype=torch.uint8).view(height, width) > 127
            colour = torch.randint(256, (3, 1), generator=generator).float()
            image[:, here] = colour
            covered |= here
    return result


def masked_mse(output, target):
    """Mean squared error over the pixels that the target has."""
    there = (target != 0).any(1, keepdim=True).float()
    return ((output - target) ** 2 * there).sum() / (3 * there.sum()).clamp(min=1)


# name: the noise, and the loss whose minimum over noisy targets is that over clean ones
NOISES = {
    "Gaussian": (gaussian, F.mse_loss),
    "Poisson": (poisson, F.mse_loss),
    "Bernoulli": (bernoulli, masked_mse),
    "text": (text, F.l1_loss),  # its minimum is the median, and most draws show the clean pixel
}
