"""The shipped weights beside public solutions of the same course, image by image.

    python -m Miniproject_1.others.study.peers PEER_SCORES DATA

PEER_SCORES is a JSON file: by the name of each solution's repository, its number of "parameters",
and the PSNR in dB of each image of DATA, "one_pass" by its own prediction and "mean_over_8" by the
mean over the 8 flips and rotations around it. Both denoise the same images, so their difference is
known better than either score: the interval is that of the difference, over photographs.
"""

import json
from pathlib import Path

import torch

from ..console import tell
from ..data.files import load_pairs
from ..metrics import psnr
from . import parser_of, shipped_model
from .results import save
from .verdicts import interval_over_photographs, verdict_of

IMAGES_OF_EACH = 8  # images of each photograph in DATA; they follow one another


def compare(ours, peers):
    """Compare our PSNR of each image with that of others.

    Args:
        ours: tensor (N,) in dB.
        peers: dict as in the file PEER_SCORES.

    Returns:
        dict from the name of each peer to its "parameters", its better "score" of the two, and our
        "lead" over it with the 95 % interval from "low" to "high" and the "verdict", see
        `verdicts.Difference`; the best peer first.
    """
    found = {}
    for name, peer in peers.items():
        theirs = max(torch.tensor(peer["one_pass"]), torch.tensor(peer["mean_over_8"]), key=mean)
        lead = (ours - theirs).view(-1, IMAGES_OF_EACH).mean(1)  # of each photograph
        low, high = interval_over_photographs(lead)
        found[name] = {
            "parameters": peer["parameters"],
            "score": mean(theirs),
            "lead": mean(lead),
            "low": low,
            "high": high,
            "verdict": verdict_of(low, high),
        }
    return dict(sorted(found.items(), key=lambda item: -item[1]["score"]))


def mean(values):
    return values.mean().item()


def main():
    """Compare, print and file the result."""
    parser = parser_of(__doc__)
    parser.add_argument("peer_scores", type=Path, help="JSON file of the others' scores")
    parser.add_argument("data", type=Path, help="the val_data.pkl that they are on, or its folder")
    options = parser.parse_args()
    peers = json.loads(options.peer_scores.read_text())
    noisy, clean = load_pairs(options.data, "val_data.pkl")
    ours = psnr(shipped_model().predict(noisy, progress=True).cpu(), clean)
    found = compare(ours, peers)
    photographs = len(ours) // IMAGES_OF_EACH
    save("peers", {"photographs": photographs, "ours": mean(ours), "peers": found})
    tell(f"ours: {mean(ours):.2f} dB")
    for name, peer in found.items():
        interval = f"{peer['low']:+.2f} to {peer['high']:+.2f}"
        tell(f"{name}: {peer['score']:.2f} dB; ours is {peer['lead']:+.2f} dB ({interval}) from it")


if __name__ == "__main__":
    main()
