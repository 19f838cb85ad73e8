"""Makes the runs of experiments, several at a time, and files each result as it comes."""

import math
import multiprocessing
import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import torch

from ...model import load_tensors
from ..console import say
from ..outputs import save
from .experiments import wanted_runs
from .material import Material
from .results import name_of, save_run, score_to_choose_by
from .trainings import OutOfTime, StudyTraining

SECONDS_BETWEEN_CHECKPOINTS = 120

material = None  # of this process, see `begin_process`


class Runner:
    """Makes the runs that some experiments need.

    Args:
        names: of experiments, most important first.
        packed: file of photographs, see `material.pack`.
        device: on which to train.
        processes: runs at a time.
        checkpoints: folder for what unfinished runs need to go on.
    """

    def __init__(self, names, packed, device, processes, checkpoints):
        self.names = names
        self.processes = processes
        self.checkpoints = checkpoints
        self.scores = {}  # to choose by, of each run
        self.failed = set()
        self.running = {}
        threads = max(torch.get_num_threads() // processes, 1)
        self.pool = ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=begin_process,
            initargs=(packed, device, threads),
        )

    def run(self, deadline=math.inf):
        """Make all runs that have no result yet, until the deadline, in seconds of `time.time()`.

        Returns:
            whether all of them have their results.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with self.pool:
            try:
                return self.run_all(deadline)
            except BrokenProcessPool:
                say("a process was killed, for memory perhaps; the same command goes on")
                return False
            finally:  # whatever has happened, what is finished is filed
                for future in [*self.running]:
                    self.file(self.running.pop(future), future)

    def run_all(self, deadline):
        """Start trainings and file their results until there are none left."""
        while True:
            waiting = self.waiting()
            if time.time() < deadline:
                for run in waiting[: self.processes - len(self.running)]:
                    checkpoint = self.checkpoint_of(run)
                    self.running[self.pool.submit(make, run, deadline, checkpoint)] = run
            if not self.running:
                return not waiting and not self.failed
            done, _ = wait(self.running, return_when=FIRST_COMPLETED)
            for future in done:
                self.file(self.running.pop(future), future)

    def checkpoint_of(self, run):
        """The file with what an unfinished run needs to go on."""
        return self.checkpoints / f"{name_of(run).replace('/', '.')}.pt"

    def waiting(self):
        """The runs that could begin now, most important first."""
        busy = {*self.failed, *self.running.values()}
        runs = [run for name in self.names for run in wanted_runs(name, self.score_of)]
        return [run for run in runs if self.score_of(run) is None and run not in busy]

    def score_of(self, run):
        """As `score_to_choose_by`, but no file is read twice."""
        if self.scores.get(run) is None:
            self.scores[run] = score_to_choose_by(run)
        return self.scores[run]

    def file(self, run, future):
        """Save the result of a run, or say why it has none."""
        try:
            result = future.result()
        except Exception as error:  # whatever it is, the other runs go on
            self.failed.add(run)
            say(f"{name_of(run)} failed: {type(error).__name__}: {error}")
            return
        if result is None:
            self.failed.add(run)
            say(f"{name_of(run)} is not finished; the same command goes on with it")
            return
        save_run(run, result)
        self.checkpoint_of(run).unlink(missing_ok=True)
        score = self.score_of(run)
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


def make(run, deadline, checkpoint):
    """Make a run, or as much of it as there is time for.

    Args:
        run: an `experiments.Run`.
        deadline: in seconds of `time.time()`.
        checkpoint: file with what the run needs to go on. It is written every
            `SECONDS_BETWEEN_CHECKPOINTS` and at the deadline.

    Returns:
        its result, or None if it is not finished.
    """
    training = StudyTraining(run.settings, run.seed, material)
    if checkpoint.exists():
        try:
            training.load_state_dict(load_tensors(checkpoint))
        except ValueError as error:
            raise ValueError(f"{checkpoint}: {error}; remove it to begin anew") from None
    while time.time() < deadline:
        try:
            training.run(min(deadline, time.time() + SECONDS_BETWEEN_CHECKPOINTS))
            return training.result()
        except OutOfTime:
            save(training.state_dict(), checkpoint)
    return None
