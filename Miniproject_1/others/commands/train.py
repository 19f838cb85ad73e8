"""`train`: from a data file of noisy pairs to weights."""

import time
import warnings
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from ...model import (
    FLIP_FRACTION,
    FLIPS,
    LARGEST_SEED,
    LBFGS_ITERATIONS,
    PRECISIONS,
    Model,
    build_training,
    check_images,
    check_number,
)
from ..console import say
from ..data.checks import doubts_about_pairs, doubts_about_validation
from ..data.files import load_pairs
from ..metrics import LOSSES
from ..training.long_run import (
    GRADIENTS_OF_LBFGS,
    INTERRUPTED,
    LongRun,
    add_options,
    deadline_of,
    read_checkpoint,
    reserved_outputs,
    settings_of,
)
from ..training.measuring import (
    MEASURED_IMAGES,
    MOST_KEPT_APART,
    Measurements,
    keep_apart,
    report_result,
    seconds_to_denoise,
)
from ..training.optimizers import ALL_OPTIMIZERS
from ..training.processes import team_of_processes
from .options import one_of

LEARNING_RATES = {"momAGD": 0.05, "ADAM": 0.001, "SGD": 0.05, "Nesterov": 0.05, "Muon": 0.004}
MOMENTA = {"momAGD": 0.9, "ADAM": 0.9, "SGD": 0.9, "Nesterov": 0.9, "Muon": 0.95}
CHECKED_PAIRS = 1_000  # which are checked for noise that is not independent
TIMED_STEPS = 8  # from which --minutes finds the number of steps; the first half warms up


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Train on pairs of noisy images and write the weights. By default the steps are those of "
        "Muon, on 16 pairs, and the learning rate falls from 0.004 to zero. Ctrl-C ends the "
        "training after the step under way; nothing is lost, --resume continues."
    )
    text = "a train_data.pkl, or the folder that holds it; make-data makes it from photographs"
    parser.add_argument("data", type=Path, metavar="DATA", help=text)
    add_options(parser)
    text = "weights to start from; default: fresh ones"
    parser.add_argument("--start", type=Path, metavar="FILE", help=text)

    length = parser.add_mutually_exclusive_group()
    text = "passes over the pairs; default: 1"
    length.add_argument("--epochs", type=int, metavar="N", help=text)
    text = "train for about so long, with the number of steps that fits"
    length.add_argument("--minutes", type=float, metavar="X", help=text)

    text = "the loop of Brown et al.: 5 iterations of L-BFGS, then momAGD, on batches of 50"
    parser.add_argument("--hybrid", action="store_true", default=None, help=text)
    text = "pairs in a step; default: 16, or 50 with --hybrid"
    parser.add_argument("--batch-size", type=int, metavar="N", help=text)
    text = f"{', '.join(ALL_OPTIMIZERS)}; default: Muon, or momAGD with --hybrid"
    optimizer = one_of(ALL_OPTIMIZERS)
    parser.add_argument("--optimizer", type=optimizer, metavar="NAME", help=text)
    text = "at the beginning; default: 0.004 for Muon, 0.001 for ADAM, 0.05 for the others"
    parser.add_argument("--learning-rate", type=float, metavar="X", help=text)
    text = "default: 0.95 for Muon, 0.9 for the others; SGD has none"
    parser.add_argument("--momentum", type=float, metavar="X", help=text)
    text = "mse: mean squared error, the default; masked: over pixels that the target has; l1"
    parser.add_argument("--loss", type=one_of(LOSSES), metavar="NAME", help=text)
    text = "input and target never change places; for pairs that are not equally noisy"
    parser.add_argument("--no-swap", dest="swap", action="store_const", const=False, help=text)
    text = "share of the pairs that is kept apart to measure on, at most 1,000; default: 0.01"
    parser.add_argument("--validation-share", type=float, metavar="X", help=text)
    text = "float32, bfloat16, or auto: bfloat16 where the hardware multiplies it, the default"
    precision = one_of(PRECISIONS)
    parser.add_argument("--precision", type=precision, metavar="NAME", help=text)
    text = "of the training's random choices; default: 0"
    parser.add_argument("--seed", type=int, metavar="N", help=text)


def run(options):
    """Train on pairs of noisy images; returns the exit status."""
    ends_at = deadline_of(options)
    if options.start is not None and options.resume is not None:
        raise ValueError("--start and --resume exclude each other: a checkpoint has its weights")
    with team_of_processes(options.device) as team:
        saved = team.from_first(lambda: read_checkpoint(options.resume, "train"))
        settings = settings_of(options, saved, defaults_for(options))
        check_settings(settings)
        with reserved_outputs(options, saved, team.is_first) as outputs:
            return train(options, saved, settings, outputs, team, ends_at)


def defaults_for(options):
    """All settings of a training, as they are if no option says otherwise.

    --hybrid brings those of Brown et al.; each optimizer has a learning rate that suits it.
    """
    optimizer, batch_size = "Muon", 16
    if options.hybrid:
        optimizer, batch_size = "momAGD", 50
    optimizer = options.optimizer or optimizer
    return {
        "epochs": 1,
        "minutes": None,
        "hybrid": False,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": LEARNING_RATES[optimizer],
        "momentum": MOMENTA[optimizer],
        "loss": "mse",
        "swap": True,
        "validation_share": 0.01,
        "precision": "auto",
        "seed": 0,
    }


def check_settings(settings):
    """Raise TypeError or ValueError if a number is out of its range."""
    check_number("--epochs", settings["epochs"], 1, whole=True)
    check_number("--batch-size", settings["batch_size"], 1, whole=True)
    check_number("--learning-rate", settings["learning_rate"], 0)
    check_number("--momentum", settings["momentum"], 0, 1)
    check_number("--validation-share", settings["validation_share"], 0, 0.5)
    check_number("--seed", settings["seed"], 0, LARGEST_SEED, whole=True)
    if settings["minutes"] is not None:
        check_number("--minutes", settings["minutes"], 0)


def train(options, saved, settings, outputs, team, ends_at):
    """Begin or continue a training, and carry it out; returns the exit status."""
    all_pairs, validation = load_data(options.data)
    kept_apart, pairs = keep_apart(*all_pairs, settings["validation_share"])
    check_measured("pairs in train_data.pkl", kept_apart)
    check_measured("images in val_data.pkl", validation or ())
    about = {"settings": settings, "data": fingerprint(all_pairs), "start": None}
    if options.start is not None:
        about["start"] = str(options.start)
    if saved is not None:
        if saved["about"]["data"] != about["data"]:
            raise ValueError(f"--resume: {options.resume} was begun with other pairs")
        about["start"] = saved["about"].get("start")

    model = Model(seed=settings["seed"], device=team.device)
    if options.start is not None:
        model.load_pretrained_model(options.start)
    team.join(model.network)
    training = build(model, pairs, settings, team)
    if saved is not None:
        training.num_steps = saved["about"]["num_steps"]
        training.load_state_dict(saved["training"])
    elif settings["minutes"] is not None:
        training.num_steps = num_steps_in_minutes(model, pairs, settings, team)
    about["num_steps"] = training.num_steps
    steps_left = training.num_steps - training.step
    say(f"training on {len(pairs[0])} pairs: {steps_left} steps of {settings['batch_size']} pairs")
    for doubt in doubts_about_pairs(*(images[:CHECKED_PAIRS] for images in pairs)):
        say(f"warning: {doubt}")
    if validation is not None:
        for doubt in doubts_about_validation(*(images[:CHECKED_PAIRS] for images in validation)):
            say(f"warning: val_data.pkl: {doubt}")

    measurements = Measurements(model, kept_apart, pairs, settings["loss"])

    def before_step():
        if team.is_first:
            measurements.measure_now_and_then()

    def record():
        origin = {name: about[name] for name in ("settings", "data", "start")}
        return {**origin, "history": training.history}

    long_run = LongRun("train", options.data, options, training, outputs, about, team, ends_at)
    if options.deadline is not None:
        # one measurement on the way may still come, and one at the end
        long_run.seconds_to_finish = 2 * seconds_to_denoise(model, pairs[0][:MEASURED_IMAGES])
    ended = long_run.carry_out(before_step, measurements.describe, record)

    if ended != INTERRUPTED and not long_run.requests and team.is_first:
        most_images = MOST_KEPT_APART
        if options.deadline is not None:
            most_images = MEASURED_IMAGES
        report_result(model, kept_apart, validation, most_images)
    return long_run.status()


def check_measured(name, tensors):
    """Raise TypeError or ValueError if images cannot be measured on, before the training begins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `Training` warns of a strange range
        for images in tensors:
            if len(images) > 0:
                check_images(name, images)


def load_data(path):
    """Read the pairs to train on, and noisy and clean images to measure on, or None.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """
    folder = path.parent
    if path.is_dir():
        folder = path
        if not (path / "train_data.pkl").exists():
            advice = "make-data makes it from photographs"
            raise FileNotFoundError(f"{path} holds no train_data.pkl; {advice}")
    validation = None
    if (folder / "val_data.pkl").exists():
        validation = load_pairs(folder, "val_data.pkl")
    return load_pairs(path, "train_data.pkl"), validation


def fingerprint(pairs):
    """Numbers that tell training sets apart: the shape, and the sum of each tensor's pixels."""
    return {"shape": list(pairs[0].shape), "sums": [exact_sum(images) for images in pairs]}


def exact_sum(images):
    """A sum that is the same in whatever order it is formed; of floats, that of their bits."""
    if images.is_floating_point():
        integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}
        images = images.contiguous().view(integers[images.element_size()])
    return images.sum(dtype=torch.int64).item()


def build(model, pairs, settings, team):
    """The `Training` that the settings describe."""
    training = build_training(
        model.network,
        *pairs,
        num_epochs=settings["epochs"],  # with --minutes, another number of steps replaces it
        hybrid=settings["hybrid"],
        batch_size=settings["batch_size"],
        optimizer=ALL_OPTIMIZERS[settings["optimizer"]],
        learning_rate=settings["learning_rate"],
        momentum=settings["momentum"],
        flips=tuple(FLIPS),
        flip_fraction=FLIP_FRACTION,
        swap=settings["swap"],
        precision=settings["precision"],
        seed=settings["seed"],
        loss=team.loss(LOSSES[settings["loss"]]),
    )
    training.batches = team.shared(training.batches)
    return training


def num_steps_in_minutes(model, pairs, settings, team):
    """The number of steps that fit into the minutes that the user has given.

    Some steps are taken to time them, and are undone. Those of L-BFGS are only estimated.
    """
    say("timing the first steps")
    began = time.monotonic()
    timed_settings = {**settings, "hybrid": False, "epochs": TIMED_STEPS}
    training = build(model, pairs, timed_settings, team)
    before = training.state_dict()
    for _ in range(TIMED_STEPS):
        training.take_step()
    moments = training.history["seconds"]
    training.load_state_dict(before)

    later_moments = moments[TIMED_STEPS // 2 - 1 :]
    seconds_of_step = median(end - begin for begin, end in pairwise(later_moments))
    seconds = 60 * settings["minutes"] - (time.monotonic() - began)
    num_steps = seconds / seconds_of_step
    num_iterations = 0
    if settings["hybrid"]:
        num_iterations = LBFGS_ITERATIONS
        num_steps -= num_iterations * (GRADIENTS_OF_LBFGS - 1)
    return team.from_first(lambda: max(round(num_steps), num_iterations + 1))
