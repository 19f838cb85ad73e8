"""`sample`: sharp pictures that fit a noisy one."""

from functools import partial
from pathlib import Path

import torch

from ...model import LARGEST_SEED, check_number
from ..console import progress, tell
from ..outputs import make_folder, write_somewhere
from ..pictures import check_picture_output, pillow, read_picture, write_picture
from ..sampling.sampler import WEIGHTS, Sampler


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Draw pictures that fit a noisy one. Each is as sharp as a photograph, and none is the "
        "truth: where the noisy picture leaves details open, they are made up. What 'denoise' "
        "writes is nearer to the truth, and blurred. Only the colours are read: EXIF, the colour "
        "profile and transparency are not kept, and values have 8 bits. A grey picture stays grey. "
        "The command takes 1.2 GB of memory for a picture of up to 3 megapixels."
    )
    parser.add_argument("input", type=Path, metavar="IN", help="a noisy picture")
    text = "the folder to write 1.png, 2.png, ... to"
    parser.add_argument("output", type=Path, metavar="OUT", help=text)
    text = "pictures to draw; default: 4"
    parser.add_argument("--number", type=int, default=4, metavar="N", help=text)
    text = "of the random numbers; default: 0"
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=text)
    text = "weights to use; default: those that come with the project"
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE", help=text)
    text = "cpu, cuda, ...; default: the GPU where there is one"
    parser.add_argument("--device", metavar="NAME", help=text)
    text = "replace output files that exist already"
    parser.add_argument("--overwrite", action="store_true", help=text)


def run(options):
    """Draw samples; returns the exit status."""
    pillow()
    number = check_number("--number", options.number, 1, whole=True)
    check_number("--seed", options.seed, 0, LARGEST_SEED, whole=True)
    noisy = read_picture(options.input)[None]
    is_grey = all(torch.equal(noisy[:, 0], noisy[:, channel]) for channel in (1, 2))
    sampler = Sampler(options.weights, options.device)
    make_folder(options.output)
    targets = [options.output / f"{place}.png" for place in range(1, number + 1)]
    for target in targets:
        check_picture_output(target, options.overwrite)
    samples = sampler.samples(noisy, number, options.seed)
    num_elsewhere = 0
    for target, sample in progress(zip(targets, samples), number, "sample"):
        if is_grey:
            sample = sample.mean(1, keepdim=True)
        write = partial(write_picture, sample[0].round().byte().cpu())
        written, _ = write_somewhere(write, target, options.overwrite)
        num_elsewhere += written != target
    tell(f"{options.output} has {number - num_elsewhere} pictures that fit {options.input}")
    return 1 if num_elsewhere else 0
