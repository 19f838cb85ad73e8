"""What the results say: the difference of two arms, its 95 % interval, and a verdict.

Two arms are compared seed by seed and image by image. A difference could have come out otherwise
for two reasons, and the interval holds both:

- other photographs to score by. Photographs are resampled (the bootstrap, Efron 1979), all images
  of one together, since they are alike;
- other seeds. There are three or five of them, and resampling so few gives intervals that are too
  short. So their mean is moved by Student's t with one degree of freedom less than there are seeds,
  times its standard error.

`tests/study/test_verdicts.py` measures on simulated results how often a verdict is wrong.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from .experiments import IMAGES_OF_EACH

DRAWS = 100_000  # resampled means
NEIGHBOURS = 100  # resampled means next to one another are taken as one, to save time
BISECTIONS = 40  # after which an end of an interval is known to more digits than are shown
EQUAL = 0.05  # dB; differences below it do not matter
LARGER, SMALLER, EQUAL_WITHIN, UNDECIDED = "larger", "smaller", "equal", "not decided"


@dataclass(frozen=True)
class Difference:
    """How much one arm is above another.

    Attributes:
        mean: in dB; None if a training of one of them diverged.
        low, high: the 95 % interval; None if there is one seed only, or no mean.
        seeds: that both arms have.
        verdict: "larger" or "smaller": the interval does not contain zero; "equal": it lies within
            `EQUAL` dB of zero, whether it contains it or not; "not decided": none of these.
    """

    mean: float | None
    low: float | None
    high: float | None
    seeds: int
    verdict: str


def difference(first, second):
    """Compare two arms.

    Args:
        first, second: PSNR in dB of each image, for each seed: dicts from a seed to a list, or to
            None where the training diverged. The images of a photograph follow one another.

    Returns:
        a `Difference`, or None if the arms have no seed in common.
    """
    seeds = sorted(set(first) & set(second))
    if not seeds:
        return None
    ended = [(first[seed] is not None, second[seed] is not None) for seed in seeds]
    if not all(both == (True, True) for both in ended):
        return Difference(None, None, None, len(seeds), verdict_of_diverged(ended))
    pairs = [torch.tensor(first[seed]) - torch.tensor(second[seed]) for seed in seeds]
    differences = torch.stack(pairs).view(len(seeds), -1, IMAGES_OF_EACH).mean(2)
    mean = differences.mean().item()
    if len(seeds) == 1:
        return Difference(mean, None, None, 1, UNDECIDED)
    low, high = interval_over_seeds(differences)
    return Difference(mean, low, high, len(seeds), verdict_of(low, high))


def verdict_of_diverged(ended):
    """The verdict where trainings diverged: an arm that always does is below one that never does.

    Args:
        ended: for each seed, whether the training of the first arm ended well, and of the second.
    """
    if len(ended) > 1 and all(both == (True, False) for both in ended):
        return LARGER
    if len(ended) > 1 and all(both == (False, True) for both in ended):
        return SMALLER
    return UNDECIDED


def verdict_of(low, high):
    """What an interval says."""
    if low > -EQUAL and high < EQUAL:
        return EQUAL_WITHIN
    if low > 0:
        return LARGER
    if high < 0:
        return SMALLER
    return UNDECIDED


def interval_over_seeds(values):
    """The 95 % interval of a mean over seeds and photographs.

    Args:
        values: tensor (S, P) of S seeds, two or more, and P photographs.

    Returns:
        its lower and upper end.
    """
    of_seeds = values.double().mean(1)
    standard_error = (of_seeds.std() / math.sqrt(len(of_seeds))).clamp(min=1e-9)
    means = resampled_means(values.mean(0)).double().sort().values
    means = means.view(-1, NEIGHBOURS).mean(1)  # 1,000 stand for all
    degrees = len(of_seeds) - 1
    low = quantile_around(means, standard_error, degrees, 0.025)
    high = quantile_around(means, standard_error, degrees, 0.975)
    return low, high


def quantile_around(means, standard_error, degrees, probability):
    """A quantile of one of these means, picked at random, plus its error, found by bisection.

    The error is a number with Student's distribution times the standard error.
    """
    farthest = 100 * standard_error.item()
    low = means.min().item() - farthest
    high = means.max().item() + farthest
    for _ in range(BISECTIONS):
        value = (low + high) / 2
        below = students_t((value - means) / standard_error, degrees).mean().item()
        if below < probability:
            low = value
        else:
            high = value
    return (low + high) / 2


def students_t(values, degrees):
    """The probability that a number with Student's distribution is below each of these values.

    Args:
        values: tensor, float64.
        degrees: of freedom, an integer from 1 on.

    Source: Abramowitz and Stegun, "Handbook of mathematical functions" (1964), 26.7.3 and 26.7.4.
    """
    angle = torch.atan(values / math.sqrt(degrees))
    cosine = angle.cos()
    lowest_power = degrees % 2
    term = cosine**lowest_power
    total = torch.zeros_like(cosine)
    for power in range(lowest_power, degrees - 1, 2):
        total = total + term
        term = term * cosine.square() * (power + 1) / (power + 2)
    within = angle.sin() * total  # the probability between -value and value, with its sign
    if degrees % 2 == 1:
        within = 2 / math.pi * (angle + within)
    return (1 + within) / 2


def interval_over_photographs(values):
    """The 95 % interval of a mean over photographs.

    Args:
        values: tensor (P,).

    Returns:
        its lower and upper end.
    """
    return middle(resampled_means(values))


def resampled_means(values):
    """Means of as many values, drawn from these with replacement: (P,) to (`DRAWS`,)."""
    return resampling_weights(len(values)) @ values.float()


@lru_cache(maxsize=4)
def resampling_weights(number):
    """The weight of each of so many values in each resampled mean: (`DRAWS`, number)."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(DRAWS, number)
    one_draw = torch.full((DRAWS, 1), 1 / number)
    for _ in range(number):
        weights.scatter_add_(1, torch.randint(number, (DRAWS, 1), generator=generator), one_draw)
    return weights


def middle(values):
    """The ends of the middle 95 %."""
    low, high = torch.quantile(values, torch.tensor([0.025, 0.975])).tolist()
    return low, high
