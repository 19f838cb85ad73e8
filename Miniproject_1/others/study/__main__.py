"""The study: every comparison of Brown et al. repeated, and taken further.

    python -m Miniproject_1.others.study NAME ... --photos FOLDER    run experiments; `all` runs all

An experiment trains variants that differ in one thing, from the same starts on the same batches, and writes
`results/study/NAME.json`: of every run its settings, seed and versions, its losses, the PSNR on photographs that it
did not see, and what it cost in gradients and seconds. A run whose settings are in the file already is not repeated.

Brown et al. train on 1,000 pairs of 32 x 32 in batches of 100 (optimizers: 200). By default this study trains on 80
pairs, random crops of 16 x 16, in batches of 8 (optimizers: 16); `--scale whole` takes batches of 100 whole images.
"""

import argparse
import json
import platform
import time
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import torch

from ..data.files import replaced
from .benchmark import processor
from .experiments import EXPERIMENTS, SCALES, settings_of
from .runs import MEASUREMENTS, RESULTS, make_images, run


def load_results(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def save_results(name, runs):
    """Write a list of runs, one line each, in place of what was there."""
    path = RESULTS / f"{name}.json"
    with replaced(path) as temporary:
        temporary.write_text("[\n" + ",\n".join(json.dumps(each) for each in runs) + "\n]\n")


def shortened(value):
    """Floats with five digits, wherever they are."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    return [shortened(each) for each in value] if isinstance(value, list) else value


def perform(name, variant, settings, seed, work):
    """Do `work` and file its result, unless it is there."""
    runs = load_results(name)
    key = dict(variant=variant, seed=seed)
    if any(dict(each, **key, settings=settings) == each for each in runs):
        return
    start = time.perf_counter()
    result = work()
    record = dict(
        key, settings=settings, result=shortened(result), minutes=round((time.perf_counter() - start) / 60, 2),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"), processor=processor(),
        threads=torch.get_num_threads(), python=platform.python_version(), torch=torch.__version__,
    )  # fmt: skip
    runs = [each for each in load_results(name) if dict(each, **key) != each]
    save_results(name, [*runs, record])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="one run for each")
    parser.add_argument("--scale", choices=SCALES, default="small", help="sizes of batches and crops")
    everything = [*MEASUREMENTS, *EXPERIMENTS]
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"all, or of {', '.join(everything)}")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photographs; a tenth is kept to validate on")
    options = parser.parse_args()
    names = everything if options.names == ["all"] else options.names
    unknown = set(names) - set(everything)
    if unknown:
        parser.error(f"there is no experiment {', '.join(sorted(unknown))}")
    if options.photos is None:
        parser.error("experiments need --photos, a folder of photographs")
    RESULTS.mkdir(parents=True, exist_ok=True)
    plans = {
        (name, variant): settings_of(changes, options.scale)
        for name, variants in EXPERIMENTS.items()
        for variant, changes in variants.items()
    }
    images = make_images(options.photos, max(each["batch_size"] * each["steps_per_epoch"] for each in plans.values()))
    for name in names:
        if name in MEASUREMENTS:
            perform(name, name, {}, 0, partial(MEASUREMENTS[name], images))
    for seed in options.seeds:
        for name in names:
            for variant in EXPERIMENTS.get(name, {}):
                settings = plans[name, variant]
                perform(name, variant, settings, seed, partial(run, settings, images, seed))


if __name__ == "__main__":
    main()
