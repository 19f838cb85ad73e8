"""What the results say: of the difference of two arms, and of the claims of Brown et al.

Two arms are compared seed by seed and image by image. A difference could have come out otherwise
for two reasons, and the interval holds both:

- other photographs to score by. Photographs are resampled (the bootstrap, Efron 1979), all images
  of one together, since they are alike;
- other seeds. There are three or five of them, and resampling so few gives intervals that are too
  short. So their mean is moved by Student's t with one degree of freedom less than there are seeds,
  times its standard error. `tests/test_verdicts.py` measures how often a verdict is wrong.

Each line of `claims.csv` is a claim: what they say, what they showed for it, the experiment that
answers it, and what it compares. "theirs" and "fair" say how its arms are called at the setting of
Brown et al. and at a fair one, with a place for what is compared; they are empty where there are no
such arms. The claim holds if the first arm is above the second. Among many intervals a few exclude
zero by chance, so their p values are corrected for their number as Holm (1979) does it.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from pandas import read_csv
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from .experiments import ALL_RATES, IMAGES_OF_EACH

DRAWS = 100_000  # resampled means
NEIGHBOURS = 100  # resampled means next to one another are taken as one, to save time
EQUAL = 0.05  # dB; differences below it do not matter
LARGER, SMALLER, EQUAL_WITHIN, UNDECIDED = "larger", "smaller", "equal", "not decided"
CONTRARY = {LARGER: SMALLER, SMALLER: LARGER}

CLAIMS = Path(__file__).resolve().parent / "claims.csv"
SETTINGS = ("theirs", "fair")
HOLDS, FAILS, NOT_RUN, UNLEARNED = "holds", "does not hold", "not run", "no rate learned"
LEVEL = 0.05
INSTEAD = {  # what answers in place of an arm, once it has been run: see `experiments.replication`
    "ADAM at 0.05": "ADAM at 0.05, trained on",
    "default, no BatchNorm, falling": "default, no BatchNorm, falling, all rates",
    "masked xavier, no BatchNorm, falling": "masked xavier, no BatchNorm, falling, all rates",
}


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
    """How much one arm is above another for each of S common seeds and P photographs: (S, P)."""
    seeds = sorted(set(first) & set(second))
    values = np.array([np.subtract(first[seed], second[seed]) for seed in seeds])
    return values.reshape(len(seeds), -1, IMAGES_OF_EACH).mean(2)


def verdict_of(low, high):
    """What an interval says. Within `EQUAL` dB of zero it says "equal", even if it excludes it."""
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
    with Student's distribution times the standard error. The values are those of S seeds, two or
    more, and P photographs: (S, P).
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


# ----------------------------------------------------------------------------------------------
# Claims


def answered(trainings):
    """The claims, with the answers of `Trainings` at "theirs" and "fair", and a "conclusion"."""
    claims = read_csv(CLAIMS, keep_default_na=False, dtype=str).to_dict("records")
    for claim in claims:
        claim.update({setting: answer(trainings, claim, setting) for setting in SETTINGS})
    keep_by_holm([claim[setting] for claim in claims for setting in SETTINGS])
    for claim in claims:
        claim["conclusion"] = conclusion([claim[setting] for setting in SETTINGS])
    return claims


def answer(trainings, claim, setting):
    """What the trainings say of a claim at a setting.

    "word" is what follows for the claim, "difference" a `Difference` if there is one, "seeds" its
    mean in dB for each seed, "p" its p value, None where nothing can be concluded, and "kept"
    whether Holm's correction keeps it.
    """
    found = {"word": NOT_RUN, "difference": None, "seeds": [], "p": None, "kept": False}
    if not claim[setting]:
        return found
    names = [claim[setting].format(claim[each]) for each in ("first", "second")]
    arms = [run_arm(trainings, claim, name) for name in names]
    if None in arms:
        return found
    first, second = (trainings.scores(*arm) for arm in arms)
    found["difference"] = difference(first, second)
    found["word"] = in_words(claim, found["difference"])
    if any(is_unlearned(trainings, *arm) for arm in arms):
        found["word"] = UNLEARNED
    elif found["difference"].low is not None:
        values = paired(first, second)
        found.update(seeds=values.mean(1).tolist(), p=p_value(values))
    return found


def run_arm(trainings, claim, arm):
    """The experiment and the name of an arm that answers a claim, or None if it is not run."""
    places = (("replication", INSTEAD.get(arm, arm)), (claim["experiment"], arm))
    return next((place for place in places if place in trainings.table.index), None)


def is_unlearned(trainings, experiment, arm):
    """Whether the search for an arm's rate ended below the noisy images, with rates left to try."""
    search = trainings.searched(experiment).get(arm)
    if not search or set(ALL_RATES) <= {row["rate"] for row in search}:
        return False
    best = max(row["psnr"] for row in search)
    return best < trainings.table.loc[experiment, arm]["psnr_noisy"].mean()


def in_words(claim, found):
    """What a difference says about a claim."""
    if found.mean is None:
        stopped = {LARGER: claim["second"], SMALLER: claim["first"]}
        return f"{stopped.get(found.verdict, 'one')} was stopped"
    if found.low is None:
        return "one seed"
    return {LARGER: HOLDS, SMALLER: FAILS}.get(found.verdict, found.verdict)


def keep_by_holm(answers):
    """Mark the answers that are kept: the smallest of m p values times m is below `LEVEL`, the next
    one times m - 1, and so on up to the first that is not.
    """
    tested = [each for each in answers if each["p"] is not None]
    for place, each in enumerate(sorted(tested, key=lambda each: each["p"])):
        if each["p"] * (len(tested) - place) >= LEVEL:
            return
        each["kept"] = True


def conclusion(answers):
    """What a claim is worth by its answers at the two settings."""
    words = {each["word"] for each in answers}
    decided = words & {HOLDS, FAILS}
    if len(decided) == 2:
        return "depends on the setting"
    if decided:
        word = decided.pop()
        return word if any(each["kept"] for each in answers) else f"{word}, uncorrected"
    return UNDECIDED if UNDECIDED in words else "no answer"
