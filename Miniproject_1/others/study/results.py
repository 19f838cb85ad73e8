"""The files of the study's results, one for each training: `results/EXPERIMENT/ARM.SEED.json`.

Everything that the report says is computed from the files in `results/`.
"""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path

from ..outputs import finite, replaced
from .experiments import Settings

RESULTS = Path(__file__).resolve().parent / "results"


def path_of(name):
    return RESULTS / f"{name}.json"


def load(name):
    """Read `results/NAME.json`: what the file holds, or None if there is no such file."""
    if not path_of(name).exists():
        return None
    return json.loads(path_of(name).read_text())


def save(name, content):
    """Write `results/NAME.json`, in place of a file of that name once the new one is whole.

    Args:
        name: of the file, without its ending.
        content: numbers, text, lists and dicts. Floats that are not finite are written as null.
    """
    write(name, json.dumps(finite(content), indent=1))


def write(name, text):
    path_of(name).parent.mkdir(parents=True, exist_ok=True)
    with replaced(path_of(name)) as temporary:
        temporary.write_text(text + "\n")


def name_of(run):
    """The name of the file of a `Run`, without its ending."""
    arm = re.sub("[^a-z0-9.+]+", "-", run.arm.lower())
    return f"{run.experiment}/{arm}.{run.seed}"


def load_run(run):
    """Read what the training of an `experiments.Run` has found.

    Returns:
        a dict, see `StudyTraining.result`, or None if the training has not been made.

    Raises:
        ValueError: the training was made with other settings than those of the run.
    """
    found = load(name_of(run))
    if found is None:
        return None
    # a setting that a file lacks came later: the training had what is its default now
    made_with = {**asdict(Settings()), **found["settings"]}
    if as_in_json(made_with) != as_in_json(asdict(run.settings)):
        path = path_of(name_of(run))
        raise ValueError(f"{path} was made with other settings; remove it to make it anew")
    return found


def as_in_json(content):
    """What is read back after it was written to a JSON file."""
    return json.loads(json.dumps(content))


def score_to_choose_by(run):
    """The PSNR in dB by which learning rates are chosen.

    It is minus infinity if the training of this `experiments.Run` diverged, None if it has not been
    made.
    """
    result = load_run(run)
    if result is None:
        return None
    if result["diverged"] or result["psnr_choosing"] is None:
        return -math.inf
    return result["psnr_choosing"]


def save_run(run, result):
    """File what a training has found, one line for each entry."""
    content = {"experiment": run.experiment, "arm": run.arm, "seed": run.seed}
    content["settings"] = asdict(run.settings)
    content.update(result)
    lines = [f"{json.dumps(key)}: {json.dumps(finite(each))}" for key, each in content.items()]
    write(name_of(run), "{\n" + ",\n".join(lines) + "\n}")
