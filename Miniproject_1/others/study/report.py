"""Build the report: draw its figures and pictures, gather its numbers, typeset it with typst.

    python -m Miniproject_1.others.study.report [--output FILE]

No number is typed into the text: `report.typ` reads `numbers.json`, which is made here from the
files in `results/`. What has no result there is named in the report as not run. The pictures are
made from the embedded sample with the shipped weights. Needs: pip install pillow matplotlib typst
"""

import inspect
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ...model import INITIALIZATIONS, build_network
from ..console import tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..data.noises import NOISES, STRENGTHS
from ..metrics import psnr
from ..pictures import comparison, write_picture
from . import parser_of, shipped_model
from .claims import answered
from .experiments import EXPERIMENTS, NETWORKS_COMPARED, searched_rates
from .figures import OPTIMIZER_ARMS, OPTIMIZERS_DRAWN, PASSES, THOUSANDS, draw_all
from .findings import arms_of, best_arm, compared, table_of
from .networks import cost
from .results import load, load_run, score_to_choose_by
from .verdicts import EQUAL

SOURCES = Path(__file__).resolve().parent
REPORT = SOURCES.parents[2] / "report.pdf"
MEASURED = (
    "weights", "scores", "peers", "robustness", "benchmark", "precision", "sampling", "consistency",
    "sampler_weights",
)  # fmt: skip
SEARCHES = {  # for a learning rate that the text names: an experiment and an arm
    "momAGD": ("hybrid", "momAGD, falling, 2000 gradients"),
    "hybrid": ("hybrid", "hybrid, falling, 2000 gradients"),
    "L-BFGS": ("optimizers", "L-BFGS, falling, 600 gradients"),
    "positive": ("starts", "xavier positive, two each, falling"),
}
PAIR = 12  # of the sample, shown with its two noisy versions


# ----------------------------------------------------------------------------------------------
# Numbers


def gather_numbers():
    """All that the text quotes."""
    numbers = {name: load(name) for name in MEASURED}
    numbers["tables"] = {name: table_of(name) for name in EXPERIMENTS}
    numbers["claims"] = answered()
    numbers["targets"] = worth_of_clean_targets("targets", THOUSANDS, "{} thousand pairs")
    numbers["passes"] = worth_of_clean_targets("passes", PASSES, "{} passes")
    numbers["draws"] = scenes_or_draws()
    numbers["networks"] = beside_appendix_a()
    numbers["optimizers"] = [beside_momagd(*arms) for arms in OPTIMIZER_ARMS]
    numbers["optimizer_names"] = OPTIMIZERS_DRAWN
    numbers["starts"] = starts()
    numbers["adam_hybrid"] = compared(
        "hybrid", "ADAM, falling, 2000 gradients", "hybrid, falling, 2000 gradients"
    )
    numbers["searches"] = {name: searched(*arm) for name, arm in SEARCHES.items()}
    numbers["variants"] = variants()
    numbers["flips"] = flipped()
    numbers["noises"] = other_noises()
    numbers["learned"] = repeated_and_fresh()
    numbers["adam"] = [
        result["losses"] for result in arms_of("optimizers")["ADAM at 0.05"].values()
    ]
    numbers["trainings"] = trainings()
    numbers["progress"] = progress()
    numbers["layers"] = layers()
    numbers["parameters"] = sum(p.numel() for p in build_network().parameters())
    numbers["equal"] = EQUAL
    return numbers


def worth_of_clean_targets(name, places, arm):
    """Clean minus noisy targets, for each length of training that has been run."""
    rows = []
    for place in places:
        label = arm.format(place)
        found = compared(name, f"{label}, clean targets", f"{label}, noisy targets")
        if found is not None:
            rows.append({"place": place, **asdict(found)})
    return rows


def scenes_or_draws():
    """Each way to spend 8,000 draws at its best length, against the one with most images.

    None where not all lengths have been run.
    """
    ways = ("1000 images, 8 draws", "2000 images, 4 draws", "4000 images, 2 draws")
    best = {}
    for way in ways:
        arms = [arm.name for arm in EXPERIMENTS["draws"].arms if arm.name.startswith(way)]
        best[way] = best_arm("draws", arms)
    if None in best.values():
        return None
    rows = []
    for way in ways:
        found = compared("draws", best[ways[-1]], best[way])
        rows.append({"way": way, "arm": best[way], "behind": found})
    return rows


def beside_appendix_a():
    """What every network costs, and how much it is above Appendix A."""
    measured = (load("benchmark") or {}).get("cpu", {}).get("networks", {}).get("result", {})
    rows = []
    for name in NETWORKS_COMPARED:
        found = compared("networks", name, "Appendix A")
        milliseconds = measured.get(name, {}).get("milliseconds")
        row = {"name": name, "difference": found, "milliseconds": milliseconds, **cost(name)}
        rows.append(row)
    return rows


def beside_momagd(experiment, ending):
    """How much each optimizer is above momAGD, those of which there are trainings."""
    rows = []
    arms = {row["arm"]: row for row in table_of(experiment)}
    for name in OPTIMIZERS_DRAWN:
        if name + ending in arms:
            difference = None
            if name != "momAGD":
                difference = compared(experiment, name + ending, "momAGD" + ending)
            rows.append({"name": name, "row": arms[name + ending], "difference": difference})
    return rows


def starts():
    """Each initialization at 0.05: its PSNR, and how much others are worth.

    "masked": how much masked Xavier is above it; the rest: how much two BatchNorms each are above
    other BatchNorms.
    """
    rows = []
    arms = {row["arm"]: row for row in table_of("starts")}
    for name in INITIALIZATIONS:
        row = {"name": name, "two each": arms.get(f"{name}, two each, at 0.05"), "masked": None}
        if name != "masked xavier":
            masked = "masked xavier, two each, at 0.05"
            row["masked"] = compared("starts", masked, f"{name}, two each, at 0.05")
        for network in ("no BatchNorm", "BatchNorm everywhere"):
            row[network] = None
            if f"{name}, {network}, at 0.05" in arms:
                other = f"{name}, {network}, at 0.05"
                row[network] = compared("starts", f"{name}, two each, at 0.05", other)
        rows.append(row)
    return rows


def searched(experiment, name):
    """The learning rates that were tried for an arm, and the PSNR each was chosen by or not."""
    (arm,) = [arm for arm in EXPERIMENTS[experiment].arms if arm.name == name]
    runs, _ = searched_rates(experiment, arm, score_to_choose_by)
    tried = []
    for run in runs:
        result = load_run(run)
        if result is not None:
            tried.append({"rate": run.settings.learning_rate, "psnr": result["psnr_choosing"]})
    return tried


def variants():
    """How much Appendix A is above each variant of it."""
    names = [arm.name for arm in EXPERIMENTS["variants"].arms if arm.name != "Appendix A"]
    return {name: compared("variants", "Appendix A", name) for name in names}


def flipped():
    """How much each way to flip or to exchange is above none, as far as there are trainings."""
    names = [arm.name for arm in EXPERIMENTS["flips"].arms if arm.name != "none"]
    found = {name: compared("flips", name, "none") for name in names}
    return {name: difference for name, difference in found.items() if difference is not None}


def progress():
    """How many arms each experiment has, how many are finished, and how many trainings that is."""
    rows = []
    for name, experiment in EXPERIMENTS.items():
        results = arms_of(name)
        finished = [arm for arm, seeds in results.items() if len(seeds) == len(experiment.seeds)]
        rows.append(
            {
                "question": experiment.question,
                "arms": len(experiment.arms),
                "finished": len(finished),
                "seeds": len(experiment.seeds),
                "trainings": sum(len(seeds) for seeds in results.values()),
            }
        )
    return rows


def other_noises():
    """For every noise what classical methods and the network reach, and clean minus noisy targets.

    On the same images; the network has seen 64 thousand pairs, of the course's noise 128 thousand.
    """
    classical = load("classical") or {}
    rows = []
    for noise in ("blocks", *NOISES):
        experiment, arm = "noises", f"{noise}, {{}} targets"
        if noise == "blocks":
            experiment, arm = "targets", "128 thousand pairs, {} targets"
        scores = classical.get(noise, {})
        results = arms_of(experiment)[arm.format("noisy")].values()
        row = {
            "noise": noise,
            "strength": strength_of(noise),
            "noisy": mean_of(result["psnr_noisy"] for result in results),
            "classical": {name: sum(values) / len(values) for name, values in scores.items()},
            "arm": {"experiment": experiment, "name": arm.format("noisy")},
            "clean minus noisy": compared(experiment, arm.format("clean"), arm.format("noisy")),
        }
        rows.append(row)
    return rows


def strength_of(noise):
    """The strength of a noise of the study, in words; None for the course's noise."""
    if noise == "blocks":
        return None
    function, _ = NOISES[noise]
    argument, *_ = STRENGTHS[noise]
    return f"{argument} {inspect.signature(function).parameters[argument].default:g}"


def mean_of(values):
    """The mean, or None if there are no values."""
    values = list(values)
    return sum(values) / len(values) if values else None


def repeated_and_fresh():
    """The PSNR and the last loss, means over seeds, of 1,000 images 30 times and of fresh pairs."""
    arms = {"repeated": ("flips", "none"), "fresh": ("targets", "32 thousand pairs, noisy targets")}
    found = {}
    for name, (experiment, arm) in arms.items():
        results = arms_of(experiment)[arm].values()
        found[name] = {
            "psnr": mean_of(mean_of(result["psnr_one_pass"]) for result in results),
            "loss": mean_of(result["losses"][-1] for result in results),
        }
    return found


def trainings():
    """How many trainings there are, of how many pairs, and on what."""
    results = []
    for name in EXPERIMENTS:
        for seeds in arms_of(name).values():
            results += seeds.values()
    return {
        "number": len(results),
        "pairs": sum(result["pairs"] for result in results),
        "devices": sorted({result["device"] for result in results}),
    }


def layers():
    """The rows of Appendix A: number, module, and what comes out of it."""
    rows = []
    grown, channels = 0, 3
    for number, layer in enumerate(build_network()):
        name = repr(layer)
        if isinstance(layer, nn.Conv2d):
            grown, channels = grown + 1, layer.out_channels
        elif isinstance(layer, nn.ConvTranspose2d):
            grown, channels = grown - 1, layer.out_channels
        elif isinstance(layer, nn.BatchNorm2d):
            name = f"BatchNorm2d({channels})"
        size = f"{channels} x (H + {grown}) x (W + {grown})"
        if grown == 0:
            size = f"{channels} x H x W"
        rows.append({"number": number, "module": name, "shape": size})
    return rows


# ----------------------------------------------------------------------------------------------
# Pictures


def draw_pictures(folder):
    """Write the pictures of the report; returns what their captions quote."""
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    denoised = shipped_model().predict(noisy).cpu()
    scores = psnr(denoised, clean)

    photographs = list(sample_photographs().values())  # the images of each
    photographs.sort(key=lambda places: scores[places].mean().item())
    chosen = [photographs[-1], photographs[len(photographs) // 2], *photographs[:3]]
    cases = [median_place(places, scores) for places in chosen]
    rows = [images[cases] for images in (noisy, denoised, clean)]
    picture = comparison(rows, labels=("noisy", "denoised", "clean"))
    write_picture(picture, folder / "cases.png")

    pair = [images[PAIR : PAIR + 1] for images in load_pairs(SAMPLE, "train_data.pkl")]
    pair.append(pair[0].flip(2))
    write_picture(comparison([torch.cat(pair)]), folder / "pair.png")
    before = psnr(noisy, clean)
    quoted = [{"noisy": before[case].item(), "denoised": scores[case].item()} for case in cases]
    means = {
        name: sum(values) / len(values)
        for name, values in (load("classical") or {}).get("data", {}).items()
    }
    return {
        "cases": quoted,
        "sample": {
            "photographs": len(photographs),
            "images": len(noisy),
            "denoised": scores.mean().item(),
            "classical": means,
        },
    }


def median_place(places, scores):
    """Of the images at these places the one of median score."""
    ordered = sorted(places, key=lambda place: scores[place].item())
    return ordered[len(ordered) // 2]


# ----------------------------------------------------------------------------------------------
# The report


def build(output, folder):
    """Write the report, and everything that its text needs into a folder.

    Raises:
        ModuleNotFoundError: typst, matplotlib or Pillow is not installed.
    """
    import typst

    numbers = gather_numbers()
    numbers["figures"] = draw_all(folder)
    numbers.update(draw_pictures(folder))
    (folder / "numbers.json").write_text(json.dumps(numbers, default=asdict))
    for name in ("report.typ", "references.yml", "samples.png"):
        shutil.copy(SOURCES / name, folder)
    typst.compile(folder / "report.typ", output=output, root=folder)


def main():
    """Build the report."""
    parser = parser_of(__doc__)
    parser.add_argument("--output", type=Path, default=REPORT, metavar="FILE", help="the PDF")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        build(output, Path(folder))
    tell(str(output))


if __name__ == "__main__":
    main()
