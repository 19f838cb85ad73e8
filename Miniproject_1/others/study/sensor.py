"""A denoiser for Gaussian noise, trained as README shows in half an hour, beside BM3D on the same images.

    python -m Miniproject_1.others.study.sensor PHOTOS WEIGHTS

Of every third photograph by name that is large enough, the square of 192 x 192 pixels at its centre is the clean image.
BM3D (Dabov et al., 2007; the package bm3d of its authors) is told the noise's strength. Needs: pip install bm3d
"""

import argparse
import json
from pathlib import Path

import torch

from ...model import Model, track
from ..data.noises import gaussian
from ..data.pairs import psnr
from ..data.photos import distinct_photos
from ..data.pictures import read_picture

SIGMA, SIDE = 25.0, 192  # of 255; pixels
RESULTS = Path(__file__).resolve().parent / "results" / "sensor.json"


def main():
    try:
        from bm3d import bm3d_rgb
    except ModuleNotFoundError:
        raise SystemExit("error: the comparison needs BM3D: pip install bm3d") from None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photographs that the training did not see")
    parser.add_argument("weights", type=Path, help="what the training wrote; WEIGHTS.json beside it tells of it")
    options = parser.parse_args()
    squares = []
    for path in distinct_photos(options.photos)[::3]:
        photo = read_picture(path)
        top, left = ((side - SIDE) // 2 for side in photo.shape[1:])
        if min(top, left) >= 0:
            squares.append(photo[:, top : top + SIDE, left : left + SIDE])
    clean = torch.stack(squares)
    noisy = gaussian(clean, torch.Generator().manual_seed(0), SIGMA)
    model = Model()
    model.load_pretrained_model(options.weights)
    denoised = {f"ours, {name}": model.predict(noisy, average, progress=True).cpu()
                for name, average in (("one pass", False), ("mean over 8 flips", True))}  # fmt: skip
    bm3d = [torch.from_numpy(bm3d_rgb(image.permute(1, 2, 0).numpy() / 255, SIGMA / 255)).permute(2, 0, 1)
            for image in track(noisy, len(noisy), label="BM3D")]  # fmt: skip
    denoised["BM3D"] = torch.stack(bm3d) * 255
    scores = {name: psnr(images.float().clamp(0, 255), clean) for name, images in {"noisy": noisy, **denoised}.items()}
    record = json.loads(options.weights.with_name(options.weights.name + ".json").read_text())
    minutes = record["history"]["seconds"][-1] / 60
    difference = scores["ours, mean over 8 flips"] - scores["BM3D"]
    result = dict(
        sigma=SIGMA, images=len(clean), side=SIDE, settings=record["settings"], minutes=minutes,
        psnr={name: values.mean().item() for name, values in scores.items()},
        lead=difference.mean().item(), lead_standard_error=(difference.std() / len(clean) ** 0.5).item(),
    )  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
