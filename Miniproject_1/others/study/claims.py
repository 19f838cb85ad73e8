"""The claims of Brown et al. in `claims.csv`, and how the study's trainings answer them.

Each line of the file is a claim: what they say, what they showed for it, the experiment that
answers it, and what it compares. "theirs" and "fair" say how its arms are called at the setting of
Brown et al. and at a fair one, with a place for what is compared; they are empty where there are no
such arms. The claim holds if the first arm is above the second; "if equal" says what follows if
both are equal.
"""

from pathlib import Path

from pandas import read_csv

from .verdicts import EQUAL_WITHIN, LARGER, SMALLER, UNDECIDED

CLAIMS = Path(__file__).resolve().parent / "claims.csv"


def read_claims():
    """The lines of the file: list of dict."""
    return read_csv(CLAIMS, keep_default_na=False).to_dict("records")


def arms_of(claim, setting):
    """The two arms that answer a claim at "theirs" or "fair"; none where there is no answer."""
    form = claim[setting]
    return [form.format(claim["first"]), form.format(claim["second"])] if form else []


def answered(differences):
    """The claims and the answers to them: list of dict, for the report's table.

    "theirs" and "fair" are `Difference`s at the two settings; None where nothing was run.

    Args:
        differences: by the names of experiments, see `tables.Trainings.differences`.
    """
    rows = []
    for claim in read_claims():
        found, answers = {}, []
        for setting in ("theirs", "fair"):
            arms = arms_of(claim, setting)
            found[setting] = differences[claim["experiment"]].get(" minus ".join(arms))
            if arms:
                answers.append(in_words(claim, found[setting]))
        rows.append({**claim, **found, "conclusion": conclusion(*answers)})
    return rows


def conclusion(first, second=None):
    """What a claim is worth, by the answers at one setting, or at theirs and a fair one."""
    if second is None or first == second:
        return first
    return f"{first} at theirs, {second} at a fair one"


def in_words(claim, found):
    """What a difference says about a claim."""
    if found is None:
        return "not run"
    if found.mean is None and found.verdict == LARGER:
        return f"{claim['second']} was stopped"
    words = {LARGER: "holds", EQUAL_WITHIN: claim["if equal"], SMALLER: "does not hold"}
    return words.get(found.verdict, UNDECIDED)
