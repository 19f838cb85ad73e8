"""`demo`, also without a command: denoise the sample, print the scores, and draw a picture."""

from pathlib import Path

from ...model import Model
from ..console import say, tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..metrics import described, psnr
from ..pictures import check_picture_output, comparison, write_picture

MOST_SHOWN = 12  # photographs, as many as a page is wide


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Denoise the sample that comes with the project, print how much better it has become "
        "(PSNR: higher is better), and write a picture."
    )
    text = "the picture to write; default: denoised.png"
    default = Path("denoised.png")
    parser.add_argument("--output", type=Path, default=default, metavar="FILE", help=text)
    text = "replace the picture if it exists already"
    parser.add_argument("--overwrite", action="store_true", help=text)
    text = "cpu, cuda, ...; default: the GPU where there is one"
    parser.add_argument("--device", metavar="NAME", help=text)


def run(options):
    """Denoise the sample; returns the exit status."""
    check_picture_output(options.output, options.overwrite)
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    model = Model(device=options.device)
    model.load_pretrained_model()
    say(f"denoising the {len(noisy)} images of the sample, 8 flips each")
    denoised = model.predict(noisy, progress=True).cpu()
    before, after = psnr(noisy, clean), psnr(denoised, clean)
    tell(f"noisy    {described(before)} mean PSNR")
    tell(f"denoised {described(after)} mean PSNR")

    shown = [images[0] for images in sample_photographs().values()][:MOST_SHOWN]
    rows = [images[shown] for images in (noisy, denoised, clean)]
    captions = [f"{before[image]:.1f} to {after[image]:.1f} dB" for image in shown]
    picture = comparison(rows, labels=("noisy", "denoised", "clean"), captions=captions)
    write_picture(picture, options.output, options.overwrite)
    tell(f"{options.output} shows {MOST_SHOWN} of them, and the PSNR of each before and after")
    return 0
