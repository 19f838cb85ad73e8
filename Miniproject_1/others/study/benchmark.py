"""How fast is it, compared with plain PyTorch and with PyTorch as an informed user writes it?

These are compared; all train with momAGD, from the same weights on the same batches:

- "plain": the network and a training step as PyTorch's tutorials write them, in float32;
- "informed": autocast to bfloat16, channels_last and, on a CPU, memory that the process keeps;
- "ours, float32" and "ours, bfloat16": `model.Training` and `Model.predict`.

Each is in a process of its own, and they take turns, so that a machine that slows down does so for
all of them. `results/benchmark.json` has the medians, in milliseconds an image: of training steps,
of prediction in one pass, of an epoch (ours with the default settings of `Model.train`, the plain
one without L-BFGS and flips), and of forward and backward passes of the study's networks.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from statistics import median

import torch
import torch.nn.functional as F

from ...model import Model, Training, accelerated
from ..console import tell
from ..training.long_run import machine
from .measure import shipped_model
from .networks import NETWORKS, networks_of, seeded_network
from .results import load, save

MEASUREMENTS = 5  # of every contender
WARM_UPS = 2  # before them
LEARNING_RATE = 1e-5  # so small that no weight goes astray however often a step is taken
NETWORK_STEP = 64  # images
STEPS = {"cpu": 1, "cuda": 20}  # in a measurement: a GPU begins a step before the last one ends
PREDICTED = {"cpu": 400, "cuda": 10_000}  # images
EPOCH = {"cpu": 2_000, "cuda": 50_000}  # pairs
KEEP_MEMORY = {  # what an informed user sets for glibc
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}


def add_arguments(parser):
    parser.add_argument("--device", choices=list(STEPS), default="cpu")


def run(options):
    """Measure, and file each measurement as it comes. Returns the exit status."""
    device = options.device
    results = load("benchmark", default={})
    found = {"machine": machine(device), "milliseconds": {}, "networks": {}}
    results[device] = found
    jobs = {f"step of {size} images": ("step", size, STEPS[device]) for size in (16, 50, 100)}
    jobs["prediction, one pass"] = ("predict", PREDICTED[device], 1)
    for label, (task, images, times) in jobs.items():
        found["milliseconds"][label] = compared(list(CONTENDERS), task, images, times, device)
        save("benchmark", results)
        tell(f"{label}: milliseconds an image: {found['milliseconds'][label]}")
    pairs = EPOCH[device]
    times = compared(["plain", "ours, bfloat16"], "epoch", pairs, 1, device, measurements=1)
    found["milliseconds"][f"epoch of {pairs:,} pairs"] = times
    for name in networks_of("networks"):
        found["networks"][name] = milliseconds_of_network(name, device)
        save("benchmark", results)
        tell(f"{name}: {found['networks'][name]:.3f} ms an image")
    return 0


def compared(names, task, images, times, device, measurements=WARM_UPS + MEASUREMENTS):
    """The median milliseconds an image that each contender takes for a task, in turns."""
    workers = {name: worker_of(name, device) for name in names}
    seconds = {name: [] for name in names}
    for _ in range(measurements):
        for name, worker in workers.items():
            taken = worker.submit(seconds_of, task, images, times, device).result()
            seconds[name].append(taken / images)
    for worker in workers.values():
        worker.shutdown()
    return {name: 1000 * median(taken[-MEASUREMENTS:]) for name, taken in seconds.items()}


def milliseconds_of_network(name, device):
    network = seeded_network(name, NETWORKS[name].initialization, 0).to(device)
    forward = accelerated(network, "auto").train()
    noisy, target = torch.rand(2, NETWORK_STEP, 3, 32, 32, device=device)

    def step():
        F.mse_loss(forward(noisy), target).backward()

    seconds = [timed(step, STEPS[device], device) for _ in range(WARM_UPS + MEASUREMENTS)]
    return 1000 * median(seconds[WARM_UPS:]) / NETWORK_STEP


def timed(function, times, device):
    """The seconds that a function takes, called as often as this without a pause."""
    finish(device)
    start = time.perf_counter()
    for _ in range(times):
        function()
    finish(device)
    return (time.perf_counter() - start) / times


def finish(device):
    """Wait until the GPU has done what it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


# ----------------------------------------------------------------------------------------------
# Who is compared: functions of the device, and of a precision or whether the user is informed, that
# return functions of noisy images and targets by the names of tasks


def pytorch(device, is_informed):
    network = shipped_model(device).network
    if is_informed:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=0.9)

    def forward(images):
        images = images.to(device) / 255
        if is_informed:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=is_informed):
            return network(images).float()

    def step(noisy, target):
        network.train()
        optimizer.zero_grad()
        F.mse_loss(forward(noisy), target.to(device) / 255).backward()
        optimizer.step()

    def epoch(noisy, target):
        for rows in torch.randperm(len(noisy)).split(50):
            step(noisy[rows], target[rows])

    def predict(images, target):
        network.eval()
        with torch.no_grad():
            return torch.cat([forward(part) for part in images.split(100)])

    return {"step": step, "epoch": epoch, "predict": predict}


def ours(device, precision):
    model = shipped_model(device)
    batch = []
    training = Training(
        model.network,
        lambda step: batch,
        num_steps=1_000_000,
        lbfgs_iterations=0,
        learning_rate=LEARNING_RATE,
        precision=precision,
    )

    def step(noisy, target):
        batch[:] = noisy, target
        training.take_step()

    def epoch(noisy, target):
        fresh = Model(device=device)
        fresh.train(noisy, target, num_epochs=1, precision=precision, progress=False)

    def predict(images, target):
        return model.predict(images, average=False, precision=precision) / 255

    return {"step": step, "epoch": epoch, "predict": predict}


CONTENDERS = {
    "plain": partial(pytorch, is_informed=False),
    "informed": partial(pytorch, is_informed=True),
    "ours, float32": partial(ours, precision="float32"),
    "ours, bfloat16": partial(ours, precision="bfloat16"),
}


# ----------------------------------------------------------------------------------------------
# Their processes

contender = None  # of this process


def worker_of(name, device):
    """A process for one contender."""
    if name == "informed":
        os.environ.update(KEEP_MEMORY)
    worker = ProcessPoolExecutor(1, get_context("spawn"), begin_process, (name, device))
    worker.submit(int).result()  # starts the process
    for variable in KEEP_MEMORY:
        os.environ.pop(variable, None)
    return worker


def begin_process(name, device):
    global contender
    contender = CONTENDERS[name](device)


def seconds_of(task, images, times, device):
    """Let the contender of this process do a task with so many images; the seconds for once."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(256, (2, images, 3, 32, 32), generator=generator, dtype=torch.uint8)
    if task == "step":  # the batches of a training are where it computes
        pairs = pairs.to(device)
    return timed(lambda: contender[task](*pairs), times, device)
