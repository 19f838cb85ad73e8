"""What the generator is trained by: scores that are least for the true distribution.

Let y1 be the noisy image that the generator sees, x the clean image, y2 another noisy image of the
same scene, m the output of the first network, and d, d' the deviations of two samples from it.
Noisy images are independent given the scene, and their mean is x. Pairs determine three things
about p(x | y1):

- the mean, E[x | y1] = E[y2 | y1];
- the products of different pixels i and j, E[x_i x_j | y1] = E[y2_i y2_j | y1];
- the squared error of any function f of y1, averaged over all images,
  E (f - x)^2 = E (f - y2)^2 - E (y1 - y2)^2 / 2. The variance between samples should be the
  squared error of their mean.

They do not tell the variance of a single pixel, since the noise within its block adds to it. The
energy score (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation",
2007) compares noisy draws of samples with y2. Two squares pull mean variances to what pairs say of
them: that between samples, and that between the colours of a block. A square of an expectation is
estimated without bias by the product of two independent estimates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .generator import COLOURS

MEAN_VARIANCES = 30.0  # weight of their terms in the loss; the energy score has weight one

# Windows of the energy score: images are reduced by a factor, and compared in squares of pixels
REDUCTIONS = (1, 2, 4)
SQUARES = (1, 2, 4)


def sampler_loss(output: Tensor, target: Tensor) -> Tensor:
    """The loss of what `Generator` returns, with the target that `SamplerBatches` gives."""
    number = len(output) // 2
    mean = output[:number, :3]
    colours = output[:, 3:].view(2 * number, COLOURS, 3, *output.shape[2:])
    y1, y2 = target[:number, :6].split(3, dim=1)
    deviations = colours.mean(1).chunk(2)
    draws = drawn(colours, target[:, 6:]).chunk(2)
    error = y2 - mean
    noise = means((y1 - y2).square()) / 2
    spread = means((deviations[0] - deviations[1]).square()) / 2
    error_of_mean = means((error - deviations[0]) * (error - deviations[1])) - noise
    of_colours = means(colours.var(1, unbiased=False)).view(2, number).mean(0)
    squares = squared_mean(spread - error_of_mean) + squared_mean(of_colours - noise)
    return energy_score(*draws, error).mean() + MEAN_VARIANCES * squares


def drawn(colours: Tensor, picks: Tensor) -> Tensor:
    """One colour of each block.

    Args:
        colours: (N, COLOURS, 3, H, W).
        picks: (N, 1, H, W), the number of a colour, divided by 255.

    Returns:
        (N, 3, H, W).
    """
    places = (255 * picks).round().long()[:, :, None]  # (N, 1, 1, H, W)
    return colours.gather(1, places.expand(-1, -1, 3, -1, -1))[:, 0]


def means(images: Tensor) -> Tensor:
    """The mean of each image: (N, 3, H, W) to (N,)."""
    return images.flatten(1).mean(1)


def squared_mean(gaps: Tensor) -> Tensor:
    """The square of the expectation of values (N,), without bias: it may come out negative."""
    half = len(gaps) // 2
    return gaps[:half].mean() * gaps[half:].mean()


def energy_score(sample_1: Tensor, sample_2: Tensor, image: Tensor) -> Tensor:
    """E |sample - image| - E |sample - other sample| / 2, the mean over windows of several sizes.

    Args:
        sample_1, sample_2: independent samples, (N, 3, H, W).
        image: what they are judged by, (N, 3, H, W).

    Returns:
        the score of each image, (N,).
    """
    scores = []
    for reduction in REDUCTIONS:
        reduced = [F.avg_pool2d(each, reduction) for each in (sample_1, sample_2, image)]
        first, second, third = reduced
        for side in SQUARES:
            to_image = (norms(first - third, side) + norms(second - third, side)) / 2
            between = norms(first - second, side)
            scores.append(means(to_image - between / 2))
    return torch.stack(scores).mean(0)


def norms(images: Tensor, side: int) -> Tensor:
    """In each window of side x side pixels, the root of the mean of the sum over channels."""
    squares = images.square().sum(1, keepdim=True)
    squares = F.avg_pool2d(squares, side, stride=max(side // 2, 1))
    return torch.sqrt(squares + 1e-8)  # whose gradient is finite at zero
