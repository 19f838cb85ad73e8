"""The figures of the report, drawn with matplotlib.

Each function takes pyplot and the numbers of `quoted.py`, and returns a figure; or None, if nothing
has been run of what it shows.
"""

from torch import nn

from ...model import build_network
from .findings import arms_of, mean_of, scores_of

NOISY, CLEAN, GREY = "#1f5f8b", "#d1732c", "#777777"  # the same in all figures; apart in grey too
MARKERS = {"noisy": "o", "clean": "s"}
WIDTH = 6.7  # inches: the text of the report


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


def draw_network(plt, numbers):
    """A box for the images and for each feature map, as high as it has channels."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.45))
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
    return figure


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


def draw_targets(plt, numbers):
    """Noisy and clean targets over the number of fresh pairs, and their difference."""
    rows = numbers["targets"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 1.9))
    lengths = [row["length"] for row in rows]
    results = {**arms_of("targets"), **arms_of("long")}
    draw_both_targets(left, results, {length: f"{length} thousand pairs" for length in lengths})
    left.set(ylabel="PSNR in dB", title="(a)")
    for row in rows:
        if row["mean"] is not None:
            right.plot([row["length"]], [row["mean"]], "o", color="black")
            right.plot([row["length"]] * 2, [row["low"], row["high"]], color="black", lw=0.8)
    right.axhline(0, color=GREY, lw=0.6)
    right.set(ylabel="clean minus noisy, dB", title="(b)")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="thousand pairs")
        axes.set_xticks(lengths, [str(length) for length in lengths], minor=False)
        axes.minorticks_off()
    return figure if rows else None


def draw_both_targets(axes, results, arms):
    """A line for noisy and one for clean targets, and a mark for each seed.

    Args:
        axes: to draw on.
        results: of experiments, see `arms_of`.
        arms: dict from what is drawn to the right, to the names of arms without their targets.
    """
    for target, colour, dashes in (("noisy", NOISY, "-"), ("clean", CLEAN, "--")):
        marks = {"marker": MARKERS[target], "color": colour, "mfc": "none"}
        means = {}
        for x, arm in arms.items():
            scores = mean_scores(results[f"{arm}, {target} targets"])
            axes.plot([x] * len(scores), scores, linestyle="", **marks)
            if scores:
                means[x] = mean_of(scores)
        axes.plot(list(means), list(means.values()), dashes, color=colour)
        axes.plot([], [], dashes, label=f"{target} targets", **marks)  # line and mark in one
    axes.legend(frameon=False)


def mean_scores(results):
    """The mean PSNR of each seed that did not diverge."""
    return [mean_of(values) for values in scores_of(results).values() if values is not None]


# ----------------------------------------------------------------------------------------------
# Optimizers


def draw_optimizers(plt, numbers):
    """How much each optimizer is above momAGD, with 95 % intervals."""
    settings = [numbers["optimizers"][name] for name in ("theirs", "fair", "longer")]
    figure, panels = plt.subplots(1, len(settings), figsize=(WIDTH, 1.8))
    for letter, axes, rows in zip("abc", panels, settings):
        compared = [row for row in rows if row["difference"] and row["difference"].mean is not None]
        for place, row in enumerate(compared):
            found = row["difference"]
            axes.plot([found.mean], [place], "o", color="black")
            axes.plot([found.low, found.high], [place] * 2, color="black", lw=0.8)
        axes.axvline(0, color=GREY, lw=0.6)
        axes.set_yticks(range(len(compared)), [row["name"] for row in compared])
        axes.invert_yaxis()
        axes.margins(y=0.1)
        axes.set(title=f"({letter})", xlabel="dB above momAGD")
    return figure if any(settings) else None


# ----------------------------------------------------------------------------------------------
# The weights


def draw_learning_curve(plt, numbers):
    """The PSNR on the way of the shipped weights' training, and its learning rate."""
    if numbers["weights"] is None:
        return None
    curve = numbers["weights"]["curve"]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.9))
    millions = [point["pairs"] / 1e6 for point in curve]
    axes.plot(millions, [point["psnr_one_pass"] for point in curve], "o-", color=NOISY)
    axes.set(xlabel="million pairs", ylabel="PSNR in dB")
    rates = axes.twinx()
    rates.spines["right"].set_visible(True)
    rates.plot(millions, [point["learning_rate"] for point in curve], "--", color=GREY)
    rates.set(ylabel="learning rate", ylim=(0, None))
    return figure


FIGURES = {
    "network": draw_network,
    "targets": draw_targets,
    "optimizers": draw_optimizers,
    "learning_curve": draw_learning_curve,
}


def draw_all(folder, numbers):
    """Write every figure that has results as an SVG into a folder; returns their names.

    Args:
        folder: path of the folder.
        numbers: from `quoted.quoted_numbers`.
    """
    plt = pyplot()
    names = []
    for name, draw in FIGURES.items():
        figure = draw(plt, numbers)
        if figure is not None:
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            names.append(name)
    plt.close("all")
    return names
