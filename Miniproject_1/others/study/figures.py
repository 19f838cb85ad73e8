"""The figures of the report, drawn with matplotlib."""

import matplotlib.pyplot as plt
import numpy as np

GREY = "#777777"
CURVES = {  # Figures 1 and 2 of Brown et al.: an experiment, gradients of an epoch, arms, colours
    "BatchNorms (their Figure 1a)": ("starts", 10, {
        "two BatchNorms each": ("masked xavier, two each, at 0.05", "black"),
        "no BatchNorm": ("masked xavier, no BatchNorm, at 0.05", "#d62728"),
        "BatchNorm everywhere": ("masked xavier, BatchNorm everywhere, at 0.05", "#17a2b8"),
    }),
    "initializations (their 1b)": ("starts", 10, {
        "masked Xavier": ("masked xavier, two each, at 0.05", "black"),
        "PyTorch's default": ("default, two each, at 0.05", "#2ca02c"),
        "plain Xavier": ("xavier, two each, at 0.05", "#9467bd"),
        "positive Xavier": ("xavier positive, two each, at 0.05", GREY),
    }),
    "optimizers (their 2a)": ("optimizers", 5, {
        "momAGD": ("momAGD at 0.05", "black"),
        "SGD": ("SGD at 0.05", "#8c564b"),
        "Nesterov": ("Nesterov at 0.05", "#a0a020"),
        "L-BFGS": ("L-BFGS at 0.05", "#e377c2"),
        "ADAM": ("ADAM at 0.05, trained on", "#26418f"),
    }),
}  # fmt: skip
WIDTH = 6.7  # inches: the text of the report
STYLE = {
    "font.family": "serif",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "legend.fontsize": 7.2,
    "legend.edgecolor": "white",
    "lines.linewidth": 1.1,
    "svg.fonttype": "path",
    "svg.hashsalt": "",
    "figure.constrained_layout.use": True,
}
plt.switch_backend("Agg")  # draws without a screen
plt.rcParams.update(STYLE)


def draw_forest(claims, path, picture):
    """Draw the claims of `verdicts.answered`, at their setting and at a fair one.

    Written are an SVG file and a picture, a PNG file of 800 pixels width.
    """
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 7.9), sharex=True, sharey=True)
    for axes, setting, title in zip(panels, ("theirs", "fair"), ("their setting", "a fair one")):
        for place, claim in enumerate(claims):
            draw_answer(axes, place, claim[setting])
        axes.axvline(0, color=GREY, lw=0.6, zorder=0.5)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xticks([-10, -1, 0, 1, 10], ["−10", "−1", "0", "1", "10"])
        axes.set_title(f"{title}\n← against it     for it →")
        axes.set_xlabel("dB, logarithmic beyond ±1")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    names = [claim["label"] for claim in claims]
    panels[0].set(yticks=range(len(claims)), yticklabels=names, ylim=(len(claims) - 0.5, -0.5))
    beside = {"x": 1.03, "transform": panels[1].get_yaxis_transform()}
    panels[1].text(y=-0.8, s="their\nnumber", **beside)
    for place, claim in enumerate(claims):
        panels[1].text(y=place, s=claim["number"], va="center", **beside)
    figure.supxlabel("dot: seed; line: 95 % interval; filled: kept by Holm's correction", size=8)
    figure.savefig(path, metadata={"Date": None})
    figure.savefig(picture, dpi=120, metadata={"Software": None})


def draw_answer(axes, place, found):
    """A row of the forest plot: the interval, its mean, and the seeds; or why there are none."""
    shade = "#f1f1f1" if place % 2 == 0 else "white"
    axes.axhspan(place - 0.5, place + 0.5, color=shade, lw=0, zorder=0)
    if found["p"] is None:
        text = {"ha": "center", "va": "center", "size": 7, "color": "#555555"}
        axes.text(0, place, found["word"], backgroundcolor=shade, **text)
        return
    difference, seeds = found["difference"], found["seeds"]
    fill = "black" if found["kept"] else "white"
    axes.plot([difference.low, difference.high], [place] * 2, color="black")
    axes.plot(difference.mean, place, "|", color="black", ms=9)
    axes.plot(seeds, [place] * len(seeds), "o", color="black", mfc=fill, ms=3.2, mew=0.6)


def draw_curves(arms, path):
    """Draw the loss on the way at their setting: its mean and its range over seeds."""
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 2.8), sharey=True)
    for axes, (title, (experiment, epoch, curves)) in zip(panels, CURVES.items()):
        found = {**arms[experiment], **arms["replication"]}
        for label, (name, colour) in curves.items():
            losses = np.array(list(zip(*found[name]["losses"])))  # (points, seeds)
            gradients_between = found[name]["gradients"][0] / len(losses)
            epochs = np.arange(len(losses)) * gradients_between / epoch
            axes.fill_between(epochs, losses.min(1), losses.max(1), color=colour, alpha=0.25, lw=0)
            axes.plot(epochs, losses.mean(1), color=colour, label=label)
        axes.set(title=title, xlabel="epochs", yscale="log", ylim=(0.011, 9))
        axes.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5, 1], ["0.02", "0.05", "0.1", "0.2", "0.5", "1"])
        axes.minorticks_off()
        axes.legend(loc="upper right")
    panels[0].set(ylabel="loss on training images")
    figure.savefig(path, metadata={"Date": None})
