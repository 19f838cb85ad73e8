"""`evaluate`: how good a network is on a data file."""

from ..console import say, tell
from ..data.files import load_pairs
from ..metrics import described, error_from_noisy_pairs, estimated_psnr, psnr
from .options import add_prediction_options, load_model, path

MOST_NOISY_PAIRS = 1000  # enough for an interval of some tenths of a dB
ESTIMATE = (
    "These are estimates without clean images, for noise that is independent and zero in the mean. "
    "On the course's images the PSNR of the mean error is about 1 dB lower than the mean PSNR."
)


def add_arguments(parser):
    parser.description = (
        "Print the mean PSNR of noisy images and of what the network makes of them, against clean "
        "images. For a file called train_data.pkl, which has no clean images, the PSNR is "
        "estimated from its first 1000 pairs of noisy ones; use pairs that the weights were not "
        "trained on."
    )
    text = "a data file, or the folder that holds a val_data.pkl or else a train_data.pkl"
    parser.add_argument("data", type=path, metavar="DATA", help=text)
    add_prediction_options(parser)


def run(options):
    file = options.data
    if file.is_dir():
        file = options.data / "val_data.pkl"
        if not file.exists():
            file = options.data / "train_data.pkl"
    noisy, references = load_pairs(file, "")
    has_clean = file.name != "train_data.pkl"
    if not has_clean:
        noisy, references = noisy[:MOST_NOISY_PAIRS], references[:MOST_NOISY_PAIRS]
    model = load_model(options)
    average = not options.one_pass
    say(f"denoising {len(noisy)} images, {'8 flips each' if average else 'one pass'}")
    denoised = model.predict(noisy, average, progress=True).cpu()
    if has_clean:
        before = psnr(noisy, references)
        after = psnr(denoised, references)
        tell(f"noisy    {described(before)} mean PSNR")
        tell(f"denoised {described(after)} mean PSNR")
        neither_is_exact = before.isfinite() & after.isfinite()
        is_behind = (after - before)[neither_is_exact].mean() < 0
    else:
        errors = error_from_noisy_pairs(denoised, noisy, references)
        before = estimated_psnr(errors.noisy)
        after = estimated_psnr(errors.denoised)
        tell(f"noisy    {before} PSNR of the mean error, 95 % interval")
        tell(f"denoised {after} PSNR of the mean error, 95 % interval")
        tell(ESTIMATE)
        is_behind = after.value < before.value
    if is_behind:
        tell("the result is BEHIND its noisy input")
    return 0
