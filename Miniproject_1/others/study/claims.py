"""The claims of Brown et al., and by which trainings the study answers them."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

from .findings import compared
from .verdicts import EQUAL_WITHIN, LARGER, SMALLER, UNDECIDED

ONE_RUN = "loss of one run"


class Comparison(NamedTuple):
    """An experiment, and how its arms are called at the setting of Brown et al. and at a fair one.

    A form is the name of an arm with a place for what is compared. It is None where there are no
    such arms at that setting. The lengths say how long the arms were trained.
    """

    experiment: str
    form_at_theirs: str | None
    length_at_theirs: str | None
    form_at_fair: str | None
    length_at_fair: str | None


COMPARISONS = {
    "targets": Comparison("targets", None, None, "512 thousand pairs, {}", "512,000 pairs"),
    "starts": Comparison("starts", "{}, at 0.05", "200 gradients", "{}, falling", "200 gradients"),
    "variants": Comparison("variants", None, None, "{}", "64,000 pairs"),
    "flips": Comparison("passes", None, None, "{}", "30 and 10 passes"),
    "flips, theirs": Comparison("original", "{}", "one pass", None, None),
    "optimizers": Comparison(
        "optimizers", "{} at 0.05", "150 gradients", "{}, falling, 600 gradients", "600 gradients"
    ),
    "momenta": Comparison("optimizers", None, None, "{}, falling, 600 gradients", "600 gradients"),
    "hybrid": Comparison(
        "hybrid", "{} at 0.05", "400 gradients", "{}, falling, 2000 gradients", "2,000 gradients"
    ),
}


@dataclass(frozen=True)
class Claim:
    """What Brown et al. say, what they showed, and which two arms of a comparison answer it.

    The claim holds if the first is above the second; `if_equal` and `if_smaller` say what follows
    otherwise.
    """

    says: str
    showed: str
    comparison: str
    first: str
    second: str
    if_equal: str = "makes no difference"
    if_smaller: str = "does not hold"


CLAIMS = [
    Claim(
        "Noisy targets are enough.",
        "25.08 dB, no run on clean ones",
        "targets",
        "noisy targets",
        "clean targets",
        if_equal="holds",
        if_smaller="clean ones are better",
    ),
    Claim(
        "BatchNorm makes training easier (from masked Xavier).",
        ONE_RUN,
        "starts",
        "masked xavier, two each",
        "masked xavier, no BatchNorm",
    ),
    Claim(
        "The same, from plain Xavier.",
        ONE_RUN,
        "starts",
        "xavier, two each",
        "xavier, no BatchNorm",
    ),
    Claim(
        "The same, from PyTorch's default.",
        ONE_RUN,
        "starts",
        "default, two each",
        "default, no BatchNorm",
    ),
    Claim(
        "Two BatchNorms each are better than BatchNorm everywhere (from masked Xavier).",
        ONE_RUN,
        "starts",
        "masked xavier, two each",
        "masked xavier, BatchNorm everywhere",
    ),
    Claim(
        "The same, from plain Xavier.",
        ONE_RUN,
        "starts",
        "xavier, two each",
        "xavier, BatchNorm everywhere",
    ),
    Claim(
        "The same, from PyTorch's default.",
        ONE_RUN,
        "starts",
        "default, two each",
        "default, BatchNorm everywhere",
    ),
    Claim(
        "Positive Xavier is the best initialization.",
        ONE_RUN,
        "starts",
        "xavier positive, two each",
        "xavier, two each",
    ),
    Claim(
        "MaxPooling does not help (early).",
        "inconclusive tests",
        "variants",
        "Appendix A",
        "pooling early",
        if_equal="holds",
    ),
    Claim(
        "The same, in the middle.",
        "inconclusive tests",
        "variants",
        "Appendix A",
        "pooling in the middle",
        if_equal="holds",
    ),
    Claim("Padding improves the performance.", "nothing", "variants", "Appendix A", "no padding"),
    Claim(
        "Flips enlarge the training set (all 8 flips and rotations).",
        "nothing",
        "flips",
        "30 passes, noisy targets, all 8 flips",
        "10 passes, noisy targets",
    ),
    Claim(
        "The same, as they did it (vertical flips; the training is a quarter longer).",
        "nothing",
        "flips, theirs",
        "batches of 100, a quarter of the pairs once more, flipped",
        "batches of 100",
    ),
    Claim(
        "Apart from ADAM, gradient descent without momentum is the worst.",
        ONE_RUN,
        "optimizers",
        "momAGD",
        "SGD",
    ),
    Claim("The same, compared with Nesterov.", ONE_RUN, "optimizers", "Nesterov", "SGD"),
    Claim("The same, compared with L-BFGS.", ONE_RUN, "optimizers", "L-BFGS", "SGD"),
    Claim("ADAM gives poor results.", f"{ONE_RUN} at 0.05", "optimizers", "momAGD", "ADAM"),
    Claim(
        "L-BFGS performs best.", f"{ONE_RUN}, iterations as steps", "optimizers", "L-BFGS", "momAGD"
    ),
    Claim("The same, compared with ADAM.", ONE_RUN, "optimizers", "L-BFGS", "ADAM"),
    Claim("The best momentum is 0.9.", "that it was found", "momenta", "momAGD", "momentum 0.8"),
    Claim("The same.", "that it was found", "momenta", "momAGD", "momentum 0.95"),
    Claim("The same.", "that it was found", "momenta", "momAGD", "momentum 0.5"),
    Claim(
        "A hybrid start leads to better performance.", "nothing", "optimizers", "hybrid", "momAGD"
    ),
    Claim("The same, after more gradients.", "nothing", "hybrid", "hybrid", "momAGD"),
]


def answered():
    """The claims with what the trainings say, for the report's table."""
    rows = []
    for claim in CLAIMS:
        comparison = COMPARISONS[claim.comparison]
        row = asdict(claim)
        row["has_theirs"] = comparison.form_at_theirs is not None
        row["has_fair"] = comparison.form_at_fair is not None
        row["length_at_theirs"] = comparison.length_at_theirs
        row["length_at_fair"] = comparison.length_at_fair
        row["theirs"] = answer(claim, comparison.form_at_theirs)
        row["fair"] = answer(claim, comparison.form_at_fair)
        row["conclusion"] = conclusion(claim, row["theirs"], row["fair"])
        rows.append(row)
    return rows


def answer(claim, form):
    """How much the first is above the second; None where that has not been run."""
    if form is None:
        return None
    experiment = COMPARISONS[claim.comparison].experiment
    return compared(experiment, form.format(claim.first), form.format(claim.second))


def conclusion(claim, theirs, fair):
    """What the claim is worth, in words, by two differences."""
    at_theirs, at_fair = in_words(claim, theirs), in_words(claim, fair)
    if at_theirs is None:
        return at_fair or "not run"
    if at_fair is None or at_fair == at_theirs:
        return at_theirs
    return f"{at_theirs} at theirs, {at_fair} at a fair one"


def in_words(claim, found):
    """What a difference says about a claim; None if it has not been run."""
    if found is None:
        return None
    if found.mean is None and found.verdict == LARGER:
        return f"{claim.second} was stopped"
    words = {LARGER: "holds", EQUAL_WITHIN: claim.if_equal, SMALLER: claim.if_smaller}
    return words.get(found.verdict, UNDECIDED)
