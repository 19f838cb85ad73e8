"""`make-data`: from photographs to data files of pairs to train on and to validate on."""

from functools import partial

import torch

from ...model import LARGEST_SEED, check_number
from ..console import say, tell
from ..data.course_noise import IMAGE_SIZE, SMALLEST_SIDE, noisy_and_clean, noisy_pair
from ..data.files import record
from ..data.noises import NOISES, named_noise, square_pair
from ..data.photographs import distinct_photographs, draw_pairs, readable_photographs, split
from ..outputs import check_output, make_folder, save_all
from ..pictures import pillow
from .options import add_overwrite, path

VALIDATION_PAIRS = 1000
VALIDATION_SHARE = 0.1  # of the photographs
TRAINING_FILES = ["train_data.pkl", "train_data.json"]
FEW = 20  # photographs or scenes


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Build train_data.pkl (pairs of noisy images) and val_data.pkl (1000 noisy and clean "
        "images) from photographs, with the course's noise or another one. A tenth of the "
        "photographs is validated on; no photograph is in both files. A photograph that cannot be "
        "read is named and passed over, and the exit status is 1."
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
    """Build data files from photographs; returns the exit status."""
    check_number("--train-pairs", options.train_pairs, 0, whole=True)
    draw_training, draw_validation, smallest, loss = draws_of(options.noise)
    with_training = options.train_pairs > 0
    names = ["val_data.pkl", *TRAINING_FILES] if with_training else ["val_data.pkl"]
    generator = prepared(options, names)

    paths = distinct_photographs(options.photos)
    photographs, num_failed = readable_photographs(paths, smallest)
    fewest = 2 if with_training else 1
    if len(photographs) < fewest:
        found = f"{options.photos} holds {len(photographs)} usable photographs"
        raise ValueError(f"{found}; {fewest} or more are needed")
    kept, others = photographs, []
    if with_training:
        kept, others = split(photographs, VALIDATION_SHARE, generator)
    contents = {"val_data.pkl": draw_pairs(kept, VALIDATION_PAIRS, draw_validation, generator)}
    if with_training:
        pairs = draw_pairs(others, options.train_pairs, draw_training, generator)
        contents["train_data.pkl"] = pairs
        contents["train_data.json"] = record(options.noise or "course", loss, options.seed)
    write(contents, options.data)
    warn_of_few(kept, "photographs to validate on")
    warn_of_few(others, "photographs to train on")
    return 1 if num_failed > 0 else 0


def draws_of(name):
    """How pairs are made from a photograph.

    Args:
        name: of the noise, as of `named_noise`; None: the course's.

    Returns:
        the functions of (photograph, generator) for training and for validation, the number of
        pixels that both sides of a photograph need, and the name of the loss that suits the noise.
    """
    if name is None:
        return noisy_pair, noisy_and_clean, SMALLEST_SIDE, "mse"
    noise = named_noise(name)
    training = partial(square_pair, noise=noise)
    validation = partial(square_pair, noise=noise, clean=True)
    return training, validation, IMAGE_SIZE, noise.loss


def prepared(options, names):
    """Refuse what cannot succeed, before any work; returns the generator of all random choices."""
    pillow()
    seed = check_number("--seed", options.seed, 0, LARGEST_SEED, whole=True)
    make_folder(options.data)
    for name in names:
        check_output(options.data / name, options.overwrite)
    return torch.Generator().manual_seed(seed)


def write(contents, folder):
    """Write data files and records, all of them or none, and say so.

    Args:
        contents: dict from a file's name to its pairs or its text.
        folder: where to write them.
    """
    save_all({folder / name: content for name, content in contents.items()})
    for name, content in contents.items():
        summary = content.strip() if isinstance(content, str) else f"{len(content[0])} pairs"
        tell(f"wrote {folder / name}: {summary}")


def warn_of_few(sources, what):
    """Say so where pairs come from few photographs or scenes."""
    if 0 < len(sources) < FEW:
        text = "however many pairs are drawn from them, they say little about others"
        say(f"warning: there are only {len(sources)} {what}; {text}")
