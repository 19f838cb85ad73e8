"""The runs of the study, several at a time, and the files of what they find, one a row."""

import json
import math
import platform
import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from datetime import datetime, timezone

import torch

from ...model import keep_memory
from ..data.files import replaced
from ..training.longrun import processor
from .experiments import ROWS
from .measurements import MEASUREMENTS
from .runs import RESULTS, run


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
    """Make a run, of a training on this device or of a measurement on the CPU; returns its record."""
    start, device = time.perf_counter(), "cpu" if name in MEASUREMENTS else device
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


class Filing:
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
