"""The commands: `python -m Miniproject_1 --help`."""

import argparse
import sys
from pathlib import Path

if not __package__:  # run as `python Miniproject_1`
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "Miniproject_1"

from .model import WEIGHTS, Model
from .others.data.denoise import denoise
from .others.data.files import say
from .others.data.pairs import SAMPLE, evaluate, load_pairs, places_in_sample, report
from .others.data.photos import make_data
from .others.data.pictures import FORMATS, check_picture_output, comparison, write_picture
from .others.data.shots import make_pairs_of_shots
from .others.training import command as training
from .others.training import reproduce

DEVICE = "cpu, cuda, ...; default: the GPU where there is one"
MEGAPIXEL = "some 45 seconds on two cores, 7 with --one-pass, and 20 MB of memory beside 1.1 GB"  # measured
OF_THE_DEVICE = (
    "out of memory",
    "can't allocate memory",
    "cuda",
    "mps",
    "device type",
    "invalid device",
    "not compiled with",
)
NAMES = {"train-pairs": "num_train", "validation-pairs": "num_validation"}


def demonstrate(options):
    """Denoise the embedded sample; print the scores, write a picture."""
    check_picture_output(options.output, options.overwrite)
    model = load_model(options)
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    denoised, *scores = evaluate(model, noisy, clean)
    report(*scores)
    shown = places_in_sample()[:, 0]  # an image of each photograph
    rows = [images[shown] for images in (noisy, denoised, clean)]
    write_picture(comparison(rows, labels=("noisy", "denoised", "clean")), options.output)
    print(f"{options.output} shows one image of each photograph: noisy, denoised and clean")


def evaluate_data(options):
    """Print the scores on a validation set."""
    model = load_model(options)
    noisy, clean = load_pairs(options.data, "val_data.pkl")
    report(*evaluate(model, noisy, clean, not options.one_pass, options.precision)[1:])


def denoise_pictures(options):
    """Denoise picture files."""
    return denoise(options, lambda: load_model(options))


def make(options):
    """Build data files from photographs."""
    given = {name: value for name, value in vars(options).items() if name not in ("run", "weights", "device", "output")}
    pairs, clean = given.pop("pairs"), given.pop("clean")
    if not pairs:
        if clean:
            raise ValueError("--clean goes with --pairs; without, the clean images are made of the photographs")
        make_data(**given)
        return
    unfit = [name for name in ("small_crops", "noise", "shrink") if given.pop(name)]
    if unfit:
        raise ValueError(f"{', '.join(unfit)} cannot be combined with --pairs, whose pictures are noisy already")
    make_pairs_of_shots(*pairs, clean=clean, **given)


def load_model(options):
    model = Model(device=options.device)
    model.load_pretrained_model(options.weights)
    return model


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m Miniproject_1",
        description="Remove noise from pictures with a network that was trained on noisy ones. "
        "Without a command: denoise the sample that comes with the project, print how much "
        "better it has become (PSNR: higher is better), and write a picture, denoised.png.",
        epilog="'python -m Miniproject_1 COMMAND --help' explains a command.",
    )
    parser.set_defaults(run=demonstrate, weights=WEIGHTS, device=None)
    parser.add_argument("--output", type=Path, default=Path("denoised.png"), metavar="FILE", help="the picture")
    add_overwrite(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name, function, text, epilog=None, **inputs):
        added = commands.add_parser(name, help=text.split(": ")[0].split(". ")[0], description=text, epilog=epilog)
        added.set_defaults(run=function)
        for argument, explanation in inputs.items():
            added.add_argument(argument, type=Path, help=explanation)
        return added

    text, data = "Print the PSNR on pairs of noisy and clean images.", "a val_data.pkl, or the folder that holds it"
    add_prediction(command("evaluate", evaluate_data, text, data=data))

    text = (
        "Denoise pictures: one file to a file; several, or all in a folder and its sub-folders, to a folder under "
        "their names. A file that cannot be read is named and passed over, and the exit status is 1."
    )
    kept = (
        "Transparency, grey, CMYK, 16 bits, ICC profile, EXIF, XMP and resolution stay if the output's format holds "
        "them; a line says what does not. Pictures are turned upright. JPEG is written with quality 95, WebP without "
        "loss, GIF with 256 colours. Refused: files of several frames, and, without --any-size, of more than 179 "
        f"megapixels. A megapixel takes {MEGAPIXEL}. Formats: {', '.join(FORMATS)}."
    )
    added = command("denoise", denoise_pictures, text, epilog=kept)
    added.add_argument("input", type=Path, nargs="+", metavar="IN", help="noisy pictures, or folders of them")
    added.add_argument(
        "output", type=Path, metavar="OUT", help="the file or folder to write; its ending names the format"
    )
    added.add_argument("--any-size", action="store_true", help="lift the limit of 179 megapixels")
    add_prediction(added)
    add_overwrite(added)

    text = (
        "Train on pairs of noisy images and write the weights. Ctrl-C ends it after the step under way; "
        "nothing is lost, --resume continues."
    )
    added = command("train", training.train, text, data="a train_data.pkl, or the folder that holds it")
    training.add_options(added)
    added.add_argument("--device", metavar="NAME", help=DEVICE)
    add_overwrite(added)

    text = "Train fresh weights from photographs, on pairs of single noisy draws alone, in one run."
    photos = "folder of photographs; folders within it count"
    added = command("reproduce", reproduce.reproduce, text, photos=photos)
    reproduce.add_options(added)
    added.add_argument("--device", metavar="NAME", help=DEVICE)
    add_overwrite(added)

    text = (
        "Build train_data.pkl (pairs of noisy images) and val_data.pkl (noisy and clean): from photographs, with the "
        "course's noise or another one; or, with --pairs, from two folders of noisy pictures of the same scenes."
    )
    added = command("make-data", make, text)
    added.usage = (
        f"{parser.prog} make-data [options] PHOTOS OUT\n       {parser.prog} make-data [options] --pairs A B OUT"
    )
    if "--pairs" not in arguments:
        added.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photographs; folders within it count")
    added.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    add_make_data(added)
    return parser.parse_args(arguments)


def add_prediction(parser):
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE", help="default: the shipped ones")
    parser.add_argument("--one-pass", action="store_true", help="no mean over 8 flips: 8 times faster, 0.1 dB less")
    text = "default: float32; bfloat16 is faster where hardware multiplies it, within 0.002 dB; auto: there alone"
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="float32", help=text)
    parser.add_argument("--device", metavar="NAME", help=DEVICE)


def add_overwrite(parser):
    parser.add_argument("--overwrite", action="store_true", help="replace output files that exist already")


def add_make_data(parser):
    text = "folders of two shots of the same scenes, under the same names; pictures that do not fit are named"
    parser.add_argument("--pairs", type=Path, nargs=2, metavar=("A", "B"), help=text)
    text = "with --pairs: the same scenes without noise, to validate on"
    parser.add_argument("--clean", type=Path, metavar="FOLDER", help=text)
    text = "another noise than the course's: gaussian:25, poisson:30, bernoulli:0.5, text:0.25"
    parser.add_argument("--noise", metavar="NAME:X", help=text)
    for name, kind, default, text in (
        ("train-pairs", int, 50_000, "pairs to train on"),
        ("validation-pairs", int, 1_000, "pairs to validate on"),
        ("validation-share", float, 0.1, "share of the photographs kept for validation"),
        ("seed", int, 0, "of all random choices"),
        ("small-crops", float, 0.0, "share of the training pairs with weaker noise"),
        ("shrink", int, None, "reduce photographs whose short side has more pixels"),
    ):
        text += "" if default is None else f"; default: {default}"
        to, metavar = NAMES.get(name, name.replace("-", "_")), "N" if kind is int else "X"
        parser.add_argument(f"--{name}", dest=to, type=kind, default=default, metavar=metavar, help=text)
    add_overwrite(parser)


def main(arguments=None):
    """Run a command; errors of the user's are one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path that the console cannot show must not stop the work
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        return options.run(options) or 0
    except (OSError, ValueError, TypeError, FloatingPointError, ModuleNotFoundError) as error:
        say(f"error: {' '.join(str(error).split())}")
        return 2
    except (RuntimeError, AssertionError, MemoryError) as error:
        text = str(error).split("\n")[0]
        if not isinstance(error, MemoryError) and not any(word in text.lower() for word in OF_THE_DEVICE):
            raise
        advice = "--device cpu avoids a GPU, smaller pictures and batches need less memory"
        say(f"error: the device cannot do it: {text or 'out of memory'}; {advice}")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
