"""`make-data`: from photographs to data files of pairs to train on and to validate on."""

import shlex
from functools import partial
from pathlib import Path

import torch

from ...model import LARGEST_SEED, check_number
from ..console import say, tell
from ..data import course_noise, noises
from ..data.course_noise import SMALLEST_SIDE
from ..data.photographs import distinct_photographs, draw_pairs, readable_photographs, split
from ..outputs import make_folder, reserved, save_somewhere
from ..pictures import pillow

FEW_PHOTOGRAPHS = 20


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Build train_data.pkl (pairs of noisy images) and val_data.pkl (noisy and clean images) "
        "from photographs, with the course's noise or another one. No photograph is in both. A "
        "photograph that cannot be read is named and passed over, and the exit status is 1."
    )
    text = "folder of photographs; folders within it are searched too"
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help=text)
    add_output_arguments(parser, "photographs")
    text = "another noise than the course's: gaussian:25, poisson:30, bernoulli:0.5 or text:0.25"
    parser.add_argument("--noise", metavar="NAME:X", help=text)


def add_output_arguments(parser, sources, validation="pairs"):
    """The arguments that `make-data` and `make-pairs` share.

    Args:
        parser: of `argparse`.
        sources: what pairs are drawn from.
        validation: what it is called that is validated on.
    """
    text = "folder to write to"
    parser.add_argument("data", type=Path, metavar="DATA", help=text)
    text = "pairs to train on; default: 50000"
    parser.add_argument("--train-pairs", type=int, default=50_000, metavar="N", help=text)
    text = f"{validation} to validate on; default: 1000. 0: everything is trained on"
    parser.add_argument("--validation-pairs", type=int, default=1_000, metavar="N", help=text)
    text = f"share of the {sources} that is kept for validation; default: 0.1"
    parser.add_argument("--validation-share", type=float, default=0.1, metavar="X", help=text)
    text = "of all random choices; default: 0"
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=text)
    text = "replace data files that exist already"
    parser.add_argument("--overwrite", action="store_true", help=text)


def check_output_numbers(options):
    """Raise TypeError or ValueError unless the numbers of `add_output_arguments` are in range."""
    check_number("--train-pairs", options.train_pairs, 0, whole=True)
    check_number("--validation-pairs", options.validation_pairs, 0, whole=True)
    check_number("--validation-share", options.validation_share, 0, 1)
    check_number("--seed", options.seed, 0, LARGEST_SEED, whole=True)
    if options.train_pairs == 0 and options.validation_pairs == 0:
        raise ValueError("--train-pairs and --validation-pairs must not both be 0")


def run(options):
    """Build data files from photographs; returns the exit status."""
    check_output_numbers(options)
    generator = torch.Generator().manual_seed(options.seed)
    pillow()
    draw_training, draw_validation, smallest, loss = draws_of(options.noise)

    if not options.photos.is_dir():
        raise NotADirectoryError(f"{options.photos} is not a folder of photographs")
    outputs = {
        options.data / "val_data.pkl": options.validation_pairs,
        options.data / "train_data.pkl": options.train_pairs,
    }
    wanted = [path for path, num_pairs in outputs.items() if num_pairs > 0]
    make_folder(options.data)
    for path in outputs:
        warn_of_another(path, path in wanted)
    with reserved(*wanted, overwrite=options.overwrite):
        photographs = distinct_photographs(options.photos)
        usable, num_failed = readable_photographs(photographs, smallest)
        parts = parts_of(usable, options, generator)
        draws = (draw_validation, draw_training)
        all_in_place = True
        for (path, num_pairs), part, draw in zip(outputs.items(), parts, draws):
            if num_pairs > 0:
                pairs = draw_pairs(part, num_pairs, draw, generator)
                written = save_somewhere(pairs, path, options.overwrite)
                number = min(num_pairs, len(part))
                tell(f"{written}: {num_pairs} pairs from {number} photographs")
                all_in_place = all_in_place and written == path
        warn_of_few(parts)
    if loss != "mse":
        command = f"python -m Miniproject_1 train {shlex.quote(str(options.data))} --loss {loss}"
        tell(f"this noise needs another loss: {command}")
    if num_failed > 0 or not all_in_place:
        return 1
    return 0


def warn_of_another(path, is_written):
    """Say so where a data file is there that this command does not write anew."""
    if path.exists() and not is_written:
        say(f"warning: {path} is there already and stays; its pictures may also be in the new file")


def draws_of(name_of_noise):
    """How pairs are made from a photograph.

    Returns:
        the functions of (photograph, generator) for training and for validation, the number of
        pixels that both sides of a photograph need, and the name of the loss that suits the noise.
    """
    if name_of_noise is None:
        return course_noise.noisy_pair, course_noise.noisy_and_clean, SMALLEST_SIDE, "mse"
    noise, loss = noises.named_noise(name_of_noise)
    training = partial(noises.square_pair, noise=noise)
    validation = partial(noises.square_pair, noise=noise, clean=True)
    return training, validation, noises.IMAGE_SIZE, loss


def parts_of(photographs, options, generator):
    """The photographs to validate on and those to train on: two lists."""
    if not photographs:
        raise ValueError(f"{options.photos} holds no usable photograph")
    if options.validation_pairs == 0:
        return [], photographs
    if options.train_pairs == 0:
        return photographs, []
    if len(photographs) == 1:
        raise ValueError(
            f"{options.photos} holds one usable photograph, too few to train on some and validate "
            "on others; --validation-pairs 0 makes no validation data"
        )
    return split(photographs, options.validation_share, generator)


def warn_of_few(parts):
    """Say so where a part has few photographs."""
    for part, use in zip(parts, ("validate", "train")):
        if 0 < len(part) < FEW_PHOTOGRAPHS:
            say(
                f"warning: the number of photographs to {use} on is only {len(part)}; however many "
                "pairs are drawn from them, they say little about other photographs"
            )
