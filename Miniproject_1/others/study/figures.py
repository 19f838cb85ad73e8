"""The figures of the report, drawn with matplotlib from the JSON files in `results/`, and from nothing else."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
# lines that stay apart in greyscale
COLOURS = "#000000 #c1440e #2a6f97 #6a994e #8e7dbe #bc8a00 #7f7f7f #3d405b #d4729b #00798c #5e503f".split()
PATTERNS = (5, 1), (3, 1, 1, 1, 1, 1), (1, 1), (7, 2, 1, 2), (3, 3), (9, 2), (1, 3)
DASHES = ["-", "--", "-.", ":", *((0, pattern) for pattern in PATTERNS)]
LINES = list(zip(COLOURS, DASHES, "os^DvPX*<>h"))
WIDTH = 6.7  # inches: the text of the report


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
            "axes.linewidth": 0.6, "lines.linewidth": 1.1, "lines.markersize": 3, "legend.frameon": False,
            "legend.fontsize": 7, "svg.fonttype": "path", "figure.constrained_layout.use": True, "svg.hashsalt": "",
        }
    )  # fmt: skip
    return plt


def load(name):
    """The content of `results/NAME.json`, or nothing."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def runs_of(name):
    """The results of an experiment: variant to its runs, one for each seed."""
    variants = {}
    for run in load(f"study/{name}"):
        variants.setdefault(run["variant"], []).append(dict(run["result"], settings=run["settings"]))
    return variants


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def losses(run):
    """The mean loss of every epoch; of a run that stopped within one, of what there is of it."""
    steps, loss = run["settings"]["steps_per_epoch"], run["loss"]
    return [mean(loss[i : i + steps]) for i in range(0, len(loss), steps)]


def running_mean(values, width):
    """The mean of each value and those before it, `width` at most."""
    return [mean(values[max(i - width + 1, 0) : i + 1]) for i in range(len(values))]


def spread(axes, line, curves, label, xs=None):
    """The mean over seeds as a line, lowest to highest as a band; a curve that leaves the picture ends there."""
    colour, dashes, marker = line
    length = min(map(len, curves))
    xs = (xs or range(1, length + 1))[:length]
    columns = list(zip(*(curve[:length] for curve in curves)))
    axes.plot(xs, [mean(column) for column in columns], color=colour, ls=dashes, marker=marker, label=label,
              markevery=max(length // 8, 1))  # fmt: skip
    if len(curves) > 1:
        axes.fill_between(xs, list(map(min, columns)), list(map(max, columns)), color=colour, alpha=0.15, lw=0)


def draw_floor(axes, runs):
    """The noise of the targets, below which no loss against them can stay."""
    axes.axhline(runs[0]["floor"], color="grey", lw=0.6)
    axes.annotate("noise of the targets", (0.02, runs[0]["floor"]), xycoords=("axes fraction", "data"), fontsize=6,
                  color="grey", va="bottom")  # fmt: skip


def scores(run, of="epochs"):
    """What validations found: two lists, without those that gave no number."""
    kept = [score for score in run["scores"] if score["psnr"] is not None]
    return [score[of] for score in kept], [score["psnr"] for score in kept]


def legend_below(figure, axes, columns):
    """One legend for all parts of a figure, where it hides no curve."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def comparison_of(name):
    """Loss and validation PSNR over epochs, one line a variant."""

    def draw(plt):
        variants = runs_of(name)
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.3))
        for line, (variant, runs) in zip(LINES, variants.items()):
            spread(left, line, [losses(run) for run in runs], variant)
            xs, _ = scores(runs[0])
            spread(right, line, [scores(run)[1] for run in runs], variant, xs)
        draw_floor(left, next(iter(variants.values())))
        left.set(yscale="log", ylim=(0.008, 1), xlabel="epoch", ylabel="training loss (MSE)")
        right.set(xlabel="epoch", ylabel="validation PSNR in dB", ylim=(5, None))
        legend_below(figure, left, len(variants))
        return figure

    return draw


def optimizers(plt):
    """Figure 2 of Brown et al., over epochs, over gradient evaluations and over seconds."""
    variants = runs_of("optimizers")
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 3.6), sharey="row")
    for line, (variant, runs) in zip(LINES, variants.items()):
        steps = runs[0]["settings"]["steps_per_epoch"]
        for column, of in enumerate(("epochs", "evaluations", "seconds")):
            number = len(runs[0]["loss"])
            ends = [(i + 1) / steps for i in range(number)] if of == "epochs" else runs[0][of]
            spread(axes[0, column], line, [running_mean(run["loss"], steps) for run in runs], variant, ends)
            spread(axes[1, column], line, [scores(run)[1] for run in runs], variant, scores(runs[0], of)[0])
    for column, label in enumerate(("epochs", "gradient evaluations", "seconds")):
        draw_floor(axes[0, column], next(iter(variants.values())))
        axes[1, column].set(xlabel=label)
    axes[0, 0].set(yscale="log", ylim=(0.008, 1), ylabel="training loss (MSE)")
    axes[1, 0].set(ylabel="validation PSNR in dB", ylim=(5, None))
    legend_below(figure, axes[0, 0], len(variants) // 2)
    return figure


def hybrid(plt):
    """Hybrid against momAGD alone, over gradient evaluations."""
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 2.1))
    for line, (variant, runs) in zip(LINES, runs_of("hybrid").items()):
        for number, run in enumerate(runs):
            axes.plot(*scores(run, "evaluations"), color=line[0], ls=line[1], marker=line[2], markevery=2,
                      label=None if number else variant)  # fmt: skip
    axes.set(xlabel="gradient evaluations", ylabel="validation PSNR in dB")
    axes.legend()
    return figure


def activations(plt):
    """Mean activation after each convolution, before training."""
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 2.1))
    result = load("study/activations")[0]["result"]
    for line, name in zip(LINES, ("xavier positive", "masked xavier", "xavier", "default")):
        rows = [row for row in result[name]["layers"] if "Conv" in row["kind"]]
        axes.plot(range(1, 11), [row["largest"] for row in rows], color=line[0], ls=line[1], marker=line[2], label=name)
    axes.set(yscale="log", xlabel="convolution", ylabel="largest activation", xticks=range(1, 11))
    axes.legend()
    return figure


def bars(name, score="psnr", label="validation PSNR in dB"):
    """Final score of each variant: a dot a seed, a line at their mean."""

    def draw(plt):
        variants = runs_of(name)
        figure, axes = plt.subplots(figsize=(WIDTH / 2, 0.6 + 0.16 * len(variants)))
        for row, runs in enumerate(variants.values()):
            found = [run[score] for run in runs if run[score] is not None]
            axes.plot(found, [row] * len(found), "o", color="black", mfc="none")
            if found:
                axes.plot([mean(found)] * 2, [row - 0.3, row + 0.3], color="black")
        axes.set(yticks=range(len(variants)), yticklabels=variants, xlabel=label)
        axes.invert_yaxis()
        axes.locator_params(axis="x", nbins=5)
        axes.grid(axis="x", lw=0.3)
        return figure

    return draw


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
    batchnorm=comparison_of("batchnorm"),
    initialization=comparison_of("initialization"),
    layers=comparison_of("layers"),
    optimizers=optimizers,
    hybrid=hybrid,
    activations=activations,
    flips=bars("flips"),
    targets=bars("targets"),
    recipes=bars("recipes", "psnr_settled", "settled PSNR in dB"),
    learning_curve=learning_curve,
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
        if figure is None:  # not measured yet
            continue
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        print(folder / f"{name}.svg")
