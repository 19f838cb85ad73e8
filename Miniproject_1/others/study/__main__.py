"""The study: every comparison of Brown et al. repeated at its size, and taken further.

    python -m Miniproject_1.others.study NAME ... --photos FOLDER [--deadline MINUTES] [--device cuda]

A row trains variants that differ in one thing, from the same starts on the same batches, and writes to
`results/rows/NAME.json`, of every run, its settings, seed and versions, its losses, and the PSNR on photographs that it
did not see. The NAME "all" stands for all rows, in order of importance. A run that has been made already, in whatever
row, is not repeated, so a study that was stopped goes on.
"""

import argparse
import itertools
import json
import math
import platform
import time
from datetime import datetime, timezone
from functools import lru_cache, partial
from pathlib import Path

import torch

from ...model import keep_memory
from ..data.files import replaced
from ..training.longrun import processor
from .experiments import RATES, ROWS, at_each_rate, settings_of
from .measurements import MEASUREMENTS
from .runs import RESULTS, make_images, run

SMALL = (4_000,)  # images to train on: arguments of `make_images`, for all rows but "original"
LARGE = (50_000, 1_000, 2)  # to train and to validate on, and draws of each


def load_results(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def save_results(name, runs):
    """Write a list of runs, one line each, in place of what was there."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with replaced(RESULTS / f"{name}.json") as temporary:
        temporary.write_text("[\n" + ",\n".join(json.dumps(each) for each in runs) + "\n]\n")


def shortened(value):
    """Floats with five digits, wherever they are."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    return [shortened(each) for each in value] if isinstance(value, list) else value


def plan(names, seeds=None):
    """Yield row, variant, settings and seed of every run, the first seed of all variants before the second.

    Of each optimizer's learning rates the best at the first seed is run with the others.
    """
    for name in names:
        row = ROWS[name]
        for seed in row.seeds if seeds is None else seeds:
            variants = row.variants
            if name == "tuned" and seed != row.seeds[0]:
                variants = {best: row.variants[best] for best in map(best_rate, RATES) if best}
            for variant, changes in variants.items():
                for rate in row.rates:
                    yield name, variant, settings_of(changes, rate), seed


def best_rate(optimizer):
    """The variant of the row "tuned" in which this optimizer scores highest at the first seed; None if none has run."""
    first = ROWS["tuned"].seeds[0]
    found = {each["variant"]: each["result"]["psnr"] or 0 for each in load_results("tuned") if each["seed"] == first}
    mine = [variant for variant in at_each_rate(optimizer) if variant in found]
    return max(mine, key=found.get) if mine else None


def perform(name, variant, settings, seed, work, device="cpu"):
    """Do `work` and file its result, unless it is there; a run that another row has made is taken from there."""
    key = dict(variant=variant, seed=seed, settings=settings)
    if any(dict(each, **key) == each for each in load_results(name)):
        return
    for row in ROWS if settings else ():
        for each in load_results(row):
            if (each["settings"], each["seed"]) == (settings, seed):
                save_results(name, [*load_results(name), dict(each, variant=variant, taken_from=row)])
                return
    start, cpu = time.perf_counter(), device == "cpu"
    with keep_memory(math.inf):
        result = work()
    record = dict(
        key, result=shortened(result), minutes=round((time.perf_counter() - start) / 60, 2),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"), threads=torch.get_num_threads(),
        processor=processor() if cpu else torch.cuda.get_device_name(device),
        python=platform.python_version(), torch=str(torch.__version__),
    )  # fmt: skip
    save_results(name, [*load_results(name), record])
    score = result.get("psnr")
    print(
        f"{name}: {variant}, {settings.get('rate', '')}, seed {seed}: {score} dB, {record['minutes']} min", flush=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*ROWS, *MEASUREMENTS]
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"all, or of {', '.join(everything)}")
    parser.add_argument("--photos", type=Path, required=True, metavar="FOLDER", help="a tenth is kept to validate on")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="other seeds than a row's own")
    parser.add_argument("--deadline", type=float, metavar="MINUTES", help="begin nothing after this time")
    parser.add_argument("--device", default="cpu", help="for the trainings: cpu (default), cuda")
    options = parser.parse_args()
    names = everything if options.names == ["all"] else options.names
    unknown = set(names) - set(everything)
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    stop_at = time.monotonic() + 60 * (options.deadline if options.deadline is not None else float("inf"))

    @lru_cache(maxsize=1)
    def images_for(size):
        return make_images(options.photos, *size)

    def work(name, settings, seed):
        if name in MEASUREMENTS:
            return MEASUREMENTS[name](images_for(SMALL))
        images = images_for(SMALL if settings["num_pairs"] <= SMALL[0] else LARGE)
        return run(settings, images, seed, options.device)

    measurements = ((name, name, {}, 0) for name in names if name in MEASUREMENTS)
    trainings = plan([name for name in names if name in ROWS], options.seeds)
    for name, variant, settings, seed in itertools.chain(measurements, trainings):
        if time.monotonic() > stop_at:
            print("stopped at the deadline; the same command goes on")
            return
        perform(name, variant, settings, seed, partial(work, name, settings, seed), options.device)


if __name__ == "__main__":
    main()
