"""The consistency check of Brown et al.: can the network learn to return a single image?

    python -m Miniproject_1.others.study.consistency

They trained for 20 epochs on one image, as input and as target, and report 74.5 dB. Here the same
is done with images of the sample that comes with the project, by the hybrid and by momAGD alone.

BatchNorm normalizes by the image itself while training, and in `predict` by running means over
earlier steps, whose weights were different. So there are two scores, "training" and "predict".
"""

import copy

import torch

from ...model import Model
from ..console import tell
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..metrics import psnr
from . import parser_of
from .results import save

EPOCHS = 20
IMAGES = 5  # each of another photograph


def scores_of(image, seed, hybrid):
    """The PSNR in dB of an image (1, 3, H, W) after training on it alone, in both modes."""
    model = Model(seed=seed, device="cpu")
    model.train(
        image, image, EPOCHS, hybrid=hybrid, batch_size=1, flips=(), swap=False, progress=False
    )
    network = copy.deepcopy(model.network).train()
    with torch.no_grad():
        output = 255 * network(image / 255)
    found = {"training": output, "predict": model.predict(image, average=False)}
    return {mode: psnr(images, image).item() for mode, images in found.items()}


def main():
    """Train, print and file the scores."""
    parser_of(__doc__).parse_args()
    _, clean = load_pairs(SAMPLE, "val_data.pkl")
    places = [numbers[0] for numbers in sample_photographs().values()][:IMAGES]
    results = {}
    for name, hybrid in (("hybrid", True), ("momAGD", False)):
        runs = [scores_of(clean[place, None], seed, hybrid) for seed, place in enumerate(places)]
        results[name] = {mode: [run[mode] for run in runs] for mode in ("training", "predict")}
        for mode, values in results[name].items():
            listed = ", ".join(f"{value:.1f}" for value in values)
            tell(f"{name}, {mode}: {listed} dB")
    save("consistency", results)


if __name__ == "__main__":
    main()
