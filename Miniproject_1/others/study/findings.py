"""What the filed trainings say: arms with the results of all seeds, and how much two differ."""

import csv

from .experiments import EXPERIMENTS, SEARCH_SEED, searched_rates, wanted_runs
from .results import RESULTS, load_run, score_to_choose_by
from .verdicts import difference

COLUMNS = ("arm", "seeds", "psnr", "lowest", "highest", "diverged", "learning_rate", "pairs")


def arms_of(name):
    """The results of an experiment.

    Args:
        name: in `EXPERIMENTS`.

    Returns:
        dict from the name of each arm to a dict from a seed to what `trainings` found; without the
        runs of searches, and empty where nothing has been run.
    """
    found = {arm.name: {} for arm in EXPERIMENTS[name].arms}
    for run in wanted_runs(name, score_to_choose_by):
        result = load_run(run)
        if result is not None and run.seed != SEARCH_SEED:
            found[run.arm][run.seed] = result
    return found


def scores_of(results, score="psnr_one_pass"):
    """The PSNR of each image, for each seed; None where a training diverged.

    Args:
        results: of an arm, from `arms_of`.
        score: "psnr_one_pass", or "psnr" for that of the mean over 8 flips.
    """
    scores = {}
    for seed, result in results.items():
        scores[seed] = result[score]
        if result["diverged"] or None in result[score]:
            scores[seed] = None
    return scores


def compared(name, first, second, score="psnr_one_pass"):
    """How much an arm is above another: a `verdicts.Difference`, or None. See `scores_of`.

    Raises:
        ValueError: some of their results were scored by other photographs than the rest.
    """
    arms = arms_of(name)
    results = [*arms[first].values(), *arms[second].values()]
    if len({round(result["psnr_noisy"], 3) for result in results}) > 1:
        raise ValueError(f"{name}: {first}, {second}: results of different photographs")
    return difference(*(scores_of(arms[arm], score) for arm in (first, second)))


def mean_of(values):
    """The mean, or None if there are no values."""
    values = list(values)
    return sum(values) / len(values) if values else None


def searched(experiment, name):
    """The learning rates that were tried for an arm, and the PSNR by which they were compared.

    The PSNR is None where the training diverged.
    """
    (arm,) = [arm for arm in EXPERIMENTS[experiment].arms if arm.name == name]
    runs, _ = searched_rates(experiment, arm, score_to_choose_by)
    tried = []
    for run in runs:
        result = load_run(run)
        if result is not None:
            score = None if result["diverged"] else result["psnr_choosing"]
            tried.append({"rate": run.settings.learning_rate, "psnr": score})
    return tried


def summary(arm, results):
    """A row of the table of an experiment, see `COLUMNS`, from the results of each seed."""
    scores = scores_of(results)
    means = [mean_of(values) for values in scores.values() if values is not None]
    row = dict.fromkeys(COLUMNS)
    row.update(arm=arm, seeds=len(results), diverged=len(results) - len(means))
    if means:
        row.update(psnr=mean_of(means), lowest=min(means), highest=max(means))
    *_, last = results.values()
    row.update(learning_rate=last["settings"]["learning_rate"], pairs=last["pairs"])
    return row


def table_of(name):
    """The rows of an experiment, the best first; arms that have no results are left out."""
    rows = [summary(arm, results) for arm, results in arms_of(name).items() if results]
    return sorted(rows, key=lambda row: row["psnr"] or 0, reverse=True)


def row_of(name, arm):
    """The row of an arm in the table of its experiment; None if it has no results."""
    for row in table_of(name):
        if row["arm"] == arm:
            return row
    return None


def best_arm(name, arms):
    """The best of some arms on the photographs to choose by.

    Arms that diverged are left out. None if some have no results, or not those of the same seeds.
    """
    found = {arm: arms_of(name)[arm] for arm in arms}
    if len({tuple(sorted(results)) for results in found.values()}) > 1 or not found[arms[0]]:
        return None
    means = {}
    for arm, results in found.items():
        if not any(result["diverged"] for result in results.values()):
            means[arm] = mean_of(result["psnr_choosing"] for result in results.values())
    return max(means, key=means.get, default=None)


def write_tables():
    """Write `results/NAME.csv` for every experiment that has results; returns their paths."""
    paths = []
    for name in EXPERIMENTS:
        rows = table_of(name)
        if rows:
            path = RESULTS / f"{name}.csv"
            with open(path, "w") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                for row in rows:
                    for key in ("psnr", "lowest", "highest"):
                        if row[key] is not None:
                            row[key] = f"{row[key]:.3f}"
                    writer.writerow(row)
            paths.append(path)
    return paths
