"""Build the report: draw its figures and pictures, gather its numbers from `results/`, typeset it with typst.

No number is typed into the text: `report.typ` reads `numbers.json`, made here from the JSON files in `results/`. The
pictures are made from the embedded sample with the shipped weights. Needs: pip install pillow matplotlib typst
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch

from ...model import Model, Pairs, build_network
from ..data.noises import NOISES
from ..data.pairs import SAMPLE, load_pairs, places_in_sample, psnr
from ..data.pictures import comparison, write_picture
from .experiments import BASELINE, CONSTANT, FALLING, OPTIMIZERS, ROWS, settings_of
from .figures import draw_all
from .measurements import CLASSICAL_IMAGES
from .runs import VALIDATION_IMAGES
from .verdicts import comparisons, load, mean, runs_of, summary

SOURCES = Path(__file__).resolve().parent
REPORT = SOURCES.parents[2] / "report.pdf"
MEASURED = "activations", "consistency", "classical", "blur"
NAMED = "weights", "scores", "robustness", "tradeoff", "sensor", "benchmark", "precision", "public", "averaged"
PAIR = 12  # of the sample, shown with its two noisy versions


def layers():
    """The rows of Appendix A: number, module, and what comes out of it."""
    rows, grown = [], 0
    for number, layer in enumerate(build_network()):
        if isinstance(layer, torch.nn.Conv2d):
            grown, channels = grown + 1, layer.out_channels
        elif isinstance(layer, torch.nn.ConvTranspose2d):
            grown, channels = grown - 1, layer.out_channels
        size = f"{channels} x (H + {grown}) x (W + {grown})" if grown else f"{channels} x H x W"
        module = f"BatchNorm2d({channels})" if isinstance(layer, torch.nn.BatchNorm2d) else repr(layer)
        rows.append(dict(number=number, module=module, shape=size))
    return rows


def measured(name):
    """What the study measured beside the rows of trainings, or nothing."""
    return next((each["result"] for each in load(f"rows/{name}")), None)


def search():
    """The rows of the search for the recipe: a name and its scores, one for each seed."""
    rows = {}
    for run in load("search")["runs"]:
        row = rows.setdefault(run["name"], dict(name=run["name"], one_pass=[], mean=[]))
        row["one_pass"].append(run["psnr_one_pass"])
        row["mean"].append(run["psnr"])
    return list(rows.values())


def epochs(row):
    return settings_of(next(iter(row.variants.values())), FALLING)["epochs"]


def swing():
    """The highest minus the lowest score in the last epoch at a constant rate, mean over plain Xavier's runs."""
    runs = runs_of("initialization", CONSTANT).get("xavier", {}).values()
    found = [[point["psnr"] for point in run["scores"] if point["images"] == VALIDATION_IMAGES] for run in runs]
    return mean(max(scores) - min(scores) for scores in found) if found else None


def gather_numbers():
    """All that the text quotes."""
    runs = [run for row in ROWS for run in load(f"rows/{row}")]
    own = [run for run in runs if "taken_from" not in run]
    floors = [run["result"]["floor"] for run in load("rows/initialization")]
    return dict(
        rows={
            row: {rate: {variant: summary(found) for variant, found in runs_of(row, rate).items()} for rate in of.rates}
            for row, of in ROWS.items()
        },
        compare={row: {rate: comparisons(row, rate) for rate in of.rates} for row, of in ROWS.items()},
        planned={row: dict(seeds=len(of.seeds), epochs=epochs(of)) for row, of in ROWS.items()},
        original=[run["result"] for run in load("rows/original")],
        floor=floors[0] if floors else None,
        trainings=len(own),
        processors=sorted({run["processor"] for run in own}),
        in_bfloat16=mean(run["result"]["bfloat16"] for run in own) if own else 0,
        noises=list(NOISES),
        baseline=BASELINE,
        optimizer_sizes=OPTIMIZERS,
        validation_images=VALIDATION_IMAGES,
        classical_images=CLASSICAL_IMAGES,
        measured={name: measured(name) for name in MEASURED},
        search=search(),
        swing=swing(),
        **{name: load(name) for name in NAMED},
        layers=layers(),
        weight_values=sum(parameter.numel() for parameter in build_network().parameters()),
        parameters=f"{sum(parameter.numel() for parameter in build_network().parameters()):,}",
    )


def draw_pictures(folder):
    """The pictures of the report; returns what their captions quote."""
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    model = Model()
    model.load_pretrained_model()
    denoised, photographs = model.predict(noisy).cpu(), places_in_sample()
    scores = psnr(denoised, clean)
    order = scores[photographs].mean(1).argsort()  # of the photographs, worst first
    cases = [photographs[number][scores[photographs[number]].argsort()[7]].item() for number in order.tolist()]
    cases = [cases[-1], cases[len(cases) // 2], *cases[:3]]  # best, median, three worst
    for name, places in (("cases", cases), ("strip", photographs[:12, 0])):
        rows = [images[places] for images in (noisy, denoised, clean)]
        write_picture(comparison(rows, labels=("noisy", "denoised", "clean")), folder / f"{name}.png")
    pairs = [images[PAIR : PAIR + 1] for images in load_pairs(SAMPLE, "train_data.pkl")]
    flipped, _ = Pairs(*pairs, flips=["vertical"], flip_fraction=1, swap=False)(0)
    write_picture(comparison([torch.cat([*pairs, flipped])]), folder / "pair.png")
    return dict(
        cases=[dict(noisy=before, denoised=after)
               for before, after in zip(psnr(noisy, clean)[cases].tolist(), scores[cases].tolist())],
        sample_photographs=len(order),
    )  # fmt: skip


def build(output, folder):
    """Write everything that the text needs into `folder`, and the report to `output`.

    Raises:
        ModuleNotFoundError: typst, matplotlib or Pillow is not installed.
    """
    try:
        import typst
    except ModuleNotFoundError:
        raise ModuleNotFoundError("typesetting the report needs typst: pip install typst") from None
    draw_all(folder)
    numbers = dict(gather_numbers(), **draw_pictures(folder))
    (folder / "numbers.json").write_text(json.dumps(numbers))
    for name in ("report.typ", "references.yml"):
        shutil.copy(SOURCES / name, folder)
    typst.compile(folder / "report.typ", output=output, root=folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REPORT, metavar="FILE", help="the PDF")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep figures, pictures and numbers here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        build(options.output, options.keep or Path(scratch))
    print(options.output)


if __name__ == "__main__":
    main()
