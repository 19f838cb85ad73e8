"""How fast is it: our network against the plain `nn.Sequential`, measured side by side.

    python -m Miniproject_1.others.study.benchmark [PART ...] [--output FILE]

Plain and ours take turns, so that a machine that slows down is fair to both; every time is the
median of its runs. The same weights and batches; the plain network in its default memory layout.
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
from unittest import mock

import torch
import torch.nn.functional as F

from ... import model as module
from ...model import Model, Pairs, Training, forward
from ..data.pairs import SAMPLE, load_pairs
from ..data.photos import PhotoPairs
from ..data.pictures import write_picture
from ..fast import TILE, TILES_AT_ONCE, conv2d
from ..training.command import ALL_OPTIMIZERS
from ..training.crops import Crops

RESULTS = Path(__file__).resolve().parent / "results" / "benchmark.json"
CHANNELS = (3, 64, 64, 128, 256, 512, 256, 128, 64, 64, 3)
WINOGRAD_LAYERS = ((128, 256, 2, 4), (256, 256, 3, 4), (256, 128, 2, 3))  # channels, outputs, kernel, growth
CURVE_STEPS = 200
PHOTOGRAPHS = 200


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


def plain_products(size):
    """Multiply-adds of the plain network for one image of size x size: each of ten kernels of 2 x 2 in turn."""
    sides = [size + i for i in (1, 2, 3, 4, 5, 4, 3, 2, 1, 0)]
    return sum(4 * a * b * side**2 for a, b, side in zip(CHANNELS, CHANNELS[1:], sides))


def our_products(size):
    """Multiply-adds of ours: those over channels, and those of Winograd's transforms in one direction."""
    over_channels, transforms = 0, 0
    for channels, outputs, kernel_size, side in WINOGRAD_LAYERS:
        window = (TILE + kernel_size - 1) ** 2
        tiles = (-(-(size + side) // TILE)) ** 2
        over_channels += tiles * window * channels * outputs
        transforms += tiles * window * (window * channels + TILE**2 * outputs)
    for channels, outputs, side in ((3, 64, 1), (64, 64, 2), (64, 128, 3), (128, 64, 2), (64, 64, 1), (64, 3, 0)):
        over_channels += 4 * channels * outputs * (size + side) ** 2
    return over_channels, transforms


def measure_machine(model):
    """What a matrix product of 2048 x 2048 reaches here, in GFLOP/s."""
    a, b = torch.rand(2, 2048, 2048).unbind()
    (taken,) = seconds(5, lambda: a @ b)
    speed = 2 * 2048**3 / taken / 1e9
    print(f"{processor()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    print(f"a matrix product runs at {speed:.0f} GFLOP/s")
    return dict(matrix_product_gflops=speed)


def measure_steps(model):
    """Training steps and prediction: seconds, plain and ours, GFLOP/s, and the bound that arithmetic sets."""
    network, rows = model.network, []

    def training_step(apply, noisy, target):
        def step():
            network.train()  # for the plain one
            network.zero_grad()
            F.mse_loss(apply(noisy), target).backward()

        return step

    def ours(images):
        return forward(network, images, training=True)

    def plain_prediction():
        network.eval()
        with torch.no_grad():
            for part in images.split(100):
                network(part / 255)

    print(f"\n{'seconds':40} {'plain':>8} {'ours':>8} {'ratio':>6} {'GFLOP/s':>14} {'bound':>6}")
    cases = []
    for number, size in ((100, 32), (32, 16)):
        batch = torch.rand(2, number, 3, size, size).unbind()
        name = f"training step, {number} images of {size} x {size}"
        cases.append((name, number, size, 3, 2, 5, training_step(network, *batch), training_step(ours, *batch)))
    images = torch.rand(1000, 3, 32, 32) * 255
    cases.append(
        ("predict, one pass, 1000 images", 1000, 32, 1, 1, 3, plain_prediction,
         lambda: model.predict(images, average=False))
    )  # fmt: skip
    for name, number, size, passes, transformations, runs, *functions in cases:
        plain, fast = seconds(runs, *functions)
        over_channels, transforms = our_products(size)
        plain_flops = 2 * number * passes * plain_products(size)
        our_flops = 2 * number * (passes * over_channels + transformations * transforms)
        row = dict(
            name=name, plain_seconds=plain, our_seconds=fast, ratio=plain / fast,
            plain_gflops=plain_flops / plain / 1e9, our_gflops=our_flops / fast / 1e9,
            arithmetic_ratio=plain_flops / our_flops,
        )  # fmt: skip
        rows.append(row)
        print(
            f"{name:40} {plain:8.3f} {fast:8.3f} {plain / fast:5.2f}x {row['plain_gflops']:7.0f}"
            f"{row['our_gflops']:7.0f} {row['arithmetic_ratio']:5.2f}x"
        )
    print("bound: the plain network's arithmetic over ours, transforms counted")
    return rows


def measure_bfloat16(model):
    """A training step of 100 images with and without bfloat16, plain (autocast) and ours: seconds."""
    network = model.network
    batch = torch.rand(2, 100, 3, 32, 32).unbind()

    def autocast(images):
        with torch.autocast("cpu", torch.bfloat16):
            return network(images).float()

    cases = {
        "plain": network,
        "plain, autocast to bfloat16": autocast,
        "ours": partial(forward, network, training=True),
        "ours, bfloat16": partial(forward, network, training=True, bfloat16=True),
    }

    def step(apply):
        network.train()
        network.zero_grad()
        F.mse_loss(apply(batch[0]), batch[1]).backward()

    times = dict(zip(cases, seconds(3, *(partial(step, apply) for apply in cases.values()))))
    print("\na training step of 100 images, in seconds")
    for name, taken in times.items():
        print(f"{name:40} {taken:8.2f} {times['plain'] / taken:5.2f}x")
    return times


def products_of_a_step(number, size):
    """The matrix products of Winograd's layers over channels, and of its transforms: (times, function ...) each."""
    products, transforms = [], []
    for channels, outputs, kernel_size, growth in WINOGRAD_LAYERS:
        window, side = (TILE + kernel_size - 1) ** 2, -(-(size + growth) // TILE)
        at_once = max(TILES_AT_ONCE // side**2, 1)
        tiles, times = at_once * side**2, number // at_once
        x, y, w = (torch.rand(window, *shape) for shape in ((tiles, channels), (tiles, outputs), (channels, outputs)))
        to_points, to_output = torch.rand(window, window), torch.rand(TILE**2, window)
        flat_x, flat_y, out = x.view(window, -1), y.view(window, -1), torch.rand(TILE**2, tiles * outputs)
        grad_w = torch.empty_like(w)
        products.append(
            (
                times,
                lambda x=x, w=w: x @ w,
                lambda y=y, w=w: y @ w.transpose(1, 2),
                lambda x=x, y=y, w=grad_w: torch.bmm(x.transpose(1, 2), y, out=w),
            )
        )
        transforms.append(
            (
                times,
                lambda a=to_points, b=flat_x: a @ b,
                lambda a=to_points, b=flat_x: a.t() @ b,
                lambda a=to_output, b=flat_y: a @ b,
                lambda a=to_output, b=out: a.t() @ b,
            )
        )
    return products, transforms


def measure_limit(model):
    """Where a training step of 100 images goes: its matrix products alone, on operands that are there already.

    The first line is what the arithmetic needs where this machine multiplies fastest; the next ones what the shapes of
    the products allow; what remains of the step passes over memory.
    """
    number, size, network = 100, 32, model.network
    batch = torch.rand(2, number, 3, size, size).unbind()
    products, transforms = products_of_a_step(number, size)

    def all_of(groups):
        return sum(times * sum(seconds(5, *functions)) for times, *functions in groups)

    def small_layers():
        images = batch[0].contiguous(memory_format=torch.channels_last)
        first = F.conv2d(network[:4](images), network[4].weight, network[4].bias, padding=1)
        features = torch.rand(number, 128, size + 3, size + 3).contiguous(memory_format=torch.channels_last)
        last = network[17:](features.requires_grad_())
        torch.autograd.backward((first.sum(), last.sum()))

    def step():
        network.zero_grad()
        F.mse_loss(forward(network, batch[0], training=True), batch[1]).backward()

    a, b = torch.rand(2, 2048, 2048).unbind()
    whole, small, large_product = seconds(5, step, small_layers, lambda: a @ b)
    over_channels, transformed = our_products(size)
    operations = 2 * number * (3 * over_channels + 2 * transformed)
    result = {
        "all multiply-adds at the speed of a product of 2048 x 2048": operations * large_product / (2 * 2048**3),
        "products over channels, three layers": all_of(products),
        "Winograd's transforms": all_of(transforms),
        "six small layers, with their ReLU": small,
    }
    rest = whole - sum(list(result.values())[1:])
    result["BatchNorm, ReLU, gathering and adding tiles: passes over memory"] = rest
    result["the whole step"] = whole
    print("\na training step of 100 images, in seconds")
    for name, taken in result.items():
        print(f"{name:64} {taken:6.2f}")
    return result


def measure_layers(model):
    """Forward and backward of each heavy layer for 16 images of 32 x 32: seconds, direct and Winograd's."""
    rows = []
    print(f"\n{'forward and backward, 16 images':46} {'direct':>8} {'ours':>8}")
    for name, channels, outputs, side, kernel_size, padding in (
        ("layer 2, conv 64 to 64", 64, 64, 33, 2, 1),
        ("layer 4, conv 64 to 128", 64, 128, 34, 2, 1),
        ("layer 7, conv 128 to 256", 128, 256, 35, 2, 1),
        ("layers 10 and 11 as one, 256 to 256, 3 x 3", 256, 256, 36, 3, 1),
        ("layer 14, transposed conv 256 to 128", 256, 128, 36, 2, 0),
        ("layer 17, transposed conv 128 to 64", 128, 64, 35, 2, 0),
        ("layer 19, transposed conv 64 to 64", 64, 64, 34, 2, 0),
    ):
        images = torch.rand(16, channels, side, side).contiguous(memory_format=torch.channels_last)
        leaves = [images, torch.rand(outputs, channels, kernel_size, kernel_size), torch.rand(outputs)]
        leaves = [leaf.requires_grad_() for leaf in leaves]

        def both(convolution, leaves=leaves, padding=padding):
            torch.autograd.grad(convolution(*leaves, padding=padding).square().sum(), leaves)

        direct, ours = seconds(7, lambda: both(F.conv2d), lambda: both(conv2d))  # noqa: B023
        rows.append(dict(name=name, direct_seconds=direct, our_seconds=ours))
        print(f"{name:46} {direct:8.3f} {ours:8.3f} {direct / ours:5.2f}x")
    return rows


def measure_growth(model):
    """Seconds and peak memory (GB) of one pass over large images; images a second over batch sizes."""
    result = {"images": [], "batches": []}
    for size in (512, 1024, 2048, 4096):
        taken, memory = in_a_process(
            f"images = torch.zeros(1, 3, {size}, {size}, dtype=torch.uint8)\nmodel.predict(images, average=False)"
        )
        result["images"].append(dict(size=size, seconds=taken, peak_gb=memory))
        print(f"one pass over {size} x {size}: {taken:.1f} s, at most {memory:.1f} GB")
    for number in (1, 10, 100, 1000):
        images = torch.rand(number, 3, 32, 32) * 255
        (taken,) = seconds(3 if number < 1000 else 1, lambda: model.predict(images, average=False))  # noqa: B023
        result["batches"].append(dict(number=number, images_per_second=number / taken))
        print(f"{number} images of 32 x 32: {number / taken:.0f} a second")
    return result


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
        for number in range(PHOTOGRAPHS):  # of a usual size, and together larger than any cache
            write_picture(torch.randint(256, (3, 375, 500), dtype=torch.uint8), Path(folder) / f"{number}.bmp")
        pairs = PhotoPairs(sorted(Path(folder).iterdir()), batch_size=16, small_crops=0.4)
    steps = itertools.count()
    training = Training(model.network, lambda step: pairs(0), 10**6, False, ALL_OPTIMIZERS["Muon"], 0.0, bfloat16=True)
    draw, step = seconds(9, lambda: pairs(next(steps)), lambda: next(training))
    print(
        f"drawing 16 pairs: {1000 * draw:.1f} ms; a step with them: {1000 * step:.0f} ms, {draw / step:.1%} for drawing"
    )
    return dict(draw_seconds=draw, step_seconds=step)


def measure_curves(model):
    """The loss of the same training, plain and ours: 200 steps of 8 crops of 16 x 16."""
    pairs = Crops(Pairs(*load_pairs(SAMPLE, "train_data.pkl"), batch_size=8), 16)
    curves = {}
    for name, function in (("plain", lambda network, images, *_: network.train()(images)), ("ours", forward)):
        with mock.patch.object(module, "forward", function):
            curves[name] = [loss for loss, *_ in Training(Model().network, pairs, CURVE_STEPS, hybrid=False)]
    furthest = max(abs(a - b) / b for a, b in zip(curves["ours"], curves["plain"]))
    print(f"loss over {len(curves['plain'])} steps: ours departs from the plain one's by at most {furthest:.1e} of it")
    return curves


PARTS = dict(
    machine=measure_machine,
    steps=measure_steps,
    bfloat16=measure_bfloat16,
    limit=measure_limit,
    layers=measure_layers,
    growth=measure_growth,
    pairs=measure_pairs,
    curves=measure_curves,
    epoch=measure_epoch,
)


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


def processor():
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m Miniproject_1.others.study.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)}; by default all but epoch, which takes longest",
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON; parts not measured now are kept in it")
    options = parser.parse_args()
    parts = options.parts or [part for part in PARTS if part != "epoch"]
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}")
    torch.manual_seed(0)
    model = Model(device="cpu")
    model.load_pretrained_model()
    results = json.loads(options.output.read_text()) if options.output.exists() else {}
    for part in parts:
        results[part] = dict(
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"), processor=processor(), cores=os.cpu_count(),
            threads=torch.get_num_threads(), python=platform.python_version(), torch=torch.__version__,
            result=PARTS[part](model),
        )  # fmt: skip
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{options.output} has these numbers")


if __name__ == "__main__":
    main()
