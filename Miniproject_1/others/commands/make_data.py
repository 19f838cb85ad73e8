"""`make-data`: from photographs to data files of pairs to train on and to validate on."""

import json
from functools import partial

import torch

from ...model import check_number
from ..console import tell
from ..data.course_noise import IMAGE_SIZE, SMALLEST_SIDE, noisy_and_clean, noisy_pair
from ..data.noises import NOISES, named_noise, square_pair
from ..data.photographs import draw_pairs, picture_files, readable_photographs, split
from ..outputs import check_output, replaced, save
from ..pictures import SUFFIXES
from .options import add_overwrite, path

VALIDATION_PAIRS = 1000
VALIDATION_SHARE = 0.1  # of the photographs
TRAINING_FILES = ("train_data.pkl", "train_data.json")


def add_arguments(parser):
    parser.description = (
        "Build train_data.pkl (pairs of noisy images) and val_data.pkl (1000 noisy and clean "
        "images) from photographs, with the course's noise or another one. A tenth of the "
        "photographs is validated on; no photograph is in both files. A photograph that cannot be "
        "read or is too small is named and passed over, and the exit status is 1."
    )
    text = "folder of photographs; folders within it are searched too"
    parser.add_argument("photos", type=path, metavar="PHOTOS", help=text)
    add_output_arguments(parser, "; 0: validate on all photographs")
    strengths = [f"{name.lower()}:{noise.default:g}" for name, noise in NOISES.items()]
    text = f"another noise than the course's, in any strength: {', '.join(strengths)}"
    parser.add_argument("--noise", metavar="NAME:X", help=text)


def add_output_arguments(parser, more=""):
    """Add the arguments that `make-data` and `make-pairs` share."""
    parser.add_argument("data", type=path, metavar="DATA", help="folder to write to")
    text = f"pairs to train on; default: 50000{more}"
    parser.add_argument("--train-pairs", type=int, default=50_000, metavar="N", help=text)
    text = "seed of all random choices; default: 0"
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=text)
    add_overwrite(parser)


def run(options):
    check_number("--train-pairs", options.train_pairs, 0, whole=True)
    draw_training, draw_validation, smallest, loss = draws_of(options.noise)
    with_training = options.train_pairs > 0
    names = TRAINING_FILES if with_training else ()
    generator = prepared(options, ["val_data.pkl", *names])

    paths = picture_files(options.photos)
    photographs = readable_photographs(paths, smallest)
    kept = photographs
    if with_training:
        kept, others = split(photographs, VALIDATION_SHARE, generator)
    validation = draw_pairs(kept, VALIDATION_PAIRS, draw_validation, generator)
    if with_training:
        pairs = draw_pairs(others, options.train_pairs, draw_training, generator)
        write_training_data(pairs, options, options.noise or "course", loss)
    save(validation, options.data / "val_data.pkl")
    tell(f"wrote {options.data / 'val_data.pkl'}: {VALIDATION_PAIRS} pairs")
    return 1 if len(photographs) < len(paths) else 0


def draws_of(name):
    """Draw pairs to train on, draw those to validate on, the smallest side, and the loss."""
    if name is None:
        return noisy_pair, noisy_and_clean, SMALLEST_SIDE, "mse"
    noise = named_noise(name)
    draw = partial(square_pair, noise=noise)
    return draw, partial(draw, clean=True), IMAGE_SIZE, noise.loss


def prepared(options, names):
    """Make the folder of the data, and return the generator of all random choices."""
    options.data.mkdir(parents=True, exist_ok=True)
    if any(each.suffix.lower() in SUFFIXES for each in options.data.iterdir()):  # DATA was left out
        raise ValueError(f"DATA cannot be {options.data}, which holds pictures")
    for name in names:
        check_output(options.data / name, options.overwrite)
    return torch.Generator().manual_seed(options.seed)


def write_training_data(pairs, options, noise, loss):
    """Write pairs to train on, and the record of their noise beside them."""
    data, beside = (options.data / name for name in TRAINING_FILES)
    save(pairs, data)
    record = {"noise": noise, "loss": loss, "seed": options.seed}
    with replaced(beside) as temporary:
        temporary.write_text(json.dumps(record) + "\n")
    tell(f"wrote {data}: {len(pairs[0])} pairs")
