"""`train`: from a data file of noisy pairs to weights."""

import copy
import time

import torch

from ...model import Batches, Model, Training, check_number
from ..console import say
from ..data.files import NEIGHBOURS, load_pairs, load_record
from ..metrics import LOSSES
from ..training.long_run import LongRun
from ..training.measuring import Measurements, keep_apart
from ..training.optimizers import ALL_OPTIMIZERS
from ..training.processes import team_of_processes
from .options import add_device, add_overwrite, path

MUON = ALL_OPTIMIZERS["Muon"]
BATCH_SIZE = 16
SMALLEST_BATCH = 4
TIMED_STEPS = 3  # by whose last one --minutes chooses smaller batches; the first ones warm up
FEWEST_STEPS = 300  # that should fit into the minutes


def add_arguments(parser):
    parser.description = (
        "Train on pairs of noisy images and write the weights, with Muon and a learning rate that "
        "falls to zero. Ctrl-C ends the training after the step under way; nothing is lost, "
        "--resume goes on."
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
    text = f"pairs in a step; default: {BATCH_SIZE}, or fewer where --minutes are short"
    parser.add_argument("--batch-size", type=int, metavar="N", help=text)
    text = f"at the beginning; default: {MUON.learning_rate}"
    parser.add_argument("--learning-rate", type=float, metavar="X", help=text)
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
    defaults = {
        "epochs": 1,
        "minutes": None,
        "batch_size": None,  # chosen by `train`
        "learning_rate": MUON.learning_rate,
        "loss": load_record(options.data)["loss"],
        "start": None,
        "seed": 0,
    }
    inputs = [options.data, options.data / "train_data.pkl"]
    if options.start is not None:
        inputs.append(options.start)
    with team_of_processes(options.device) as team:
        long_run = LongRun("train", options.data, options, defaults, inputs, team)
        check_number("--epochs", long_run.settings["epochs"], 1, whole=True)
        if long_run.settings["minutes"] is not None:
            check_number("--minutes", long_run.settings["minutes"], 0.001)
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
        settings["batch_size"] = BATCH_SIZE
        if settings["minutes"] is not None and team.size == 1:
            settings["batch_size"] = size_for_minutes(model.network, pairs, settings)
    training = build(model.network, pairs, settings)
    if settings["minutes"] is not None:
        initial_rate = settings["learning_rate"]
        training.learning_rate = lambda _: initial_rate * (1 - long_run.share_of_minutes())
    say(f"training on {num_shared} pairs, {settings['batch_size']} in a step")
    measurements = Measurements(model, kept_apart)

    def finish():
        measurements.report(load_record(data)["noise"] == NEIGHBOURS)
        return {"history": training.history}

    return long_run.carry_out(training, settings["batch_size"], measurements.on_the_way, finish)


def build(network, pairs, settings):
    """The `Training` that the settings describe."""
    device = next(network.parameters()).device
    batches = Batches(*pairs, settings["batch_size"], seed=settings["seed"], device=device)
    return Training(
        network,
        batches,
        num_steps=settings["epochs"] * len(batches),
        lbfgs_iterations=0,
        optimizer=MUON.function,
        learning_rate=settings["learning_rate"],
        momentum=MUON.momentum,
        loss=LOSSES[settings["loss"]],
    )


def size_for_minutes(network, pairs, settings):
    """16, 8 or 4 pairs: the most with which `FEWEST_STEPS` fit into the minutes, or else 4.

    A step of a copy of the network, with the smallest batches, tells how long a pair takes.
    """
    timed = {**settings, "batch_size": SMALLEST_BATCH, "epochs": TIMED_STEPS}
    training = build(copy.deepcopy(network), pairs, timed)
    for _ in range(TIMED_STEPS):
        began = time.monotonic()
        training.take_step()
    seconds_of_pair = (time.monotonic() - began) / SMALLEST_BATCH
    fitting = 60 * settings["minutes"] / (FEWEST_STEPS * seconds_of_pair)
    size = BATCH_SIZE
    while size > max(fitting, SMALLEST_BATCH):
        size //= 2
    return size
