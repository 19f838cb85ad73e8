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
from multiprocessing import get_context
from statistics import median

import torch
import torch.nn.functional as F

from ...model import Model, Training, accelerated
from ..console import tell
from ..training.long_run import machine
from .measure import shipped_model
from .networks import NETWORKS, networks_of, seeded_network
from .results import load_unfinished, save

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
    results = load_unfinished("benchmark")
    found = {"machine": machine(device), "milliseconds": {}, "networks": {}}
    results[device] = found
    jobs = {f"step of {size} images": ("step", size, STEPS[device]) for size in (16, 50, 100)}
    jobs["prediction, one pass"] = ("predict", PREDICTED[device], 1)
    jobs[f"epoch of {EPOCH[device]:,} pairs"] = ("epoch", EPOCH[device], 1)
    for label, (task, images, times) in jobs.items():
        found["milliseconds"][label] = compared(task, images, times, device)
        save("benchmark", results)
        tell(f"{label}: milliseconds an image: {found['milliseconds'][label]}")
    for name in networks_of("networks"):
        found["networks"][name] = milliseconds_of_network(name, device)
        save("benchmark", results)
        tell(f"{name}: {found['networks'][name]:.3f} ms an image")
    return 0


def compared(task, images, times, device):
    """The median milliseconds an image of each contender that can do a task, in turns."""
    names = [name for name, contender in CONTENDERS.items() if hasattr(contender, task)]
    workers = {name: worker_of(name, device) for name in names}
    seconds = {name: [] for name in names}
    for _ in range(1 if task == "epoch" else WARM_UPS + MEASUREMENTS):
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
# Who is compared


class Informed:
    """With what many know to be faster. Images have values 0 to 1."""

    def __init__(self, device):
        self.network = self.prepared(shipped_model(device).network)
        self.optimizer = torch.optim.SGD(self.network.parameters(), LEARNING_RATE, momentum=0.9)
        self.device = device

    def prepared(self, network):
        """What is done to a network before the first step."""
        return network.to(memory_format=torch.channels_last)

    def forward(self, images):
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device, torch.bfloat16):
            return self.network(images).float()

    def step(self, noisy, target):
        self.network.train()
        self.optimizer.zero_grad()
        output = self.forward(noisy.to(self.device) / 255)
        F.mse_loss(output, target.to(self.device) / 255).backward()
        self.optimizer.step()

    def predict(self, images, target):
        self.network.eval()
        with torch.no_grad():
            return [self.forward(part.to(self.device) / 255) for part in images.split(100)]


class Plain(Informed):
    """As PyTorch's tutorials write it."""

    def prepared(self, network):
        """Nothing is done to it."""
        return network

    def forward(self, images):
        return self.network(images)

    def epoch(self, noisy, target):
        for rows in torch.randperm(len(noisy)).split(50):
            self.step(noisy[rows], target[rows])


class OursInFloat32:
    precision = "float32"

    def __init__(self, device):
        self.model = shipped_model(device)
        self.network = self.model.network
        self.batch = None
        self.training = Training(
            self.network,
            lambda step: self.batch,
            num_steps=1_000_000,
            lbfgs_iterations=0,
            learning_rate=LEARNING_RATE,
            precision=self.precision,
        )

    def step(self, noisy, target):
        self.batch = noisy, target
        self.training.take_step()

    def predict(self, images, target):
        self.model.predict(images, average=False, precision=self.precision)


class Ours(OursInFloat32):
    precision = "bfloat16"

    def epoch(self, noisy, target):
        model = Model(device=self.model.device)
        model.train(noisy, target, num_epochs=1, precision=self.precision, progress=False)


CONTENDERS = {
    "plain": Plain,
    "informed": Informed,
    "ours, float32": OursInFloat32,
    "ours, bfloat16": Ours,
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
    return timed(lambda: getattr(contender, task)(*pairs), times, device)
