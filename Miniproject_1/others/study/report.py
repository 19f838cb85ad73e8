"""Build the report: gather its numbers, draw its figures and pictures, typeset it with typst.

No PSNR, difference or time is typed into the text: `report.typ` asks `numbers.json` for each by its
name, and one that is missing ends the build. All come from the files in `results/`, where a table
of each experiment is written too; the pictures from the embedded sample and the shipped weights.
"""

import json
import shutil
import tempfile
from pathlib import Path
from statistics import fmean

import typst

from ...model import INITIALIZATIONS
from ..console import tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..data.noises import NOISES
from ..metrics import psnr
from ..outputs import check_output
from ..pictures import comparison, write_picture
from .experiments import EXPERIMENTS, FLIPS_COMPARED, OPTIMIZERS_QUOTED
from .figures import draw_curves, draw_forest
from .measure import shipped_model
from .networks import cost, networks_of
from .results import RESULTS, finite, load
from .tables import Trainings, csv_of
from .verdicts import answered, difference

SOURCES = Path(__file__).resolve().parent
REPORT = SOURCES.parents[2] / "report.pdf"
FOREST = SOURCES / "forest.png"  # for the README, drawn anew with each report


def add_arguments(parser):
    parser.add_argument("--output", type=Path, default=REPORT, metavar="FILE", help="the PDF")


def run(options):
    """Build the report and write the tables. Returns the exit status."""
    check_output(options.output, overwrite=True)
    trainings = Trainings()
    for name in EXPERIMENTS:
        if name in trainings.table.index:
            (RESULTS / f"{name}.csv").write_text(csv_of(trainings, name))
    with tempfile.TemporaryDirectory() as folder:
        build(options.output, Path(folder), trainings)
    tell(str(options.output))
    return 0


def build(output, folder, trainings):
    """Write the report, and everything that its text needs into a folder."""
    numbers = quoted_numbers(trainings)
    draw_forest(numbers["claims"], folder / "forest.svg", FOREST)
    draw_curves(numbers["arms"], folder / "curves.svg")
    numbers["cases"] = draw_pictures(folder / "cases.png", numbers["sample"]["denoised"])
    (folder / "numbers.json").write_text(json.dumps(finite(numbers)))
    for name in ("report.typ", "references.yml", "samples.png"):
        shutil.copy(SOURCES / name, folder)
    typst.compile(folder / "report.typ", output=output, root=folder)


def quoted_numbers(trainings):
    """All that the text of the report quotes: a dict for JSON with `Difference`s in it."""
    table = trainings.table
    return {
        **{path.stem: load(path.stem) for path in RESULTS.glob("*.json")},
        "arms": {name: trainings.arms(name).to_dict("index") for name in EXPERIMENTS},
        "differences": {name: trainings.differences(name) for name in EXPERIMENTS},
        "searches": {name: trainings.searched(name) for name in EXPERIMENTS},
        "claims": answered(trainings),
        "optimizers": OPTIMIZERS_QUOTED,
        "initializations": list(INITIALIZATIONS),
        "flips": list(FLIPS_COMPARED),
        "noises": noises(trainings),
        "networks": {name: cost(name) for name in networks_of("networks")},
        "trainings": {
            "number": len(table),
            "pairs": int(table["pairs"].sum()),
            "devices": table["device"].value_counts().to_dict(),
        },
        "experiments": {
            name: {"question": each.question, "arms": len(each.arms), "seeds": len(each.seeds)}
            for name, each in EXPERIMENTS.items()
        },
    }


def noises(trainings):
    """For every noise its name and the arm that is quoted: an experiment and how its name begins.

    Where the network has been trained on it, "minus classical" is how much better it is than BM3D,
    or, where pixels are missing, than inpainting.
    """
    rows = {"blocks": {"name": "blocks", "arm": ("targets", "128 thousand pairs")}}
    for name, noise in NOISES.items():
        strength = f"{name}, {noise.argument} {noise.default:g}"
        rows[name] = {"name": strength, "arm": ("noises", name)}
    for noise, row in rows.items():
        experiment, arm = row["arm"]
        if (experiment, f"{arm}, noisy targets") in trainings.table.index:
            seeds = trainings.scores(experiment, f"{arm}, noisy targets")
            classical = load("classical")[noise]
            best = classical.get("inpainting", classical["BM3D"])
            row["minus classical"] = difference(seeds, dict.fromkeys(seeds, best))
    return rows


def draw_pictures(path, scores):
    """Draw the noisy, denoised and clean images of the cases that the report shows.

    `scores` are the PSNR in dB of each denoised image of the sample. Returns for each case that of
    its noisy and of its denoised image.
    """
    photographs = list(sample_photographs().values())  # the images of each
    photographs.sort(key=lambda places: fmean(scores[place] for place in places))
    cases = []
    for places in (photographs[-1], photographs[len(photographs) // 2], *photographs[:3]):
        ordered = sorted(places, key=lambda place: scores[place])
        cases.append(ordered[len(ordered) // 2])
    noisy, clean = [images[cases] for images in load_pairs(SAMPLE, "val_data.pkl")]
    denoised = shipped_model().predict(noisy).cpu()
    write_picture(comparison((noisy, denoised, clean)), path)
    return list(zip(psnr(noisy, clean).tolist(), [scores[case] for case in cases]))
