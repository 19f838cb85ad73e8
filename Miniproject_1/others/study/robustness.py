"""How the weights do on noise of other strengths, on clean images, and with Gaussian noise on top.

    python -m Miniproject_1.others.study.robustness PHOTOS DATA [--weights FILE]

From PHOTOS, every fourth photograph by name gives the crop of 32 s x 32 s pixels at its centre, for blocks of s x s
pixels, and one noisy draw of it. From DATA, a `val_data.pkl`, every tenth pair is taken: with the clean image as the
input, and with Gaussian noise added to the noisy one.
"""

import argparse
import json
from pathlib import Path

import torch

from ...model import WEIGHTS, Model
from ..data.pairs import load_pairs, psnr
from ..data.photos import IMAGE_SIZE, average_blocks, distinct_photos, sample_blocks
from ..data.pictures import read_picture

BLOCK_SIZES = (2, 3, 4, 6, 8)
SIGMAS = (5, 10)  # of 255
RESULTS = Path(__file__).resolve().parent / "results" / "robustness.json"


def cases(photos, data):
    """Yield name, noisy and clean images of each column of the table."""
    generator = torch.Generator().manual_seed(0)
    pictures = [read_picture(path) for path in distinct_photos(photos)[::4]]
    for block in BLOCK_SIZES:
        side = block * IMAGE_SIZE
        pairs = []
        for picture in pictures:
            top, left = ((length - side) // 2 for length in picture.shape[1:])
            if min(top, left) >= 0:
                crop = picture[:, top : top + side, left : left + side]
                pairs.append((sample_blocks(crop, generator), average_blocks(crop)))
        noisy, clean = zip(*pairs)
        yield f"blocks of {block} x {block}", torch.stack(noisy), torch.stack(clean)
    noisy, clean = (images[::10] for images in load_pairs(data, "val_data.pkl"))
    yield "as trained", noisy, clean
    yield "clean input", clean, clean
    for sigma in SIGMAS:
        noise = sigma * torch.randn(noisy.shape, generator=generator)
        yield f"Gaussian {sigma} on top", (noisy + noise).clamp(0, 255), clean


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photographs that no training saw")
    parser.add_argument("data", type=Path, help="a val_data.pkl, or the folder that holds it")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE")
    options = parser.parse_args()
    model = Model()
    model.load_pretrained_model(options.weights)
    rows = []
    for name, noisy, clean in cases(options.photos, options.data):
        before, after = (psnr(images, clean).mean().item() for images in (noisy, model.predict(noisy).cpu()))
        rows.append(dict(name=name, images=len(noisy), noisy_psnr=before, denoised_psnr=after))
        print(f"{name:20} {len(noisy):4} images: noisy {before:6.2f} dB, denoised {after:6.2f} dB")
    text = json.dumps(rows, indent=1).replace("Infinity", "null")  # the clean image is equal to itself
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
