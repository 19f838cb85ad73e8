"""How good the weights are on a validation set, with intervals over photographs.

    python -m Miniproject_1.others.study.scores DATA --photographs 125 [--in-order] [--weights FILE]

Pairs that show the same photograph are not independent, so the bootstrap (Efron, 1979) draws photographs: the interval
holds the middle 95 % of the scores of 10,000 sets of as many photographs, drawn with replacement.
"""

import argparse
import json
from pathlib import Path

import torch

from ...model import WEIGHTS, Model
from ..data.pairs import load_pairs, places, psnr

DRAWS = 10_000
RESULTS = Path(__file__).resolve().parent / "results" / "scores.json"


def mean_of_psnr(images, clean):
    """The course's formula, as a score of each image and what is to be made of a mean of them."""
    return psnr(images, clean), lambda mean: mean


def psnr_of_mean(images, clean):
    """That of Brown et al., images in [0, 1]: `-10 log10(mse + 1e-8)` over all images."""
    error = ((images.float() - clean.float()) / 255).square().mean((1, 2, 3))
    return error, lambda mean: -10 * torch.log10(mean + 1e-8)


def interval(values, finish, groups):
    """The score and its 95 % interval, from a value of each image (N,) and the images of each photograph (P, n)."""
    of_photographs = values[groups].mean(1)  # (P,)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(of_photographs), (DRAWS, len(of_photographs)), generator=generator)
    scores = finish(of_photographs[drawn].mean(1))
    low, high = scores.quantile(torch.tensor([0.025, 0.975])).tolist()
    return dict(score=finish(of_photographs.mean()).item(), low=low, high=high)


def scores(model, noisy, clean, groups):
    """The scores by both formulas of the noisy images and of the denoised ones, in one pass and as a mean over 8."""
    images = {"noisy": noisy}
    for name, average in (("one pass", False), ("mean over 8 flips", True)):
        images[name] = model.predict(noisy, average=average, progress=True).cpu()
    return {
        name: {formula.__name__: interval(*formula(each, clean), groups) for formula in (mean_of_psnr, psnr_of_mean)}
        for name, each in images.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a val_data.pkl that make-data drew from photographs, or its folder")
    parser.add_argument("--photographs", type=int, required=True, help="how many they are; all are in this file alone")
    parser.add_argument("--in-order", action="store_true", help="the pairs of a photograph follow one another")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE")
    options = parser.parse_args()
    model = Model()
    model.load_pretrained_model(options.weights)
    noisy, clean = load_pairs(options.data, "val_data.pkl")
    groups = torch.arange(len(noisy)).view(options.photographs, -1)
    if not options.in_order:
        groups = places(options.photographs, options.photographs, len(noisy))
    result = scores(model, noisy, clean, groups)
    RESULTS.write_text(
        json.dumps(dict(pairs=len(noisy), photographs=options.photographs, scores=result), indent=1) + "\n"
    )
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
