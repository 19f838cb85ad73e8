"""What bfloat16 costs: the same trainings in both precisions, and prediction in both.

    python -m Miniproject_1.others.study.precision DATA

From fresh weights, 3,200 pairs in batches of 16 with Muon, 0.004 falling to 0, for each of five seeds; from the shipped
weights, `train` with its defaults on 10,000 pairs. DATA holds a `train_data.pkl` of that many pairs or more, and a
`val_data.pkl` of photographs that neither these nor the shipped weights were trained on: from the photographs of
`reproduce`, `make-data` with `--validation-share 0.05` keeps those that `reproduce` keeps. Runs that are in
`results/precision.json` already are not repeated.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from ...model import Model
from ..data.files import replaced
from ..data.pairs import load_pairs, psnr
from ..training.longrun import processor
from ..training.muon import Muon

SEEDS = range(5)
FRESH = dict(hybrid=False, batch_size=16, optimizer=Muon, learning_rate=0.004, momentum=0.95)
FRESH_PAIRS, SHIPPED_PAIRS = 3_200, 10_000
RESULTS = Path(__file__).resolve().parent / "results" / "precision.json"


def fresh(seed, precision, pairs, validation):
    model = Model(seed=seed)
    model.train(*[images[:FRESH_PAIRS] for images in pairs], 1, **FRESH, precision=precision, seed=seed)
    return dict(scores(model, validation), seconds=model.history["seconds"][-1])


def shipped(precision, pairs, validation):
    model = Model()
    model.load_pretrained_model()
    model.train(*[images[:SHIPPED_PAIRS] for images in pairs], 1, precision=precision)
    return dict(scores(model, validation), seconds=model.history["seconds"][-1])


def prediction(precision, pairs, validation):
    model = Model()
    model.load_pretrained_model()
    return scores(model, validation, precision)


def scores(model, validation, precision="float32"):
    noisy, clean = validation
    return dict(psnr_one_pass=psnr(model.predict(noisy, False, precision=precision).cpu(), clean).mean().item())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of train_data.pkl and val_data.pkl")
    options = parser.parse_args()
    pairs, validation = (load_pairs(options.data, name) for name in ("train_data.pkl", "val_data.pkl"))
    jobs = {}
    for precision in ("float32", "bfloat16"):
        jobs[f"prediction, {precision}"] = partial(prediction, precision)
        for seed in SEEDS:
            jobs[f"fresh weights, seed {seed}, {precision}"] = partial(fresh, seed, precision)
        jobs[f"shipped weights, {precision}"] = partial(shipped, precision)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results.update(processor=processor(), noisy_psnr=psnr(*validation).mean().item(), images=len(validation[0]))
    for name, job in jobs.items():
        if name not in results:
            results[name] = job(pairs, validation)
            with replaced(RESULTS) as temporary:
                temporary.write_text(json.dumps(results, indent=1) + "\n")
        print(name, results[name], flush=True)


if __name__ == "__main__":
    main()
