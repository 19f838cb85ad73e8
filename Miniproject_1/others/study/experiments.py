"""The experiments of the study: for each, its variants and what they differ in."""

from torch import nn

from ...model import FLIPS, INITIALIZATIONS, build_network
from ..data.noises import NOISES

CONSISTENCY = dict(batch_size=1, hybrid=False, optimizer="L-BFGS", learning_rate=1.0, final_learning_rate=1.0, flips=())
BASELINE = dict(
    layers="two each",  # see `variant_network`
    initialization="masked xavier",
    optimizer="momAGD",
    hybrid=False,
    learning_rate=0.05,
    final_learning_rate=None,  # None: constant
    momentum=0.9,
    flips=list(FLIPS),
    flip_fraction=0.5,
    swap=True,
    averaging=None,  # of the weights: the share that the running mean keeps at each step
    target="1 draw",  # or "2 draws", ..., "clean"
    noise="blocks",
    epochs=10,
    steps_per_epoch=10,
    max_evaluations=None,
)
SCALES = dict(small=dict(batch_size=8, crop=16), whole=dict(batch_size=100, crop=None))
ADAM = dict(optimizer="ADAM", learning_rate=0.001, final_learning_rate=0.0)
MUON = dict(optimizer="Muon", learning_rate=0.002, final_learning_rate=0.0, momentum=0.95)


def optimizers():
    """Batches twice as large, so five steps in an epoch; what asks for more than a gradient a step stops at 200."""
    like = dict(batch_factor=2, epochs=20, steps_per_epoch=5, max_evaluations=200)
    variants = {name: dict(like, optimizer=name) for name in ("SGD", "momAGD", "Nesterov", "ADAM", "L-BFGS")}
    variants["ADAM, lr 0.001"] = dict(like, optimizer="ADAM", learning_rate=0.001)
    variants["Muon, lr 0.002"] = dict(like, **dict(MUON, final_learning_rate=None))
    variants["hybrid"] = dict(like, hybrid=True)
    return variants


def targets():
    """ADAM, and enough steps for the differences to show; input and target do not change places."""
    like = dict(ADAM, epochs=2, steps_per_epoch=100, swap=False)
    return {name: dict(like, target=name) for name in ("1 draw", "2 draws", "4 draws", "8 draws", "clean")}


def recipes():
    """What learns most in a given time: each idea of the shipped weights' training alone, on equally many pixels."""
    like = dict(ADAM, batch_factor=2, epochs=1, steps_per_epoch=60)
    return {
        "ADAM, lr 0.001 falling to 0": like,
        "constant learning rate": dict(like, final_learning_rate=None),
        "constant, weights averaged": dict(like, final_learning_rate=None, averaging=0.95),
        "lr 0.002": dict(like, learning_rate=0.002),
        "lr 0.0005": dict(like, learning_rate=0.0005),
        "batch 8": dict(like, batch_factor=1, epochs=2),
        "batch 32": dict(like, batch_factor=4, steps_per_epoch=30),
        "whole images, batch 4": dict(like, batch_factor=0.5, crop=None),
        "no exchange": dict(like, swap=False),
        "targets of 8 draws": dict(like, target="8 draws", swap=False),
        "no flips": dict(like, flips=[]),
        "a sixth of the pairs, six times": dict(like, epochs=6, steps_per_epoch=10),
        "momAGD, lr 0.05 falling to 0": dict(like, **dict(optimizer="momAGD", learning_rate=0.05)),
        "Muon, lr 0.002 falling to 0": dict(like, **MUON),
        "Muon, lr 0.005 falling to 0": dict(like, **dict(MUON, learning_rate=0.005)),
        "Muon, batch 8": dict(like, **dict(MUON, batch_factor=1, epochs=2)),
    }


def other_noises():
    """Each noise with pairs and with clean targets."""
    like = dict(ADAM, epochs=2, steps_per_epoch=50)
    return {
        f"{noise}, {name}": dict(like, noise=noise, target=target, swap=target == "1 draw")
        for noise in NOISES
        for name, target in (("pairs", "1 draw"), ("clean targets", "clean"))
    }


EXPERIMENTS = dict(
    batchnorm={name: dict(layers=name) for name in ("no BatchNorm", "BatchNorm everywhere", "two each")},
    initialization={name: dict(initialization=name) for name in INITIALIZATIONS},
    optimizers=optimizers(),
    hybrid={
        "momAGD": dict(batch_factor=2, epochs=20, max_evaluations=200),
        "hybrid": dict(batch_factor=2, epochs=20, max_evaluations=200, hybrid=True),
        "ADAM, lr 0.001 falling to 0": dict(ADAM, batch_factor=2, epochs=20, max_evaluations=200),
        "Muon, lr 0.002 falling to 0": dict(MUON, batch_factor=2, epochs=20, max_evaluations=200),
    },
    rates={
        f"lr {rate}, momentum {momentum}": dict(learning_rate=rate, momentum=momentum)
        for rate in (0.01, 0.05, 0.2)
        for momentum in (0.5, 0.9, 0.99)
    },
    layers={name: dict(layers=name) for name in ("two each", "pooling early", "pooling in the middle", "no padding")},
    flips={
        "none": dict(flips=[], swap=False),
        "a quarter, vertical": dict(flips=["vertical"], flip_fraction=0.25, swap=False),
        "half, vertical": dict(flips=["vertical"], swap=False),
        "all 8": dict(swap=False),
        "all 8, and swap": {},
    },
    targets=targets(),
    recipes=recipes(),
    noises=other_noises(),
)


def settings_of(changes, scale):
    """All settings of a variant; `batch_factor` multiplies the batch of the scale."""
    settings = {**BASELINE, **SCALES[scale], **changes}
    settings["batch_size"] = int(settings["batch_size"] * settings.pop("batch_factor", 1))
    return settings


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
