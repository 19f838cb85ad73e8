"""The figures of the report, drawn with matplotlib from the files in `results/` alone.

A figure whose trainings have not been run is not drawn.
"""

from .experiments import EXPERIMENTS
from .findings import arms_of, compared, scores_of
from .results import load

NOISY, CLEAN, GREY = "#1f5f8b", "#d1732c", "#777777"  # the same in all figures; apart in grey too
MARKERS = {"noisy": "o", "clean": "s"}
WIDTH = 6.7  # inches: the text of the report
THOUSANDS = (8, 32, 128, 512)
PASSES = (1, 2, 5, 10, 20, 30)


def pyplot():
    """Matplotlib's pyplot in the style of the report.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError:
        text = "drawing figures needs matplotlib: pip install matplotlib"
        raise ModuleNotFoundError(text) from None
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
# Noisy and clean targets


def draw_targets(plt):
    """Noisy and clean targets over the number of fresh pairs, and their difference."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.2))
    names = {number: f"{number} thousand pairs" for number in THOUSANDS}
    lines = draw_both_targets(left, "targets", names)
    left.set(xscale="log", xlabel="thousand pairs", ylabel="PSNR in dB", title="(a)")
    found = {
        number: compared("targets", f"{name}, clean targets", f"{name}, noisy targets")
        for number, name in names.items()
    }
    for number, difference in found.items():
        if difference is not None:
            draw_interval(right, number, difference)
    right.axhline(0, color=GREY, lw=0.6)
    right.set(xscale="log", xlabel="thousand pairs", ylabel="clean minus noisy, dB", title="(b)")
    for axes in (left, right):
        axes.set_xticks(THOUSANDS, [str(number) for number in THOUSANDS], minor=False)
        axes.minorticks_off()
    return figure, lines > 0


def draw_passes(plt):
    """Noisy and clean targets over passes through the same 1,000 images."""
    figure, axes = plt.subplots(figsize=(0.6 * WIDTH, 2.2))
    names = {number: f"{number} passes" for number in PASSES}
    lines = draw_both_targets(axes, "passes", names)
    axes.set(xlabel="passes over 1,000 images", ylabel="PSNR in dB")
    return figure, lines > 0


def draw_both_targets(axes, name, arms):
    """A line for noisy and one for clean targets, and a point for each seed.

    Args:
        axes: to draw on.
        name: of the experiment.
        arms: dict from what is drawn to the right, to the names of arms without their targets.

    Returns:
        the number of lines.
    """
    results = arms_of(name)
    lines = 0
    for target, colour in (("noisy", NOISY), ("clean", CLEAN)):
        xs, means = [], []
        for x, arm in arms.items():
            scores = mean_scores(results[f"{arm}, {target} targets"])
            axes.plot([x] * len(scores), scores, MARKERS[target], color=colour, mfc="none")
            if scores:
                xs.append(x)
                means.append(sum(scores) / len(scores))
        if xs:
            lines += 1
            axes.plot(xs, means, color=colour, label=f"{target} targets")
    if lines:
        axes.legend(frameon=False)
    return lines


def mean_scores(results):
    """The mean PSNR of each seed that did not diverge."""
    scores = scores_of(results).values()
    return [sum(values) / len(values) for values in scores if values is not None]


def draw_interval(axes, x, difference):
    """A difference and its interval, upright."""
    if difference.low is not None:
        axes.plot([x, x], [difference.low, difference.high], color="black", lw=0.8)
    if difference.mean is not None:
        axes.plot([x], [difference.mean], "o", color="black")


# ----------------------------------------------------------------------------------------------
# Arms beside one another


def draw_differences(plt, name, panels):
    """Differences from a reference with their intervals, from top to bottom.

    Args:
        plt: from `pyplot`.
        name: of the experiment.
        panels: for each panel its title, the reference, and a dict from labels to arms.

    Returns:
        the figure, and whether there was anything to draw.
    """
    longest = max(len(arms) for _, _, arms in panels)
    size = (WIDTH, 0.6 + 0.2 * longest)
    figure, all_axes = plt.subplots(1, len(panels), figsize=size, squeeze=False)
    found_any = False
    for axes, (title, reference, arms) in zip(all_axes[0], panels):
        axes.axvline(0, color=GREY, lw=0.6)
        for place, arm in enumerate(arms.values()):
            difference = compared(name, arm, reference)
            if difference is None or difference.mean is None:
                continue
            found_any = True
            axes.plot([difference.mean], [place], "o", color="black")
            if difference.low is not None:
                axes.plot([difference.low, difference.high], [place] * 2, color="black", lw=0.8)
        axes.set_yticks(range(len(arms)), list(arms))
        axes.invert_yaxis()
        axes.set(title=title, xlabel="dB above the reference")
    return figure, found_any


def draw_networks(plt):
    """Networks beside Appendix A."""
    arms = {arm.name: arm.name for arm in EXPERIMENTS["networks"].arms if arm.name != "Appendix A"}
    return draw_differences(plt, "networks", [("", "Appendix A", arms)])


def draw_optimizers(plt):
    """Optimizers beside momAGD, at 0.05 and at the best of their rates."""
    names = ("SGD", "Nesterov", "ADAM", "L-BFGS", "hybrid", "Muon")
    theirs = {name: f"{name} at 0.05" for name in names}
    fair = {name: f"{name}, falling, 600 gradients" for name in names}
    panels = [
        ("(a) at their setting", "momAGD at 0.05", theirs),
        ("(b) at their best rates, fresh pairs", "momAGD, falling, 600 gradients", fair),
    ]
    return draw_differences(plt, "optimizers", panels)


def draw_hybrid(plt):
    """The hybrid and others beside momAGD."""
    names = ("hybrid", "ADAM", "Muon")
    panels = [("(a) at their setting", "momAGD at 0.05", {"hybrid": "hybrid at 0.05"})]
    for letter, gradients in (("b", 400), ("c", 2000)):
        ending = f"falling, {gradients} gradients"
        arms = {name: f"{name}, {ending}" for name in names}
        panels.append((f"({letter}) {gradients} gradients, best rates", f"momAGD, {ending}", arms))
    return draw_differences(plt, "hybrid", panels)


def draw_starts(plt):
    """Initializations and BatchNorms beside plain Xavier in Appendix A."""
    names = [arm.name for arm in EXPERIMENTS["starts"].arms if arm.name.endswith("at 0.05")]
    labels = [name.removesuffix(", at 0.05") for name in names]
    panels = []
    for title, ending in (("(a) at their setting", "at 0.05"), ("(b) at best rates", "falling")):
        reference = "xavier, two each"
        arms = {label: f"{label}, {ending}" for label in labels if label != reference}
        if ending == "falling":
            arms = {label: arm for label, arm in arms.items() if not label.startswith("zeros")}
        panels.append((title, f"{reference}, {ending}", arms))
    return draw_differences(plt, "starts", panels)


def draw_flips(plt):
    """Flips and exchange beside none."""
    arms = {arm.name: arm.name for arm in EXPERIMENTS["flips"].arms if arm.name != "none"}
    return draw_differences(plt, "flips", [("", "none", arms)])


# ----------------------------------------------------------------------------------------------
# The weights


def draw_learning_curve(plt):
    """The PSNR on the way of the shipped weights' training, and its learning rate."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.9))
    weights = load("weights")
    if weights is None:
        return figure, False
    millions = [point["pairs"] / 1e6 for point in weights["curve"]]
    axes.plot(millions, [point["psnr_one_pass"] for point in weights["curve"]], "o-", color=NOISY)
    axes.set(xlabel="million pairs", ylabel="PSNR in dB")
    rates = axes.twinx()
    rates.plot(millions, [point["learning_rate"] for point in weights["curve"]], "--", color=GREY)
    rates.set(ylabel="learning rate", ylim=(0, None))
    return figure, True


FIGURES = {
    "targets": draw_targets,
    "passes": draw_passes,
    "networks": draw_networks,
    "optimizers": draw_optimizers,
    "hybrid": draw_hybrid,
    "starts": draw_starts,
    "flips": draw_flips,
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
