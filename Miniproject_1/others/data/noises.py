"""Noises beyond the course's, as in Lehtinen et al., 2018, https://arxiv.org/abs/1803.04189.

Each is a function of clean images (N, 3, H, W), values 0 to 255, and of a `torch.Generator`, that
returns float32 images of the same shape. Values are not cut off at 0 and 255: if they were, the
mean over many draws would no longer be the clean image.
"""

import inspect
from functools import lru_cache, partial

import torch

from ...model import check_choice, check_number
from ..pictures import pillow
from .course_noise import IMAGE_SIZE

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FONT_SIZE = 9  # pixels


def gaussian(clean, generator, sigma=25.0):
    """Independent normal noise; `sigma` is its standard deviation, of 255."""
    return clean + sigma * torch.randn(clean.shape, generator=generator)


def poisson(clean, generator, peak=30.0):
    """The noise of counted photons; `peak` is how many of them a white pixel has in the mean."""
    photons = torch.poisson(clean.float() / 255 * peak, generator=generator)
    return photons / peak * 255


def bernoulli(clean, generator, missing=0.5):
    """Pixels are missing, that is black; `missing` is their share."""
    present = torch.rand(clean[:, :1].shape, generator=generator) >= missing  # (N, 1, H, W)
    return clean * present.float()


def text(clean, generator, share=0.25):
    """Letters of random colours at random places, until they cover this share of the pixels.

    Near the border they cover less of them, and in the middle more. The median over many draws is
    the clean image as long as no pixel is covered in half of them.
    """
    result = clean.float().clone()
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
    letter = LETTERS[draw(len(LETTERS))]
    ImageDraw.Draw(picture).text(place, letter, fill=255, font=font())
    values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return values.view(height, width) > 127


@lru_cache(maxsize=None)
def font():
    """Pillow's own font. It takes longer to load than a letter to draw."""
    from PIL import ImageFont

    return ImageFont.load_default(FONT_SIZE)


# Each noise, and which of `metrics.LOSSES` has its minimum over noisy targets at the clean ones
NOISES = {
    "Gaussian": (gaussian, "mse"),
    "Poisson": (poisson, "mse"),
    "Bernoulli": (bernoulli, "masked"),
    "text": (text, "l1"),  # its minimum is the median, and most draws show the clean pixel
}
STRENGTHS = {  # what a user's number means: the argument, and its range
    "Gaussian": ("sigma", 0, 255),
    "Poisson": ("peak", 1, 1e6),
    "Bernoulli": ("missing", 0, 0.99),
    "text": ("share", 0, 0.4),
}


def default_strength(noise):
    """The argument that is the strength of a noise in `NOISES`, and its default value."""
    function, _ = NOISES[noise]
    argument, *_ = STRENGTHS[noise]
    return argument, inspect.signature(function).parameters[argument].default


def named_noise(name):
    """The noise that a user asks for by its name, with or without its strength.

    Args:
        name: "gaussian:25", "poisson:30", "bernoulli:0.5", "text:0.25" or the word alone, in small
            or capital letters.

    Returns:
        a function of (clean, generator), and the name of its loss in `LOSSES`.

    Raises:
        ValueError: there is no such noise, or its strength is out of range.
    """
    word, colon, strength = name.partition(":")
    known = {noise.lower(): noise for noise in NOISES}
    noise = known[check_choice("noise", word.lower(), known)]
    function, loss = NOISES[noise]
    if colon:
        argument, lowest, highest = STRENGTHS[noise]
        try:
            value = check_number(argument, float(strength), lowest, highest)
        except ValueError:
            text = f"noise must be {word}:X with X from {lowest} to {highest}, got {name!r}"
            raise ValueError(text) from None
        function = partial(function, **{argument: value})
    return function, loss


def square_pair(photograph, generator, noise, clean=False):
    """A pair of images of a random square of 32 x 32 pixels of a photograph.

    Args:
        photograph: (3, H, W), both sides at least 32, values 0 to 255.
        generator: the `torch.Generator` of the random choices.
        noise: a function of (clean, generator).
        clean: the second image is clean. False: both are noisy.

    Returns:
        two int16 tensors (3, 32, 32): rounded, not cut off at 0 and 255.
    """
    square = random_square(photograph, generator)[None].float()
    first = noise(square, generator)
    second = square
    if not clean:
        second = noise(square, generator)
    return first[0].round().to(torch.int16), second[0].round().to(torch.int16)


def random_square(images, generator):
    """Cut a random square of 32 x 32 pixels: (..., H, W) to (..., 32, 32)."""
    height, width = images.shape[-2:]
    top = torch.randint(height - IMAGE_SIZE + 1, (), generator=generator).item()
    left = torch.randint(width - IMAGE_SIZE + 1, (), generator=generator).item()
    return images[..., top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
