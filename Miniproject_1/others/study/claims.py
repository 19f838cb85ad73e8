"""The claims of Brown et al. in `claims.csv`, and how the study's trainings answer them.

Each line of the file is a claim: what they say, what they showed for it, the experiment that
answers it, and what it compares. "theirs" and "fair" say how its arms are called at the setting of
Brown et al. and at a fair one, with a place for what is compared; they are empty where there are no
such arms. The claim holds if the first arm is above the second.

Among many intervals a few exclude zero by chance. So the p value of each, the chance at which its
interval would end at zero, is corrected for their number as Holm (1979) does it.
"""

from pathlib import Path

from pandas import read_csv

from .experiments import ALL_RATES
from .verdicts import LARGER, SMALLER, UNDECIDED, difference, p_value, paired

CLAIMS = Path(__file__).resolve().parent / "claims.csv"
SETTINGS = ("theirs", "fair")
HOLDS, FAILS, NOT_RUN, UNLEARNED = "holds", "does not hold", "not run", "no rate learned"
LEVEL = 0.05
INSTEAD = {  # what answers in place of an arm, once it has been run: see `experiments.replication`
    "ADAM at 0.05": "ADAM at 0.05, trained on",
    "default, no BatchNorm, falling": "default, no BatchNorm, falling, all rates",
    "masked xavier, no BatchNorm, falling": "masked xavier, no BatchNorm, falling, all rates",
}


def answered(trainings):
    """The claims with their answers "theirs" and "fair", see `answer`, and a "conclusion".

    Args:
        trainings: a `tables.Trainings`.
    """
    claims = read_csv(CLAIMS, keep_default_na=False, dtype=str).to_dict("records")
    for claim in claims:
        claim.update({setting: answer(trainings, claim, setting) for setting in SETTINGS})
    keep_by_holm([claim[setting] for claim in claims for setting in SETTINGS])
    for claim in claims:
        claim["conclusion"] = conclusion([claim[setting] for setting in SETTINGS])
    return claims


def answer(trainings, claim, setting):
    """What the trainings say of a claim at a setting.

    Returns:
        dict: "word", what follows for the claim; "difference", a `Difference`, None where nothing
        was run; "seeds", its mean in dB for each seed; "p", its p value, None where nothing can be
        concluded; "kept": whether Holm's correction keeps it.
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
