"""`reproduce-sampler`: from photographs to the weights of `sample`, by their recipe."""

import dataclasses

import torch

from ...model import LARGEST_SEED, check_number
from ..pictures import pillow
from ..sampling.recipe import SamplerRecipe, sampler_training
from ..sampling.scores import TARGETS
from ..training.long_run import (
    LongRun,
    deadline_of,
    machine,
    read_checkpoint,
    reserved_outputs,
    settings_of,
)
from ..training.processes import OneProcess
from .options import one_of
from .reproduce import add_arguments_of_runs, read_photographs

RECIPE = SamplerRecipe()


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Train the network of 'sample' from photographs by its recipe, by default on pairs of "
        "single noisy draws. Ctrl-C ends the training after the step under way; nothing is lost, "
        "--resume continues."
    )
    add_arguments_of_runs(parser, RECIPE)
    text = "what samples are judged by: pairs (default), three draws, clean"
    parser.add_argument("--targets", type=one_of(TARGETS), metavar="NAME", help=text)


def run(options):
    """Train by the recipe; returns the exit status."""
    ends_at = deadline_of(options)
    pillow()
    saved = read_checkpoint(options.resume, "reproduce-sampler")
    settings = settings_of(options, saved, dataclasses.asdict(RECIPE))
    recipe = SamplerRecipe(**settings)
    check_number("--pairs", recipe.pairs, 1, whole=True)
    check_number("--seed", recipe.seed, 0, LARGEST_SEED - 1, whole=True)
    with reserved_outputs(options, saved, is_first=True) as outputs:
        generator = torch.Generator().manual_seed(0)  # keeps the same ones apart as `reproduce`
        photographs, _ = read_photographs(options.photographs, None, options.device, generator)
        training = sampler_training(recipe, photographs, options.device)
        data = {"photographs": len(photographs), "sum": photographs.pixels.sum().item()}
        about = {"settings": settings, "data": data, "machines": []}
        if saved is not None:
            about = saved["about"]
            if about["data"] != data:
                raise ValueError(f"--resume: {options.resume} was begun with other photographs")
            training.load_state_dict(saved["training"])
        if machine(training.device) not in about["machines"]:
            about["machines"].append(machine(training.device))

        def record():
            hours = round(training.history["seconds"][-1] / 3600, 3)
            names = ("settings", "data", "machines")
            return {**{name: about[name] for name in names}, "hours": hours}

        long_run = LongRun(
            "reproduce-sampler", options.photographs, options, training, outputs, about,
            OneProcess(options.device), ends_at,
        )  # fmt: skip
        long_run.carry_out(lambda: None, "loss {:.5f}".format, record)
        return long_run.status()
