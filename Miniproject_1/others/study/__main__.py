"""The study: every comparison of Brown et al. repeated at its size, and taken further.

    python -m Miniproject_1.others.study NAME ... --photos FOLDER [--deadline MINUTES] [--device cuda --processes 8]

A row trains variants that differ in one thing, from the same starts on the same batches, and writes to
`results/rows/NAME.json`, of every run, its settings, seed and versions, its losses, and the PSNR on photographs that it
did not see. The NAME "all" stands for all rows, in order of importance. A run that has been made already, in whatever
row, is not repeated, so a study that was stopped goes on.
"""

import argparse
import itertools
import time
from functools import lru_cache, partial
from pathlib import Path

from ...model import check_number
from .experiments import RATES, ROWS, at_each_rate, settings_of
from .filing import Filing, load_results
from .measurements import MEASUREMENTS
from .runs import make_images

SMALL = (4_000,)  # images to train on: arguments of `make_images`, for all rows but "original"
LARGE = (50_000, 1_000, 2)  # to train and to validate on, and draws of each


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

    with Filing(check_number("processes", options.processes, 1, whole=True)) as filing:
        measurements = ((name, name, {}, 0) for name in names if name in MEASUREMENTS)
        trainings = plan([name for name in names if name in ROWS], options.seeds, filing.finish)
        for name, variant, settings, seed in itertools.chain(measurements, trainings):
            if time.monotonic() > stop_at:
                print("stopped at the deadline; the same command goes on")
                return
            size = SMALL if settings.get("num_pairs", 0) <= SMALL[0] else LARGE
            filing.begin(name, variant, settings, seed, partial(images_for, size), options.device)


if __name__ == "__main__":
    main()
