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
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
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
    """Make all trainings that are asked for. Returns the exit status: 1 if some have failed."""
    names = options.names
    if "all" in names:
        names = list(EXPERIMENTS)
    pack(options.photographs, PACKED)
    runner = Runner(names, Results(), PACKED, options.device, options.processes, CHECKPOINTS)
    return 0 if runner.run() else 1


class Runner:
    """Makes the runs that some experiments need.

    Args:
        names: of experiments, most important first.
        results: a `Results`, which runs that have theirs are in and others are added to.
        packed: file of photographs, see `material.pack`.
        device: on which to train.
        processes: runs at a time.
        checkpoints: folder for what unfinished runs need to go on.
    """

    def __init__(self, names, results, packed, device, processes, checkpoints):
        self.names = names
        self.results = results
        self.processes = processes
        self.checkpoints = checkpoints
        self.failed = set()
        self.running = {}
        threads = max(torch.get_num_threads() // processes, 1)
        self.pool = ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=begin_process,
            initargs=(packed, device, threads),
        )

    def run(self):
        """Make all runs that have no result yet. Returns whether none has failed."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with self.pool:
            while True:
                for run in self.waiting()[: self.processes - len(self.running)]:
                    future = self.pool.submit(make, run, self.checkpoint_of(run))
                    self.running[future] = run
                if not self.running:
                    return not self.failed
                done, _ = wait(self.running, return_when=FIRST_COMPLETED)
                for future in done:
                    self.file(self.running.pop(future), future)

    def checkpoint_of(self, run):
        """The file with what an unfinished run needs to go on."""
        return self.checkpoints / f"{name_of(run).replace('/', '.')}.pt"

    def waiting(self):
        """The runs that could begin now, most important first."""
        busy = {*self.failed, *self.running.values()}
        runs = [run for name in self.names for run in wanted_runs(name, self.results.score)]
        return [run for run in runs if self.results.of(run) is None and run not in busy]

    def file(self, run, future):
        """Save the result of a run, or say why it has none."""
        try:
            result = future.result()
        except Exception as error:  # whatever it is, the other runs go on
            self.failed.add(run)
            say(f"{name_of(run)} failed: {type(error).__name__}: {error}")
            return
        self.results.add(run, result)
        self.checkpoint_of(run).unlink(missing_ok=True)
        score = self.results.score(run)
        say(f"{name_of(run)}: {score:.2f} dB, {result['pairs']} pairs, {result['seconds']} s")


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


def make(run, checkpoint):
    """Make a run.

    Args:
        run: an `experiments.Run`.
        checkpoint: file from which it goes on, if it is there, and to which it is saved on its way.

    Returns:
        its result, see `StudyTraining.result`.
    """
    training = StudyTraining(run.settings, run.seed, material)
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
