"""Makes the trainings of experiments, several at a time, and files each result as it comes.

FOLDERs hold the photographs, in whatever order. Each training writes a file into `results/NAME/`.
One that has its file is not repeated, and an unfinished one goes on from its checkpoint in
`.run/study`, which is written every minute. So the same command goes on with a study that was
stopped, by Ctrl-C or by `timeout 9m`.

A GPU is faster with several trainings at a time (`--processes 12`), if its Multi-Process Service
runs (`nvidia-cuda-mps-control -d`). On an NVIDIA H200 twelve trainings with batches of 64 then saw
27,000 pairs a second in all, one alone 12,000.
"""

import multiprocessing
import signal
import time
from functools import lru_cache, partial
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


def add_arguments(parser):
    names = ["all", *EXPERIMENTS]
    text = f"{', '.join(names)}, most important first"
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=text)
    parser.add_argument("--photographs", nargs="+", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda")
    text = "trainings at a time; default: 1"
    parser.add_argument("--processes", type=int, default=1, metavar="N", help=text)


def run(options):
    """Make what is asked for and has no result yet. Returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `timeout` ends it as Ctrl-C does
    names = list(EXPERIMENTS) if "all" in options.names else options.names
    pack(options.photographs)
    make_all(names, Results(), PACKED, options.device, options.processes, CHECKPOINTS)
    return 0


def make_all(names, results, packed, device, processes, checkpoints):
    """Make the runs that these experiments need, some at a time, and add them to the `Results`.

    `packed` is the file that `material.pack` writes, `checkpoints` the folder for unfinished runs.
    """
    threads = max(torch.get_num_threads() // processes, 1)
    work = partial(make, packed=packed, device=device, threads=threads, checkpoints=checkpoints)
    context = multiprocessing.get_context("spawn")
    ignored = (signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C; the end of `with` ends all processes
    with context.Pool(processes, signal.signal, ignored) as pool:
        # The results of a search decide which runs are needed next
        while runs := missing_runs(names, results):
            for done, result in pool.imap_unordered(work, runs):
                results.add(done, result)
                (checkpoints / f"{name_of(done)}.pt").unlink(missing_ok=True)
                score, seconds = results.score(done), result["seconds"]
                say(f"{name_of(done)}: {score:.2f} dB, {result['pairs']} pairs, {seconds} s")


def missing_runs(names, results):
    """The runs that could begin now, most important first."""
    runs = [run for name in names for run in wanted_runs(name, results.score)]
    return [run for run in runs if results.of(run) is None]


material_of = lru_cache(Material)  # once for all runs of a process


def make(run, packed, device, threads, checkpoints):
    """The run and its result, see `StudyTraining.result`. It goes on from its checkpoint."""
    torch.set_num_threads(threads)
    training = StudyTraining(run.settings, run.seed, material_of(packed, device))
    checkpoint = checkpoints / f"{name_of(run)}.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        training.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    saved = time.monotonic()
    while not training.is_finished:
        training.take_step()
        if time.monotonic() > saved + SECONDS_BETWEEN_CHECKPOINTS:
            save(training.state_dict(), checkpoint)
            saved = time.monotonic()
    return run, training.result()
