"""Build the report: draw its figures and pictures, gather its numbers, typeset it with typst.

    python -m Miniproject_1.others.study.report [--output FILE]

No number is typed into the text: `report.typ` reads `numbers.json`, which is made here from the
files in `results/`. What has no result there is named in the report as not run. The pictures are
made from the embedded sample with the shipped weights. Needs: pip install pillow matplotlib typst
"""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ...model import build_network
from ..console import tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..data.noises import NOISES
from ..metrics import psnr
from ..pictures import comparison, write_picture
from . import parser_of, shipped_model
from .claims import answered
from .experiments import EXPERIMENTS, NETWORKS_COMPARED
from .figures import PASSES, THOUSANDS, draw_all
from .findings import arms_of, best_arm, compared, table_of
from .networks import cost
from .results import load
from .verdicts import EQUAL

SOURCES = Path(__file__).resolve().parent
REPORT = SOURCES.parents[2] / "report.pdf"
MEASURED = (
    "weights", "scores", "peers", "robustness", "benchmark", "precision", "sampling", "consistency",
    "sampler_weights",
)  # fmt: skip
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
    numbers["noises"] = other_noises()
    numbers["trainings"] = trainings()
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
    rows = []
    for name in NETWORKS_COMPARED:
        found = compared("networks", name, "Appendix A")
        rows.append({"name": name, "difference": found, **cost(name)})
    return rows


def other_noises():
    """Clean minus noisy targets for every noise, and what classical methods reach."""
    classical = load("classical") or {}
    rows = []
    for noise in ("blocks", *NOISES):
        found = None
        if noise != "blocks":
            found = compared("noises", f"{noise}, clean targets", f"{noise}, noisy targets")
        methods = classical.get(noise, {})
        means = {name: sum(values) / len(values) for name, values in methods.items()}
        rows.append({"noise": noise, "clean minus noisy": found, "classical": means})
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
    return {"cases": quoted, "sample_photographs": len(photographs)}


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
