"""Who is compared in the benchmark: this project, and PyTorch as others write it.

All train with momAGD, step by step from the same weights on the same batches:

- "plain": the network and a training step as PyTorch's tutorials write them, in float32;
- "informed": autocast to bfloat16, channels_last and, on a CPU, memory that the process keeps;
- "compiled": the same with `torch.compile`;
- "ours, float32" and "ours, bfloat16": `model.Training` and `Model.predict`.

Each is in a process of its own, and they take turns, so that a machine that slows down does so for
all of them.
"""

import math
import multiprocessing
import os
import time
from contextlib import suppress
from functools import partial

import torch
import torch.nn.functional as F

from ...model import Model, Training
from ..console import say
from . import shipped_model

LEARNING_RATE = 1e-5  # so small that no weight goes astray however often a step is taken
KEEP_MEMORY = {  # what an informed user sets for glibc
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}


# ----------------------------------------------------------------------------------------------
# What they do


class Plain:
    """Training and prediction as PyTorch's tutorials write them."""

    def __init__(self, device):
        self.device = torch.device(device)
        self.begin(shipped_model(device).network, LEARNING_RATE)

    def begin(self, network, learning_rate):
        """Take a network to train."""
        self.network = self.prepared(network)
        self.optimizer = torch.optim.SGD(network.parameters(), learning_rate, momentum=0.9)

    def prepared(self, network):
        """What is done to a network before the first step."""
        return network

    def forward(self, images):
        """What the network makes of images with values 0 to 1."""
        return self.network(images)

    def step(self, noisy, target):
        """Take a step of training."""
        self.network.train()
        self.optimizer.zero_grad()
        output = self.forward(noisy.to(self.device) / 255)
        F.mse_loss(output, target.to(self.device) / 255).backward()
        self.optimizer.step()

    def epoch(self, noisy, target):
        """Train fresh weights for an epoch with batches of 50, without L-BFGS and flips."""
        self.begin(Model(device=self.device).network, learning_rate=0.05)
        noisy, target = noisy.to(self.device), target.to(self.device)
        for rows in torch.randperm(len(noisy)).to(self.device).split(50):
            self.step(noisy[rows], target[rows])

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
        self.device = device
        self.precision = precision
        self.model = shipped_model(device)
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

    def epoch(self, noisy, target):
        """Train fresh weights for an epoch by the default settings, L-BFGS and flips included."""
        model = Model(device=self.device)
        model.train(noisy, target, num_epochs=1, precision=self.precision, progress=False)

    def predict(self, images):
        return self.model.predict(images, average=False, precision=self.precision)


CONTENDERS = {
    "plain": Plain,
    "informed": Informed,
    "compiled": Compiled,
    "ours, float32": partial(Ours, precision="float32"),
    "ours, bfloat16": partial(Ours, precision="bfloat16"),
}


# ----------------------------------------------------------------------------------------------
# Their processes


class Worker:
    """A process in which one contender does what it is asked for.

    Args:
        name: in `CONTENDERS`.
        device: "cpu" or "cuda".
    """

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

    def seconds(self, task, images, times=1):
        """Let it do a task.

        Args:
            task: "step", "epoch" or "predict".
            images: with how many of them.
            times: how often, one after another.

        Returns:
            the seconds for doing it once; infinity if it has failed.
        """
        try:
            self.connection.send((task, images, times))
            return self.connection.recv()
        except (EOFError, OSError):  # the process was killed, for memory perhaps
            return math.inf

    def end(self):
        """Let the process end."""
        with suppress(OSError):
            self.connection.send(None)
        self.process.join()


def serve(connection, name, device):
    """Do the tasks that come, and send back how long they took."""
    contender = None
    images_before = None
    for task, images, times in iter(connection.recv, None):
        try:
            if contender is None or images != images_before:  # a new one for each size of a batch
                contender = CONTENDERS[name](device)
                images_before = images
            seconds = timed(contender, task, images, times, device)
        except Exception as error:  # whatever it is, the others go on
            say(f"{name}: {type(error).__name__}: {error}")
            seconds = math.inf
        connection.send(seconds)


def timed(contender, task, images, times, device):
    """The seconds that a contender takes for a task, see `Worker.seconds`."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(256, (2, images, 3, 32, 32), generator=generator, dtype=torch.uint8)
    noisy, target = pairs
    if task == "step":  # the batches of a training are where it computes
        noisy, target = noisy.to(device), target.to(device)
    finish(device)
    start = time.perf_counter()
    for _ in range(times):
        if task == "step":
            contender.step(noisy, target)
        elif task == "epoch":
            contender.epoch(noisy, target)
        else:
            contender.predict(noisy)
    finish(device)
    return (time.perf_counter() - start) / times


def finish(device):
    """Wait until the GPU has done what it was asked for."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
