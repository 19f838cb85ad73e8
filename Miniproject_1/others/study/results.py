"""The files in `results/`, from which everything that the report says is computed.

Each training of an experiment has one: `results/EXPERIMENT/ARM.SEED.json`.
"""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path

from ..outputs import replaced
from .experiments import Settings

RESULTS = Path(__file__).resolve().parent / "results"


def load(name):
    """What `results/NAME.json` holds."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def save(name, content):
    """Write `results/NAME.json`, see `finite`."""
    write(RESULTS / f"{name}.json", json.dumps(finite(content), indent=1))


def finite(content):
    """The same content as JSON has it, with None in place of each float that is not finite."""
    text = json.dumps(content, default=asdict)
    return json.loads(text, parse_constant=lambda name: None)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as temporary:
        temporary.write_text(text + "\n")


def name_of(run):
    """The name of the file of an `experiments.Run`, without its ending."""
    arm = re.sub("[^a-z0-9.+]+", "-", run.arm.lower())
    return f"{run.experiment}/{arm}.{run.seed}"


class Results:
    """What all trainings have found. Each file is read once, at the beginning."""

    def __init__(self, folder=RESULTS):
        self.folder = folder
        self.found = {}  # by the names of the files
        for path in sorted(folder.glob("*/*.json")):
            self.found[f"{path.parent.name}/{path.stem}"] = json.loads(path.read_text())

    def of(self, run):
        """What the training of an `experiments.Run` has found, or None if it has not been made.

        It is a dict: `StudyTraining.result`, and "experiment", "arm", "seed" and "settings".

        Raises:
            ValueError: the training was made with other settings than those of the run.
        """
        found = self.found.get(name_of(run))
        if found is None:
            return None
        # a setting that a file lacks came later: the training had what is its default now
        flips = tuple(found["settings"]["flips"])
        if Settings(**{**found["settings"], "flips": flips}) != run.settings:
            path = self.folder / f"{name_of(run)}.json"
            raise ValueError(f"{path} was made with other settings; remove it to make it anew")
        return found

    def score(self, run):
        """The PSNR in dB to choose a rate by, -infinity if the run diverged; None if not made."""
        found = self.of(run)
        if found is None:
            return None
        if found["diverged"] or found["psnr_choosing"] is None:
            return -math.inf
        return found["psnr_choosing"]

    def add(self, run, result):
        """File what a training has found, one line for each entry."""
        named = {"experiment": run.experiment, "arm": run.arm, "seed": run.seed}
        content = {**named, "settings": asdict(run.settings), **finite(result)}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
        write(self.folder / f"{name_of(run)}.json", "{\n" + ",\n".join(lines) + "\n}")
        self.found[name_of(run)] = content
