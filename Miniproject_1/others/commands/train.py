"""`train`: from a data file of noisy pairs to weights."""

import copy
import time

import torch

from ...model import (
    LARGEST_SEED,
    LBFGS_ITERATIONS,
    OPTIMIZERS,
    PRECISIONS,
    Batches,
    Model,
    Training,
    check_number,
)
from ..console import say
from ..data.files import load_loss, load_pairs
from ..metrics import LOSSES
from ..training.long_run import LongRun
from ..training.measuring import Measurements, keep_apart, report_result
from ..training.optimizers import ALL_OPTIMIZERS
from ..training.processes import team_of_processes
from .options import add_device, add_overwrite, one_of, path

OFFERED = ("Muon", *OPTIMIZERS)  # the study compares others, too
TIMED_STEPS = 3  # from which --minutes finds the size of the batches; the first one warms up
FEWEST_STEPS = 300  # that --minutes makes smaller batches for


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Train on pairs of noisy images and write the weights. By default the steps are those of "
        "Muon, on 16 pairs, and the learning rate falls from 0.004 to zero. Ctrl-C ends the "
        "training after the step under way; nothing is lost, --resume goes on."
    )
    text = "a train_data.pkl, or the folder that holds it; make-data makes it from photographs"
    parser.add_argument("data", type=path, metavar="DATA", help=text)
    add_options_of_runs(parser)
    text = "weights to start from; default: fresh ones"
    parser.add_argument("--start", type=path, metavar="FILE", help=text)

    length = parser.add_mutually_exclusive_group()
    text = "passes over the pairs; default: 1"
    length.add_argument("--epochs", type=int, metavar="N", help=text)
    text = "train for so long, with a learning rate that falls by the time that is left"
    length.add_argument("--minutes", type=float, metavar="X", help=text)

    text = "the loop of Brown et al.: 5 iterations of L-BFGS, then momAGD, on batches of 50"
    parser.add_argument("--hybrid", action="store_true", default=None, help=text)
    text = "pairs in a step; default: 16, or 50 with --hybrid; fewer where --minutes are short"
    parser.add_argument("--batch-size", type=int, metavar="N", help=text)
    text = f"{', '.join(OFFERED)}; default: Muon, or momAGD with --hybrid"
    parser.add_argument("--optimizer", type=one_of(OFFERED), metavar="NAME", help=text)
    rates = [f"{ALL_OPTIMIZERS[name].learning_rate} for {name}" for name in OFFERED]
    text = f"at the beginning; default: {', '.join(rates)}"
    parser.add_argument("--learning-rate", type=float, metavar="X", help=text)
    text = f"{', '.join(LOSSES)}; default: the one that the noise of DATA needs"
    parser.add_argument("--loss", type=one_of(LOSSES), metavar="NAME", help=text)
    text = "float32, bfloat16, or auto: bfloat16 where the hardware multiplies it, the default"
    precision = one_of(PRECISIONS)
    parser.add_argument("--precision", type=precision, metavar="NAME", help=text)
    text = "of the training's random choices; default: 0"
    parser.add_argument("--seed", type=int, metavar="N", help=text)


def add_options_of_runs(parser):
    """Add the options that all commands for long trainings have."""
    text = "weights to write; default: trained.pth, or those beside the checkpoint"
    parser.add_argument("--output", type=path, metavar="FILE", help=text)
    text = "checkpoint (OUTPUT.checkpoint) to go on from; it brings its own settings"
    parser.add_argument("--resume", type=path, metavar="FILE", help=text)
    add_overwrite(parser)
    add_device(parser)


def run(options):
    """Train on pairs of noisy images; returns the exit status."""
    if options.start is not None and options.resume is not None:
        raise ValueError("--start and --resume exclude each other: a checkpoint has its weights")
    inputs = [options.data, options.data / "train_data.pkl", options.data / "val_data.pkl"]
    if options.start is not None:
        inputs.append(options.start)
    with team_of_processes(options.device) as team:
        long_run = LongRun("train", options.data, options, defaults_for(options), inputs, team)
        check_settings(long_run.settings)
        if long_run.settings["hybrid"] and team.size > 1:
            raise ValueError("--hybrid is for one process; L-BFGS is not shared by several")
        return train(options, long_run, team)


def defaults_for(options):
    """All settings of a training, as they are if no option says otherwise.

    --hybrid brings those of Brown et al.; each optimizer has a learning rate that suits it.
    """
    optimizer = options.optimizer or ("momAGD" if options.hybrid else "Muon")
    return {
        "epochs": 1,
        "minutes": None,
        "hybrid": False,
        "batch_size": None,  # found by `train`
        "optimizer": optimizer,
        "learning_rate": ALL_OPTIMIZERS[optimizer].learning_rate,
        "loss": None,  # the same
        "precision": "auto",
        "seed": 0,
    }


def check_settings(settings):
    """Raise TypeError or ValueError if a number is out of its range."""
    check_number("--epochs", settings["epochs"], 1, whole=True)
    check_number("--learning-rate", settings["learning_rate"], 0)
    check_number("--seed", settings["seed"], 0, LARGEST_SEED, whole=True)
    if settings["batch_size"] is not None:
        check_number("--batch-size", settings["batch_size"], 1, whole=True)
    if settings["minutes"] is not None and check_number("--minutes", settings["minutes"], 0) == 0:
        raise ValueError("--minutes must be more than 0, got 0")


def train(options, long_run, team):
    """Begin or go on with a training, and carry it out; returns the exit status."""
    settings = long_run.settings
    all_pairs, validation = load_data(options.data)
    long_run.check_data(fingerprint(all_pairs))
    if settings["loss"] is None:
        settings["loss"] = load_loss(options.data)
    model = Model(seed=settings["seed"], device=team.device)
    if long_run.saved is None:
        long_run.about["start"] = None
    if options.start is not None:
        long_run.about["start"] = str(options.start)
        model.load_pretrained_model(options.start)
    kept_apart, pairs = keep_apart(*all_pairs)
    num_shared = len(pairs[0]) // team.size * team.size
    pairs = [images[:num_shared] for images in pairs]  # equally many for each process
    if settings["batch_size"] is None:
        settings["batch_size"] = 50 if settings["hybrid"] else 16
        if settings["minutes"] is not None and team.size == 1:
            settings["batch_size"] = size_for_minutes(model.network, pairs, settings)

    training = build(model.network, pairs, settings)
    if settings["minutes"] is not None:
        initial_rate = settings["learning_rate"]
        training.learning_rate = lambda step: initial_rate * (1 - long_run.share_of_minutes())
    say(f"training on {len(pairs[0])} pairs, {settings['batch_size']} in a step")
    measurements = Measurements(model, *kept_apart)

    def before_step():
        if team.is_first:
            measurements.measure_now_and_then()

    def describe():
        return f"{measurements.text}loss {training.history['loss'][-1]:.5f}"

    def record():
        return {**long_run.about, "history": training.history}

    status = long_run.carry_out(training, settings["batch_size"], describe, record, before_step)
    if team.is_first:
        report_result(model, kept_apart, validation, training.step)
    return status


def load_data(path):
    """Read the pairs to train on; and noisy and clean images to measure on, or None.

    Raises:
        OSError, ValueError: a file is missing or damaged, or cannot be what it should be.
    """
    validation = None
    if path.is_dir():
        if not (path / "train_data.pkl").exists():
            advice = "make-data makes it from photographs"
            raise FileNotFoundError(f"{path} holds no train_data.pkl; {advice}")
        if (path / "val_data.pkl").exists():
            validation = load_pairs(path, "val_data.pkl")
    noisy_1, noisy_2 = load_pairs(path, "train_data.pkl")
    if torch.equal(noisy_1, noisy_2):
        text = "the two images of each pair are identical: there is no noise to learn from"
        raise ValueError(f"{path}: {text}")
    return (noisy_1, noisy_2), validation


def fingerprint(pairs):
    """Numbers that tell training sets apart: the shape, and the sum of each tensor's bytes."""
    sums = [images.contiguous().view(torch.uint8).sum(dtype=torch.int64) for images in pairs]
    return {"shape": list(pairs[0].shape), "sums": [total.item() for total in sums]}


def build(network, pairs, settings):
    """The `Training` that the settings describe."""
    optimizer = ALL_OPTIMIZERS[settings["optimizer"]]
    device = next(network.parameters()).device
    batches = Batches(*pairs, settings["batch_size"], seed=settings["seed"], device=device)
    return Training(
        network,
        batches,
        num_steps=settings["epochs"] * len(batches),
        lbfgs_iterations=LBFGS_ITERATIONS if settings["hybrid"] else 0,
        optimizer=optimizer.function,
        learning_rate=settings["learning_rate"],
        momentum=optimizer.momentum,
        precision=settings["precision"],
        loss=LOSSES[settings["loss"]],
    )


def size_for_minutes(network, pairs, settings):
    """The batch size of the settings, or a half or a quarter of it.

    It is the largest one of which the minutes have room for `FEWEST_STEPS`. Steps of a copy of the
    network are timed, with the smallest batches.
    """
    sizes = [max(settings["batch_size"] // divisor, 1) for divisor in (1, 2, 4)]
    epochs = TIMED_STEPS + 1  # with the very last step, which takes longer, left out
    timed = {**settings, "batch_size": sizes[-1], "epochs": epochs, "hybrid": False}
    training = build(copy.deepcopy(network), pairs, timed)
    for _ in range(TIMED_STEPS):
        began = time.monotonic()
        training.take_step()
    seconds_of_pair = (time.monotonic() - began) / sizes[-1]
    for size in sizes:
        if FEWEST_STEPS * size * seconds_of_pair < 60 * settings["minutes"]:
            return size
    return sizes[-1]
