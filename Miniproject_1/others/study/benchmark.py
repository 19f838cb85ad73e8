"""How fast is it, beside plain PyTorch and beside PyTorch as an informed user writes it.

    python -m Miniproject_1.others.study.benchmark [--device cuda]

The contenders, each in a process of its own, take turns, so that a machine that slows down is fair
to all. Times are medians. All train the same weights on the same batches with momAGD:

- "plain": the network and a training step as PyTorch's tutorials write them, in float32;
- "informed": autocast to bfloat16, channels_last, and, on a CPU, memory that the process keeps;
- "compiled": the same with `torch.compile`, on a GPU;
- "ours, float32" and "ours, bfloat16": `model.Training` and `Model.predict`.

They are timed in steps of training with several batch sizes, and in prediction in one pass. Then
steps of other networks are timed, as the study trains them. `results/benchmark.json` has it all.
"""

import math
import multiprocessing
import os
import time
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F

from ...model import Training, accelerated
from ..console import say, tell
from ..training.long_run import machine
from . import parser_of, shipped_model
from .experiments import NETWORKS_COMPARED
from .networks import cost, seeded_network
from .results import load, save

RUNS = 7  # of every step; the first ones, which warm up, do not count
WARM_UPS = 2
LEARNING_RATE = 1e-5  # so small that no weight goes astray however often a step is taken
STEP_SIZES = {"cpu": (16, 50, 100), "cuda": (16, 50, 100, 400)}  # images
PREDICTED = {"cpu": 1_000, "cuda": 10_000}  # images
NETWORK_STEP = 64  # images
KEEP_MEMORY = {  # what an informed user sets for glibc
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}


# ----------------------------------------------------------------------------------------------
# Contenders


class Plain:
    """Training and prediction as PyTorch's tutorials write them."""

    def __init__(self, device):
        network = shipped_model(device).network
        self.device = torch.device(device)
        self.network = self.prepared(network)
        self.optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=0.9)

    def prepared(self, network):
        """What is done to the network before the first step."""
        return network

    def forward(self, images):
        """What the network makes of images with values 0 to 1."""
        return self.network(images)

    def step(self, noisy, target):
        """A step of training."""
        self.network.train()
        self.optimizer.zero_grad()
        output = self.forward(noisy.to(self.device) / 255)
        F.mse_loss(output, target.to(self.device) / 255).backward()
        self.optimizer.step()

    def predict(self, images):
        """Denoise images in one pass."""
        self.network.eval()
        with torch.no_grad():
            parts = [self.forward(part.to(self.device) / 255) for part in images.split(100)]
        return torch.cat(parts)


class Informed(Plain):
    """With what many know to be faster."""

    def prepared(self, network):
        return network.to(memory_format=torch.channels_last)

    def forward(self, images):
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.network(images).float()


class Compiled(Informed):
    """The same, compiled."""

    def prepared(self, network):
        return torch.compile(super().prepared(network))


class Ours:
    """This project."""

    def __init__(self, device, precision):
        self.model = shipped_model(device)
        self.precision = precision
        self.batch = None
        self.training = Training(
            self.model.network,
            lambda step: self.batch,
            num_steps=1_000_000,
            lbfgs_iterations=0,
            learning_rate=LEARNING_RATE,
            precision=precision,
        )

    def step(self, noisy, target):
        self.batch = noisy, target
        self.training.take_step()

    def predict(self, images):
        return self.model.predict(images, average=False, precision=self.precision)


CONTENDERS = {
    "plain": Plain,
    "informed": Informed,
    "compiled": Compiled,
    "ours, float32": partial(Ours, precision="float32"),
    "ours, bfloat16": partial(Ours, precision="bfloat16"),
}
ON_CPU = ("plain", "informed", "ours, float32", "ours, bfloat16")


# ----------------------------------------------------------------------------------------------
# Processes that take turns


class Worker:
    """A process with one contender."""

    def __init__(self, name, device):
        before = dict(os.environ)
        if name in ("informed", "compiled"):
            os.environ.update(KEEP_MEMORY)
        context = multiprocessing.get_context("spawn")
        self.connection, end = context.Pipe()
        self.process = context.Process(target=serve, args=(end, name, device), daemon=True)
        self.process.start()
        os.environ.clear()
        os.environ.update(before)

    def seconds(self, task, number):
        """Let it do a task with so many images; returns the seconds that it took."""
        self.connection.send((task, number))
        return self.connection.recv()

    def end(self):
        """Let the process end."""
        self.connection.send(None)
        self.process.join()


def serve(connection, name, device):
    """Do the tasks that come, and send back the seconds that each took; infinity if it failed."""
    contender = CONTENDERS[name](device)
    for task, number in iter(connection.recv, None):
        generator = torch.Generator().manual_seed(0)
        pairs = torch.randint(256, (2, number, 3, 32, 32), generator=generator, dtype=torch.uint8)
        try:
            seconds = timed(contender, task, pairs, device)
        except Exception as error:  # whatever it is, the others go on
            say(f"{name}: {type(error).__name__}: {error}")
            seconds = math.inf
        connection.send(seconds)


def timed(contender, task, pairs, device):
    """The seconds that a contender takes for a task, "step" or "predict"."""
    noisy, target = pairs
    if task == "step":  # the batches of a training are where it computes
        noisy, target = noisy.to(device), target.to(device)
    finish(device)
    start = time.perf_counter()
    if task == "step":
        contender.step(noisy, target)
    else:
        contender.predict(noisy)
    finish(device)
    return time.perf_counter() - start


def finish(device):
    """Wait until the GPU has done what it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


def milliseconds(task, number, device):
    """Let all contenders do a task in turns: the median milliseconds an image of each, by name."""
    names = CONTENDERS
    if device == "cpu":
        names = ON_CPU
    workers = {name: Worker(name, device) for name in names}
    times = {name: [] for name in workers}
    for _ in range(RUNS):
        for name, worker in workers.items():
            times[name].append(worker.seconds(task, number))
    for worker in workers.values():
        worker.end()
    found = {name: 1000 * median(taken[WARM_UPS:]) / number for name, taken in times.items()}
    described = ", ".join(f"{name} {taken:.3f} ms" for name, taken in found.items())
    tell(f"{task} of {number} images: {described}")
    return found


# ----------------------------------------------------------------------------------------------
# Parts


def measure_steps(device):
    """Milliseconds an image in a training step, for each batch size and contender."""
    return {size: milliseconds("step", size, device) for size in STEP_SIZES[device]}


def measure_prediction(device):
    """Milliseconds an image in prediction in one pass, for each contender."""
    number = PREDICTED[device]
    return {"images": number, "milliseconds": milliseconds("predict", number, device)}


def measure_networks(device):
    """Milliseconds an image in a training step of several networks, and what else they cost."""
    found = {}
    batch = torch.rand(2, NETWORK_STEP, 3, 32, 32, device=device)
    for name, initialization in NETWORKS_COMPARED.items():
        network = seeded_network(name, initialization, 0).to(device)
        forward = accelerated(network, "auto").train()
        times = []
        for _ in range(RUNS):
            finish(device)
            start = time.perf_counter()
            F.mse_loss(forward(batch[0]), batch[1]).backward()
            finish(device)
            times.append(time.perf_counter() - start)
        milliseconds_an_image = 1000 * median(times[WARM_UPS:]) / NETWORK_STEP
        found[name] = {"milliseconds": milliseconds_an_image, **cost(name)}
        tell(f"{name}: {milliseconds_an_image:.3f} ms an image")
    return found


PARTS = {"steps": measure_steps, "prediction": measure_prediction, "networks": measure_networks}


def main():
    """Measure all parts, and file each as it comes."""
    parser = parser_of(__doc__)
    parser.add_argument("--device", choices=list(STEP_SIZES), default="cpu")
    device = parser.parse_args().device
    for name, measure in PARTS.items():
        part = {"result": measure(device), **machine(device)}
        results = load("benchmark") or {}
        results.setdefault(device, {})[name] = part
        save("benchmark", results)


if __name__ == "__main__":
    main()
