"""How fast is it, compared with plain PyTorch and with PyTorch as an informed user writes it?

These are compared; all train with momAGD, from the same weights on the same batches:

- "plain": the network and a training step as PyTorch's tutorials write them, in float32;
- "informed": autocast to bfloat16, channels_last and, on a CPU, memory that the process keeps;
- "ours, float32" and "ours, bfloat16": `model.Training` and `Model.predict`.

They take turns, each time in a new process, so that a machine that slows down does so for all of
them. `results/benchmark.json` has the medians, in milliseconds an image: of training steps, of
prediction in one pass, and of forward and backward passes of the study's networks.
"""

from functools import partial
from multiprocessing import get_context
from statistics import median

import torch
import torch.nn.functional as F
from torch.utils.benchmark import Timer

from ...model import Training, accelerated
from ..console import tell
from ..fast.memory import keep_memory_for
from ..training.long_run import machine
from .measure import shipped_model
from .networks import NETWORKS, networks_of, seeded_network
from .results import load, save

TURNS = 5
LEARNING_RATE = 1e-5  # so small that no weight goes astray however often a step is taken
NETWORK_STEP = 64  # images
PREDICTED = {"cpu": 200, "cuda": 10_000}  # images
TIMES = {"cpu": 1, "cuda": 20}  # steps without a pause: a GPU begins one before the last one ends


def add_arguments(parser):
    parser.add_argument("--device", choices=list(TIMES), default="cpu")


def run(options):
    """Measure and file everything. Returns the exit status."""
    device = options.device
    turns = [{name: measured_alone(name, device) for name in CONTENDERS} for _ in range(TURNS)]
    times = {}
    for task in turns[0]["plain"]:
        times[task] = {name: median(turn[name][task] for turn in turns) for name in CONTENDERS}
    networks = {name: milliseconds_of_network(name, device) for name in networks_of("networks")}
    found = {"machine": machine(device), "milliseconds": times, "networks": networks}
    save("benchmark", {**load("benchmark"), device: found})
    tell(str(found))
    return 0


def measured_alone(name, device):
    """What `measured` returns in a process of its own."""
    with get_context("spawn").Pool(1) as process:
        return process.apply(measured, (name, device))


def measured(name, device):
    """The milliseconds an image that a contender takes, a dict by the names of the tasks."""
    step, predict = CONTENDERS[name](device)
    torch.manual_seed(0)
    found = {}
    for size in (16, 50, 100):  # images; the batches of a training are where it computes
        pairs = torch.randint(256, (2, size, 3, 32, 32), dtype=torch.uint8, device=device)
        found[f"step of {size} images"] = milliseconds(step, TIMES[device], *pairs) / size
    images = torch.randint(256, (PREDICTED[device], 3, 32, 32), dtype=torch.uint8)
    found["prediction, one pass"] = milliseconds(predict, 1, images) / len(images)
    return found


def milliseconds_of_network(name, device):
    """The milliseconds an image of a network in `NETWORKS`, forward and backward."""
    network = seeded_network(name, NETWORKS[name].initialization, 0).to(device)
    forward = accelerated(network, "auto").train()
    noisy, target = torch.rand(2, NETWORK_STEP, 3, 32, 32, device=device)

    def step():
        F.mse_loss(forward(noisy), target).backward()

    return milliseconds(step, TURNS * TIMES[device]) / NETWORK_STEP


def milliseconds(function, times, *arguments):
    """What a call of a function takes, in the mean of so many; it is called twice before."""
    names = {"function": function, "arguments": arguments}
    timer = Timer("function(*arguments)", globals=names, num_threads=torch.get_num_threads())
    return 1000 * timer.timeit(times).mean


# ----------------------------------------------------------------------------------------------
# Who is compared: a training step, a function of noisy images and targets, and a prediction


def pytorch(device, is_informed=False):
    network = shipped_model(device).network
    if is_informed:
        keep_memory_for(network)  # as MALLOC_MMAP_MAX_ and MALLOC_TRIM_THRESHOLD_ do
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


CONTENDERS = {  # functions of the device
    "plain": pytorch,
    "informed": partial(pytorch, is_informed=True),
    "ours, float32": partial(ours, precision="float32"),
    "ours, bfloat16": partial(ours, precision="bfloat16"),
}
