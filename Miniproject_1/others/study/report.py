"""Build the report: draw its figures and pictures, gather its numbers, typeset it with typst.

    python -m Miniproject_1.others.study.report [--output FILE]

No PSNR, difference or time is typed into the text: `report.typ` reads `numbers.json`, which is made
here of what `quoted.py` finds in the files in `results/`. The pictures are made from the embedded
sample with the shipped weights. Needs: pip install pillow matplotlib typst
"""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from ..console import tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..metrics import psnr
from ..pictures import comparison, write_picture
from . import parser_of, shipped_model
from .figures import draw_all
from .quoted import classical, quoted_numbers

SOURCES = Path(__file__).resolve().parent
REPORT = SOURCES.parents[2] / "report.pdf"
PAIR = 12  # of the sample, shown with its two noisy versions


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
    cases = [{"noisy": before[case].item(), "denoised": scores[case].item()} for case in cases]
    sample = {
        "photographs": len(photographs),
        "images": len(noisy),
        "denoised": scores.mean().item(),
        "classical": classical("sample"),
    }
    return {"cases": cases, "sample": sample}


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

    numbers = quoted_numbers()
    numbers["figures"] = draw_all(folder, numbers)
    numbers.update(draw_pictures(folder))
    text = json.dumps(numbers, default=asdict, allow_nan=False)
    (folder / "numbers.json").write_text(text)
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
