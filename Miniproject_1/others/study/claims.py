"""The claims of Brown et al., and by which trainings the study answers them."""

from dataclasses import asdict, dataclass

from .findings import compared
from .verdicts import EQUAL_WITHIN, LARGER, SMALLER

ONE_RUN = "the training loss of one run"
COMPARISONS = {  # an experiment, and what its arms are called at their setting and at a fair one
    "targets": ("targets", None, "128 thousand pairs, {}"),
    "starts": ("starts", "{}, at 0.05", "{}, falling"),
    "variants": ("variants", None, "{}"),
    "flips": ("flips", None, "{}"),
    "optimizers": ("optimizers", "{} at 0.05", "{}, falling, 600 gradients"),
    "momenta": ("optimizers", None, "{}, falling, 600 gradients"),
    "hybrid": ("hybrid", "{} at 0.05", "{}, falling, 2000 gradients"),
}


@dataclass(frozen=True)
class Claim:
    """What Brown et al. say, what they showed, and which two arms of a comparison answer it."""

    says: str
    showed: str
    comparison: str
    first: str
    second: str
    if_smaller: str = "does not hold"  # what follows if the first is below the second


CLAIMS = [
    Claim(
        "Noisy targets are enough.",
        "25.08 dB, without a run on clean targets",
        "targets",
        "noisy targets",
        "clean targets",
        "nearly holds",
    ),
    Claim(
        "BatchNorm makes training easier.",
        ONE_RUN,
        "starts",
        "xavier, two each",
        "xavier, no BatchNorm",
    ),
    Claim(
        "Two BatchNorms each are better than BatchNorm everywhere.",
        ONE_RUN,
        "starts",
        "xavier, two each",
        "xavier, BatchNorm everywhere",
    ),
    Claim(
        "Positive Xavier is the best initialization.",
        ONE_RUN,
        "starts",
        "xavier positive, two each",
        "xavier, two each",
    ),
    Claim(
        "MaxPooling does not help.",
        "tests that were not conclusive",
        "variants",
        "Appendix A",
        "pooling early",
    ),
    Claim("Padding improves the performance.", "nothing", "variants", "Appendix A", "no padding"),
    Claim("Flips enlarge the training set.", "nothing", "flips", "all 8", "none"),
    Claim(
        "Gradient descent without momentum is the slowest.", ONE_RUN, "optimizers", "momAGD", "SGD"
    ),
    Claim("ADAM gives poor results.", f"{ONE_RUN} at 0.05", "optimizers", "momAGD", "ADAM"),
    Claim(
        "L-BFGS performs best.",
        f"{ONE_RUN}, an iteration counted as a step",
        "optimizers",
        "L-BFGS",
        "momAGD",
    ),
    Claim("The best momentum is 0.9.", "that it was found", "momenta", "momAGD", "momentum 0.8"),
    Claim("A hybrid start leads to better performance.", "nothing", "hybrid", "hybrid", "momAGD"),
]


def answered():
    """The claims with what the trainings say, for the report's table."""
    rows = []
    for claim in CLAIMS:
        experiment, theirs, fair = COMPARISONS[claim.comparison]
        row = asdict(claim)
        row["has_theirs"] = theirs is not None
        row["theirs"] = answer(claim, experiment, theirs)
        row["fair"] = answer(claim, experiment, fair)
        row["conclusion"] = conclusion(claim, row["theirs"], row["fair"])
        rows.append(row)
    return rows


def answer(claim, experiment, arm):
    """How much the first is above the second; None where that has not been run."""
    if arm is None:
        return None
    return compared(experiment, arm.format(claim.first), arm.format(claim.second))


def conclusion(claim, theirs, fair):
    """What the claim is worth, in words."""
    words = {LARGER: "holds", SMALLER: claim.if_smaller, EQUAL_WITHIN: "makes no difference"}
    at_theirs, at_fair = (
        words.get(found.verdict, "not decided") if found is not None else None
        for found in (theirs, fair)
    )
    if at_fair is None and at_theirs is None:
        return "not run"
    if at_fair is None or at_theirs == at_fair:
        return at_theirs
    if at_theirs is None:
        return at_fair
    return f"{at_theirs} at their setting, {at_fair} at a fair one"
