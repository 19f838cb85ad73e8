"""`sample`: sharp pictures that fit a noisy one."""

from pathlib import Path

from ...model import check_number
from ..console import progress, tell
from ..pictures import check_picture_output, pillow, read_picture, write_picture
from ..sampling.sampler import WEIGHTS, Sampler


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Draw pictures that fit a noisy one. Each is as sharp as a photograph, and none is the "
        "truth: where the noisy picture leaves details open, they are made up. What 'denoise' "
        "writes is nearer to the truth, and blurred. A file's EXIF is not kept."
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
    number = check_number("number", options.number, 1, whole=True)
    noisy = read_picture(options.input)[None]
    sampler = Sampler(options.weights, options.device)
    options.output.mkdir(exist_ok=True)
    targets = [options.output / f"{place}.png" for place in range(1, number + 1)]
    for target in targets:
        check_picture_output(target, options.overwrite)
    samples = sampler.samples(noisy, number, options.seed)
    for target, sample in progress(zip(targets, samples), number, "sample"):
        write_picture(sample[0].round().byte().cpu(), target, options.overwrite)
    tell(f"{options.output} has {number} pictures that fit {options.input}")
    return 0
