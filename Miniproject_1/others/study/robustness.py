"""How the weights do on other noise: weaker or stronger, none, and with Gaussian noise on top.

    python -m Miniproject_1.others.study.robustness PHOTOGRAPHS DATA

Every fourth of the PHOTOGRAPHS by name gives the crop of 32 s x 32 s pixels at its centre, for
blocks of s x s pixels, and one noisy draw of it. From DATA every tenth pair is taken: with the
clean image as the input, and with Gaussian noise added to the noisy one.

For each of these, how sharp the images are is measured too: the mean square of the differences of
neighbouring pixels, as a share of that of the clean images.
"""

from pathlib import Path

import torch

from ..console import tell
from ..data.course_noise import IMAGE_SIZE, average_blocks, sample_blocks
from ..data.files import load_pairs
from ..data.photographs import distinct_photographs
from ..metrics import gradient_energies, psnr
from ..pictures import read_picture
from . import parser_of, shipped_model
from .results import save

BLOCK_SIZES = (2, 3, 4, 6, 8)  # pixels
SIGMAS = (5, 10)  # of 255


def cases(photographs, data):
    """Yield the name, the noisy and the clean images of each row of the table."""
    generator = torch.Generator().manual_seed(0)
    pictures = [read_picture(path) for path in distinct_photographs(photographs)[::4]]
    for block in BLOCK_SIZES:
        crops = [crop for picture in pictures for crop in centre_crops(picture, block)]
        noisy = torch.stack([sample_blocks(crop, generator) for crop in crops])
        clean = torch.stack([average_blocks(crop) for crop in crops])
        yield f"blocks of {block} x {block}", noisy, clean
    noisy, clean = (images[::10] for images in load_pairs(data, "val_data.pkl"))
    yield "as in the course", noisy, clean
    yield "clean input", clean, clean
    for sigma in SIGMAS:
        noise = sigma * torch.randn(noisy.shape, generator=generator)
        yield f"Gaussian {sigma} on top", (noisy + noise).clamp(0, 255), clean


def centre_crops(picture, block):
    """The square of 32 x 32 blocks at the centre of a picture; none if the picture is smaller."""
    side = block * IMAGE_SIZE
    height, width = picture.shape[1:]
    if min(height, width) < side:
        return []
    top, left = (height - side) // 2, (width - side) // 2
    return [picture[:, top : top + side, left : left + side]]


def measure(model, noisy, clean):
    """A row of the table.

    Returns:
        dict of the number of "images", "noisy_psnr" and "denoised_psnr" in dB, None where images
        are exact, and "noisy_energy" and "denoised_energy" as shares of the clean images'.
    """
    row = {"images": len(noisy)}
    denoised = model.predict(noisy).cpu()
    for name, images in (("noisy", noisy), ("denoised", denoised)):
        row[f"{name}_psnr"] = psnr(images, clean).mean().item()
        energy = gradient_energies(images).mean() / gradient_energies(clean).mean()
        row[f"{name}_energy"] = energy.item()
    return row


def main():
    """Measure, print and file the table."""
    parser = parser_of(__doc__)
    parser.add_argument("photographs", type=Path, help="folder of some that no training saw")
    parser.add_argument("data", type=Path, help="a val_data.pkl, or the folder that holds it")
    options = parser.parse_args()
    model = shipped_model()
    rows = []
    for name, noisy, clean in cases(options.photographs, options.data):
        row = measure(model, noisy, clean)
        rows.append({"name": name, **row})
        scores = f"noisy {row['noisy_psnr']:6.2f} dB, denoised {row['denoised_psnr']:6.2f} dB"
        tell(f"{name:20} {len(noisy):4} images: {scores}")
    save("robustness", rows)


if __name__ == "__main__":
    main()
