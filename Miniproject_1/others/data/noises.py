"""Noises beyond the course's, as in Lehtinen et al., 2018, https://arxiv.org/abs/1803.04189.

Each is one record in `NOISES`. Values are not cut off at 0 and 255: if they were, the mean over
many draws would no longer be the clean image.
"""

from dataclasses import dataclass, replace
from string import ascii_letters
from typing import Callable

import torch

from ...model import check_choice, check_number
from ..pictures import pillow, tensor_of
from .course_noise import random_square

FONT_SIZE = 9  # pixels


@dataclass(frozen=True)
class Noise:
    """A kind of noise and its strength."""

    function: Callable  # of clean images, a `torch.Generator` and the strength
    argument: str  # what the strength is called
    default: float  # the strength where no other is asked for
    lowest: float
    highest: float
    loss: str  # in `metrics.LOSSES`; over noisy targets its minimum is at the clean images

    def __call__(self, clean, generator):
        """Noisy versions of clean images.

        Args:
            clean: (N, 3, H, W), values 0 to 255, any real dtype.
            generator: the `torch.Generator` of the random choices.

        Returns:
            float32 tensor of the same shape, not cut off at 0 and 255.
        """
        return self.function(clean.float(), generator, self.default)


def gaussian(clean, generator, sigma):
    """Independent normal noise; `sigma` is its standard deviation, of 255."""
    return clean + sigma * torch.randn(clean.shape, generator=generator)


def poisson(clean, generator, peak):
    """The noise of counted photons; `peak` is how many of them a white pixel has in the mean."""
    photons = torch.poisson(clean / 255 * peak, generator=generator)
    return photons / peak * 255


def bernoulli(clean, generator, missing):
    """Pixels are missing, that is black; `missing` is their share."""
    present = torch.rand(clean[:, :1].shape, generator=generator) >= missing  # (N, 1, H, W)
    return clean * present.float()


def text(clean, generator, share):
    """Letters of random colours at random places, until they cover this share of the pixels.

    Near the border they cover less of them, and in the middle more. The median over many draws is
    the clean image as long as no pixel is covered in half of them.
    """
    result = clean.clone()
    for image in result:
        covered = torch.zeros(image.shape[1:], dtype=torch.bool)
        while covered.float().mean() < share:
            letter = random_letter(*image.shape[1:], generator)
            colour = torch.randint(256, (3, 1), generator=generator).float()
            image[:, letter] = colour
            covered |= letter
    return result


def random_letter(height, width, generator):
    """The pixels that a random letter covers: bool (H, W)."""
    Image = pillow()
    from PIL import ImageDraw

    def draw(limit):
        return torch.randint(limit, (), generator=generator).item()

    picture = Image.new("L", (width, height))
    place = (draw(width) - FONT_SIZE // 2, draw(height) - FONT_SIZE // 2)
    letter = ascii_letters[draw(len(ascii_letters))]
    ImageDraw.Draw(picture).text(place, letter, fill=255, font_size=FONT_SIZE)
    return tensor_of(picture)[0] > 127


NOISES = {  # those of section 3 of Lehtinen et al.
    "Gaussian": Noise(gaussian, "sigma", 25, 0, 255, "mse"),
    "Poisson": Noise(poisson, "peak", 30, 1, 10**6, "mse"),
    "Bernoulli": Noise(bernoulli, "missing", 0.5, 0, 0.99, "masked"),
    # The minimum of this loss is the median, and most draws show the clean pixel
    "text": Noise(text, "share", 0.25, 0, 0.4, "l1"),
}


def named_noise(name):
    """The `Noise` that a user asks for by its name, with or without its strength.

    Args:
        name: "gaussian:25", "text:0.25" or the word alone, in small or capital letters.

    Raises:
        ValueError: there is no such noise, or its strength is out of range.
    """
    word, _, strength = name.partition(":")
    known = {noise.lower(): noise for noise in NOISES}
    noise = NOISES[known[check_choice("noise", word.lower(), known)]]
    try:
        strength = float(strength or noise.default)
    except ValueError:
        raise ValueError(f"noise must be {word}:NUMBER, got {name!r}") from None
    check_number(noise.argument, strength, noise.lowest, noise.highest)
    return replace(noise, default=strength)


def square_pair(photograph, generator, noise, clean=False):
    """A pair of images of a random square of a photograph.

    Args:
        photograph: (3, H, W), both sides at least 32, values 0 to 255.
        generator: the `torch.Generator` of the random choices.
        noise: a `Noise`.
        clean: the second image is clean. False: both are noisy.

    Returns:
        two int16 tensors (3, 32, 32): rounded, not cut off at 0 and 255.
    """
    square = random_square(photograph, generator)[None].float()
    first = noise(square, generator)
    second = square if clean else noise(square, generator)
    return first[0].round().to(torch.int16), second[0].round().to(torch.int16)
