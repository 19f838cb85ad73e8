"""How fast is it: our network against the plain `nn.Sequential`, measured side by side.

    python -m Miniproject_1.others.study.benchmark [PART ...]

Three processes take turns, so that a machine that slows down is fair to all: plain PyTorch as it is, plain PyTorch with
memory that is kept (`fast.keep_memory`), and this project. Every time is the median of its runs. The same weights and
batches; the plain network in its default memory layout, and in float32 unless said otherwise.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

from ...model import Model, Training, fast, forward, in_bfloat16, keep_memory
from ..data.photos import PhotoPairs
from ..data.pictures import write_picture
from ..training import distributed, longrun
from ..training.command import ALL_OPTIMIZERS

RESULTS = Path(__file__).resolve().parent / "results" / "benchmark.json"
COLUMNS = "plain", "plain_kept", "ours"
RUNS = 5  # of every step in every column
JOINT_BATCH = 64  # images


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
    return [median(taken) for taken in times]


def steps_of(model):
    """What is timed: a name, a function of plain PyTorch, and one of this project."""
    network, device = model.network, model.device

    def plain(images):
        return network.train()(images)

    def autocast(images):
        with torch.autocast(device.type, torch.bfloat16):
            return plain(images).float()

    def training_step(apply, noisy, target):
        network.zero_grad()
        F.mse_loss(apply(noisy), target).backward()

    def plain_prediction(images):
        network.eval()
        with torch.no_grad():
            for part in images.split(100):
                network(part.to(device) / 255)

    ours, crops = partial(forward, network, training=True), torch.rand(2, 32, 3, 16, 16, device=device).unbind()
    batch, images = torch.rand(2, 100, 3, 32, 32, device=device).unbind(), torch.rand(1000, 3, 32, 32) * 255
    prediction = partial(plain_prediction, images), partial(model.predict, images, average=False)
    cases = [("a training step of 100 images of 32 x 32", plain, ours, batch)]
    if in_bfloat16("auto", device):
        in_half = partial(ours, bfloat16=True)
        cases.append(("the same, this in bfloat16", plain, in_half, batch))
        cases.append(("the same, both in bfloat16 (plain: autocast)", autocast, in_half, batch))
    cases.append(("a training step of 32 crops of 16 x 16", plain, ours, crops))
    rows = [(name, *(partial(training_step, apply, *pair) for apply in functions)) for name, *functions, pair in cases]
    return [*rows, ("prediction of 1,000 images in one pass", *prediction)]


def take_turns(connection, column):
    """A process of `measure_speed`: for every number of a step that it is sent, do the step and send the seconds."""
    torch.manual_seed(0)
    model = Model(device="cpu")
    model.load_pretrained_model()
    steps = steps_of(model)
    with nullcontext() if column == "plain" else keep_memory(math.inf):
        for number in iter(connection.recv, None):
            name, plain, ours = steps[number]
            start = time.perf_counter()
            (ours if column == "ours" else plain)()
            connection.send(time.perf_counter() - start)


def measure_speed(model):
    """Training steps and prediction: median seconds of the three columns, and how many times ours is as fast."""
    processes, context, rows = {}, multiprocessing.get_context("spawn"), []
    for column in COLUMNS:
        processes[column], end = context.Pipe()
        context.Process(target=take_turns, args=(end, column), daemon=True).start()
    for number, (name, *_) in enumerate(steps_of(model)):
        times = {column: [] for column in COLUMNS}
        for _ in range(RUNS + 1):
            for column, connection in processes.items():
                connection.send(number)
                times[column].append(connection.recv())
        row = {f"{column}_seconds": median(taken[1:]) for column, taken in times.items()}  # the first warms up
        ratios = {f"{column}_ratio": row[f"{column}_seconds"] / row["ours_seconds"] for column in COLUMNS[:2]}
        rows.append(dict(name=name, **row, **ratios))
        print(", ".join(f"{key} {value:.3f}" if isinstance(value, float) else value for key, value in rows[-1].items()))
    for connection in processes.values():
        connection.send(None)
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


def measure_gpu(_):
    """On a GPU: training steps and prediction, median seconds in plain PyTorch and here; and, once each, an epoch of
    momAGD over 50,000 pairs in batches of 50 from the shipped weights, and the epoch of the hybrid loop."""
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here that PyTorch can use")
    model = Model(device="cuda")
    model.load_pretrained_model()

    def finished(function):
        """The function, until the GPU has done what it asks for."""

        def call():
            function()
            torch.cuda.synchronize()

        return call

    rows = []
    for name, *functions in steps_of(model):
        plain, ours = seconds(4 * RUNS, *map(finished, functions))
        rows.append(dict(name=name, plain_seconds=plain, ours_seconds=ours, plain_ratio=plain / ours))
        print(rows[-1], flush=True)
    pairs = torch.randint(256, (2, 50_000, 3, 32, 32), dtype=torch.uint8)
    epoch = partial(model.train, *pairs, num_epochs=1, progress=False)
    epochs = dict(
        plain=partial(plain_epoch, model.network, *pairs),
        ours=partial(epoch, hybrid=False, precision="float32"),
        ours_in_bfloat16=partial(epoch, hybrid=False, precision="bfloat16"),
        ours_hybrid=epoch,
    )
    taken = {}
    for name, function in epochs.items():
        start = time.perf_counter()
        finished(function)()
        taken[name] = time.perf_counter() - start
        print(f"epoch, {name}: {taken[name]:.1f} seconds", flush=True)
    return dict(gpu=torch.cuda.get_device_name(), steps=rows, epoch_seconds=taken)


def plain_epoch(network, noisy, target):
    """An epoch of momAGD as a user of plain PyTorch writes it: (N, 3, H, W) each, values 0 to 255."""
    noisy, target = (images.to(network[0].weight.device) / 255 for images in (noisy, target))
    optimizer = torch.optim.SGD(network.train().parameters(), 0.05, 0.9)
    for rows in torch.randperm(len(noisy), device=noisy.device).split(50):
        optimizer.zero_grad()
        F.mse_loss(network(noisy[rows]), target[rows]).backward()
        optimizer.step()


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


def measure_processes(model):
    """A training step of `JOINT_BATCH` images in one process of one thread and in two: median seconds, and those that
    adding up the gradients takes."""
    result = {}
    for number in (1, 2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(number), "-m", __spec__.name]
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        output = subprocess.run([*torchrun, "joint"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        result[number] = json.loads(output.stdout)
        print(f"{number} processes of one thread: {result[number]}")
    return dict(batch_size=JOINT_BATCH, processes=result)


def joint_steps():
    """What `measure_processes` starts, in each of the processes."""
    batch = torch.rand(2, JOINT_BATCH, 3, 32, 32) * 255
    with longrun.team("cpu") as team:
        network = Model(device="cpu").network
        pairs = team.share(lambda step, share=...: (batch[0, share], batch[1, share]))
        training = team.training(network, pairs, 10**6, hybrid=False, precision="float32")
        gradients, communication = [torch.zeros_like(parameter) for parameter in network.parameters()], 0.0
        with keep_memory(math.inf):
            (step,) = seconds(RUNS, lambda: next(training))
        if not isinstance(team, longrun.Alone):
            (communication,) = seconds(RUNS, lambda: distributed.add_up(gradients))
        if team.first:
            print(json.dumps(dict(step_seconds=step, gradient_seconds=communication)))


PARTS = dict(
    processes=measure_processes, speed=measure_speed, pairs=measure_pairs, epoch=measure_epoch, gpu=measure_gpu
)
NOT_BY_DEFAULT = "epoch", "gpu"


def processor():
    """Its name, and by which instructions it multiplies bfloat16."""
    instructions = " and ".join(name for name, found in fast.capabilities().items() if "bf16" in name and found)
    return longrun.processor() + (f" with {instructions}" if instructions else "")


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
        help=f"what to measure: {', '.join(PARTS)}; by default all but {' and '.join(NOT_BY_DEFAULT)}",
    )
    options = parser.parse_args()
    if options.parts == ["joint"]:  # one of the processes of `measure_processes`
        joint_steps()
        return
    parts = options.parts or [part for part in PARTS if part not in NOT_BY_DEFAULT]
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}")
    torch.manual_seed(0)
    model = Model(device="cpu")
    model.load_pretrained_model()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts:
        results[part] = dict(
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"), processor=processor(),
            cores=os.cpu_count(), threads=torch.get_num_threads(), python=platform.python_version(),
            torch=torch.__version__, result=PARTS[part](model),
        )  # fmt: skip
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{RESULTS} has these numbers")


if __name__ == "__main__":
    main()
