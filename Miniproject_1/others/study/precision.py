"""What bfloat16 costs: the same trainings in both precisions, and prediction in both.

    python -m Miniproject_1.others.study.precision DATA

Fresh weights are trained on 3,200 pairs in batches of 16 with Muon, 0.004 falling to 0, for each of
five seeds. DATA holds a `train_data.pkl` of that many pairs, and a `val_data.pkl` of photographs
that no training saw. What is in `results/precision.json` already is not repeated.
"""

from functools import partial
from pathlib import Path

from ...model import Model
from ..console import tell
from ..data.files import load_pairs
from ..metrics import psnr
from ..training.long_run import processor
from ..training.optimizers import Muon
from . import parser_of, shipped_model
from .results import load, save

SEEDS = range(5)
PRECISIONS = ("float32", "bfloat16")
NUM_PAIRS = 3_200


def trained(pairs, precision, seed):
    """A model after a short training of fresh weights."""
    model = Model(seed=seed)
    model.train(
        *(images[:NUM_PAIRS] for images in pairs),
        num_epochs=1,
        hybrid=False,
        batch_size=16,
        optimizer=Muon,
        learning_rate=0.004,
        momentum=0.95,
        precision=precision,
        seed=seed,
    )
    return model


def jobs(pairs):
    """All that is measured: name, function that makes the model, precision of the prediction."""
    for precision in PRECISIONS:
        yield f"prediction, {precision}", shipped_model, precision
        for seed in SEEDS:
            train = partial(trained, pairs, precision, seed)
            yield f"fresh weights, seed {seed}, {precision}", train, "float32"


def main():
    """Measure what has no result yet, and file it."""
    parser = parser_of(__doc__)
    parser.add_argument("data", type=Path, help="folder of train_data.pkl and val_data.pkl")
    options = parser.parse_args()
    pairs = load_pairs(options.data, "train_data.pkl")
    noisy, clean = load_pairs(options.data, "val_data.pkl")
    results = load("precision") or {}
    results.setdefault("processor", processor())
    results["images"] = len(noisy)
    results["noisy_psnr"] = psnr(noisy, clean).mean().item()
    for name, make, precision in jobs(pairs):
        if name not in results:
            denoised = make().predict(noisy, average=False, precision=precision).cpu()
            results[name] = {"psnr_one_pass": psnr(denoised, clean).mean().item()}
            save("precision", results)
        tell(f"{name}: {results[name]['psnr_one_pass']:.3f} dB")


if __name__ == "__main__":
    main()
