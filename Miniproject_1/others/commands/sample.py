"""`sample`: sharp pictures that fit a noisy one."""

from ...model import check_number, track
from ..console import tell
from ..outputs import check_output
from ..pictures import read_picture, write_picture
from ..sampling.sampler import WEIGHTS, Sampler
from .options import add_device, add_overwrite, path


def add_arguments(parser):
    parser.description = (
        "Draw pictures that fit a noisy one. Each is as sharp as a photograph, and none is the "
        "truth: where the noisy picture leaves details open, they are made up. What 'denoise' "
        "writes is nearer to the truth, and blurred. Only the colours are read, not EXIF, the "
        "colour profile or transparency. A grey picture stays grey. The command takes 1.2 GB of "
        "memory for a picture of up to 3 megapixels."
    )
    parser.add_argument("input", type=path, metavar="IN", help="a noisy picture")
    text = "the folder to write 1.png, 2.png, ... to"
    parser.add_argument("output", type=path, metavar="OUT", help=text)
    text = "pictures to draw; default: 4"
    parser.add_argument("--number", type=int, default=4, metavar="N", help=text)
    text = "weights to use; default: those that come with the project"
    parser.add_argument("--weights", type=path, default=WEIGHTS, metavar="FILE", help=text)
    add_device(parser)
    add_overwrite(parser)


def run(options):
    check_number("--number", options.number, 1, whole=True)
    noisy = read_picture(options.input)[None]  # (1, 3, H, W)
    is_grey = (noisy == noisy[:, :1]).all()
    sampler = Sampler(options.weights, options.device)
    options.output.mkdir(parents=True, exist_ok=True)
    targets = [options.output / f"{place}.png" for place in range(1, options.number + 1)]
    for target in targets:
        check_output(target, options.overwrite, [options.input])
    samples = sampler.samples(noisy, options.number)
    for target, sample in zip(track(targets, "picture"), samples):
        if is_grey:
            sample = sample.mean(1, keepdim=True)
        write_picture(sample[0], target)
    tell(f"wrote {options.number} pictures that fit {options.input} to {options.output}")
    return 0
