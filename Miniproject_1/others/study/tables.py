"""All trainings of the study as one table, and what it says of arms and of their differences.

As a command this writes a CSV file for each experiment, an arm on each line, the best first.
"""

import math
from itertools import combinations

from pandas import DataFrame

from ..console import tell
from .experiments import EXPERIMENTS, SEARCH_SEED, searched_rates, wanted_runs
from .results import RESULTS, Results
from .verdicts import difference


class Trainings:
    """All trainings, each of their files read once.

    Args:
        results: the `Results` to take them from; default: those in `results/`.

    Attributes:
        table: DataFrame with a row for each training that an experiment reports. The index is its
            experiment, arm and seed; the columns are those of `StudyTraining.result`,
            "learning_rate", and "score": the mean PSNR in dB of one pass, NaN where it diverged.
        results: the `Results`, which have also the trainings that only chose a learning rate.
    """

    def __init__(self, results=None):
        self.results = results or Results()
        rows = []
        for name in EXPERIMENTS:
            for run in wanted_runs(name, self.results.score):
                found = self.results.of(run)
                if found is not None and run.seed != SEARCH_SEED:
                    diverged = found["diverged"] or None in found["psnr_one_pass"]
                    rate = run.settings.learning_rate
                    rows.append({**found, "diverged": diverged, "learning_rate": rate})
        self.table = DataFrame(rows).set_index(["experiment", "arm", "seed"]).sort_index()
        self.table["score"] = self.table.loc[~self.table["diverged"], "psnr_one_pass"].map(mean)

    def arm(self, experiment, arm):
        """The rows of an arm, by seed.

        Raises:
            KeyError: it has not been run.
        """
        if (experiment, arm) not in self.table.index:
            raise KeyError(f"not run: {experiment}, {arm}")
        return self.table.loc[experiment, arm]

    def scores(self, experiment, arm, score="psnr_one_pass"):
        """The PSNR of each image, for each seed; None where a training diverged.

        Args:
            experiment, arm: their names.
            score: "psnr_one_pass", or "psnr" for that of the mean over 8 flips.
        """
        rows = self.arm(experiment, arm)
        return rows[score].where(~rows["diverged"], None).to_dict()

    def arms(self, experiment):
        """The table of an experiment, the best arm first: a DataFrame with the arms as its index.

        "psnr", "lowest" and "highest" are over seeds, of those trainings that did not diverge.
        """
        if experiment not in self.table.index:
            return DataFrame()
        rows = self.table.loc[experiment].groupby("arm")
        arms = rows.agg(
            seeds=("score", "size"),
            psnr=("score", "mean"),
            lowest=("score", "min"),
            highest=("score", "max"),
            diverged=("diverged", "sum"),
            learning_rate=("learning_rate", "last"),
            pairs=("pairs", "last"),
        )
        return arms.sort_values("psnr", ascending=False, kind="stable")

    def differences(self, experiment):
        """How much each arm of an experiment is above each other one.

        Arms that were scored by other images, or have no seed in common, are not compared.

        Returns:
            dict from "FIRST minus SECOND" to a `Difference`.
        """
        arms = {name: self.arm(experiment, name) for name in self.arms(experiment).index}
        noisy = {name: set(arm["psnr_noisy"].round(3)) for name, arm in arms.items()}
        scores = {name: self.scores(experiment, name) for name in arms}
        found = {}
        for first, second in combinations(arms, 2):
            compared = difference(scores[first], scores[second])
            if len(noisy[first] | noisy[second]) == 1 and compared is not None:
                found[f"{first} minus {second}"] = compared
                found[f"{second} minus {first}"] = compared.mirrored()
        return found

    def searched(self, experiment):
        """The learning rates that were tried for each arm, and the PSNR in dB that each reached.

        The PSNR is that of the photographs to choose by, None where the training diverged.
        """
        found = {}
        for arm in [arm for arm in EXPERIMENTS[experiment].arms if arm.rates]:
            runs, _ = searched_rates(experiment, arm, self.results.score)
            scores = {run.settings.learning_rate: self.results.score(run) for run in runs}
            found[arm.name] = [
                {"rate": rate, "psnr": score if score > -math.inf else None}
                for rate, score in scores.items()
                if score is not None
            ]
        return found


def mean(values):
    """The mean of a list."""
    return sum(values) / len(values)


def add_arguments(parser):
    """There are none."""


def run(options):
    """Write `results/NAME.csv` for every experiment that has results. Returns the exit status."""
    trainings = Trainings()
    for name in EXPERIMENTS:
        if name in trainings.table.index:
            path = RESULTS / f"{name}.csv"
            path.write_text(csv_of(trainings, name))
            tell(str(path))
    return 0


def csv_of(trainings, experiment):
    """The table of an experiment as the text of a CSV file, with three digits of each PSNR."""
    arms = trainings.arms(experiment)
    for column in ("psnr", "lowest", "highest"):
        arms[column] = arms[column].map("{:.3f}".format, na_action="ignore")
    return arms.to_csv()
