"""The claims of Brown et al. in `claims.csv`, and how the study's trainings answer them.

Each line of the file is a claim: what they say, what they showed for it, which comparison answers
it, and its two arms. The claim holds if the first arm is above the second. "if_equal" says what
follows if both are equal.
"""

from pathlib import Path
from typing import NamedTuple

from pandas import read_csv

from .verdicts import EQUAL_WITHIN, LARGER, SMALLER, UNDECIDED

CLAIMS = Path(__file__).resolve().parent / "claims.csv"


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


def answered(differences):
    """The claims and the answers to them: list of dict, for the report's table.

    "theirs" and "fair" are `Difference`s at the two settings; None where nothing was run.

    Args:
        differences: by the names of experiments, see `tables.Trainings.differences`.
    """
    rows = read_csv(CLAIMS).to_dict("records")
    for row in rows:
        comparison = COMPARISONS[row["comparison"]]
        row["length at theirs"] = comparison.length_at_theirs
        row["length at fair"] = comparison.length_at_fair
        forms = {"theirs": comparison.form_at_theirs, "fair": comparison.form_at_fair}
        answers = []
        for setting, form in forms.items():
            row[setting] = None
            if form is not None:
                arms = f"{form.format(row['first'])} minus {form.format(row['second'])}"
                row[setting] = differences[comparison.experiment].get(arms)
                answers.append(in_words(row, row[setting]))
        row["conclusion"] = conclusion(*answers)
    return rows


def conclusion(first, second=None):
    """What a claim is worth, in words, by the answers at one setting or at theirs and a fair one.

    >>> conclusion("holds", "not decided")
    'holds at theirs, not decided at a fair one'
    """
    if second is None or first == second:
        return first
    return f"{first} at theirs, {second} at a fair one"


def in_words(claim, found):
    """What a difference says about a claim."""
    if found is None:
        return "not run"
    if found.mean is None and found.verdict == LARGER:
        return f"{claim['second']} was stopped"
    words = {LARGER: "holds", EQUAL_WITHIN: claim["if_equal"], SMALLER: "does not hold"}
    return words.get(found.verdict, UNDECIDED)
