"""Noises beyond the course's, as in Lehtinen et al., 2018 (https://arxiv.org/abs/1803.04189), sections 3.1 to 3.3.

Each is a function of (clean, generator), with clean images (N, 3, H, W), values 0 to 255, that returns float32 of the
same shape. Values are not cut off at 0 and 255: the mean over many draws would no longer be the clean image.
"""

from functools import partial

import torch
import torch.nn.functional as F

from ...model import check_choice, check_number
from .pictures import pillow

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FONT_SIZE = 9  # pixels


def gaussian(clean, generator, sigma=25.0):
    """`sigma` is of 255."""
    return clean + sigma * torch.randn(clean.shape, generator=generator)


def poisson(clean, generator, peak=30.0):
    """`peak` is how many photons a white pixel has in the mean."""
    return torch.poisson(clean.float() / 255 * peak, generator=generator) / peak * 255


def bernoulli(clean, generator, missing=0.5):
    """A share of the pixels is missing, that is 0."""
    return clean * (torch.rand(clean[:, :1].shape, generator=generator) >= missing).float()


def text(clean, generator, share=0.25):
    """Letters of random colours at random places, until they cover this share of the pixels."""
    Image, _ = pillow()
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(FONT_SIZE)
    height, width = clean.shape[2:]

    def draw(high):
        return torch.randint(high, (), generator=generator).item()

    result = clean.float().clone()
    for image in result:
        covered = torch.zeros(height, width, dtype=torch.bool)
        while covered.float().mean() < share:
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


LOSSES = {"mse": F.mse_loss, "masked": masked_mse, "l1": F.l1_loss}
# name: the noise, and the loss whose minimum over noisy targets is that over clean ones
NOISES = {
    "Gaussian": (gaussian, F.mse_loss),
    "Poisson": (poisson, F.mse_loss),
    "Bernoulli": (bernoulli, masked_mse),
    "text": (text, F.l1_loss),  # its minimum is the median, and most draws show the clean pixel
}
STRENGTHS = {  # by the names that users write: the argument, and its range
    "gaussian": ("sigma", 0, 255),
    "poisson": ("peak", 1, 1e6),
    "bernoulli": ("missing", 0, 0.99),
    "text": ("share", 0, 0.5),
}
IMAGE_SIZE = 32  # pixels, height and width of the images to train on


def named_noise(name):
    """The noise that a user calls "gaussian:25", "poisson:30", "bernoulli:0.5", "text:0.25", or by the word alone.

    Returns:
        a function of (clean, generator), and the name of its loss in `LOSSES`.

    Raises:
        ValueError: there is no such noise, or its strength is out of range.
    """
    word, colon, strength = name.partition(":")
    keyword, lowest, highest = STRENGTHS[check_choice("noise", word, STRENGTHS)]
    noise, loss = {key.lower(): value for key, value in NOISES.items()}[word]
    if colon:
        try:
            noise = partial(noise, **{keyword: check_number(keyword, float(strength), lowest, highest)})
        except ValueError:
            text = f"noise must be {word}:X with X a number from {lowest} to {highest}, got {name!r}"
            raise ValueError(text) from None
    return noise, next(key for key, value in LOSSES.items() if value is loss)


def square_pair(photo, generator, noise, clean=False):
    """Two noisy versions, or a noisy and the clean one, of a random square of 32 x 32 pixels of a photograph.

    Values are rounded to int16, not cut off at 0 and 255.
    """
    top, left = (torch.randint(side - IMAGE_SIZE + 1, (), generator=generator).item() for side in photo.shape[1:])
    square = photo[None, :, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE].float()
    pair = noise(square, generator), square if clean else noise(square, generator)
    return tuple(image[0].round().to(torch.int16) for image in pair)
