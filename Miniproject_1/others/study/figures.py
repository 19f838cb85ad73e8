"""The figures of the report, drawn with matplotlib from the JSON files in `results/`, and from nothing else."""

from .experiments import CONSTANT, FALLING, RATES
from .verdicts import load, mean, runs_of, score

# lines that stay apart in greyscale
COLOURS = "#000000 #c1440e #2a6f97 #6a994e #8e7dbe #bc8a00 #7f7f7f #3d405b".split()
PATTERNS = (5, 1), (3, 1, 1, 1, 1, 1), (1, 1), (7, 2, 1, 2)
LINES = list(zip(COLOURS, ["-", "--", "-.", ":", *((0, pattern) for pattern in PATTERNS)]))
WIDTH = 6.7  # inches: the text of the report
LETTER, LINE_HEIGHT = 0.048, 0.1  # inches, of the names of curves beside them
TARGETS = "1 draw", "2 draws", "4 draws", "8 draws", "clean"


def pyplot():
    """Matplotlib's pyplot in the style of the report, or an error that says what to install."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise ModuleNotFoundError("drawing figures needs matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "font.family": "serif", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False,
            "axes.linewidth": 0.6, "lines.linewidth": 1.1, "lines.markersize": 3, "axes.titlesize": 8,
            "svg.fonttype": "path", "figure.constrained_layout.use": True, "svg.hashsalt": "",
        }
    )  # fmt: skip
    return plt


def losses(result):
    """Epochs, and the mean loss of each; of a training that stopped within one, of what there is of it."""
    settings, loss = result["settings"], result["loss"]
    steps = -(-settings["num_pairs"] // settings["batch_size"])
    if settings["optimizer"] == "L-BFGS":
        return list(range(1, len(loss) + 1)), loss  # an iteration for an epoch, as Brown et al. count
    means = [mean(loss[start : start + steps]) for start in range(0, len(loss), steps)]
    return list(range(1, len(means) + 1)), means


def scores(result, over="evaluations"):
    """What validations found: epochs or gradient evaluations, and PSNR, without those that gave no number."""
    kept = [point for point in result["scores"] if point["psnr"] is not None]
    return [point[over] for point in kept], [point["psnr"] for point in kept]


def draw_curves(axes, variants, curve, level, top=None):
    """A line for each variant, the mean over its seeds, with a band from lowest to highest, and its name beside it.

    Args:
        axes: of a picture whose limits are set in the vertical direction.
        variants: as from `runs_of`; without any, nothing is drawn.
        curve: function of a result that returns two lists.
        level: name of what a grey line shows, and function of a result that returns it.
        top: variants whose curve never comes below it are not drawn.
    """
    ends, lines = [], []
    for (colour, dashes), (name, results) in zip(LINES, variants.items()):
        found = [curve(result) for result in results.values()]
        length = min(len(ys) for _, ys in found)
        xs, columns = found[0][0][:length], list(zip(*(ys[:length] for _, ys in found)))
        if not length or (top and min(map(min, columns)) > top):
            ends.append((name + (", above" if top else ", diverged"), colour, None))
            continue
        lines.append(xs)
        axes.plot(xs, [mean(column) for column in columns], color=colour, ls=dashes)
        axes.fill_between(xs, list(map(min, columns)), list(map(max, columns)), color=colour, alpha=0.15, lw=0)
        ends.append((name, colour, (xs[-1], mean(columns[-1]))))
    if lines:
        label(axes, ends + [draw_level(axes, variants, level, max(map(max, lines)))])


def draw_level(axes, variants, level, end):
    """A grey line from 0 to `end`; returns its name, colour and end, for `label`."""
    name, value = level
    height = value(next(iter(next(iter(variants.values())).values())))
    axes.plot([0, end], [height] * 2, color="grey", lw=0.6)
    return name, "grey", (end, height)


def label(axes, ends):
    """Write the name of each curve (name, colour, end or None) to the right of the picture, none over another."""
    left, right = axes.get_xlim()
    room = LETTER * max(len(name) for name, _, _ in ends)
    share = room / (axes.get_position().width * WIDTH - room)  # of the curves' width
    axes.set_xticks([tick for tick in axes.get_xticks() if left <= tick <= right])
    axes.set_xlim(left, right + share * (right - left))
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [(1.0 if end is None else to_axes.transform(end)[1], name, colour) for name, colour, end in ends]
    height = LINE_HEIGHT / axes.get_position().height / axes.figure.get_figheight()
    heights, names = [], sorted(wanted, reverse=True)
    for want, _, _ in names:  # downwards, each below the one before
        heights.append(min(want, heights[-1] - height if heights else 1.0))
    for place in reversed(range(len(heights))):  # and none below the picture
        heights[place] = max(heights[place], heights[place + 1] + height if place + 1 < len(heights) else 0.02)
    for height, (_, name, colour) in zip(heights, names):
        axes.text(1 / (1 + share), height, name, color=colour, fontsize=6, va="center", transform=axes.transAxes)


NOISY = "noisy images", lambda result: result["noisy_psnr"]  # what is below does not denoise
FLOOR = "noise of the targets", lambda result: result["floor"]  # no loss against them can stay below


def starts(plt):
    """BatchNorm and initialization: Figure 1 of Brown et al., and what unseen images say at a falling rate."""
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 4.2))
    for column, row in enumerate(("batchnorm", "initialization")):
        above, below = axes[:, column]
        constant, falling = runs_of(row, CONSTANT), runs_of(row, FALLING)
        above.set(yscale="log", ylim=(0.01, 1), xlabel="epoch", ylabel="training loss", title=f"{row}, constant rate")
        below.set(ylim=(8, 26), xlabel="epoch", ylabel="PSNR in dB", title=f"{row}, falling rate")
        draw_curves(above, constant, losses, FLOOR, top=1)
        draw_curves(below, falling, lambda result: scores(result, "epochs"), NOISY)
    return figure


def best_of(variants):
    """Of the variants "OPTIMIZER, RATE" the best of each optimizer, by the mean score."""
    best = {}
    for name in RATES:
        mine = {
            variant: mean(score(result) or 0 for result in results.values())
            for variant, results in variants.items()
            if variant.split(", ")[0] == name
        }
        if mine:
            most = max(len(variants[variant]) for variant in mine)
            chosen = max((variant for variant in mine if len(variants[variant]) == most), key=mine.get)
            best[chosen] = variants[chosen]
    return best


def optimizers(plt):
    """Figure 2 of Brown et al.; the same over gradient evaluations; and each optimizer at its best falling rate."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.3))
    constant, falling = runs_of("optimizers", CONSTANT), best_of(runs_of("tuned", FALLING))
    left.set(yscale="log", ylim=(0.01, 1), xlabel="epoch, or iteration", ylabel="training loss", title="constant, 0.05")
    middle.set(ylim=(8, 26), xlabel="gradients", ylabel="PSNR in dB", title="constant, 0.05")
    right.set(ylim=(18, 26), xlabel="gradients", title="falling, the best of three rates")
    draw_curves(left, constant, losses, FLOOR, top=1)
    draw_curves(middle, constant, scores, NOISY)
    draw_curves(right, falling, scores, NOISY)
    return figure


def hybrid(plt):
    """Hybrid against momAGD alone, over gradient evaluations, a line for each seed."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.0), sharey=True)
    for axis, rate in zip(axes, (CONSTANT, FALLING)):
        axis.set(ylim=(18, 25.5), xlabel="gradients", title=f"{rate} rate")
        variants = runs_of("hybrid", rate)
        ends = []
        for (colour, dashes), (name, results) in zip(LINES, variants.items()):
            for result in results.values():
                xs, ys = scores(result)
                axis.plot(xs, ys, color=colour, ls=dashes, lw=0.8)
            ends.append((name, colour, (xs[-1], ys[-1])))
        if variants:
            label(axis, ends + [draw_level(axis, variants, NOISY, xs[-1])])
    axes[0].set(ylabel="PSNR in dB")
    return figure


def targets(plt):
    """Pairs against cleaner targets: PSNR, and the loss above its floor; and the same draws spent in different ways."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.0), width_ratios=(1, 1, 1.2))
    variants = runs_of("targets", FALLING)
    budget = {name.split(": ")[1].replace(" images, ", ", "): variants[name] for name in variants if ": " in name}
    dots(left, {name: variants[name] for name in TARGETS if name in variants}, score)
    dots(middle, {name: variants[name] for name in TARGETS[:-1] if name in variants}, excess)
    dots(right, budget, score)
    left.set(ylabel="PSNR in dB", xlabel="draws in the target")
    middle.set(ylabel="loss minus its floor", xlabel="draws in the target")
    right.set(ylabel="PSNR in dB", xlabel="images, draws in the target")
    return figure


def excess(result):
    """The training loss above the noise of the targets, at the end."""
    return mean(result["loss"][-len(result["loss"]) // 20 :]) - result["floor"]


def dots(axes, variants, value):
    """A dot for each seed, a line at their mean; the variants from left to right."""
    for place, results in enumerate(variants.values()):
        found = [value(result) for result in results.values()]
        found = [each for each in found if each is not None]
        axes.plot([place] * len(found), found, "o", color="black", mfc="none")
        if found:
            axes.plot([place - 0.3, place + 0.3], [mean(found)] * 2, color="black")
    names = [name.replace(" draws", "").replace(" draw", "") for name in variants]
    axes.set_xticks(range(len(variants)), names)
    axes.margins(x=0.15, y=0.15)
    axes.grid(axis="y", lw=0.3)


def blur(plt):
    """Gradient energy of noisy and denoised images over block sizes; and what is possible at an edge."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.0))
    result = load("rows/blur")[0]["result"]
    blocks = [row["block"] for row in result["blocks"]]
    for (colour, dashes), name in zip(LINES, ("noisy", "denoised")):
        values = [row[f"{name}_energy"] for row in result["blocks"]]
        left.plot(blocks, values, color=colour, ls=dashes)
        left.annotate(name, (blocks[-1], values[-1]), fontsize=6, color=colour, ha="right", va="bottom")
    left.axhline(1, color="grey", lw=0.6)
    left.set(xlabel="block, pixels", ylabel="gradient energy", yscale="log", xticks=blocks)
    edges = result["edges"]
    for (colour, dashes), (name, text) in zip(LINES, (("noisy_mse", "noisy"), ("least_mse", "best possible"))):
        values = [row[name] for row in edges]
        right.plot(blocks, values, color=colour, ls=dashes)
        right.annotate(text, (blocks[-1], values[-1]), fontsize=6, color=colour, ha="right", va="bottom")
    right.set(xlabel="block, pixels", ylabel="error at an edge", xticks=blocks, ylim=(0, None))
    return figure


def learning_curve(plt):
    """Validation PSNR of the shipped weights' training over pairs seen, with the learning rate."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.9))
    curve = load("weights")["curve"]
    pairs = [point["pairs"] / 1e6 for point in curve]
    axes.plot(pairs, [point["psnr_one_pass"] for point in curve], color=COLOURS[0], marker="o")
    axes.set(xlabel="million pairs", ylabel="PSNR in dB")
    rates = axes.twinx()
    rates.plot(pairs, [point["learning_rate"] for point in curve], color=COLOURS[6], ls="--")
    rates.set(ylabel="learning rate", ylim=(0, None))
    return figure


FIGURES = dict(
    starts=starts, optimizers=optimizers, hybrid=hybrid, targets=targets, blur=blur, learning_curve=learning_curve
)


def draw_all(folder):
    """Write every figure as an SVG into a folder, which is made if it is not there.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    plt = pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        figure = draw(plt)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        print(folder / f"{name}.svg")
