"""How fast is it, compared with plain PyTorch and with PyTorch as an informed user writes it?

    python -m Miniproject_1.others.study.benchmark [--device cuda] [--photographs FOLDER ...]

`contenders.py` says who is compared. Times are medians of several measurements, in milliseconds an
image. Each part is filed in `results/benchmark.json` as soon as it is measured, most important
first:

- "correctness": the tests of the network and of training, and on a GPU those that need one;
- "steps": steps of training with several batch sizes;
- "epoch": an epoch over random pairs, measured once: ours by the default settings of `Model.train`,
  the plain one without L-BFGS and flips;
- "networks": forward and backward passes of other networks, as the study computes them;
- "quality": the PSNR of three networks that are trained for equally long (needs photographs);
- "prediction": one pass over many images;
- "commands": `train`, and `reproduce` if there are photographs, from the command line to their end;
- "compiled": steps beside `torch.compile`, which needs a compiler.

On two cores all but "quality" and "compiled" takes 14 minutes.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

from ...model import accelerated
from ..console import tell
from ..training.long_run import machine
from . import parser_of
from .contenders import Worker, finish
from .experiments import NETWORKS_COMPARED, muon
from .material import PACKED, Material, pack
from .networks import cost, seeded_network
from .results import load, save
from .trainings import StudyTraining

MEASUREMENTS = 7  # of every contender; the first ones, which warm up, do not count
WARM_UPS = 2
COMPARED = ("plain", "informed", "ours, float32", "ours, bfloat16")

# How much there is to do, by device
STEP_SIZES = {"cpu": (16, 50, 100), "cuda": (16, 50, 100, 400)}  # images
STEPS = {"cpu": 1, "cuda": 20}  # in a measurement: a GPU begins a step before the last one ends
EPOCH = {"cpu": 2_000, "cuda": 50_000}  # pairs
PREDICTED = {"cpu": 400, "cuda": 10_000}  # images
QUALITY_SECONDS = {"cpu": 120, "cuda": 25}  # of training
REPRODUCED = {"cpu": 1_280, "cuda": 128_000}  # pairs
COMPILED_SIZE = 100  # images
NETWORK_STEP = 64  # images

PROJECT = Path(__file__).resolve().parents[3]
SAMPLE = PROJECT / "Miniproject_1" / "others" / "data" / "sample"


class Benchmark:
    """The parts. A method for each, which returns what it has measured.

    Args:
        device: "cpu" or "cuda".
        folders: of photographs; may be empty.
    """

    def __init__(self, device, folders):
        self.device = device
        self.folders = folders

    def correctness(self):
        """The tests; returns their last line."""
        command = [sys.executable, "test.py", "test_network", "test_training", "test_gpu"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        if done.returncode != 0:
            tell(done.stderr)
        return done.stdout.strip().split("\n")[-1]

    def steps(self):
        """Milliseconds an image in a training step, for each batch size and contender."""
        times = STEPS[self.device]
        with Workers(COMPARED, self.device) as workers:
            return {
                size: workers.milliseconds("step", size, times) for size in STEP_SIZES[self.device]
            }

    def epoch(self):
        """Milliseconds a pair in an epoch."""
        names = ("plain", "ours, bfloat16")
        with Workers(names, self.device) as workers:
            pairs = EPOCH[self.device]
            found = workers.milliseconds("epoch", pairs, measurements=1, warm_ups=0)
        return {"pairs": pairs, "milliseconds": found}

    def networks(self):
        """Milliseconds an image in a training step of several networks, and what else they cost."""
        found = {}
        for name, initialization in NETWORKS_COMPARED.items():
            milliseconds = self.milliseconds_of_network(name, initialization)
            found[name] = {"milliseconds": milliseconds, **cost(name)}
            tell(f"{name}: {milliseconds:.3f} ms an image")
        return found

    def milliseconds_of_network(self, name, initialization):
        network = seeded_network(name, initialization, 0).to(self.device)
        forward = accelerated(network, "auto").train()
        noisy, target = torch.rand(2, NETWORK_STEP, 3, 32, 32, device=self.device)
        times = STEPS[self.device]
        seconds = []
        for _ in range(MEASUREMENTS):
            finish(self.device)
            start = time.perf_counter()
            for _ in range(times):
                F.mse_loss(forward(noisy), target).backward()
            finish(self.device)
            seconds.append((time.perf_counter() - start) / times)
        return 1000 * median(seconds[WARM_UPS:]) / NETWORK_STEP

    def quality(self):
        """The PSNR that networks reach in equal times, on the same photographs."""
        if not self.folders:
            return None
        pack(self.folders, PACKED)
        material = Material(PACKED, self.device)
        found = {}
        for name in ("Appendix A", "7 layers of 3 x 3", "small U-Net"):
            settings = muon(10**9, network=name, initialization=NETWORKS_COMPARED[name])
            pairs = settings.batch_size * self.steps_in_time(StudyTraining(settings, 0, material))
            settings = muon(pairs, network=name, initialization=NETWORKS_COMPARED[name])
            training = StudyTraining(settings, 0, material)
            training.run()
            result = training.result()
            psnr = sum(result["psnr_one_pass"]) / len(result["psnr_one_pass"])
            found[name] = {"psnr": psnr, "pairs": result["pairs"], "seconds": result["seconds"]}
            tell(f"{name}: {psnr:.2f} dB, {result['pairs']} pairs, {result['seconds']} s")
        return found

    def steps_in_time(self, training):
        """How many steps of a training take `QUALITY_SECONDS`."""
        seconds = []
        for _ in range(MEASUREMENTS):
            start = time.perf_counter()
            for _ in range(STEPS[self.device]):
                training.training.take_step()
            finish(self.device)
            seconds.append((time.perf_counter() - start) / STEPS[self.device])
        return QUALITY_SECONDS[self.device] / median(seconds[WARM_UPS:])

    def prediction(self):
        """Milliseconds an image in prediction in one pass, for each contender."""
        number = PREDICTED[self.device]
        with Workers(COMPARED, self.device) as workers:
            return {"images": number, "milliseconds": workers.milliseconds("predict", number)}

    def commands(self):
        """The exit status and the seconds of commands, as users type them."""
        commands = {"train": ["train", SAMPLE / "train_data.pkl"]}
        if self.folders:
            pairs = str(REPRODUCED[self.device])
            commands["reproduce"] = ["reproduce", self.folders[0], "--pairs", pairs]
        found = {}
        for name, words in commands.items():
            with tempfile.TemporaryDirectory() as folder:
                options = ["--device", self.device, "--output", Path(folder) / "weights.pth"]
                start = time.monotonic()
                command = [sys.executable, "-m", "Miniproject_1", *words, *options]
                status = subprocess.run(command, cwd=PROJECT).returncode
            seconds = round(time.monotonic() - start, 1)
            found[name] = {"status": status, "seconds": seconds}
            tell(f"{name}: status {status} after {seconds} s")
        return found

    def compiled(self):
        """Milliseconds an image in a step, with a contender that is compiled."""
        names = ("compiled", "ours, bfloat16")
        with Workers(names, self.device) as workers:
            return workers.milliseconds("step", COMPILED_SIZE, STEPS[self.device])


PARTS = (
    "correctness", "steps", "epoch", "networks", "quality", "prediction", "commands", "compiled",
)  # fmt: skip


class Workers:
    """The processes of some contenders, which take turns."""

    def __init__(self, names, device):
        self.workers = {name: Worker(name, device) for name in names}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers.values():
            worker.end()

    def milliseconds(self, task, images, times=1, measurements=MEASUREMENTS, warm_ups=WARM_UPS):
        """Let each do a task in turns: the median milliseconds an image of each, by name."""
        seconds = {name: [] for name in self.workers}
        for _ in range(measurements):
            for name, worker in self.workers.items():
                seconds[name].append(worker.seconds(task, images, times))
        found = {name: 1000 * median(taken[warm_ups:]) / images for name, taken in seconds.items()}
        described = ", ".join(f"{name} {taken:.3f} ms" for name, taken in found.items())
        tell(f"{task} of {images} images: {described}")
        return found


def main():
    """Measure the parts, and file each as it comes."""
    parser = parser_of(__doc__)
    parser.add_argument("--device", choices=list(STEPS), default="cpu")
    text = "of which the networks of the study are trained"
    parser.add_argument(
        "--photographs", nargs="+", type=Path, default=[], metavar="FOLDER", help=text
    )
    text = f"by default all: {', '.join(PARTS)}"
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=text
    )
    options = parser.parse_args()
    benchmark = Benchmark(options.device, options.photographs)
    for name in options.parts:
        start = time.monotonic()
        result = getattr(benchmark, name)()
        if result is None:
            continue
        results = load("benchmark") or {}
        part = {"result": result, **machine(options.device)}
        results.setdefault(options.device, {})[name] = part
        save("benchmark", results)
        tell(f"{name}: measured in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
