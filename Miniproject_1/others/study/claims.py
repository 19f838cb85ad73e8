"""The claims of Brown et al., and by which trainings the study answers them."""

from dataclasses import dataclass

from .findings import as_numbers, compared


@dataclass(frozen=True)
class Comparison:
    """How much an arm of an experiment is above another."""

    experiment: str
    first: str
    second: str


@dataclass(frozen=True)
class Claim:
    """What Brown et al. say, what they showed, and what answers it.

    Attributes:
        says: the claim.
        showed: its evidence.
        first, second: what is compared, in words.
        theirs: at their setting.
        fair: at a fair one.
    """

    says: str
    showed: str
    first: str
    second: str
    theirs: Comparison | None
    fair: Comparison | None


CLAIMS = [
    Claim(
        "Noisy targets are enough.",
        "25.08 dB, without a run on clean targets",
        "noisy targets",
        "clean targets",
        None,
        Comparison(
            "targets", "512 thousand pairs, noisy targets", "512 thousand pairs, clean targets"
        ),
    ),
    Claim(
        "BatchNorm makes training easier.",
        "the training loss of one run",
        "two BatchNorms each",
        "none",
        Comparison("starts", "xavier, two each, at 0.05", "xavier, no BatchNorm, at 0.05"),
        Comparison("starts", "xavier, two each, falling", "xavier, no BatchNorm, falling"),
    ),
    Claim(
        "Two BatchNorms each are better than BatchNorm everywhere.",
        "the training loss of one run",
        "two BatchNorms each",
        "everywhere",
        Comparison("starts", "xavier, two each, at 0.05", "xavier, BatchNorm everywhere, at 0.05"),
        Comparison("starts", "xavier, two each, falling", "xavier, BatchNorm everywhere, falling"),
    ),
    Claim(
        "Positive Xavier is the best initialization.",
        "the training loss of one run",
        "positive Xavier",
        "Xavier",
        Comparison("starts", "xavier positive, two each, at 0.05", "xavier, two each, at 0.05"),
        Comparison("starts", "xavier positive, two each, falling", "xavier, two each, falling"),
    ),
    Claim(
        "MaxPooling does not help.",
        "tests that were not conclusive",
        "no pooling",
        "early pooling",
        None,
        Comparison("variants", "Appendix A", "pooling early"),
    ),
    Claim(
        "Padding improves the performance.",
        "nothing",
        "padding",
        "no padding",
        None,
        Comparison("variants", "Appendix A", "no padding"),
    ),
    Claim(
        "Flips enlarge the training set.",
        "nothing",
        "all 8 flips",
        "none",
        None,
        Comparison("flips", "all 8", "none"),
    ),
    Claim(
        "Gradient descent without momentum is the slowest.",
        "the training loss of one run",
        "momAGD",
        "SGD",
        Comparison("optimizers", "momAGD at 0.05", "SGD at 0.05"),
        Comparison("optimizers", "momAGD, falling, 600 gradients", "SGD, falling, 600 gradients"),
    ),
    Claim(
        "ADAM gives poor results.",
        "the training loss of one run at 0.05",
        "momAGD",
        "ADAM",
        Comparison("optimizers", "momAGD at 0.05", "ADAM at 0.05"),
        Comparison("optimizers", "momAGD, falling, 600 gradients", "ADAM, falling, 600 gradients"),
    ),
    Claim(
        "L-BFGS performs best.",
        "the training loss of one run, an iteration counted as a step",
        "L-BFGS",
        "momAGD",
        Comparison("optimizers", "L-BFGS at 0.05", "momAGD at 0.05"),
        Comparison(
            "optimizers", "L-BFGS, falling, 600 gradients", "momAGD, falling, 600 gradients"
        ),
    ),
    Claim(
        "A hybrid start leads to better performance.",
        "nothing",
        "hybrid",
        "momAGD",
        Comparison("hybrid", "hybrid at 0.05", "momAGD at 0.05"),
        Comparison("hybrid", "hybrid, falling, 2000 gradients", "momAGD, falling, 2000 gradients"),
    ),
]


def answered():
    """The claims with what the trainings say, for the report's table."""
    rows = []
    for claim in CLAIMS:
        row = {
            "says": claim.says,
            "showed": claim.showed,
            "first": claim.first,
            "second": claim.second,
        }
        for setting in ("theirs", "fair"):
            comparison = getattr(claim, setting)
            row[f"has_{setting}"] = comparison is not None
            row[setting] = None
            if comparison is not None:
                found = compared(comparison.experiment, comparison.first, comparison.second)
                row[setting] = as_numbers(found)
        rows.append(row)
    return rows
