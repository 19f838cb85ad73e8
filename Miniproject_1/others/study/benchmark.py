"""How fast is it, compared with plain PyTorch and with PyTorch as an informed user writes it?

These are compared; all train with momAGD, from the same weights on the same batches:

- "plain": the network and a training step as PyTorch's tutorials write them, in float32;
- "informed": autocast to bfloat16, channels_last and, on a CPU, memory that the process keeps;
- "ours, float32" and "ours, bfloat16": `model.Training` and `Model.predict`.

Each is in a process of its own, and they take turns, so that a machine that slows down does so for
all of them. `results/benchmark.json` has the medians, in milliseconds an image: of training steps,
of prediction in one pass, and of forward and backward passes of the study's networks.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from statistics import median

import torch
import torch.nn.functional as F

from ...model import Training, accelerated
from ..console import tell
from ..training.long_run import machine
from .measure import shipped_model
from .networks import NETWORKS, networks_of, seeded_network
from .results import load, save

TURNS = 7  # of which the first two warm up
LEARNING_RATE = 1e-5  # so small that no weight goes astray however often a step is taken
STEP_SIZES = (16, 50, 100)  # images
NETWORK_STEP = 64  # images
TIMES = {"cpu": 1, "cuda": 20}  # in a turn: a GPU begins a step before the last one ends
PREDICTED = {"cpu": 400, "cuda": 10_000}  # images
INFORMED_MEMORY = {  # what an informed user sets for glibc
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}


def add_arguments(parser):
    parser.add_argument("--device", choices=list(TIMES), default="cpu")


def run(options):
    """Measure, and file everything. Returns the exit status."""
    device = options.device
    workers = {name: process_of(name) for name in CONTENDERS}
    times = {}
    for size in STEP_SIZES:
        times[f"step of {size} images"] = compared(workers, "step", size, TIMES[device], device)
    times["prediction, one pass"] = compared(workers, "predict", PREDICTED[device], 1, device)
    for worker in workers.values():
        worker.shutdown()
    networks = {name: milliseconds_of_network(name, device) for name in networks_of("networks")}
    found = {"machine": machine(device), "milliseconds": times, "networks": networks}
    save("benchmark", {**load("benchmark"), device: found})
    tell(str(found))
    return 0


def process_of(contender):
    """A process for one contender."""
    variables = INFORMED_MEMORY if contender == "informed" else {}
    os.environ.update(variables)
    worker = ProcessPoolExecutor(1, get_context("spawn"))
    worker.submit(int).result()  # starts the process
    for variable in variables:
        del os.environ[variable]
    return worker


def compared(workers, task, images, times, device):
    """The median milliseconds an image that each contender takes for a task, in turns."""
    seconds = {name: [] for name in workers}
    for _ in range(TURNS):
        for name, worker in workers.items():
            taken = worker.submit(seconds_of, name, task, images, times, device).result()
            seconds[name].append(taken)
    return {name: 1000 * median(taken[2:]) / images for name, taken in seconds.items()}


def seconds_of(name, task, images, times, device):
    """Let a contender do a task with so many images; the seconds for once."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(256, (2, images, 3, 32, 32), generator=generator, dtype=torch.uint8)
    step, predict = contender(name, device)
    if task == "predict":
        return timed(lambda: predict(pairs[0]), times, device)
    noisy, target = pairs.to(device)  # the batches of a training are where it computes
    return timed(lambda: step(noisy, target), times, device)


def milliseconds_of_network(name, device):
    network = seeded_network(name, NETWORKS[name].initialization, 0).to(device)
    forward = accelerated(network, "auto").train()
    noisy, target = torch.rand(2, NETWORK_STEP, 3, 32, 32, device=device)

    def step():
        F.mse_loss(forward(noisy), target).backward()

    seconds = [timed(step, TIMES[device], device) for _ in range(TURNS)]
    return 1000 * median(seconds[2:]) / NETWORK_STEP


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
# Who is compared: a training step, a function of noisy images and targets, and a prediction


@cache
def contender(name, device):
    """The step and the prediction of a contender, made once in its process."""
    make, choice = CONTENDERS[name]
    return make(device, choice)


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
        F.mse_loss(forward(noisy), target / 255).backward()
        optimizer.step()

    def predict(images):
        network.eval()
        with torch.no_grad():
            return torch.cat([forward(part) for part in images.split(100)])

    return step, predict


def ours(device, precision):
    model = shipped_model(device)
    batch = []
    options = {"lbfgs_iterations": 0, "learning_rate": LEARNING_RATE, "precision": precision}
    training = Training(model.network, lambda step: batch, num_steps=1_000_000, **options)

    def step(noisy, target):
        batch[:] = noisy, target
        training.take_step()

    def predict(images):
        return model.predict(images, average=False, precision=precision) / 255

    return step, predict


CONTENDERS = {  # functions of the device, and of whether the user is informed or of a precision
    "plain": (pytorch, False),
    "informed": (pytorch, True),
    "ours, float32": (ours, "float32"),
    "ours, bfloat16": (ours, "bfloat16"),
}
