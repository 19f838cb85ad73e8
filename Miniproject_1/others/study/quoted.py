"""What the report quotes: numbers, tables and verdicts, all from the files in `results/`.

Where something has not been run, there is None in its place, or an empty list.
"""

from collections import Counter
from dataclasses import asdict
from itertools import pairwise

from torch import nn

from ...model import INITIALIZATIONS, build_network
from ..data.noises import NOISES, default_strength
from ..metrics import psnr_of
from .claims import answered
from .experiments import (
    EXPERIMENTS,
    FLIPS_COMPARED,
    NETWORKS_COMPARED,
    OPTIMIZER_SETTINGS,
    OPTIMIZERS_QUOTED,
    PASSES,
    THOUSANDS,
    THOUSANDS_OF_DRAWS,
    WAYS_TO_DRAW,
)
from .findings import arms_of, best_arm, compared, mean_of, row_of, scores_of, searched, table_of
from .networks import cost
from .results import load
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
    "L-BFGS": ("optimizers", "L-BFGS, falling, 600 gradients"),
    "positive": ("starts", "xavier positive, two each, falling"),
}


def quoted_numbers():
    """All that the text of the report quotes, as a dict for JSON with `Difference`s in it."""
    return {
        **{name: load(name) for name in MEASURED},
        "tables": {name: table_of(name) for name in EXPERIMENTS},
        "batches": batches(),
        "claims": answered(),
        "targets": [
            *worth_of_clean_targets("targets", THOUSANDS, "{} thousand pairs"),
            *worth_of_clean_targets("long", (2_000,), "{} thousand pairs"),
        ],
        "passes": worth_of_clean_targets("passes", PASSES, "{} passes"),
        "best passes": best_passes(),
        "last losses": last_losses(),
        "targets over flips": targets_over_flips(),
        "crops or draws": crops_or_draws(),
        "noises": noises(),
        "BM3D on the test images": classical("test").get("BM3D"),
        "networks": networks(),
        "variants": {
            arm.name: compared("variants", "Appendix A", arm.name)
            for arm in EXPERIMENTS["variants"].arms
            if arm.name != "Appendix A"
        },
        "optimizers": {name: optimizers(name) for name in OPTIMIZER_SETTINGS},
        "optimizer names": OPTIMIZERS_QUOTED,
        "ADAM and hybrid": lead_of("ADAM", "hybrid", "longer"),
        "losses of ADAM": losses_of_adam(),
        "searches": {name: searched(*arm) for name, arm in SEARCHES.items()},
        "best rates": best_rates(),
        "momAGD again": searched_again("optimizers", "momAGD, falling, 600 gradients"),
        "everywhere again": searched_again(
            "starts", "masked xavier, BatchNorm everywhere, falling"
        ),
        "falling at theirs": falling_at_theirs(),
        "hybrid and others": {
            name: lead_of("hybrid", name, "fair") for name in ("Nesterov", "momentum 0.8", "ADAM")
        },
        "L-BFGS iterations": lbfgs_iterations(),
        "U-Net and half": compared("networks", "small U-Net", "Appendix A, half as wide"),
        "fresh and flipped": fresh_and_flipped(),
        "falling starts": falling_starts(),
        "unlearned starts": unlearned_starts(),
        "starts": starts(),
        "ceiling": ceiling(),
        "original": original(),
        "flips": flips(),
        "progress": progress(),
        "trainings": trainings(),
        "layers": layers(),
        "parameters": sum(parameter.numel() for parameter in build_network().parameters()),
        "equal": EQUAL,
    }


# ----------------------------------------------------------------------------------------------
# Noisy and clean targets


def worth_of_clean_targets(experiment, lengths, form):
    """Clean minus noisy targets, for each length of training that has been run."""
    rows = []
    for length in lengths:
        arm = form.format(length)
        found = compared(experiment, f"{arm}, clean targets", f"{arm}, noisy targets")
        if found is not None:
            results = arms_of(experiment)[f"{arm}, clean targets"].values()
            gradients = max(result["gradients"] for result in results)
            row = {"experiment": experiment, "length": length, "gradients": gradients}
            rows.append({**row, **asdict(found)})
    return rows


def targets_over_flips():
    """Clean minus noisy targets after most fresh pairs, scored by the mean over 8 flips."""
    arm = f"{max(THOUSANDS)} thousand pairs"
    return compared("targets", f"{arm}, clean targets", f"{arm}, noisy targets", "psnr")


def best_passes():
    """The best number of passes over the same images, with noisy and with clean targets.

    It is chosen on the photographs to choose by.

    Returns:
        dict of "noisy" and "clean": names of arms; "clean minus noisy": their difference. None if
        not all arms have the same seeds.
    """
    best = {}
    for target in ("noisy", "clean"):
        arms = [f"{number} passes, {target} targets" for number in PASSES]
        best[target] = best_arm("passes", arms)
    if None in best.values():
        return None
    best["clean minus noisy"] = compared("passes", best["clean"], best["noisy"])
    return best


def last_losses():
    """The loss at the end of 30 passes over 1,000 images and of fresh pairs, means over seeds."""
    arms = {
        "repeated": ("passes", "30 passes, noisy targets"),
        "fresh": ("targets", "32 thousand pairs, noisy targets"),
    }
    return {
        name: mean_of(result["losses"][-1] for result in arms_of(experiment)[arm].values())
        for name, (experiment, arm) in arms.items()
    }


def fresh_and_flipped():
    """How much 32,000 fresh pairs are above 30 passes over 1,000 images with all 8 flips.

    Fresh pairs are flipped and turned at random, too.
    """
    fresh = arms_of("targets")["32 thousand pairs, noisy targets"]
    repeated = arms_of("passes")["30 passes, noisy targets, all 8 flips"]
    return difference(scores_of(fresh), scores_of(repeated))


def crops_or_draws():
    """Each way to spend 8,000 draws: its PSNR by length, and its best length.

    Returns:
        list of dict, most draws of each crop first: "images" and "draws"; "psnr": by thousands of
        pairs; "best": the arm with the best of these lengths on the photographs to choose by. But
        for the last, "minus the last": how much it is above the one with most crops, each at its
        best; "after 32 thousand": the same, both after so many pairs. Empty if not all has been
        run.
    """
    rows = []
    for images, draws in WAYS_TO_DRAW:
        way = f"{images} images, {draws} draws"
        arms = {number: f"{way}, {number} thousand pairs" for number in THOUSANDS_OF_DRAWS}
        best = best_arm("draws", list(arms.values()))
        if best is None:
            return []
        psnr = {number: row_of("draws", arm)["psnr"] for number, arm in arms.items()}
        rows.append({"images": images, "draws": draws, "psnr": psnr, "best": best})
    for row in rows[:-1]:
        last = rows[-1]
        same_length = [
            "{images} images, {draws} draws, 32 thousand pairs".format(**each)
            for each in (row, last)
        ]
        row["minus the last"] = compared("draws", row["best"], last["best"])
        row["after 32 thousand"] = compared("draws", *same_length)
    return rows


def flips():
    """What flips and exchange bring after 30 passes over 1,000 images.

    Against none after as many passes, and against none after the best number of passes.
    """
    without = "30 passes, noisy targets"
    best = best_passes()
    rows = []
    for name in FLIPS_COMPARED:
        arm = f"{without}, {name}"
        found = compared("passes", arm, without)
        if found is not None and best is not None:
            of_best = compared("passes", arm, best["noisy"])
            rows.append({"name": name, "arm": arm, "difference": found, "of best": of_best})
    return rows


def noises():
    """For every noise the PSNR of noisy images, of classical methods and of the network.

    All are of the same images. The network has seen 64 thousand pairs with noisy targets, of the
    course's noise 128 thousand.
    """
    rows = []
    for noise in ("blocks", *NOISES):
        experiment, arm, strength = "noises", noise, ""
        if noise == "blocks":
            experiment, arm = "targets", "128 thousand pairs"
        else:
            strength = "{} {:g}".format(*default_strength(noise))
        noisy, clean = f"{arm}, noisy targets", f"{arm}, clean targets"
        results = arms_of(experiment)[noisy]
        of_network = row_of(experiment, noisy)
        row = {
            "noise": noise,
            "strength": strength,
            "noisy": mean_of(result["psnr_noisy"] for result in results.values()),
            "network": of_network["psnr"] if of_network else None,
            "classical": classical(noise),
            "network minus classical": network_minus_classical(noise, results),
            "clean minus noisy": compared(experiment, clean, noisy),
        }
        rows.append(row)
    return rows


def network_minus_classical(noise, results):
    """How much the network is above BM3D; where pixels are missing, above inpainting."""
    scores = (load("classical") or {}).get(noise, {})
    best = scores.get("inpainting", scores.get("BM3D"))
    if best is None:
        return None
    return difference(scores_of(results), dict.fromkeys(results, best))


def classical(images):
    """The mean PSNR of each classical method on a set of images in `classical.json`."""
    scores = (load("classical") or {}).get(images, {})
    return {method: mean_of(values) for method, values in scores.items()}


# ----------------------------------------------------------------------------------------------
# Networks, optimizers, starts


def networks():
    """What every network costs, and how much it is above Appendix A."""
    benchmark = load("benchmark") or {}
    measured = benchmark.get("cpu", {}).get("networks", {"result": {}})["result"]
    rows = []
    for name in NETWORKS_COMPARED:
        found = compared("networks", name, "Appendix A")
        milliseconds = measured.get(name, {}).get("milliseconds")
        row = {"name": name, "difference": found, "milliseconds": milliseconds, **cost(name)}
        rows.append(row)
    return rows


def ceiling():
    """How the large network with clean targets fared; None where it has not been run.

    Returns:
        dict of "psnr": at the end; "first", after "first pairs", and "highest", after "pairs": on
        the way; "losses": at a tenth of the training and at its end.
    """
    for result in arms_of("ceiling")["large U-Net, clean targets"].values():
        gradients, highest = max(result["curve"], key=lambda point: point[1])
        return {
            "psnr": mean_of(result["psnr_one_pass"]),
            "first": result["curve"][0][1],
            "first pairs": result["curve"][0][0] * result["settings"]["batch_size"],
            "highest": highest,
            "pairs": gradients * result["settings"]["batch_size"],
            "losses": (result["losses"][len(result["losses"]) // 10], result["losses"][-1]),
        }
    return None


def optimizers(setting):
    """The row of each optimizer at a setting, and how much it is above momAGD."""
    experiment, form = OPTIMIZER_SETTINGS[setting]
    table = {row["arm"]: row for row in table_of(experiment)}
    rows = []
    for name in OPTIMIZERS_QUOTED:
        arm, reference = form.format(name), form.format("momAGD")
        if arm in table:
            difference = compared(experiment, arm, reference) if arm != reference else None
            rows.append({"name": name, "row": table[arm], "difference": difference})
    return rows


def lead_of(first, second, setting):
    """How much an optimizer is above another, after as many gradients."""
    experiment, form = OPTIMIZER_SETTINGS[setting]
    return compared(experiment, form.format(first), form.format(second))


def best_rates():
    """For each optimizer and momentum the best falling rate so far, after 600 gradients.

    Of one training at each rate, on the photographs to choose by.
    """
    experiment, form = OPTIMIZER_SETTINGS["fair"]
    best = {}
    for name in OPTIMIZERS_QUOTED:
        tried = [each for each in searched(experiment, form.format(name)) if each["psnr"]]
        if tried:
            best[name] = max(tried, key=lambda each: each["psnr"])
    return best


def searched_again(experiment, arm):
    """What an arm reaches at its best rate, by the photographs to choose by.

    Returns:
        the PSNR of the one training by which the rate was chosen, and that of each of the others.
    """
    results = arms_of(experiment)[arm].values()
    tried = searched(experiment, arm)
    search = max((each["psnr"] or 0 for each in tried), default=None)
    return {"search": search, "seeds": [result["psnr_choosing"] for result in results]}


def falling_at_theirs():
    """How much SGD and momAGD are above themselves at 0.05, at the best of their falling rates.

    All else is as at the setting of Brown et al.
    """
    experiment, constant = OPTIMIZER_SETTINGS["theirs"]
    _, falling = OPTIMIZER_SETTINGS["theirs, falling"]
    found = {
        name: compared(experiment, falling.format(name), constant.format(name))
        for name in ("SGD", "momAGD")
    }
    return {name: each for name, each in found.items() if each is not None}


def lbfgs_iterations():
    """How many iterations of L-BFGS at 0.05 were undone, and how many there were, in all seeds.

    An iteration was undone if the weights after it have the score of those before it.
    """
    experiment, form = OPTIMIZER_SETTINGS["theirs"]
    undone = number = 0
    for result in arms_of(experiment)[form.format("L-BFGS")].values():
        scores = [score for _, score in result["curve"]]
        undone += sum(before == after for before, after in pairwise(scores))
        number += len(result["losses"])
    return undone, number


def falling_starts():
    """Initializations and BatchNorms whose best falling rate is known to be worse than 0.05.

    Returns:
        their names and differences, and how many combinations were run at both.
    """
    arms = {row["arm"] for row in table_of("starts")}
    names = [arm.removesuffix(", falling") for arm in arms if arm.endswith(", falling")]
    names = [name for name in names if f"{name}, at 0.05" in arms]
    worse = {}
    for name in sorted(names):
        found = compared("starts", f"{name}, falling", f"{name}, at 0.05")
        if found is not None and found.mean is not None and found.verdict == SMALLER:
            worse[name] = found
    return {"worse": worse, "number": len(names)}


def unlearned_starts():
    """Combinations of initialization and BatchNorms that end below the noisy images at 0.05."""
    names = []
    arms = arms_of("starts")
    for row in table_of("starts"):
        noisy = min(result["psnr_noisy"] for result in arms[row["arm"]].values())
        if row["arm"].endswith(", at 0.05") and (row["psnr"] or 0) < noisy:
            names.append(row["arm"].removesuffix(", at 0.05"))
    return sorted(names)


def losses_of_adam():
    """The first and the last loss of ADAM at 0.05, with the first seed."""
    for result in arms_of("optimizers")["ADAM at 0.05"].values():
        return result["losses"][0], result["losses"][-1]
    return None


def starts():
    """For each initialization its row in the table at 0.05, and four differences."""
    rows = {row["arm"]: row for row in table_of("starts")}

    def lead(first, second, rate="at 0.05"):
        first, second = f"{first}, {rate}", f"{second}, {rate}"
        if first == second or first not in rows or second not in rows:
            return None
        return compared("starts", first, second)

    masked = "masked xavier, two each"
    return [
        {
            "name": name,
            "row": rows.get(f"{name}, two each, at 0.05"),
            "masked minus it": lead(masked, f"{name}, two each"),
            "masked minus it, falling": lead(masked, f"{name}, two each", "falling"),
            "minus no BatchNorm": lead(f"{name}, two each", f"{name}, no BatchNorm"),
            "minus BatchNorm everywhere": lead(
                f"{name}, two each", f"{name}, BatchNorm everywhere"
            ),
        }
        for name in INITIALIZATIONS
    ]


def original():
    """The rows of the training of Brown et al., and four numbers more for each.

    The PSNR of the mean error; the mean PSNR after the last step; how much the row is above batches
    of 100; and by how much the score moves within the last tenth of a training, the least and the
    most of all seeds.
    """
    rows = []
    for row in table_of("original"):
        results = arms_of("original")[row["arm"]]
        row["PSNR of the mean error"] = mean_of(
            psnr_of_mean_error(values)
            for values in scores_of(results).values()
            if values is not None
        )
        row["after the last step"] = mean_of(result["curve"][-1][1] for result in results.values())
        row["difference"] = None
        if row["arm"] != "batches of 100":
            row["difference"] = compared("original", row["arm"], "batches of 100")
        moves = []
        for result in results.values():
            last = [score for _, score in result["curve"][-LAST_POINTS:]]
            moves.append(max(last) - min(last))
        row["moves by"] = min(moves), max(moves)
        rows.append(row)
    return rows


def psnr_of_mean_error(values):
    """The PSNR in dB of the mean error over images, from the PSNR of each of them."""
    return psnr_of(mean_of(10 ** (-value / 10) for value in values))


# ----------------------------------------------------------------------------------------------
# The study and the network


def batches():
    """The PSNR after 128 thousand pairs in batches of several sizes, with one seed, best first."""
    rows = [{"arm": row["arm"], "psnr": row["psnr"]} for row in table_of("batches")]
    usual = arms_of("targets")["128 thousand pairs, noisy targets"].get(1)
    if rows and usual is not None:
        rows.append({"arm": "batches of 64, rate 0.004", "psnr": mean_of(usual["psnr_one_pass"])})
    return sorted(rows, key=lambda row: row["psnr"], reverse=True)


def progress():
    """How many arms each experiment has, and how many of them have all their seeds."""
    rows = []
    for name, experiment in EXPERIMENTS.items():
        results = arms_of(name)
        finished = [arm for arm, seeds in results.items() if len(seeds) == len(experiment.seeds)]
        row = {
            "question": experiment.question,
            "arms": len(experiment.arms),
            "finished": len(finished),
            "seeds": len(experiment.seeds),
            "trainings": sum(len(seeds) for seeds in results.values()),
        }
        rows.append(row)
    return rows


def trainings():
    """How many trainings there are, of how many pairs, and on what."""
    results = []
    for name in EXPERIMENTS:
        for seeds in arms_of(name).values():
            results += seeds.values()
    return {
        "number": len(results),
        "pairs": sum(result["pairs"] for result in results),
        "devices": dict(Counter(result["device"] for result in results)),
    }


def layers():
    """The rows of Appendix A: number, module, and what comes out of it."""
    rows = []
    grown, channels = 0, 3
    for number, layer in enumerate(build_network()):
        name = type(layer).__name__
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            grown += 1 if isinstance(layer, nn.Conv2d) else -1
            channels = layer.out_channels
            name += f"({layer.in_channels}, {channels})"
        elif isinstance(layer, nn.BatchNorm2d):
            name += f"({channels})"
        size = f"{channels} x (H + {grown}) x (W + {grown})"
        if grown == 0:
            size = f"{channels} x H x W"
        rows.append({"number": number, "module": name, "shape": size})
    return rows
