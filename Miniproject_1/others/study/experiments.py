"""The experiments of the study, a row of trainings for each question that Brown et al. raise.

All variants of a row train from the same starts on the same batches, at a learning rate that falls to zero: at a
constant one of 0.05 the score moves by a decibel from step to step. The comparisons that Brown et al. draw are trained
at a constant rate as well, as theirs were.
"""

from dataclasses import dataclass

from torch import nn

from ...model import FLIPS, INITIALIZATIONS, build_network
from ..data.noises import LOSSES, NOISES

CONSTANT, FALLING = "constant", "falling"
BASELINE = dict(
    num_pairs=1_000,
    batch_size=100,
    epochs=20,
    max_evaluations=None,  # of the gradient, after which a run ends
    layers="two each",  # see `variant_network`
    initialization="masked xavier",
    optimizer="momAGD",
    hybrid=False,
    learning_rate=0.05,
    rate=FALLING,
    momentum=0.9,
    flips=[],
    flip_fraction=0.5,
    swap=False,
    noise="blocks",
    target="1 draw",  # or "2 draws", ..., "clean"
    loss="mse",
    precision="auto",
)
ORIGINAL = dict(num_pairs=50_000, epochs=1, hybrid=True, flips=["vertical"], flip_fraction=0.25)  # their training
OPTIMIZERS = dict(batch_size=200, epochs=30, max_evaluations=150)  # Brown et al.'s sizes; a gradient a step
LONG = dict(optimizer="Muon", learning_rate=0.004, momentum=0.95, batch_size=16, epochs=30)  # learns most in its time
RATES = {  # three learning rates each, the best of which is compared
    "SGD": (0.05, 0.2, 0.5),
    "momAGD": (0.02, 0.05, 0.2),
    "Nesterov": (0.02, 0.05, 0.2),
    "ADAM": (0.0005, 0.001, 0.003),
    "L-BFGS": (0.05, 0.3, 1.0),
    "hybrid": (0.02, 0.05, 0.2),
    "Muon": (0.002, 0.004, 0.008),
}


@dataclass(frozen=True)
class Row:
    """Variants, by their names as changes to `BASELINE`; the seeds of each; and at which rates they are trained."""

    question: str
    variants: dict
    seeds: tuple = (0, 1, 2)
    rates: tuple = (FALLING,)


def of_optimizer(name):
    return dict(OPTIMIZERS, optimizer="momAGD" if name == "hybrid" else name, hybrid=name == "hybrid")


def at_each_rate(name):
    """An optimizer at its three learning rates."""
    return {f"{name}, {rate}": dict(of_optimizer(name), learning_rate=rate) for rate in RATES[name]}


def targets():
    """As many images with each target; fewer passes, after which the noise of a target is not yet learned by heart;
    then as many draws in all, of which a target of k takes k and the input one."""
    variants = {name: dict(LONG, target=name) for name in ("1 draw", "2 draws", "4 draws", "8 draws", "clean")}
    variants.update({f"5 passes, {target}": dict(LONG, epochs=5, target=target) for target in ("1 draw", "clean")})
    for images, target in ((4_000, "1 draw"), (2_000, "3 draws"), (1_000, "7 draws")):
        changes = dict(LONG, epochs=LONG["epochs"] * 1_000 // images, target=target, num_pairs=images)
        variants[f"8,000 draws: {images} images, {target}"] = changes
    return variants


def loss_of(noise):
    return next(name for name, loss in LOSSES.items() if loss is NOISES[noise][1])


def noises():
    """Each noise with pairs and with clean targets."""
    return {
        f"{noise}, {name}": dict(LONG, epochs=15, noise=noise, target=target, loss=loss_of(noise))
        for noise in NOISES
        for name, target in (("pairs", "1 draw"), ("clean targets", "clean"))
    }


ROWS = dict(  # most important first
    initialization=Row(
        "Which initialization?",
        {name: dict(initialization=name) for name in INITIALIZATIONS},
        rates=(FALLING, CONSTANT),
    ),
    batchnorm=Row(
        "Does BatchNorm or the initialization decide?",
        {
            f"{name}, {initialization}": dict(layers=layers, initialization=initialization)
            for name, layers in (
                ("none", "no BatchNorm"),
                ("everywhere", "BatchNorm everywhere"),
                ("two each", "two each"),
            )
            for initialization in ("xavier", "masked xavier")
        },
        rates=(FALLING, CONSTANT),
    ),
    original=Row("What does Brown et al.'s own training reach?", {"Brown et al.": ORIGINAL}, rates=(CONSTANT,)),
    hybrid=Row(
        "Is the hybrid better than momAGD with as many gradients?",
        {name: dict(max_evaluations=400, epochs=40, hybrid=name == "hybrid") for name in ("momAGD", "hybrid")},
        rates=(FALLING, CONSTANT),
    ),
    optimizers=Row("Which optimizer at 0.05?", {name: of_optimizer(name) for name in RATES}, rates=(CONSTANT,)),
    tuned=Row(
        "Which optimizer at its best rate?",
        {variant: changes for name in RATES for variant, changes in at_each_rate(name).items()},
    ),
    targets=Row("What do cleaner targets buy?", targets(), seeds=(0, 1)),
    flips=Row(
        "Do flips enlarge the training set?",
        {
            "none": {},
            "a quarter, vertical": dict(flips=["vertical"], flip_fraction=0.25),
            "all 8": dict(flips=list(FLIPS)),
            "none, exchange": dict(swap=True),
            "all 8, exchange": dict(flips=list(FLIPS), swap=True),
        },
        seeds=(0, 1),
    ),
    layers=Row(
        "Pooling? Padding?",
        {name: dict(layers=name) for name in ("two each", "pooling early", "pooling in the middle", "no padding")},
        seeds=(0, 1),
    ),
    noises=Row("Are pairs enough for other noises?", noises(), seeds=(0, 1)),
    rates=Row(
        "Learning rate 0.05 and momentum 0.9?",
        {
            f"{rate}, {momentum}": dict(learning_rate=rate, momentum=momentum)
            for rate in (0.01, 0.05, 0.2)
            for momentum in (0.5, 0.9, 0.99)
        },
        seeds=(0, 1),
    ),
    loss=Row("Does MSE blur more than L1?", {name: dict(LONG, loss=name) for name in ("mse", "l1")}, seeds=(0, 1)),
)


def settings_of(changes, rate):
    return {**BASELINE, **changes, "rate": rate}


def variant_network(name):
    """Appendix A ("two each"), or what Brown et al. compare it with; as `build_network`, (N, 3, H, W) to (N, 3, H, W).

    "no BatchNorm"; "BatchNorm everywhere", after all layers but the last; "pooling early" halves the image after the
    second convolution and doubles it before the last two, "pooling in the middle" around layers 10 to 13; "no padding"
    lets the image shrink by a pixel a layer, and grow again.
    """
    network = build_network()
    if name == "two each":
        return network
    layers = list(network)
    if name == "no BatchNorm":
        layers = [layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)]
    elif name == "BatchNorm everywhere":
        layers = []
        for layer in network:
            if not isinstance(layer, nn.BatchNorm2d):
                layers.append(layer)
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer is not network[-1]:
                layers.append(nn.BatchNorm2d(layer.out_channels))
    elif name == "pooling early":
        layers[19:19], layers[4:4] = [nn.Upsample(scale_factor=2)], [nn.MaxPool2d(2)]
    elif name == "pooling in the middle":
        layers[14:14], layers[10:10] = [nn.Upsample(scale_factor=2)], [nn.MaxPool2d(2)]
    elif name == "no padding":
        for layer in layers:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                layer.padding = (0, 0)
    return nn.Sequential(*layers)
