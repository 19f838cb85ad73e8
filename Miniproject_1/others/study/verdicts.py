"""What the results say: the difference of two arms, its 95 % interval, and a verdict.

Two arms are compared seed by seed and image by image. A difference could have come out otherwise
for two reasons, and the interval holds both:

- other photographs to score by. Photographs are resampled (the bootstrap, Efron 1979), all images
  of one together, since they are alike;
- other seeds. There are three or five of them, and resampling so few gives intervals that are too
  short. So their mean is moved by Student's t with one degree of freedom less than there are seeds,
  times its standard error.

`tests/test_verdicts.py` measures on simulated results how often a verdict is wrong.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from .experiments import IMAGES_OF_EACH

DRAWS = 100_000  # resampled means
NEIGHBOURS = 100  # resampled means next to one another are taken as one, to save time
EQUAL = 0.05  # dB; differences below it do not matter
LARGER, SMALLER, EQUAL_WITHIN, UNDECIDED = "larger", "smaller", "equal", "not decided"
CONTRARY = {LARGER: SMALLER, SMALLER: LARGER}


@dataclass(frozen=True)
class Difference:
    """How much one arm is above another."""

    mean: float | None  # in dB; None if a training of one of them diverged
    low: float | None  # of the 95 % interval; None if there is one seed only, or no mean
    high: float | None
    verdict: str  # see `verdict_of`

    def mirrored(self):
        """How much the other arm is above the first."""
        turned = [each and -each for each in (self.mean, self.high, self.low)]
        return Difference(*turned, CONTRARY.get(self.verdict, self.verdict))


def difference(first, second):
    """Compare two arms. Where trainings diverged, one that always did is below one that never did.

    Args:
        first, second: PSNR in dB of each image, for each seed: dicts from a seed to a list, or to
            None where the training diverged. The images of a photograph follow one another.

    Returns:
        a `Difference`, or None if the arms have no seed in common.
    """
    seeds = sorted(set(first) & set(second))
    if not seeds:
        return None
    ended = [{arm[seed] is not None for seed in seeds} for arm in (first, second)]
    if ended != [{True}, {True}]:
        verdict = UNDECIDED
        if len(seeds) > 1 and ended == [{True}, {False}]:
            verdict = LARGER
        elif len(seeds) > 1 and ended == [{False}, {True}]:
            verdict = SMALLER
        return Difference(None, None, None, verdict)
    values = paired(first, second)
    mean = values.mean().item()
    if len(seeds) == 1:
        return Difference(mean, None, None, UNDECIDED)
    low, high = interval_over_seeds(values)
    return Difference(mean, low, high, verdict_of(low, high))


def paired(first, second):
    """How much one arm is above another for each seed that both have, and each photograph: (S, P).

    Args:
        first, second: as in `difference`, without trainings that diverged.
    """
    seeds = sorted(set(first) & set(second))
    values = np.array([np.subtract(first[seed], second[seed]) for seed in seeds])
    return values.reshape(len(seeds), -1, IMAGES_OF_EACH).mean(2)


def verdict_of(low, high):
    """What an interval says: "equal" if it lies within `EQUAL` dB of zero, even on one side of it."""
    if low > -EQUAL and high < EQUAL:
        return EQUAL_WITHIN
    if low > 0:
        return LARGER
    if high < 0:
        return SMALLER
    return UNDECIDED


def interval_over_seeds(values):
    """The 95 % interval of a mean over seeds and photographs.

    Its ends are quantiles of a sum: one of the resampled means, picked at random, plus a number
    with Student's distribution times the standard error.

    Args:
        values: array (S, P) of S seeds, two or more, and P photographs.

    Returns:
        its lower and upper end.
    """
    degrees = len(values) - 1
    error = standard_error(values)
    means = np.sort(resampled_means(values.mean(0)))
    means = means.reshape(-1, NEIGHBOURS).mean(1)  # 1,000 stand for all

    def quantile(probability):
        def excess(value):
            return stdtr(degrees, (value - means) / error).mean() - probability

        moved = stdtrit(degrees, probability) * error
        return brentq(excess, means[0] + moved - 1e-6, means[-1] + moved + 1e-6, xtol=1e-8)

    return quantile(0.025), quantile(0.975)


def p_value(values):
    """The chance at which the interval of values as in `interval_over_seeds` ends at zero."""
    means = resampled_means(values.mean(0))
    below = stdtr(len(values) - 1, -means / standard_error(values)).mean()
    return 2 * min(below, 1 - below).item()


def standard_error(values):
    """That of the mean over seeds, of values (S, P)."""
    return max(values.mean(1).std(ddof=1) / math.sqrt(len(values)), 1e-9)


def resampled_means(values):
    """Means of as many values, drawn from these with replacement: (P,) to (`DRAWS`,)."""
    return resampling_weights(len(values)) @ np.asarray(values, np.float32)


@cache
def resampling_weights(number):
    """The weight of each of so many values in each resampled mean: (`DRAWS`, number)."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(DRAWS, number)
    one_draw = torch.full((DRAWS, 1), 1 / number)
    for _ in range(number):
        weights.scatter_add_(1, torch.randint(number, (DRAWS, 1), generator=generator), one_draw)
    return weights.numpy()


def middle(values):
    """The ends of the middle 95 %: of a mean's interval, if these are its `resampled_means`."""
    return np.quantile(values, [0.025, 0.975]).tolist()
