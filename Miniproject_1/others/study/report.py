"""Build the report: draw its figures and pictures, gather its numbers, typeset it with typst.

No PSNR, difference or time is typed into the text: `report.typ` reads `numbers.json`, which is made
here of what `quoted.py` finds in the files in `results/`. The pictures are made from the embedded
sample with the shipped weights.
"""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import typst

from ..console import tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..metrics import psnr
from ..outputs import check_output
from ..pictures import comparison, write_picture
from .figures import draw_all
from .measure import shipped_model
from .quoted import quoted_numbers
from .results import finite
from .tables import Trainings, mean

SOURCES = Path(__file__).resolve().parent
REPORT = SOURCES.parents[2] / "report.pdf"
FOREST = SOURCES / "forest.png"  # for the README, drawn anew with each report


def add_arguments(parser):
    parser.add_argument("--output", type=Path, default=REPORT, metavar="FILE", help="the PDF")


def run(options):
    """Build the report. Returns the exit status."""
    check_output(options.output, overwrite=True)
    with tempfile.TemporaryDirectory() as folder:
        build(options.output, Path(folder))
    tell(str(options.output))
    return 0


def build(output, folder):
    """Write the report, and everything that its text needs into a folder."""
    numbers = quoted_numbers(Trainings())
    draw_all(folder, numbers)
    shutil.copy(folder / "forest.png", FOREST)
    numbers["cases"] = draw_pictures(folder, numbers["sample"]["denoised"])
    text = json.dumps(finite(numbers), default=asdict, allow_nan=False)
    (folder / "numbers.json").write_text(text)
    for name in ("report.typ", "references.yml", "samples.png"):
        shutil.copy(SOURCES / name, folder)
    typst.compile(folder / "report.typ", output=output, root=folder)


def draw_pictures(folder, scores):
    """Write the pictures of the report.

    Args:
        folder: path of the folder.
        scores: PSNR in dB of each denoised image of the sample.

    Returns:
        list of dict: the PSNR of the "noisy" and the "denoised" image of each case that is shown.
    """
    photographs = list(sample_photographs().values())  # the images of each
    photographs.sort(key=lambda places: mean([scores[place] for place in places]))
    chosen = [photographs[-1], photographs[len(photographs) // 2], *photographs[:3]]
    cases = [median_place(places, scores) for places in chosen]
    noisy, clean = [images[cases] for images in load_pairs(SAMPLE, "val_data.pkl")]
    rows = noisy, shipped_model().predict(noisy).cpu(), clean
    write_picture(comparison(rows), folder / "cases.png")

    before = psnr(noisy, clean).tolist()
    after = [scores[case] for case in cases]
    return [{"noisy": one, "denoised": other} for one, other in zip(before, after)]


def median_place(places, scores):
    """Of the images at these places the one of median score."""
    ordered = sorted(places, key=lambda place: scores[place])
    return ordered[len(ordered) // 2]
