"""All trainings of the study as one table, and what it says of arms and of their differences."""

from itertools import combinations

from pandas import DataFrame

from .experiments import EXPERIMENTS, SEARCH_SEED, searched_rates, wanted_runs
from .results import Results
from .verdicts import difference

LISTS = [  # columns that are quoted seed by seed
    "score", "psnr_one_pass", "psnr_choosing", "psnr_noisy", "gradients", "losses", "seconds",
    "curve",
]  # fmt: skip


class Trainings:
    """All trainings, each of their files read once.

    `table` is a DataFrame with a row for each training that an experiment reports. Its index is the
    experiment, arm and seed. The columns are those of `StudyTraining.result`, "learning_rate", and
    "score": the mean PSNR in dB of one pass. Where a training diverged, "score" is NaN and
    "psnr_one_pass" None. `results` has also the trainings that only chose a learning rate.
    """

    def __init__(self):
        self.results = Results()
        rows = []
        for name in EXPERIMENTS:
            for run in wanted_runs(name, self.results.score):
                found = self.results.of(run)
                if found is not None and run.seed != SEARCH_SEED:
                    row = {**found, "learning_rate": run.settings.learning_rate}
                    row["diverged"] |= None in found["psnr_one_pass"]
                    if row["diverged"]:
                        row["psnr_one_pass"] = None
                    rows.append(row)
        self.table = DataFrame(rows).set_index(["experiment", "arm", "seed"]).sort_index()
        ended_well = self.table["psnr_one_pass"].dropna()
        self.table["score"] = ended_well.map(lambda scores: sum(scores) / len(scores))

    def scores(self, experiment, arm):
        """The PSNR of each image in one pass, for each seed; None where a training diverged."""
        return self.table.loc[experiment, arm]["psnr_one_pass"].to_dict()

    def arms(self, experiment):
        """A DataFrame with the arms of an experiment as its index, the best first.

        "psnr", "lowest" and "highest" are over seeds, of those trainings that did not diverge. The
        columns in `LISTS` have an entry for each seed.
        """
        if experiment not in self.table.index:
            return DataFrame(columns=LISTS)
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
        arms = arms.sort_values("psnr", ascending=False, kind="stable")
        return arms.join(rows[LISTS].agg(list))

    def differences(self, experiment):
        """How much each arm is above each other: a `Difference` for each "FIRST minus SECOND".

        Arms that were scored by other images, or have no seed in common, are not compared.
        """
        arms = self.arms(experiment)
        noisy = {name: {round(psnr, 3) for psnr in arms["psnr_noisy"][name]} for name in arms.index}
        scores = {name: self.scores(experiment, name) for name in arms.index}
        found = {}
        for first, second in combinations(arms.index, 2):
            compared = difference(scores[first], scores[second])
            if len(noisy[first] | noisy[second]) == 1 and compared is not None:
                found[f"{first} minus {second}"] = compared
                found[f"{second} minus {first}"] = compared.mirrored()
        return found

    def searched(self, experiment):
        """The learning rates that were tried for each arm, with the PSNR in dB to choose by."""
        found = {}
        for arm in [arm for arm in EXPERIMENTS[experiment].arms if arm.rates]:
            runs, _ = searched_rates(experiment, arm, self.results.score)
            found[arm.name] = []
            for run in runs:
                psnr = self.results.score(run)
                if psnr is not None:
                    found[arm.name].append({"rate": run.settings.learning_rate, "psnr": psnr})
        return found


def csv_of(trainings, experiment):
    """The table of an experiment as the text of a CSV file, with three digits of each PSNR."""
    arms = trainings.arms(experiment).drop(columns=LISTS)
    for column in ("psnr", "lowest", "highest"):
        arms[column] = arms[column].map("{:.3f}".format, na_action="ignore")
    return arms.to_csv()
