"""What the report quotes: numbers, tables and verdicts, all from the files in `results/`.

The report's text asks for each number by its name. One that is missing ends the build.
"""

from itertools import pairwise

from pandas import DataFrame
from torch import nn

from ...model import INITIALIZATIONS, build_network
from ..data.noises import NOISES
from ..metrics import psnr_of
from .claims import answered
from .experiments import EXPERIMENTS, FLIPS_COMPARED, OPTIMIZER_SETTINGS, OPTIMIZERS_QUOTED
from .networks import cost, networks_of
from .results import load
from .tables import mean
from .trainings import LAST_POINTS
from .verdicts import EQUAL, difference

MEASURED = (  # files that are quoted as they are
    "weights", "scores", "sample", "peers", "robustness", "benchmark", "precision", "sampling",
    "consistency", "sampler_weights",
)  # fmt: skip


def quoted_numbers(trainings):
    """All that the text of the report quotes: a dict for JSON with `Difference`s in it.

    Args:
        trainings: a `tables.Trainings`.
    """
    differences = {name: trainings.differences(name) for name in EXPERIMENTS}
    arms = {name: arms_of(trainings, name) for name in EXPERIMENTS}
    return {
        **{name: load(name) for name in MEASURED},
        "arms": arms,
        "differences": differences,
        "searches": {name: trainings.searched(name) for name in EXPERIMENTS},
        "claims": answered(differences),
        "optimizers": OPTIMIZERS_QUOTED,
        "optimizer settings": OPTIMIZER_SETTINGS,
        "initializations": list(INITIALIZATIONS),
        "variants": networks_of("variants"),
        "flips": list(FLIPS_COMPARED),
        "noises": noises(trainings),
        "networks": {name: cost(name) for name in networks_of("networks")},
        "classical": {name: classical(name) for name in ("sample", "test")},
        "trainings": sizes(trainings),
        "progress": progress(arms),
        "layers": layers(),
        "parameters": sum(parameter.numel() for parameter in build_network().parameters()),
        "equal": EQUAL,
        **details(trainings),
    }


def arms_of(trainings, experiment):
    """The table of an experiment as a dict by the names of its arms, with more columns.

    They are lists with an entry for each seed: "scores"; "chosen", on the photographs to choose by;
    "noisy", the PSNR of the noisy images; "gradients"; "losses", see `StudyTraining.result`; "last
    steps", the last points of the curve; "mean error", the PSNR of the mean error.
    """
    table = trainings.arms(experiment)
    if table.empty:
        return {}
    rows = trainings.table.loc[experiment]
    ended_well = rows["psnr_one_pass"].where(~rows["diverged"])
    columns = {
        "scores": rows["score"],
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
    """What the text says of single arms, and of arms of two experiments."""
    longest = [f"512 thousand pairs, {target} targets" for target in ("clean", "noisy")]
    over_flips = [trainings.scores("targets", arm, "psnr") for arm in longest]
    fresh = trainings.scores("targets", "32 thousand pairs, noisy targets")
    repeated = trainings.scores("passes", "30 passes, noisy targets, all 8 flips")
    large = trainings.arm("ceiling", "large U-Net, clean targets").iloc[0]
    # An iteration was undone if the weights after it have the score of those before it
    curves = trainings.arm("optimizers", "L-BFGS at 0.05")["curve"]
    scores = [[score for _, score in curve] for curve in curves]
    undone = sum(before == after for curve in scores for before, after in pairwise(curve))
    return {
        "targets over flips": difference(*over_flips),
        "fresh minus all 8 flips": difference(fresh, repeated),
        "ceiling": {"curve": large["curve"], "batch size": large["settings"]["batch_size"]},
        "undone": undone,
    }


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


def sizes(trainings):
    """How many trainings there are, of how many pairs, and on what."""
    table = trainings.table
    return {
        "number": len(table),
        "pairs": int(table["pairs"].sum()),
        "devices": table["device"].value_counts().to_dict(),
    }


def progress(arms):
    """How many arms each experiment has, and how many of them have all their seeds."""
    rows = []
    for name, experiment in EXPERIMENTS.items():
        seeds = [len(arm["scores"]) for arm in arms[name].values()]
        row = {
            "question": experiment.question,
            "arms": len(experiment.arms),
            "finished": seeds.count(len(experiment.seeds)),
            "seeds": len(experiment.seeds),
            "trainings": sum(seeds),
        }
        rows.append(row)
    return rows


def layers():
    """The rows of Appendix A: its modules, and the channels and the size of what they return."""
    rows = []
    grown, channels, is_encoder = 0, 3, True
    for layer in build_network():
        name = type(layer).__name__
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            is_encoder = isinstance(layer, nn.Conv2d)
            grown += 1 if is_encoder else -1
            channels = layer.out_channels
            name += f"({layer.in_channels}, {channels})"
        elif isinstance(layer, nn.BatchNorm2d):
            name += f"({channels})"
        size = f"H + {grown}" if grown > 0 else "H"
        row = {"module": name, "channels": channels, "size": size, "is_encoder": is_encoder}
        rows.append(row)
    return rows
