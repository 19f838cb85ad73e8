"""The `train` command: its options, and a training from data files to weights that loses nothing on the way."""

from pathlib import Path

import torch

from ...model import OPTIMIZERS, Model, Pairs, check_number, near
from ..data.noises import LOSSES
from ..data.pairs import evaluate, load_pairs, report
from . import longrun
from .crops import Crops
from .muon import Muon

ALL_OPTIMIZERS = {
    **OPTIMIZERS,
    "SGD": lambda p, lr, momentum: torch.optim.SGD(p, lr),
    "Nesterov": lambda p, lr, momentum: torch.optim.SGD(p, lr, momentum, nesterov=True),
    "Muon": Muon,
}
DEFAULTS = dict(
    epochs=1, pairs=None, batch_size=50, optimizer="momAGD", hybrid=True, learning_rate=0.05, final_learning_rate=0.0,
    decay=1.0, momentum=0.9, loss="mse", crop=None, swap=True, precision="auto", seed=0,
)  # fmt: skip


def add_options(parser):
    """Add the options of `train`; what is not given becomes None."""
    longrun.add_options(parser)
    parser.add_argument("--start", type=Path, metavar="FILE", help="weights to start from; default: fresh ones")

    def setting(name, kind, metavar, text):
        default = DEFAULTS[name]
        text += "" if default is None else f"; default: {default}"
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)

    def switch(name, to, value, text):
        parser.add_argument(name, dest=to, action="store_const", const=value, help=text)

    setting("epochs", int, "N", "passes over the pairs")
    setting("pairs", int, "N", "take only the first N pairs")
    setting("batch_size", int, "N", "pairs in a step")
    parser.add_argument("--optimizer", choices=ALL_OPTIMIZERS, help="how the weights are changed; default: momAGD")
    switch("--no-hybrid", "hybrid", False, "do not begin with 5 iterations of L-BFGS")
    setting("learning_rate", float, "X", "at the beginning; ADAM wants 0.001, Muon 0.002")
    setting("final_learning_rate", float, "X", "at the end")
    setting("decay", float, "X", "share of the steps, at the end, in which the learning rate falls")
    setting("momentum", float, "X", "of all but SGD and L-BFGS")
    text = "mean squared error; the same over pixels that the target has; mean absolute error; default: mse"
    parser.add_argument("--loss", choices=LOSSES, help=text)
    setting("crop", int, "PIXELS", "train on random squares of this side")
    switch("--no-swap", "swap", False, "input and target never change places; for pairs whose noise differs")
    text = "of all but the first and the last convolution; default: auto, bfloat16 where the hardware multiplies it"
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), help=text)
    setting("seed", int, "N", "of all random choices")


def train(options):
    """Train on pairs of noisy images, and write the weights; returns the exit status."""
    if options.deadline is not None:
        check_number("deadline", options.deadline, 0)
    with longrun.team(options.device) as team:
        saved, settings, outputs = longrun.begin(options, DEFAULTS, team)
        images = load_pairs(options.data, "train_data.pkl")
        if settings["pairs"] is not None:
            number = check_number("pairs", settings["pairs"], 1, len(images[0]), whole=True)
            images = [part[:number] for part in images]
        model, training = start(options, settings, images, saved, team)
        about = dict(settings=settings, data=fingerprint(images), output=str(outputs[0].resolve()))
        record = lambda: dict(settings=settings, history=training.history)  # noqa: E731
        command = f"train {options.data}"
        if not longrun.carry_out(command, training, outputs, about, options.deadline, record, team=team):
            return 130
    validation = options.data.parent if options.data.is_file() else options.data
    if team.first and (validation / "val_data.pkl").exists():
        model.load_pretrained_model(outputs[0])
        report(*evaluate(model, *load_pairs(validation, "val_data.pkl"))[1:])
    return 0


def start(options, settings, images, saved, team):
    """The model and its `Training`, as begun or as resumed."""
    model = Model(seed=settings["seed"], device=team.device)
    if options.start:
        model.load_pretrained_model(options.start)
    pairs = Pairs(*images, **{name: settings[name] for name in ("batch_size", "swap", "seed")})
    pairs.images = [near(part, model.device) for part in pairs.images]
    steps = check_number("epochs", settings["epochs"], 1, whole=True) * len(pairs)
    if settings["crop"] is not None:
        pairs = Crops(pairs, settings["crop"], settings["seed"])
    names = ("hybrid", "learning_rate", "final_learning_rate", "decay", "momentum", "precision")
    rest = {name: settings[name] for name in names}
    optimizer = ALL_OPTIMIZERS[settings["optimizer"]]
    training = team.training(
        model.network, team.share(pairs), steps, optimizer=optimizer, loss=LOSSES[settings["loss"]], **rest
    )
    if saved:
        if saved["about"]["data"] != fingerprint(images):
            raise ValueError(f"--resume: {options.resume} was begun with other pairs than those of {options.data}")
        training.load_state_dict(saved)
    return model, training


def fingerprint(images):
    """Numbers that tell training sets apart: the shape, and for each tensor the sum of its pixels."""
    return dict(shape=list(images[0].shape), sums=[int(part.sum(dtype=torch.float64)) for part in images])
