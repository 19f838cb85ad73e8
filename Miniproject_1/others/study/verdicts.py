"""What the trainings of the study say: scores of a variant over seeds, and whether two variants differ.

A score is the PSNR at the end of a falling learning rate, or at a constant one the median of the last epoch. Variants
of a row begin at the same weights and see the same batches, so they are compared seed by seed. They are separated if
all seeds agree on the sign of the difference and its mean is larger than its spread, highest minus lowest; one seed
separates nothing.
"""

import json
from itertools import permutations
from pathlib import Path

from .experiments import CONSTANT, FALLING

RESULTS = Path(__file__).resolve().parent / "results"


def load(name):
    """The content of `results/NAME.json`, or nothing."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def runs_of(row, rate):
    """The runs of a row at a rate: variant to a dict of seed to result, which holds its "settings"."""
    variants = {}
    for run in load(f"rows/{row}"):
        if run["settings"]["rate"] == rate:
            of_seed = variants.setdefault(run["variant"], {})
            of_seed[run["seed"]] = dict(run["result"], settings=run["settings"])
    return variants


def score(result):
    """The PSNR in dB that counts; None where the training diverged."""
    name = {FALLING: "psnr", CONSTANT: "psnr_median"}[result["settings"]["rate"]]
    return None if result["diverged"] else result[name]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def summary(results):
    """Of the seeds of a variant, from `runs_of`: the mean score, lowest and highest, and the last loss, as text; as
    numbers, the mean scores of the border and of the rest; None where one is not finite."""
    results = list(results.values())
    found = [score(result) for result in results if score(result) is not None]
    last = mean(mean(result["loss"][-max(len(result["loss"]) // 20, 1) :]) for result in results)  # a twentieth
    settled = [result["psnr_settled"] for result in results]
    parts = {part: [result[f"psnr_{part}"] for result in results] for part in ("border", "centre")}
    return dict(
        seeds=len(results),
        psnr=f"{mean(found):.2f}" if len(found) == len(results) else "diverged",
        spread=f"{min(found):.2f} to {max(found):.2f}" if len(found) > 1 else "–",
        settled=f"{mean(settled):.2f}" if None not in settled else "–",
        **{part: None if None in scores else mean(scores) for part, scores in parts.items()},
        loss=f"{last:.4f}" if last < 10 else f"{last:.1e}",
        noisy=f"{mean(result['noisy_psnr'] for result in results):.2f}",
        below_noisy=all(score(result) is None or score(result) < result["noisy_psnr"] for result in results),
        steps=max(len(result["loss"]) for result in results),
        gradients=max(result["evaluations"][-1] for result in results),
    )


def compare(first, second):
    """How much the first variant is above the second, over the seeds that both have: a dict of dB and a verdict.

    Returns:
        None if they have no seed in common. "verdict" is "above", "below" or "not separated".
    """
    pairs = [(score(first[seed]), score(second[seed])) for seed in sorted(set(first) & set(second))]
    if not pairs:
        return None
    if any(None in pair for pair in pairs):  # one that diverged is below one that did not
        better = [(a is not None) - (b is not None) for a, b in pairs]
        agree = len(pairs) > 1 and min(better) == max(better) != 0
        verdict = "not separated" if not agree else "above" if better[0] > 0 else "below"
        return dict(seeds=len(pairs), difference=None, low=None, high=None, verdict=verdict)
    differences = [a - b for a, b in pairs]
    low, middle, high = min(differences), mean(differences), max(differences)
    separated = len(pairs) > 1 and low * high > 0 and abs(middle) > high - low
    verdict = "not separated" if not separated else "above" if middle > 0 else "below"
    return dict(seeds=len(pairs), difference=middle, low=low, high=high, verdict=verdict)


def comparisons(row, rate):
    """`compare` of every two variants of a row, under "first > second"."""
    found = runs_of(row, rate)
    pairs = ((a, b, compare(found[a], found[b])) for a, b in permutations(found, 2))
    return {f"{a} > {b}": comparison for a, b, comparison in pairs if comparison}
