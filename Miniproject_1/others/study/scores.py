"""How good the shipped weights are on a validation set, with intervals over photographs.

    python -m Miniproject_1.others.study.scores DATA --images-of-each 8

Pairs that show the same photograph are alike, so the bootstrap (Efron, 1979) draws photographs: an
interval holds the middle 95 % of the scores of many sets of as many photographs, drawn with
replacement.
"""

from pathlib import Path

from ..console import tell
from ..data.files import load_pairs
from ..metrics import psnr, psnr_of, squared_errors
from . import parser_of, shipped_model
from .results import save
from .verdicts import interval_over_photographs


def measure(model, noisy, clean, images_of_each):
    """The scores of the noisy and of the denoised images.

    Args:
        model: a `Model`.
        noisy, clean: (N, 3, H, W), values 0 to 255.
        images_of_each: how many images show the same photograph; they follow one another.

    Returns:
        dict from "noisy", "one pass" and "mean over 8 flips" to a dict from "mean PSNR" and "PSNR
        of the mean error" to a dict of "score", "low" and "high" in dB.
    """
    images = {
        "noisy": noisy,
        "one pass": model.predict(noisy, average=False, progress=True).cpu(),
        "mean over 8 flips": model.predict(noisy, progress=True).cpu(),
    }
    return {
        name: {
            "mean PSNR": mean_psnr(denoised, clean, images_of_each),
            "PSNR of the mean error": psnr_of_mean_error(denoised, clean, images_of_each),
        }
        for name, denoised in images.items()
    }


def mean_psnr(images, clean, images_of_each):
    """The course's score: the mean over images of the PSNR of each."""
    values = psnr(images, clean).view(-1, images_of_each).mean(1)  # of each photograph
    low, high = interval_over_photographs(values)
    return {"score": values.mean().item(), "low": low, "high": high}


def psnr_of_mean_error(images, clean, images_of_each):
    """The score of Brown et al.: the PSNR of the mean error over all images."""
    errors = squared_errors(images, clean).view(-1, images_of_each).mean(1)  # of each photograph
    low, high = interval_over_photographs(errors)
    return {"score": psnr_of(errors.mean().item()), "low": psnr_of(high), "high": psnr_of(low)}


def main():
    """Measure, print and file the scores."""
    parser = parser_of(__doc__)
    parser.add_argument("data", type=Path, help="a val_data.pkl, or the folder that holds it")
    text = "pairs that show the same photograph, in a row; default: 1"
    parser.add_argument("--images-of-each", type=int, default=1, metavar="N", help=text)
    options = parser.parse_args()
    noisy, clean = load_pairs(options.data, "val_data.pkl")
    found = measure(shipped_model(), noisy, clean, options.images_of_each)
    photographs = len(noisy) // options.images_of_each
    save("scores", {"images": len(noisy), "photographs": photographs, "scores": found})
    for name, scores in found.items():
        for formula, score in scores.items():
            interval = f"{score['low']:.2f} to {score['high']:.2f}"
            tell(f"{name:18} {formula:23} {score['score']:6.2f} dB ({interval})")


if __name__ == "__main__":
    main()
