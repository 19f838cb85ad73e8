"""The study: every comparison of Brown et al. repeated at its size, and taken further.

    python -m Miniproject_1.others.study NAME ... --photos FOLDER [--deadline MINUTES] [--device cuda --processes 8]

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
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from datetime import datetime, timezone
from functools import lru_cache, partial
from pathlib import Path

import torch

from ...model import check_number, keep_memory
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


def plan(names, seeds=None, finish=lambda: None):
    """Yield row, variant, settings and seed of every run, the first seed of all variants before the second.

    Of each optimizer's learning rates the best at the first seed is run with the others; `finish` waits for it.
    """
    for name in names:
        row = ROWS[name]
        for seed in row.seeds if seeds is None else seeds:
            variants = row.variants
            if name == "tuned" and seed != row.seeds[0]:
                finish()
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


def is_filed(name, variant, settings, seed):
    """Whether a run has its result; one that another row has made is taken from there."""
    key = dict(variant=variant, seed=seed, settings=settings)
    if any(dict(each, **key) == each for each in load_results(name)):
        return True
    for row in ROWS if settings else ():
        for each in load_results(row):
            if (each["settings"], each["seed"]) == (settings, seed):
                save_results(name, [*load_results(name), dict(each, variant=variant, taken_from=row)])
                return True
    return False


def perform(name, variant, settings, seed, images, device="cpu"):
    """Make a run; returns its record."""
    start = time.perf_counter()
    with keep_memory(math.inf):
        result = MEASUREMENTS[name](images) if name in MEASUREMENTS else run(settings, images, seed, device)
    return dict(
        variant=variant, seed=seed, settings=settings, result=shortened(result),
        minutes=round((time.perf_counter() - start) / 60, 2),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"), threads=torch.get_num_threads(),
        processor=processor(device), python=platform.python_version(), torch=str(torch.__version__),
    )  # fmt: skip


class Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


class Study:
    """Makes runs, so many at a time, and files what they find. Within a `with`, whose end waits for them."""

    def __init__(self, processes=1):
        self.processes, self.making, self.pool = processes, {}, Here()
        if processes > 1:  # tensors reach them in shared memory
            threads = max(torch.get_num_threads() // processes, 1)
            context = torch.multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(processes, context, torch.set_num_threads, (threads,))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.pool:
            self.finish()

    def begin(self, name, variant, settings, seed, images, device="cpu"):
        """Make a run, unless it is there; returns when another can begin. `images` is a function that makes them."""
        if settings and any((settings, seed) == each[2:] for each in self.making.values()):
            self.finish()  # another row is making it
        if not is_filed(name, variant, settings, seed):
            future = self.pool.submit(perform, name, variant, settings, seed, images(), device)
            self.making[future] = name, variant, settings, seed
            self.finish(leave=self.processes - 1)

    def finish(self, leave=0):
        """Wait until only so many runs are being made, and file the others."""
        while len(self.making) > leave:
            for future in wait(self.making, return_when=FIRST_COMPLETED).done:
                name, variant, settings, seed = self.making.pop(future)
                record = future.result()
                save_results(name, [*load_results(name), record])
                score, minutes = record["result"].get("psnr"), record["minutes"]
                print(
                    f"{name}: {variant}, {settings.get('rate', '')}, seed {seed}: {score} dB, {minutes} min", flush=True
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*ROWS, *MEASUREMENTS]
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"all, or of {', '.join(everything)}")
    parser.add_argument("--photos", type=Path, required=True, metavar="FOLDER", help="a tenth is kept to validate on")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="other seeds than a row's own")
    parser.add_argument("--deadline", type=float, metavar="MINUTES", help="begin nothing after this time")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="trainings at a time; a GPU has room")
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

    with Study(check_number("processes", options.processes, 1, whole=True)) as study:
        measurements = ((name, name, {}, 0) for name in names if name in MEASUREMENTS)
        trainings = plan([name for name in names if name in ROWS], options.seeds, study.finish)
        for name, variant, settings, seed in itertools.chain(measurements, trainings):
            if time.monotonic() > stop_at:
                print("stopped at the deadline; the same command goes on")
                return
            size = SMALL if settings.get("num_pairs", 0) <= SMALL[0] else LARGE
            study.begin(name, variant, settings, seed, partial(images_for, size), options.device)


if __name__ == "__main__":
    main()
