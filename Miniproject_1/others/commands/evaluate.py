"""`evaluate`: how good a network is on a data file."""

import time

import torch

from ..console import say, tell
from ..data.files import load_pairs
from ..metrics import described, error_from_noisy_pairs, estimated_psnr, psnr
from .options import add_prediction_options, load_model, path

MOST_NOISY_PAIRS = 1000  # enough for an interval of some tenths of a dB
BEHIND = "the result is BEHIND its noisy input"


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Print the mean PSNR of noisy images and of what the network makes of them, against clean "
        "images. For a train_data.pkl, which has no clean images, the PSNR is estimated from pairs "
        "of noisy ones; use pairs that the weights were not trained on."
    )
    text = "a data file, or the folder that holds a val_data.pkl or else a train_data.pkl"
    parser.add_argument("data", type=path, metavar="DATA", help=text)
    text = "both images of each pair in DATA are noisy, whatever the file is called"
    parser.add_argument("--noisy-pairs", action="store_true", help=text)
    add_prediction_options(parser)


def run(options):
    """Print the scores on a data file; returns the exit status."""
    file = data_file(options.data, options.noisy_pairs)
    images, references = load_pairs(file, "")
    model = load_model(options)
    if options.noisy_pairs or file.name == "train_data.pkl":
        score_noisy_pairs(model, images, references, options)
    else:
        score(model, images, references, options)
    return 0


def data_file(data, noisy_pairs):
    """The file that a user means by it, or by the folder that holds it."""
    if not data.is_dir():
        return data
    if noisy_pairs or not (data / "val_data.pkl").exists():
        return data / "train_data.pkl"
    return data / "val_data.pkl"


def score(model, noisy, clean, options):
    """Print the mean PSNR against clean images."""
    before = psnr(noisy, clean)
    after = psnr(denoised(model, noisy, options), clean)
    tell(f"noisy    {described(before)} mean PSNR")
    tell(f"denoised {described(after)} mean PSNR")
    neither_is_exact = before.isfinite() & after.isfinite()
    if (after - before)[neither_is_exact].mean() < 0:
        tell(BEHIND)


def score_noisy_pairs(model, noisy_1, noisy_2, options):
    """Print the PSNR of the mean error, estimated from pairs of noisy images."""
    num_pairs = len(noisy_1)
    if num_pairs > MOST_NOISY_PAIRS:
        chosen = torch.linspace(0, num_pairs - 1, MOST_NOISY_PAIRS).long()
        noisy_1 = noisy_1[chosen]
        noisy_2 = noisy_2[chosen]
        say(f"estimating from {MOST_NOISY_PAIRS} of {num_pairs} pairs")
    output = denoised(model, noisy_1, options)
    errors = error_from_noisy_pairs(output, noisy_1, noisy_2)
    tell(f"noisy    {estimated_psnr(errors.noisy)} PSNR of the mean error, 95 % interval")
    tell(f"denoised {estimated_psnr(errors.denoised)} PSNR of the mean error, 95 % interval")
    if errors.denoised.mean() > errors.noisy.mean():
        tell(BEHIND)
    tell(
        "These are estimates without clean images, for noise that is independent and zero in the "
        "mean. On the course's images the PSNR of the mean error is about 1 dB lower than the mean "
        "PSNR."
    )


def denoised(model, noisy, options):
    """What the network makes of the images, as the options say; prints the speed."""
    passes = "one pass" if options.one_pass else "8 flips each"
    say(f"denoising {len(noisy)} images, {passes}")
    start = time.perf_counter()
    average = not options.one_pass
    images = model.predict(noisy, average, progress=True, precision=options.precision).cpu()
    seconds = time.perf_counter() - start
    tell(f"{len(noisy)} images, {len(noisy) / seconds:.0f} a second")
    return images
