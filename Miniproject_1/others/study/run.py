"""Makes the trainings of experiments, several at a time, and files each result as it comes.

Each writes a file into `results/NAME/`. A training that has its file is not repeated, and an
unfinished one goes on from its checkpoint in `.run/study`, which is written every minute. So the
same command goes on with a study that was stopped by Ctrl-C or by `timeout -s INT 9m`.
`experiments.py` says what is trained.

A GPU is faster with several trainings at a time (`--processes 12`), if its Multi-Process Service
runs (`nvidia-cuda-mps-control -d`). On an NVIDIA H200 twelve trainings with batches of 64 then saw
27,000 pairs a second in all, one alone 12,000.
"""

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from ..console import say
from ..outputs import save
from .experiments import EXPERIMENTS, wanted_runs
from .material import PACKED, Material, pack
from .results import Results, name_of
from .trainings import StudyTraining

CHECKPOINTS = Path(".run") / "study"  # in the working folder
SECONDS_BETWEEN_CHECKPOINTS = 60

material = None  # of this process, see `begin_process`


def add_arguments(parser):
    names = ["all", *EXPERIMENTS]
    text = f"{', '.join(names)}, most important first"
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=text)
    text = "where the photographs are; their order and folders do not matter"
    parser.add_argument(
        "--photographs", nargs="+", type=Path, required=True, metavar="FOLDER", help=text
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda")
    text = "trainings at a time; default: 1"
    parser.add_argument("--processes", type=int, default=1, metavar="N", help=text)


def run(options):
    """Make all trainings that are asked for. Returns the exit status."""
    names = options.names
    if "all" in names:
        names = list(EXPERIMENTS)
    pack(options.photographs, PACKED)
    make_all(names, Results(), PACKED, options.device, options.processes, CHECKPOINTS)
    return 0


def make_all(names, results, packed, device, processes, checkpoints):
    """Make the runs that some experiments need and that have no result yet.

    Args:
        names: of experiments, most important first.
        results: a `Results`, to which each result is added as it comes.
        packed: file of photographs, see `material.pack`.
        device: on which to train.
        processes: runs at a time.
        checkpoints: folder for what unfinished runs need to go on.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    threads = max(torch.get_num_threads() // processes, 1)
    arguments = packed, device, threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, begin_process, arguments) as pool:
        try:
            # The results of a search decide which runs are needed next
            while runs := missing_runs(names, results):
                futures = {pool.submit(make, run, checkpoints): run for run in runs}
                for future in as_completed(futures):
                    if future.exception() is None:
                        file(futures[future], future.result(), results, checkpoints)
                for future in futures:
                    future.result()  # raises what has stopped a run, now that others are filed
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def missing_runs(names, results):
    """The runs that could begin now, most important first."""
    runs = [run for name in names for run in wanted_runs(name, results.score)]
    return [run for run in runs if results.of(run) is None]


def file(run, result, results, checkpoints):
    """Save the result of a run."""
    results.add(run, result)
    checkpoint_of(run, checkpoints).unlink(missing_ok=True)
    score, pairs, seconds = results.score(run), result["pairs"], result["seconds"]
    say(f"{name_of(run)}: {score:.2f} dB, {pairs} pairs, {seconds} s")


def checkpoint_of(run, checkpoints):
    """The file with what an unfinished run needs to go on."""
    return checkpoints / f"{name_of(run).replace('/', '.')}.pt"


def begin_process(packed, device, threads):
    """Load what all runs of this process share, and end it when the study is killed."""
    global material
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    material = Material(packed, device)


def end_with_parent():
    """Wait until the process that started this one has ended, and end this one at once."""
    multiprocessing.parent_process().join()
    os._exit(1)


def make(run, checkpoints):
    """The result of a run, see `StudyTraining.result`. It goes on from its checkpoint."""
    training = StudyTraining(run.settings, run.seed, material)
    checkpoint = checkpoint_of(run, checkpoints)
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        training.load_state_dict(state)
    saved = time.monotonic()
    while not training.is_finished:
        training.take_step()
        if time.monotonic() > saved + SECONDS_BETWEEN_CHECKPOINTS:
            save(training.state_dict(), checkpoint)
            saved = time.monotonic()
    return training.result()
