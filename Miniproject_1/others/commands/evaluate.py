"""`evaluate`: how good a network is on a data file."""

import math

from ..console import say, tell
from ..data.files import load_pairs
from ..metrics import described, error_from_noisy_pairs, estimated_psnr, psnr
from .options import add_prediction_options, load_model, path

MOST_NOISY_PAIRS = 1000  # enough for an interval of some tenths of a dB
BEHIND = "the result is BEHIND its noisy input"


def add_arguments(parser):
    parser.description = (
        "Print the mean PSNR of noisy images and of what the network makes of them, against clean "
        "images. For a file called train_data.pkl, which has no clean images, the PSNR is "
        "estimated from pairs of noisy ones; use pairs that the weights were not trained on."
    )
    text = "a data file, or the folder that holds a val_data.pkl or else a train_data.pkl"
    parser.add_argument("data", type=path, metavar="DATA", help=text)
    add_prediction_options(parser)


def run(options):
    """Print the scores on a data file; returns the exit status."""
    file = options.data
    if file.is_dir():
        file = options.data / "val_data.pkl"
        if not file.exists():
            file = options.data / "train_data.pkl"
    noisy, references = load_pairs(file, "")
    model = load_model(options)
    if file.name == "train_data.pkl":
        score_noisy_pairs(model, noisy, references, options)
    else:
        score(model, noisy, references, options)
    return 0


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
    step = math.ceil(len(noisy_1) / MOST_NOISY_PAIRS)
    noisy_1, noisy_2 = noisy_1[::step], noisy_2[::step]
    errors = error_from_noisy_pairs(denoised(model, noisy_1, options), noisy_1, noisy_2)
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
    """What the network makes of the images, as the options say."""
    average = not options.one_pass
    say(f"denoising {len(noisy)} images, {'8 flips each' if average else 'one pass'}")
    return model.predict(noisy, average, progress=True, precision=options.precision).cpu()
