"""`demo`, also without a command: denoise the sample, print the scores, and draw a picture."""

from pathlib import Path

from ...model import Model
from ..console import say, tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..metrics import psnr
from ..outputs import check_output
from ..pictures import comparison, pillow, write_picture
from .options import add_device

PICTURE = Path("demo.png")
MOST_SHOWN = 12  # photographs, as many as a page is wide


def add_arguments(parser):
    parser.description = (
        "Denoise the sample that comes with the project, print how much better it has become "
        f"(PSNR: higher is better), and write a picture of it to {PICTURE}, or replace that."
    )
    add_device(parser)


def run(options):
    pillow()
    check_output(PICTURE, overwrite=True)
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    model = Model(device=options.device)
    model.load_pretrained_model()
    say(f"denoising the {len(noisy)} images of the sample, 8 flips each")
    denoised = model.predict(noisy, progress=True).cpu()
    before, after = psnr(noisy, clean), psnr(denoised, clean)
    tell(f"noisy    {before.mean():.2f} dB mean PSNR")
    tell(f"denoised {after.mean():.2f} dB mean PSNR")

    shown = [images[0] for images in sample_photographs().values()][:MOST_SHOWN]
    rows = [images[shown] for images in (noisy, denoised, clean)]
    captions = [f"{before[image]:.1f} to {after[image]:.1f} dB" for image in shown]
    picture = comparison(rows, labels=("noisy", "denoised", "clean"), captions=captions)
    write_picture(picture, PICTURE)
    tell(f"{PICTURE} shows {MOST_SHOWN} of them, and the PSNR of each before and after")
    return 0
