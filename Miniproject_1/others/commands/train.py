"""`train`: from a data file of noisy pairs to weights."""

import copy
import time

import torch

from ...model import LBFGS_ITERATIONS, OPTIMIZERS, Batches, Model, Training, check_number
from ..console import say
from ..data.files import load_loss, load_pairs
from ..metrics import LOSSES
from ..training.long_run import LongRun
from ..training.measuring import Measurements, keep_apart
from ..training.optimizers import ALL_OPTIMIZERS
from ..training.processes import team_of_processes
from .options import add_device, add_overwrite, one_of, path

OFFERED = ("Muon", *OPTIMIZERS)  # the study compares others, too
TIMED_STEPS = 3  # from which --minutes finds the size of the batches; the first ones warm up
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
    parser.add_argument("--start", metavar="FILE", help=text)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="passes over the pairs; default: 1")
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
    optimizer = options.optimizer or ("momAGD" if options.hybrid else "Muon")
    defaults = {
        "epochs": 1,
        "minutes": None,
        "hybrid": False,
        "batch_size": None,  # chosen by `train`
        "optimizer": optimizer,
        "learning_rate": ALL_OPTIMIZERS[optimizer].learning_rate,
        "loss": load_loss(options.data),
        "start": None,
        "seed": 0,
    }
    inputs = [options.data, options.data / "train_data.pkl"]
    if options.start is not None:
        inputs.append(options.start)
    with team_of_processes(options.device) as team:
        long_run = LongRun("train", options.data, options, defaults, inputs, team)
        if long_run.settings["minutes"] is not None:
            check_number("--minutes", long_run.settings["minutes"], 0.001)
        if long_run.settings["hybrid"] and team.size > 1:
            raise ValueError("--hybrid is for one process; L-BFGS is not shared by several")
        return train(options.data, long_run, team)


def train(data, long_run, team):
    """Begin or go on with a training, and carry it out; returns the exit status."""
    settings = long_run.settings
    noisy_1, noisy_2 = load_pairs(data, "train_data.pkl")
    if torch.equal(noisy_1, noisy_2):
        text = "the two images of each pair are identical: there is no noise to learn from"
        raise ValueError(f"{data}: {text}")
    if long_run.about.setdefault("pairs", len(noisy_1)) != len(noisy_1):
        raise ValueError(f"--resume: this training was begun with other pairs than those of {data}")
    model = Model(seed=settings["seed"], device=team.device)
    if settings["start"] is not None and long_run.saved is None:
        model.load_pretrained_model(settings["start"])
    kept_apart, pairs = keep_apart(noisy_1, noisy_2)
    num_shared = len(pairs[0]) // team.size * team.size
    pairs = [images[:num_shared] for images in pairs]  # equally many for each process
    if settings["batch_size"] is None:
        settings["batch_size"] = 50 if settings["hybrid"] else 16
        if settings["minutes"] is not None and team.size == 1:
            settings["batch_size"] = size_for_minutes(model.network, pairs, settings)
    training = build(model.network, pairs, settings)
    if settings["minutes"] is not None:
        initial_rate = settings["learning_rate"]
        # not quite to zero, which would be an error of L-BFGS
        training.learning_rate = lambda _: initial_rate * (1 - 0.999 * long_run.share_of_minutes())
    say(f"training on {len(pairs[0])} pairs, {settings['batch_size']} in a step")
    measurements = Measurements(model, kept_apart)

    def before_step():
        return measurements.on_the_way() if team.is_first else ""

    def finish():
        measurements.report()
        return {"history": training.history}

    return long_run.carry_out(training, settings["batch_size"], before_step, finish)


def build(network, pairs, settings):
    """The `Training` that the settings describe."""
    optimizer = ALL_OPTIMIZERS[settings["optimizer"]]
    device = next(network.parameters()).device
    batches = Batches(*pairs, settings["batch_size"], seed=settings["seed"], device=device)
    epochs = check_number("--epochs", settings["epochs"], 1, whole=True)
    return Training(
        network,
        batches,
        num_steps=epochs * len(batches),
        lbfgs_iterations=LBFGS_ITERATIONS if settings["hybrid"] else 0,
        optimizer=optimizer.function,
        learning_rate=settings["learning_rate"],
        momentum=optimizer.momentum,
        loss=LOSSES[settings["loss"]],
    )


def size_for_minutes(network, pairs, settings):
    """The batch size of the settings, or a half or a quarter of it where few steps would fit.

    A step of a copy of the network is timed, with the smallest batches.
    """
    size = settings["batch_size"]
    smallest = size // 4
    timed = {**settings, "batch_size": smallest, "epochs": TIMED_STEPS + 1, "hybrid": False}
    training = build(copy.deepcopy(network), pairs, timed)
    for _ in range(TIMED_STEPS):
        began = time.monotonic()
        training.take_step()
    seconds_of_pair = (time.monotonic() - began) / smallest
    fitting = 60 * settings["minutes"] / (FEWEST_STEPS * seconds_of_pair)
    return next((each for each in (size, size // 2) if each <= fitting), smallest)
