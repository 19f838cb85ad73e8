"""All trainings of the study as one table, and what it says of arms and of their differences.

As a command this writes a CSV file for each experiment, an arm on each line, the best first.
"""

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

    def has(self, experiment, arm):
        """Whether an arm has been trained with any seed."""
        return (experiment, arm) in self.table.index

    def arm(self, experiment, arm):
        """The rows of an arm, by seed.

        Raises:
            KeyError: it has not been run.
        """
        if not self.has(experiment, arm):
            raise KeyError(f"not run: {experiment}, {arm}")
        return self.table.loc[experiment, arm]

    def scores(self, experiment, arm, score="psnr_one_pass"):
        """The PSNR of each image, for each seed; None where a training diverged.

        Args:
            experiment, arm: their names.
            score: "psnr_one_pass", or "psnr" for that of the mean over 8 flips.
        """
        rows = self.arm(experiment, arm)
        return {
            seed: None if diverged else values
            for seed, values, diverged in zip(rows.index, rows[score], rows["diverged"])
        }

    def compared(self, experiment, first, second, score="psnr_one_pass"):
        """How much an arm is above another: a `Difference`; None if one has not been run.

        Raises:
            ValueError: some of their results were scored by other photographs than the rest.
        """
        if not self.has(experiment, first) or not self.has(experiment, second):
            return None
        noisy = self.table.loc[experiment].loc[[first, second], "psnr_noisy"]
        if noisy.round(3).nunique() > 1:
            text = f"{experiment}: {first}, {second}: results of different photographs"
            raise ValueError(text)
        arms = [self.scores(experiment, arm, score) for arm in (first, second)]
        return difference(*arms)

    def best(self, experiment, arms):
        """The best of some arms on the photographs to choose by; those that diverged are left out.

        Raises:
            ValueError: they have not the same seeds.
        """
        rows = self.table.loc[experiment].loc[list(arms)].groupby("arm")
        if rows.size().nunique() > 1 or len(rows) < len(arms):
            raise ValueError(f"{experiment}: not all of {', '.join(arms)} have the same seeds")
        means = rows["psnr_choosing"].mean()
        return means[~rows["diverged"].any()].idxmax()

    def searched(self, experiment, arm):
        """The learning rates that were tried for an arm, and the PSNR by which they were compared.

        Returns:
            list of dict of "rate" and "psnr", which is None where the training diverged.
        """
        (found,) = [each for each in EXPERIMENTS[experiment].arms if each.name == arm]
        runs, _ = searched_rates(experiment, found, self.results.score)
        tried = [(run.settings.learning_rate, self.results.of(run)) for run in runs]
        return [
            {"rate": rate, "psnr": None if found["diverged"] else found["psnr_choosing"]}
            for rate, found in tried
            if found is not None
        ]

    def arms(self, experiment):
        """The table of an experiment, the best arm first: a DataFrame with the arms as its index.

        "psnr", "lowest" and "highest" are over seeds, of those trainings that did not diverge.
        """
        if experiment not in self.table.index:
            return DataFrame()
        rows = self.table.loc[experiment].groupby("arm", sort=False)
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


def mean(values):
    """The mean of a list."""
    return sum(values) / len(values)


def add_arguments(parser):
    """There are none."""


def run(options):
    """Write `results/NAME.csv` for every experiment that has results. Returns the exit status."""
    trainings = Trainings()
    for name in EXPERIMENTS:
        arms = trainings.arms(name)
        if len(arms):
            for column in ("psnr", "lowest", "highest"):
                arms[column] = arms[column].map("{:.3f}".format, na_action="ignore")
            path = RESULTS / f"{name}.csv"
            arms.to_csv(path)
            tell(str(path))
    return 0
