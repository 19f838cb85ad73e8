"""The figures of the report, drawn with matplotlib from the numbers of `quoted.py`."""

import matplotlib.pyplot as plt

from .experiments import OPTIMIZER_SETTINGS, THOUSANDS

NOISY, CLEAN, GREY = "#1f5f8b", "#d1732c", "#777777"  # the same in all figures; apart in grey too
WIDTH = 6.7  # inches: the text of the report
STYLE = {
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


def draw_network(numbers):
    """A box for the images and for each feature map, as high as it has channels."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.45))
    maps = [{"channels": 3, "size": "H", "is_encoder": True, "norm": False}]
    for layer in numbers["layers"]:
        if layer["module"].startswith("Conv"):
            maps.append({**layer, "norm": False})
        if layer["module"].startswith("BatchNorm"):
            maps[-1]["norm"] = True
    for place, each in enumerate(maps):
        height = each["channels"] ** 0.5  # so that 3 channels are seen beside 512
        colour = NOISY if each["is_encoder"] else CLEAN
        hatch = "////" if each["norm"] else ""
        axes.bar(place, height, 0.55, color=colour, edgecolor="white", hatch=hatch, lw=0)
        axes.text(place, height + 0.6, str(each["channels"]), ha="center")
        axes.text(place, -0.8, each["size"], ha="center", va="top", fontsize=7)
    axes.set(xlim=(-0.6, len(maps) - 0.4), ylim=(-4, 26))
    axes.set_axis_off()
    kinds = {"convolution": (NOISY, ""), "transposed": (CLEAN, ""), "BatchNorm": (GREY, "////")}
    for label, (colour, hatch) in kinds.items():
        axes.bar(0, 0, color=colour, hatch=hatch, edgecolor="white", lw=0, label=label)
    axes.legend(frameon=False, loc="upper left")
    return figure


def draw_targets(numbers):
    """Noisy and clean targets over the number of fresh pairs, and their difference."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 1.9))
    for target, colour, line, marker in (("noisy", NOISY, "-", "o"), ("clean", CLEAN, "--", "s")):
        means = []
        for length in THOUSANDS:
            arm = numbers["arms"]["targets"][f"{length} thousand pairs, {target} targets"]
            scores = arm["scores"]
            left.plot([length] * len(scores), scores, marker, color=colour, mfc="none")
            means.append(arm["psnr"])
        left.plot(THOUSANDS, means, line, color=colour)
        label = f"{target} targets"
        left.plot([], [], line, marker=marker, color=colour, mfc="none", label=label)
    for length in THOUSANDS:
        arms = [f"{length} thousand pairs, {target} targets" for target in ("clean", "noisy")]
        found = numbers["differences"]["targets"][" minus ".join(arms)]
        right.plot([length], [found.mean], "o", color="black")
        right.plot([length] * 2, [found.low, found.high], color="black", lw=0.8)
    left.legend(frameon=False)
    left.set(ylabel="PSNR in dB", title="(a)")
    right.axhline(0, color=GREY, lw=0.6)
    right.set(ylabel="clean minus noisy, dB", title="(b)")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="thousand pairs")
        axes.set_xticks(THOUSANDS, [str(length) for length in THOUSANDS], minor=False)
        axes.minorticks_off()
    return figure


def draw_optimizers(numbers):
    """How much each optimizer is above momAGD, with 95 % intervals."""
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 1.8))
    for letter, axes, setting in zip("abc", panels, ("theirs", "fair", "longer")):
        experiment, form = OPTIMIZER_SETTINGS[setting]
        compared = {}
        for name in numbers["optimizers"]:
            arms = f"{form.format(name)} minus {form.format('momAGD')}"
            found = numbers["differences"][experiment].get(arms)
            if found is not None and found.mean is not None:
                compared[name] = found
        for place, found in enumerate(compared.values()):
            axes.plot([found.mean], [place], "o", color="black")
            axes.plot([found.low, found.high], [place] * 2, color="black", lw=0.8)
        axes.axvline(0, color=GREY, lw=0.6)
        axes.set_yticks(range(len(compared)), list(compared))
        axes.invert_yaxis()
        axes.margins(y=0.1)
        axes.set(title=f"({letter})", xlabel="dB above momAGD")
    return figure


def draw_learning_curve(numbers):
    """The PSNR on the way of the shipped weights' training, and its learning rate."""
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
    """Write every figure as an SVG into a folder.

    Args:
        folder: path of the folder.
        numbers: from `quoted.quoted_numbers`.
    """
    plt.switch_backend("Agg")  # draws without a screen
    with plt.rc_context(STYLE):
        for name, draw in FIGURES.items():
            draw(numbers).savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close("all")
