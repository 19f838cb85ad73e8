"""How good a denoiser is: PSNR, losses, and an estimate of the error that needs no clean image.

PSNR in dB is -10 log10 of the mean squared error, for values 0 to 1. Two numbers go by this name.
The course's score is the *mean PSNR*: of each image, then the mean over images. The *PSNR of the
mean error* takes the mean over all images first. It is about 1 dB lower on the course's images.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

RESAMPLES = 1000  # of the images, for an interval


def psnr(images, reference):
    """Peak signal-to-noise ratio of each image in dB; infinite where image and reference are equal.

    Args:
        images, reference: (N, 3, H, W), values 0 to 255, any real dtype.

    Returns:
        float32 tensor (N,).
    """
    return -10 * torch.log10(squared_errors(images, reference))


def squared_errors(images, reference):
    """The mean squared error of each image, for values 0 to 1: (N, 3, H, W) twice to (N,)."""
    difference = (images.float() - reference.float()) / 255
    return difference.square().mean((1, 2, 3))


def psnr_of(error):
    """The PSNR in dB of a mean squared error, for values 0 to 1; infinite if it is not positive."""
    if error <= 0:
        return math.inf
    return -10 * math.log10(error)


def described(values):
    """A mean PSNR in words: the mean over images that are not exact, and how many are exact.

    Args:
        values: the PSNR of each image, (N,), infinite for exact ones.
    """
    finite = values[values != math.inf]
    num_exact = len(values) - len(finite)
    text = f"{finite.mean().item():.2f} dB"
    if num_exact > 0:
        text += f" (exact, and not in the mean: {num_exact})"
    return text


class EstimatedErrors(NamedTuple):
    """Mean squared errors of each image against its unknown clean image, for values 0 to 1.

    A single image's estimate is inexact, and may be negative. Take means over many images.
    """

    noisy: torch.Tensor  # (N,)
    denoised: torch.Tensor  # (N,)


def error_from_noisy_pairs(output, noisy_1, noisy_2):
    """Estimate the error of a denoiser from pairs of noisy images, without bias.

    Let x be the clean image, y1 and y2 noisy versions of it, and f the denoiser. If the noise of y2
    is zero in the mean and independent of y1, then

        E (f(y1) - y2)^2 = E (f(y1) - x)^2 + E (y2 - x)^2,

    and if both are equally noisy, E (y1 - y2)^2 / 2 is the last term: the error of the noisy image.
    The denoiser must not have been trained on these pairs: it may have memorized their noise.

    Args:
        output: what the denoiser made of `noisy_1`.
        noisy_1, noisy_2: two noisy versions of the same images. All are (N, 3, H, W) with values 0
            to 255, or beyond where noise goes beyond, any real dtype.

    Returns:
        `EstimatedErrors` of the noisy and of the denoised images.
    """
    noise = squared_errors(noisy_1, noisy_2) / 2
    return EstimatedErrors(noise, squared_errors(output, noisy_2) - noise)


class EstimatedPSNR(NamedTuple):
    """A PSNR of the mean error in dB, and the interval that holds it in 95 of 100 cases."""

    value: float
    lowest: float
    highest: float

    def __str__(self):
        if self.highest == math.inf:
            return "unknown (the error cannot be told from 0: few pairs, or noise in common)"
        return f"{self.value:.2f} dB ({self.lowest:.2f} to {self.highest:.2f})"


def estimated_psnr(errors):
    """The PSNR of the mean of estimated errors, with a 95 % interval from resampling the images.

    The interval is too narrow where several images show the same photograph.

    Args:
        errors: of each image, (N,), as in `EstimatedErrors`.

    Returns:
        an `EstimatedPSNR`. Where the errors are too few to tell it from 0, it is infinite.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(errors), (RESAMPLES, len(errors)), generator=generator)
    small, large = errors[drawn].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
    return EstimatedPSNR(psnr_of(errors.mean().item()), psnr_of(large), psnr_of(small))


def masked_mse(output, target):
    """Mean squared error over the pixels that the target has: those that are not black.

    Args:
        output, target: (B, 3, H, W), values 0 to 1.

    Returns:
        a scalar tensor; 0 if the whole target is black.
    """
    present = (target != 0).any(1, keepdim=True).float()  # (B, 1, H, W)
    error = (output - target).square() * present
    return error.sum() / (3 * present.sum()).clamp(min=1)


LOSSES = {"mse": F.mse_loss, "masked": masked_mse, "l1": F.l1_loss}
