"""What the report quotes: numbers, tables and verdicts, all from the files in `results/`.

The report's text asks for each number by its name. One that is missing ends the build.
"""

from itertools import pairwise

from pandas import DataFrame

from ...model import INITIALIZATIONS, build_network
from ..data.noises import NOISES
from ..metrics import psnr_of
from .claims import answered
from .experiments import EXPERIMENTS, FLIPS_COMPARED, OPTIMIZER_SETTINGS, OPTIMIZERS_QUOTED
from .networks import cost, networks_of
from .results import load
from .tables import mean
from .trainings import LAST_POINTS
from .verdicts import difference

MEASURED = (  # files that are quoted as they are
    "weights", "scores", "sample", "peers", "robustness", "benchmark", "precision", "sampling",
    "consistency", "sampler_weights",
)  # fmt: skip


def quoted_numbers(trainings):
    """All that the text of the report quotes: a dict for JSON with `Difference`s in it.

    Args:
        trainings: a `tables.Trainings`.
    """
    return {
        **{name: load(name) for name in MEASURED},
        "arms": {name: arms_of(trainings, name) for name in EXPERIMENTS},
        "differences": {name: trainings.differences(name) for name in EXPERIMENTS},
        "searches": {name: trainings.searched(name) for name in EXPERIMENTS},
        "claims": answered(trainings),
        "optimizers": OPTIMIZERS_QUOTED,
        "optimizer settings": OPTIMIZER_SETTINGS,
        "initializations": list(INITIALIZATIONS),
        "flips": list(FLIPS_COMPARED),
        "noises": noises(trainings),
        "networks": {name: cost(name) for name in networks_of("networks")},
        "classical": {name: classical(name) for name in ("sample", "test")},
        "trainings": {
            "number": len(trainings.table),
            "pairs": int(trainings.table["pairs"].sum()),
            "devices": trainings.table["device"].value_counts().to_dict(),
        },
        "experiments": {
            name: {"question": each.question, "arms": len(each.arms), "seeds": len(each.seeds)}
            for name, each in EXPERIMENTS.items()
        },
        "parameters": sum(parameter.numel() for parameter in build_network().parameters()),
        **details(trainings),
    }


def arms_of(trainings, experiment):
    """The table of an experiment as a dict by the names of its arms, with more columns.

    They are lists with an entry for each seed: "scores"; "chosen", on the photographs to choose by;
    "noisy", the PSNR of the noisy images; "gradients", "losses" and "seconds", see
    `StudyTraining.result`; "last steps", the last points of the curve; "mean error", the PSNR of
    the mean error.
    """
    table = trainings.arms(experiment)
    if table.empty:
        return {}
    rows = trainings.table.loc[experiment]
    ended_well = rows["psnr_one_pass"].where(~rows["diverged"])
    columns = {
        "scores": rows["score"],
        "seconds": rows["seconds"],
        "chosen": rows["psnr_choosing"],
        "noisy": rows["psnr_noisy"],
        "gradients": rows["gradients"],
        "losses": rows["losses"],
        "last steps": [[score for _, score in curve[-LAST_POINTS:]] for curve in rows["curve"]],
        "mean error": ended_well.map(psnr_of_mean_error, na_action="ignore"),
    }
    return table.join(DataFrame(columns).groupby("arm").agg(list)).to_dict("index")


def psnr_of_mean_error(values):
    """The PSNR in dB of the mean error over images, from the PSNR of each of them."""
    return psnr_of(mean([10 ** (-value / 10) for value in values]))


def details(trainings):
    """How many iterations of L-BFGS were undone, and what noisy images have by their formula."""
    # An iteration was undone if the weights after it have the score of those before it
    curves = trainings.arm("optimizers", "L-BFGS at 0.05")["curve"]
    scores = [[score for _, score in curve] for curve in curves]
    undone = sum(before == after for curve in scores for before, after in pairwise(curve))
    noisy = psnr_of_mean_error(load("classical")["blocks"]["noisy"])
    return {"undone": undone, "noisy by their formula": noisy}


def noises(trainings):
    """For every noise its name and the arm that is quoted, and what classical methods reach.

    Returns:
        dict by noise: "arm": an experiment and the beginning of an arm's name; "classical": see
        `classical`; "minus classical": how much the network is above BM3D, or, where pixels are
        missing, above inpainting; None where it has not been run.
    """
    rows = {"blocks": {"name": "the course’s", "arm": ("targets", "128 thousand pairs")}}
    for name, noise in NOISES.items():
        strength = f"{name}, {noise.argument} {noise.default:g}"
        rows[name] = {"name": strength, "arm": ("noises", name)}
    for noise, row in rows.items():
        experiment, arm = row["arm"]
        row["classical"] = classical(noise)
        row["minus classical"] = None
        if (experiment, f"{arm}, noisy targets") in trainings.table.index:
            seeds = trainings.scores(experiment, f"{arm}, noisy targets")
            scores = load("classical")[noise]
            best = scores.get("inpainting", scores["BM3D"])
            row["minus classical"] = difference(seeds, dict.fromkeys(seeds, best))
    return rows


def classical(images):
    """The mean PSNR of each classical method on a set of images in `classical.json`."""
    return {method: mean(values) for method, values in load("classical").get(images, {}).items()}
