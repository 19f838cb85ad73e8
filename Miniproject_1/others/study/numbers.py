"""What the report quotes: numbers, tables and verdicts, all from the files in `results/`.

The report's text asks for each number by its name. What is missing ends the build with an error
that names it, but for the rows of tables, where it is None.
"""

from dataclasses import asdict
from itertools import pairwise

from torch import nn

from ...model import INITIALIZATIONS, build_network
from ..data.noises import NOISES
from ..metrics import psnr_of
from .claims import answered
from .experiments import (
    EXPERIMENTS,
    FLIPS_COMPARED,
    OPTIMIZER_SETTINGS,
    OPTIMIZERS_QUOTED,
    PASSES,
    THOUSANDS,
    THOUSANDS_OF_DRAWS,
    WAYS_TO_DRAW,
)
from .networks import cost, networks_of
from .results import load
from .tables import mean
from .trainings import LAST_POINTS
from .verdicts import EQUAL, SMALLER, difference

MEASURED = (  # files that are quoted as they are
    "weights", "scores", "peers", "robustness", "benchmark", "precision", "sampling", "consistency",
    "sampler_weights",
)  # fmt: skip
SEARCHES = {  # for learning rates: an experiment and an arm
    "momAGD": ("hybrid", "momAGD, falling, 2000 gradients"),
    "momAGD, constant": ("optimizers", "momAGD, constant, 600 gradients"),
    "hybrid": ("hybrid", "hybrid, falling, 2000 gradients"),
    "positive": ("starts", "xavier positive, two each, falling"),
}
CHOSEN = {  # arms whose seeds are compared with the training by which their rate was chosen
    "momAGD": ("optimizers", "momAGD, falling, 600 gradients"),
    "BatchNorm everywhere": ("starts", "masked xavier, BatchNorm everywhere, falling"),
}
LONGEST = f"{max(THOUSANDS)} thousand pairs"  # of those with noisy and with clean targets
REPEATED = f"{max(PASSES)} passes, noisy targets"
FRESH = "32 thousand pairs, noisy targets"  # about as many as `REPEATED` has


def quoted_numbers(trainings):
    """All that the text of the report quotes: a dict for JSON with `Difference`s in it.

    Args:
        trainings: a `tables.Trainings`.
    """
    best = {target: best_passes(trainings, target) for target in ("noisy", "clean")}
    return {
        **{name: load(name) for name in MEASURED},
        "arms": {name: trainings.arms(name).to_dict("index") for name in EXPERIMENTS},
        "differences": differences(trainings, best),
        "claims": answered(trainings),
        "best passes": best,
        "optimizers": OPTIMIZERS_QUOTED,
        "optimizer settings": OPTIMIZER_SETTINGS,
        "initializations": list(INITIALIZATIONS),
        "variants": networks_of("variants"),
        "flips": list(FLIPS_COMPARED),
        "draws": draws(trainings),
        "noises": noises(trainings),
        "networks": {name: cost(name) for name in networks_of("networks")},
        "classical": {name: classical(name) for name in ("sample", "test")},
        **comparisons_of_a_kind_of_their_own(trainings),
        **details_of_trainings(trainings),
        "searches": {name: trainings.searched(*arm) for name, arm in SEARCHES.items()},
        "best rates": best_rates(trainings),
        "chosen": {name: chosen(trainings, *arm) for name, arm in CHOSEN.items()},
        "worse falling": worse_falling(trainings),
        "unlearned": unlearned(trainings),
        "original": original(trainings),
        "trainings": sizes(trainings),
        "progress": progress(trainings),
        "layers": layers(),
        "parameters": sum(parameter.numel() for parameter in build_network().parameters()),
        "equal": EQUAL,
    }


# ----------------------------------------------------------------------------------------------
# Differences


def differences(trainings, best):
    """How much arms are above others: by experiment, then by "FIRST minus SECOND".

    It is None where one of them has not been run.
    """
    found = {name: {} for name in EXPERIMENTS}
    for experiment, first, second in [
        *pairs_of_targets(best),
        *pairs_of_networks(),
        *pairs_of_optimizers(),
        *pairs_of_starts(),
    ]:
        compared = trainings.compared(experiment, first, second)
        found[experiment][f"{first} minus {second}"] = compared
    return found


def pairs_of_targets(best):
    """Clean against noisy targets, flips against none, and few crops against many."""
    for experiment in ("targets", "long", "passes", "noises"):
        for arm in EXPERIMENTS[experiment].arms:
            if arm.name.endswith("clean targets"):
                yield experiment, arm.name, arm.name.replace("clean targets", "noisy targets")
    yield "passes", best["clean"], best["noisy"]
    for name in FLIPS_COMPARED:
        yield "passes", f"{REPEATED}, {name}", REPEATED
        yield "passes", f"{REPEATED}, {name}", best["noisy"]


def pairs_of_networks():
    for name in networks_of("networks"):
        yield "networks", name, "Appendix A"
    yield "networks", "small U-Net", "Appendix A, half as wide"
    for name in networks_of("variants"):
        yield "variants", "Appendix A", name
    for arm in EXPERIMENTS["original"].arms:
        yield "original", arm.name, "batches of 100"


def pairs_of_optimizers():
    """Each optimizer against momAGD at each setting, and some against others."""
    for experiment, form in OPTIMIZER_SETTINGS.values():
        for name in OPTIMIZERS_QUOTED:
            yield experiment, form.format(name), form.format("momAGD")
    experiment, longer = OPTIMIZER_SETTINGS["longer"]
    yield experiment, longer.format("ADAM"), longer.format("hybrid")
    experiment, fair = OPTIMIZER_SETTINGS["fair"]
    for name in ("Nesterov", "momentum 0.8", "ADAM"):
        yield experiment, fair.format("hybrid"), fair.format(name)
    _, theirs = OPTIMIZER_SETTINGS["theirs"]
    _, falling = OPTIMIZER_SETTINGS["theirs, falling"]
    for name in ("SGD", "momAGD"):
        yield experiment, falling.format(name), theirs.format(name)


def pairs_of_starts():
    """Masked Xavier against each initialization, and the usual BatchNorms against others."""
    for name in INITIALIZATIONS:
        for rate in ("at 0.05", "falling"):
            yield "starts", f"masked xavier, two each, {rate}", f"{name}, two each, {rate}"
        for network in networks_of("starts"):
            yield "starts", f"{name}, two each, at 0.05", f"{name}, {network}, at 0.05"


def comparisons_of_a_kind_of_their_own(trainings):
    """By the mean over 8 flips, and of arms of two experiments."""
    fresh = trainings.scores("targets", FRESH)
    repeated = trainings.scores("passes", f"{REPEATED}, all 8 flips")
    arms = [f"{LONGEST}, {target} targets" for target in ("clean", "noisy")]
    return {
        "targets over flips": trainings.compared("targets", *arms, score="psnr"),
        "fresh minus all 8 flips": difference(fresh, repeated),
    }


# ----------------------------------------------------------------------------------------------
# Targets, draws, noises


def best_passes(trainings, target):
    """The arm with the best number of passes, on the photographs to choose by."""
    return trainings.best("passes", [f"{number} passes, {target} targets" for number in PASSES])


def draws(trainings):
    """Each way to spend 8,000 draws: its PSNR by length, and its best length.

    Returns:
        list of dict, most draws of each crop first: "images" and "draws"; "psnr": by thousands of
        pairs; "minus the last": how much it is above the one with most crops, each at its best
        length; "after 32 thousand": the same, both after so many pairs.
    """
    rows = []
    for images, number in WAYS_TO_DRAW:
        way = f"{images} images, {number} draws"
        arms = {length: f"{way}, {length} thousand pairs" for length in THOUSANDS_OF_DRAWS}
        psnr = {length: trainings.arm("draws", arm)["score"].mean() for length, arm in arms.items()}
        rows.append({"images": images, "draws": number, "psnr": psnr, "arms": arms})
    best = [trainings.best("draws", row["arms"].values()) for row in rows]
    for row, best_of_row in zip(rows, best):
        same_length = row["arms"][32], rows[-1]["arms"][32]
        row["minus the last"] = trainings.compared("draws", best_of_row, best[-1])
        row["after 32 thousand"] = trainings.compared("draws", *same_length)
    return rows


def noises(trainings):
    """For every noise the PSNR of noisy images, of classical methods and of the network.

    All are of the same images. The network has seen 64 thousand pairs with noisy targets, of the
    course's noise 128 thousand.
    """
    course = row_of_noise(trainings, "blocks", "targets", "128 thousand pairs")
    rows = {"blocks": {"name": "the course's", **course}}
    for name, noise in NOISES.items():
        strength = f"{name}, {noise.argument} {noise.default:g}"
        rows[name] = {"name": strength, **row_of_noise(trainings, name, "noises", name)}
    return rows


def row_of_noise(trainings, noise, experiment, arm):
    noisy, clean = f"{arm}, noisy targets", f"{arm}, clean targets"
    row = {"classical": {}, "noisy": None, "network": None, "network minus classical": None}
    row["clean minus noisy"] = trainings.compared(experiment, clean, noisy)
    if trainings.has(experiment, noisy):
        scores = load("classical")[noise]
        best = scores.get("inpainting", scores["BM3D"])
        seeds = trainings.scores(experiment, noisy)
        row["classical"] = classical(noise)
        row["noisy"] = trainings.arm(experiment, noisy)["psnr_noisy"].mean()
        row["network"] = trainings.arm(experiment, noisy)["score"].mean()
        row["network minus classical"] = difference(seeds, dict.fromkeys(seeds, best))
    return row


def classical(images):
    """The mean PSNR of each classical method on a set of images in `classical.json`."""
    return {method: mean(values) for method, values in load("classical")[images].items()}


# ----------------------------------------------------------------------------------------------
# Optimizers, initializations, their training


def details_of_trainings(trainings):
    """What the text says of single trainings."""
    adam = trainings.arm("optimizers", "ADAM at 0.05").iloc[0]
    lbfgs = trainings.arm("optimizers", "L-BFGS at 0.05")
    large = trainings.arm("ceiling", "large U-Net, clean targets").iloc[0]
    repeated, fresh = trainings.arm("passes", REPEATED), trainings.arm("targets", FRESH)
    # An iteration was undone if the weights after it have the score of those before it
    scores = [[score for _, score in curve] for curve in lbfgs["curve"]]
    undone = sum(before == after for curve in scores for before, after in pairwise(curve))
    return {
        "gradients": {
            passes: int(trainings.arm("passes", f"{passes} passes, clean targets")["gradients"].max())
            for passes in PASSES
        },
        "last losses": {
            "repeated": repeated["losses"].str[-1].mean(),
            "fresh": fresh["losses"].str[-1].mean(),
        },
        "losses of ADAM": [adam["losses"][0], adam["losses"][-1]],
        "L-BFGS": {"undone": undone, "iterations": int(lbfgs["losses"].map(len).sum())},
        "batches of 64": trainings.arm("targets", "128 thousand pairs, noisy targets")["score"][1],
        "ceiling": {
            "curve": large["curve"],
            "psnr": large["score"],
            "losses": [large["losses"][len(large["losses"]) // 10], large["losses"][-1]],
            "batch size": large["settings"]["batch_size"],
        },
    }


def best_rates(trainings):
    """For each optimizer and momentum the best falling rate so far, after 600 gradients.

    Of one training at each rate, on the photographs to choose by.
    """
    experiment, form = OPTIMIZER_SETTINGS["fair"]
    best = {}
    for name in OPTIMIZERS_QUOTED:
        tried = [each for each in trainings.searched(experiment, form.format(name)) if each["psnr"]]
        best[name] = max(tried, key=lambda each: each["psnr"], default=None)
    return best


def chosen(trainings, experiment, arm):
    """The PSNR of the one training by which a rate was chosen, and that of each of the others."""
    search = max(each["psnr"] or 0 for each in trainings.searched(experiment, arm))
    return {"search": search, "seeds": list(trainings.arm(experiment, arm)["psnr_choosing"])}


def worse_falling(trainings):
    """Initializations and BatchNorms whose best falling rate is known to be worse than 0.05.

    Returns:
        dict of "worse": their differences by name; "number": how many were run at both.
    """
    arms = [arm.name for arm in EXPERIMENTS["starts"].arms]
    names = sorted(arm.removesuffix(", falling") for arm in arms if arm.endswith(", falling"))
    found = {
        name: trainings.compared("starts", f"{name}, falling", f"{name}, at 0.05") for name in names
    }
    run = {name: each for name, each in found.items() if each is not None}
    worse = {name: each for name, each in run.items() if each.mean and each.verdict == SMALLER}
    return {"worse": worse, "number": len(run)}


def unlearned(trainings):
    """Combinations of initialization and BatchNorms that end below the noisy images at 0.05."""
    names = []
    for name, arm in trainings.arms("starts").iterrows():
        noisy = trainings.arm("starts", name)["psnr_noisy"].min()
        if name.endswith(", at 0.05") and not arm["psnr"] >= noisy:
            names.append(name.removesuffix(", at 0.05"))
    return sorted(names)


def original(trainings):
    """Three more numbers for each arm of the training of Brown et al.

    The PSNR of the mean error; the mean PSNR after the last step; and by how much the score moves
    within the last tenth of a training, the least and the most of all seeds.
    """
    found = {}
    for name in trainings.arms("original").index:
        arm = trainings.arm("original", name)
        curves = [[score for _, score in curve] for curve in arm["curve"]]
        moves = [max(curve[-LAST_POINTS:]) - min(curve[-LAST_POINTS:]) for curve in curves]
        found[name] = {
            "PSNR of the mean error": arm["psnr_one_pass"].map(psnr_of_mean_error).mean(),
            "after the last step": mean([curve[-1] for curve in curves]),
            "moves by": [min(moves), max(moves)],
        }
    return found


def psnr_of_mean_error(values):
    """The PSNR in dB of the mean error over images, from the PSNR of each of them."""
    return psnr_of(mean([10 ** (-value / 10) for value in values]))


# ----------------------------------------------------------------------------------------------
# The study and the network


def sizes(trainings):
    """How many trainings there are, of how many pairs, and on what."""
    table = trainings.table
    return {
        "number": len(table),
        "pairs": int(table["pairs"].sum()),
        "devices": table["device"].value_counts().to_dict(),
    }


def progress(trainings):
    """How many arms each experiment has, and how many of them have all their seeds."""
    rows = []
    for name, experiment in EXPERIMENTS.items():
        arms = trainings.arms(name)
        seeds = list(arms["seeds"]) if len(arms) else []
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
