"""How fast is it: our network against the plain `nn.Sequential`, measured side by side.

    python -m Miniproject_1.others.study.benchmark [PART ...]

Plain and ours take turns, so that a machine that slows down is fair to both; every time is the median of its runs. The
same weights and batches; the plain network in its default memory layout.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from ...model import Model, Training, forward
from ..data.photos import PhotoPairs
from ..data.pictures import write_picture
from ..training.command import ALL_OPTIMIZERS
from ..training.longrun import processor

RESULTS = Path(__file__).resolve().parent / "results" / "benchmark.json"


def seconds(runs, *functions):
    """Median times of functions that take turns; a turn before does not count."""
    times = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(runs):
        for function, taken in zip(functions, times):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [sorted(taken)[len(taken) // 2] for taken in times]


def measure_steps(model):
    """Training steps and prediction: seconds, plain and ours, and of bfloat16 also plain PyTorch's autocast."""
    network, rows = model.network, []

    def autocast(images):
        with torch.autocast("cpu", torch.bfloat16):
            return network.train()(images).float()

    def training_step(apply, noisy, target):
        network.zero_grad()
        F.mse_loss(apply(noisy), target).backward()

    def plain_prediction(images):
        network.eval()
        with torch.no_grad():
            for part in images.split(100):
                network(part / 255)

    ours, cases = partial(forward, network, training=True), []
    for number, size, name, apply in (
        (100, 32, "100 images of 32 x 32", ours),
        (100, 32, "100 images, plain with autocast to bfloat16", autocast),
        (100, 32, "100 images, ours in bfloat16", partial(ours, bfloat16=True)),
        (32, 16, "32 crops of 16 x 16", ours),
    ):
        batch = torch.rand(2, number, 3, size, size).unbind()
        steps = [partial(training_step, each, *batch) for each in (lambda images: network.train()(images), apply)]
        cases.append((f"training step, {name}", 5, *steps))
    images = torch.rand(1000, 3, 32, 32) * 255
    predictions = partial(plain_prediction, images), partial(model.predict, images, average=False)
    for name, runs, *functions in (*cases, ("predict, one pass, 1000 images", 3, *predictions)):
        plain, other = seconds(runs, *functions)
        rows.append(dict(name=name, plain_seconds=plain, our_seconds=other, ratio=plain / other))
        print(f"{name:60} plain {plain:8.3f} s, this {other:8.3f} s, {plain / other:5.2f}x")
    return rows


def measure_epoch(model):
    """An epoch of the hybrid loop over 50,000 pairs, from the shipped weights, and the prediction after it."""
    taken, memory = in_a_process(
        "pairs = torch.randint(256, (2, 50_000, 3, 32, 32), dtype=torch.uint8)\n"
        "model.train(*pairs, num_epochs=1)\n"
        "model.predict(pairs[0][:1000])"
    )
    print(f"an epoch over 50,000 pairs and 1,000 predictions: {taken / 60:.1f} minutes, at most {memory:.1f} GB")
    return dict(minutes=taken / 60, peak_gb=memory)


def measure_pairs(model):
    """Drawing a batch of 16 pairs from photographs, beside the bfloat16 training step that it feeds: seconds."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(200):  # of a usual size, and together larger than any cache
            write_picture(torch.randint(256, (3, 375, 500), dtype=torch.uint8), Path(folder) / f"{number}.bmp")
        pairs = PhotoPairs(sorted(Path(folder).iterdir()), batch_size=16, small_crops=0.4)
    steps = itertools.count()
    training = Training(
        model.network, lambda step: pairs(0), 10**6, False, ALL_OPTIMIZERS["Muon"], 0.0, precision="bfloat16"
    )
    draw, step = seconds(9, lambda: pairs(next(steps)), lambda: next(training))
    print(
        f"drawing 16 pairs: {1000 * draw:.1f} ms; a step with them: {1000 * step:.0f} ms, {draw / step:.1%} for drawing"
    )
    return dict(draw_seconds=draw, step_seconds=step)


PARTS = dict(steps=measure_steps, pairs=measure_pairs, epoch=measure_epoch)


def in_a_process(code):
    """Run code that uses `torch` and `model` in a process of its own: seconds, and its peak memory in GB."""
    code = (
        "import resource, time, torch\nfrom Miniproject_1.model import Model\nmodel = Model()\n"
        "model.load_pretrained_model()\nstart = time.perf_counter()\n"
        f"{code}\n"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    root = Path(__file__).resolve().parents[3]
    result = subprocess.run([sys.executable, "-c", code], cwd=str(root), stdout=subprocess.PIPE, text=True, check=True)
    taken, kilobytes = result.stdout.split()[-2:]
    return float(taken), int(kilobytes) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)}; by default all but epoch, which takes longest",
    )
    options = parser.parse_args()
    parts = options.parts or [part for part in PARTS if part != "epoch"]
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}")
    torch.manual_seed(0)
    model = Model(device="cpu")
    model.load_pretrained_model()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts:
        results[part] = dict(
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"), processor=processor(), cores=os.cpu_count(),
            threads=torch.get_num_threads(), python=platform.python_version(), torch=torch.__version__,
            result=PARTS[part](model),
        )  # fmt: skip
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{RESULTS} has these numbers")


if __name__ == "__main__":
    main()
