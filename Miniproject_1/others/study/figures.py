"""The figures of the report, drawn with matplotlib from the files in `results/` alone.

A figure whose trainings have not been run is not drawn.
"""

from torch import nn

from ...model import build_network
from .experiments import MOMENTA
from .findings import arms_of, compared, scores_of
from .results import load

NOISY, CLEAN, GREY = "#1f5f8b", "#d1732c", "#777777"  # the same in all figures; apart in grey too
MARKERS = {"noisy": "o", "clean": "s"}
WIDTH = 6.7  # inches: the text of the report
THOUSANDS = (8, 32, 128, 512)
PASSES = (1, 2, 5, 10, 20, 30)
OTHER_MOMENTA = [f"momentum {momentum}" for momentum in sorted(MOMENTA)]
OPTIMIZERS_DRAWN = ["SGD", *OTHER_MOMENTA, "momAGD", "Nesterov", "ADAM", "L-BFGS", "hybrid", "Muon"]
OPTIMIZER_ARMS = (  # an experiment, and the ending of the names of its arms
    ("optimizers", " at 0.05"),
    ("optimizers", ", falling, 600 gradients"),
    ("hybrid", ", falling, 2000 gradients"),
)


def pyplot():
    """Matplotlib's pyplot in the style of the report."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "font.family": "serif",
            "font.size": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.6,
            "axes.titlesize": 8,
            "lines.linewidth": 1.1,
            "lines.markersize": 3.5,
            "svg.fonttype": "path",
            "svg.hashsalt": "",
            "figure.constrained_layout.use": True,
        }
    )
    return plt


# ----------------------------------------------------------------------------------------------
# The network


def draw_network(plt):
    """A box for the images and for each feature map, as high as it has channels."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.7))
    maps = feature_maps(build_network())
    for place, (channels, size, norm, is_encoder) in enumerate(maps):
        height = channels**0.5  # so that 3 channels are seen beside 512
        colour = NOISY if is_encoder else CLEAN
        hatch = "////" if norm else ""
        axes.bar(place, height, 0.55, color=colour, edgecolor="white", hatch=hatch, lw=0)
        axes.text(place, height + 0.6, str(channels), ha="center")
        axes.text(place, -0.8, size, ha="center", va="top", fontsize=7)
    axes.set(xlim=(-0.6, len(maps) - 0.4), ylim=(-4, 26))
    axes.set_axis_off()
    kinds = {"convolution": (NOISY, ""), "transposed": (CLEAN, ""), "BatchNorm": (GREY, "////")}
    for label, (colour, hatch) in kinds.items():
        axes.bar(0, 0, color=colour, hatch=hatch, edgecolor="white", lw=0, label=label)
    axes.legend(frameon=False, loc="upper left")
    return figure, True


def feature_maps(network):
    """The channels and the size of the image and of each feature map, and how it is made.

    Returns:
        list of channels; a text such as "H + 2"; whether a BatchNorm follows; whether it is part
        of the encoder.
    """
    maps = [[3, "H", False, True]]
    grown = 0
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            maps[-1][2] = True
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            is_encoder = isinstance(layer, nn.Conv2d)
            grown += 1 if is_encoder else -1
            size = f"H + {grown}" if grown > 0 else "H"
            maps.append([layer.out_channels, size, False, is_encoder])
    return maps


# ----------------------------------------------------------------------------------------------
# Noisy and clean targets


def draw_targets(plt):
    """Noisy and clean targets over the number of fresh pairs, and their difference."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.2))
    names = {number: f"{number} thousand pairs" for number in THOUSANDS}
    has_results = draw_both_targets(left, "targets", names)
    left.set(ylabel="PSNR in dB", title="(a)")
    drawn = []
    for number, name in names.items():
        difference = compared("targets", f"{name}, clean targets", f"{name}, noisy targets")
        if difference is not None and difference.mean is not None:
            drawn.append(number)
            right.plot([number], [difference.mean], "o", color="black")
            if difference.low is not None:
                ends = [difference.low, difference.high]
                right.plot([number, number], ends, color="black", lw=0.8)
    right.axhline(0, color=GREY, lw=0.6)
    right.set(ylabel="clean minus noisy, dB", title="(b)")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="thousand pairs")
        axes.set_xticks(drawn, [str(number) for number in drawn], minor=False)
        axes.minorticks_off()
    return figure, has_results


def draw_passes(plt):
    """Noisy and clean targets over passes through the same 1,000 images."""
    figure, axes = plt.subplots(figsize=(0.6 * WIDTH, 2.2))
    has_results = draw_both_targets(
        axes, "passes", {number: f"{number} passes" for number in PASSES}
    )
    axes.set(xlabel="passes over 1,000 images", ylabel="PSNR in dB")
    return figure, has_results


def draw_both_targets(axes, name, arms):
    """A line for noisy and one for clean targets, and a point for each seed.

    Args:
        axes: to draw on.
        name: of the experiment.
        arms: dict from what is drawn to the right, to the names of arms without their targets.

    Returns:
        whether there was anything to draw.
    """
    results = arms_of(name)
    has_results = False
    for target, colour, dashes in (("noisy", NOISY, "-"), ("clean", CLEAN, "--")):
        marks = {"marker": MARKERS[target], "color": colour, "mfc": "none"}
        means = {}
        for x, arm in arms.items():
            scores = mean_scores(results[f"{arm}, {target} targets"])
            axes.plot([x] * len(scores), scores, linestyle="", **marks)
            if scores:
                means[x] = sum(scores) / len(scores)
        if means:
            has_results = True
            axes.plot([], [], dashes, label=f"{target} targets", **marks)
            axes.plot(list(means), list(means.values()), dashes, color=colour)
            axes.legend(frameon=False)
    return has_results


def mean_scores(results):
    """The mean PSNR of each seed that did not diverge."""
    scores = scores_of(results).values()
    return [sum(values) / len(values) for values in scores if values is not None]


# ----------------------------------------------------------------------------------------------
# Optimizers


def draw_optimizers(plt):
    """How much each optimizer is above momAGD, with 95 % intervals."""
    size = (WIDTH, 2.0)
    figure, panels = plt.subplots(1, len(OPTIMIZER_ARMS), figsize=size)
    has_results = False
    for letter, axes, (experiment, ending) in zip("abc", panels, OPTIMIZER_ARMS):
        arms = arms_of(experiment)
        labels = []
        for name in OPTIMIZERS_DRAWN:
            if name == "momAGD" or not arms.get(name + ending):
                continue
            difference = compared(experiment, name + ending, "momAGD" + ending)
            if difference is None or difference.mean is None:
                continue
            has_results = True
            ends = [difference.low, difference.high]
            axes.plot([difference.mean], [len(labels)], "o", color="black")
            if None not in ends:
                axes.plot(ends, [len(labels)] * 2, color="black", lw=0.8)
            labels.append(name)
        axes.axvline(0, color=GREY, lw=0.6)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set(title=f"({letter})", xlabel="dB above momAGD")
    return figure, has_results


# ----------------------------------------------------------------------------------------------
# The weights


def draw_learning_curve(plt):
    """The PSNR on the way of the shipped weights' training, and its learning rate."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.9))
    weights = load("weights")
    if weights is None:
        return figure, False
    curve = weights["curve"]
    millions = [point["pairs"] / 1e6 for point in curve]
    axes.plot(millions, [point["psnr_one_pass"] for point in curve], "o-", color=NOISY)
    axes.set(xlabel="million pairs", ylabel="PSNR in dB")
    rates = axes.twinx()
    rates.plot(millions, [point["learning_rate"] for point in curve], "--", color=GREY)
    rates.set(ylabel="learning rate", ylim=(0, None))
    return figure, True


FIGURES = {
    "network": draw_network,
    "targets": draw_targets,
    "passes": draw_passes,
    "optimizers": draw_optimizers,
    "learning_curve": draw_learning_curve,
}


def draw_all(folder):
    """Write every figure that has results as an SVG into a folder; returns their names."""
    plt = pyplot()
    names = []
    for name, draw in FIGURES.items():
        figure, has_results = draw(plt)
        if has_results:
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            names.append(name)
        plt.close(figure)
    return names
