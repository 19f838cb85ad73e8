"""How fast is it, beside plain PyTorch and beside PyTorch as an informed user writes it.

    python -m Miniproject_1.others.study.benchmark [PART ...] [--device cuda]

The contenders, each in a process of its own, take turns, so that a machine that slows down is fair
to all. Times are medians. All train the same weights on the same batches with momAGD:

- "plain": the network and a training step as PyTorch's tutorials write them, in float32;
- "informed": autocast to bfloat16, channels_last, and, on a CPU, memory that the process keeps;
- "compiled": the same with `torch.compile`, on a GPU;
- "ours, float32" and "ours, bfloat16": `model.Training` and `Model.predict`.

PARTS: "steps" of training with several batch sizes; "prediction" in one pass; "networks": steps of
other networks, as the study trains them; "epoch" over 50,000 pairs (minutes on a GPU, half an hour
on a CPU, and only there if named). Results go to `results/benchmark.json` as they come.
"""

import argparse
import multiprocessing
import os
import platform
import time
from datetime import datetime, timezone
from statistics import median

import torch
import torch.nn.functional as F

from ...model import Model, Training, accelerated
from ..console import tell
from ..training.long_run import processor
from .experiments import NETWORKS_COMPARED
from .networks import cost, seeded_network
from .results import load, save

RUNS = 7  # of every step; the first ones, which warm up, do not count
WARM_UPS = 2
LEARNING_RATE = 1e-5  # so small that no weight goes astray however often a step is taken
STEP_SIZES = {"cpu": (16, 50, 100), "cuda": (16, 50, 100, 400)}  # images
PREDICTED = {"cpu": 1_000, "cuda": 10_000}  # images
NETWORK_STEP = 64  # images
EPOCH_PAIRS = 50_000
EPOCH_BATCH = 50
KEEP_MEMORY = {  # what an informed user sets for glibc
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}


# ----------------------------------------------------------------------------------------------
# Contenders


class Plain:
    """Training and prediction as PyTorch's tutorials write them."""

    def __init__(self, device):
        model = Model(device=device)
        model.load_pretrained_model()
        self.device = torch.device(device)
        self.network = self.prepared(model.network)
        self.optimizer = torch.optim.SGD(model.network.parameters(), LEARNING_RATE, momentum=0.9)

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

    def epoch(self, noisy, target):
        """Train on all pairs once."""
        noisy, target = noisy.to(self.device), target.to(self.device)
        for rows in torch.randperm(len(noisy), device=self.device).split(EPOCH_BATCH):
            self.step(noisy[rows], target[rows])


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
        self.model = Model(device=device)
        self.model.load_pretrained_model()
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

    def epoch(self, noisy, target):
        self.model.train(
            noisy,
            target,
            num_epochs=1,
            hybrid=False,
            batch_size=EPOCH_BATCH,
            learning_rate=LEARNING_RATE,
            precision=self.precision,
            progress=False,
        )


def contender(name, device):
    """The contender of this name."""
    if name.startswith("ours"):
        return Ours(device, precision=name.split(", ")[1])
    kinds = {"plain": Plain, "informed": Informed, "compiled": Compiled}
    return kinds[name](device)


def contenders(device):
    """Their names."""
    names = ["plain", "informed", "ours, float32", "ours, bfloat16"]
    if device == "cuda":
        names.insert(2, "compiled")
    return names


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
        taken = self.connection.recv()
        if isinstance(taken, str):
            raise RuntimeError(taken)
        return taken

    def end(self):
        """Let the process end."""
        self.connection.send(None)
        self.process.join()


def serve(connection, name, device):
    """Do the tasks that come, and send back the seconds that each took, or the error."""
    competitor = contender(name, device)
    for task, number in iter(connection.recv, None):
        generator = torch.Generator().manual_seed(0)
        pairs = torch.randint(256, (2, number, 3, 32, 32), generator=generator, dtype=torch.uint8)
        try:
            connection.send(timed(competitor, task, pairs, device))
        except Exception as error:  # whatever it is, the others go on
            connection.send(f"{name}: {type(error).__name__}: {error}")


def timed(competitor, task, pairs, device):
    """The seconds that a contender takes for a task."""
    noisy, target = pairs
    if task == "step":  # the batches of a training are where it computes
        noisy, target = noisy.to(device), target.to(device)
    finish(device)
    start = time.perf_counter()
    if task == "step":
        competitor.step(noisy, target)
    elif task == "predict":
        competitor.predict(noisy)
    else:
        competitor.epoch(noisy, target)
    finish(device)
    return time.perf_counter() - start


def finish(device):
    """Wait until the GPU has done what it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


def compared(task, number, device, runs=RUNS, warm_ups=WARM_UPS):
    """Let all contenders do a task in turns.

    Returns:
        dict from a name to its median seconds, or to None where it failed.
    """
    workers = {name: Worker(name, device) for name in contenders(device)}
    times = {name: [] for name in workers}
    for _ in range(runs):
        for name, worker in workers.items():
            try:
                times[name].append(worker.seconds(task, number))
            except RuntimeError as error:
                tell(str(error))
    for worker in workers.values():
        worker.end()
    return {name: median(taken[warm_ups:]) if taken else None for name, taken in times.items()}


# ----------------------------------------------------------------------------------------------
# Parts


def measure_steps(device):
    """Milliseconds an image in a training step, for each batch size and contender."""
    found = {}
    for size in STEP_SIZES[device]:
        seconds = compared("step", size, device)
        found[size] = {name: per_image(taken, size) for name, taken in seconds.items()}
        tell(f"step of {size} images: {described(found[size])}")
    return found


def measure_prediction(device):
    """Milliseconds an image in prediction in one pass, for each contender."""
    number = PREDICTED[device]
    seconds = compared("predict", number, device, runs=3, warm_ups=1)
    found = {name: per_image(taken, number) for name, taken in seconds.items()}
    tell(f"prediction of {number} images: {described(found)}")
    return {"images": number, "milliseconds": found}


def measure_epoch(device):
    """Seconds of an epoch over 50,000 pairs, for each contender."""
    found = compared("epoch", EPOCH_PAIRS, device, runs=1, warm_ups=0)
    tell(f"epoch: {found}")
    return found


def measure_networks(device):
    """Milliseconds an image in a training step of several networks, and what else they cost."""
    found = {}
    batch = torch.rand(2, NETWORK_STEP, 3, 32, 32, device=device)
    for name, initialization in NETWORKS_COMPARED.items():
        network = seeded_network(name, initialization, 0)
        found[name] = cost(network)
        forward = accelerated(network.to(device), "auto").train()
        times = []
        for _ in range(RUNS):
            finish(device)
            start = time.perf_counter()
            F.mse_loss(forward(batch[0]), batch[1]).backward()
            finish(device)
            times.append(time.perf_counter() - start)
        found[name]["milliseconds"] = per_image(median(times[WARM_UPS:]), NETWORK_STEP)
        tell(f"{name}: {found[name]['milliseconds']:.3f} ms an image")
    return found


def per_image(seconds, number):
    """Milliseconds an image; None if there is no time."""
    if seconds is None:
        return None
    return 1000 * seconds / number


def described(milliseconds):
    """Times of contenders in words."""
    texts = [f"{name} {taken}" for name, taken in milliseconds.items() if taken is None]
    texts += [f"{name} {taken:.3f} ms" for name, taken in milliseconds.items() if taken]
    return ", ".join(texts)


PARTS = {
    "steps": measure_steps,
    "prediction": measure_prediction,
    "networks": measure_networks,
    "epoch": measure_epoch,
}


def main():
    """Measure the parts that are asked for, and file each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--device", choices=list(STEP_SIZES), default="cpu")
    options = parser.parse_args()
    device = options.device
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here that PyTorch can use")
    parts = options.parts or ["steps", "prediction", "networks"]
    for part in parts:
        result = PARTS[part](device)
        results = load("benchmark") or {}
        results.setdefault(device, {})[part] = {
            "result": result,
            "processor": processor(device),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        save("benchmark", results)


if __name__ == "__main__":
    main()
