"""`evaluate`: how good a network is on a data file."""

import time
from pathlib import Path

import torch

from ..console import say, tell
from ..data.checks import doubts_about_pairs, doubts_about_validation
from ..data.files import load_pairs
from ..metrics import described, error_from_noisy_pairs, estimated_psnr, psnr
from .denoise import add_prediction_options, check_finite, load_model

MOST_NOISY_PAIRS = 1000  # enough for an interval of some tenths of a dB


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Print the mean PSNR of noisy images and of what the network makes of them, against clean "
        "images. For a train_data.pkl, which has no clean images, the PSNR is estimated from pairs "
        "of noisy ones; use pairs that the weights were not trained on."
    )
    text = "a data file, or the folder that holds a val_data.pkl or else a train_data.pkl"
    parser.add_argument("data", type=Path, metavar="DATA", help=text)
    text = "both images of each pair in DATA are noisy, whatever the file is called"
    parser.add_argument("--noisy-pairs", action="store_true", help=text)
    add_prediction_options(parser)


def run(options):
    """Print the scores on a data file; returns the exit status."""
    path = data_file(options.data, options.noisy_pairs)
    images, references = load_pairs(path, "")
    model = load_model(options)
    if options.noisy_pairs or path.name == "train_data.pkl":
        score_noisy_pairs(model, images, references, options)
    else:
        score(model, images, references, options)
    return 0


def data_file(path, noisy_pairs):
    """The file that a user means by it, or by the folder that holds it."""
    if not path.is_dir():
        return path
    if noisy_pairs or not (path / "val_data.pkl").exists():
        return path / "train_data.pkl"
    return path / "val_data.pkl"


def score(model, noisy, clean, options):
    """Print the mean PSNR against clean images."""
    warn_of(doubts_about_validation(noisy, clean))
    denoised = denoise(model, noisy, options)
    tell(f"noisy    {described(psnr(noisy, clean))} mean PSNR")
    tell(f"denoised {described(psnr(denoised, clean))} mean PSNR")


def score_noisy_pairs(model, noisy_1, noisy_2, options):
    """Print the PSNR of the mean error, estimated from pairs of noisy images."""
    num_pairs = len(noisy_1)
    if num_pairs > MOST_NOISY_PAIRS:
        chosen = torch.linspace(0, num_pairs - 1, MOST_NOISY_PAIRS).long()
        noisy_1 = noisy_1[chosen]
        noisy_2 = noisy_2[chosen]
        say(f"estimating from {MOST_NOISY_PAIRS} of {num_pairs} pairs")
    warn_of(doubts_about_pairs(noisy_1, noisy_2))
    denoised = denoise(model, noisy_1, options)
    errors = error_from_noisy_pairs(denoised, noisy_1, noisy_2)
    tell(f"noisy    {estimated_psnr(errors.noisy)} PSNR of the mean error, 95 % interval")
    tell(f"denoised {estimated_psnr(errors.denoised)} PSNR of the mean error, 95 % interval")
    tell(
        "These are estimates without clean images, for noise that is independent and zero in the "
        "mean. The estimate for a single image says nothing: it can be below zero. On the course's "
        "images the PSNR of the mean error is about 1 dB lower than the mean PSNR."
    )


def warn_of(doubts):
    for doubt in doubts:
        say(f"warning: {doubt}")


def denoise(model, noisy, options):
    """What the network makes of the images, as the options say; prints the speed."""
    passes = "8 flips each"
    if options.one_pass:
        passes = "one pass"
    say(f"denoising {len(noisy)} images, {passes}")
    start = time.perf_counter()
    average = not options.one_pass
    denoised = model.predict(noisy, average, progress=True, precision=options.precision).cpu()
    check_finite(denoised)
    seconds = time.perf_counter() - start
    tell(f"{len(noisy)} images, {len(noisy) / seconds:.0f} a second")
    return denoised
