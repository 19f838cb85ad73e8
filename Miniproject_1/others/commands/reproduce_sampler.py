"""`reproduce-sampler`: from photographs to the weights of `sample`, by their recipe."""

import torch

from ..sampling.recipe import SamplerRecipe, sampler_training
from ..training.processes import team_of_processes
from .reproduce import add_arguments_of_recipes, read_photographs, run_of_recipe

RECIPE = SamplerRecipe()


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Train the network of 'sample' from photographs by its recipe, on pairs of single noisy "
        "draws. Ctrl-C ends the training after the step under way; nothing is lost, --resume goes "
        "on."
    )
    add_arguments_of_recipes(parser, RECIPE)


def run(options):
    """Train by the recipe; returns the exit status."""
    with team_of_processes(options.device) as team:
        if team.size > 1:
            raise ValueError("reproduce-sampler is for one process: start it without torchrun")
        long_run = run_of_recipe("reproduce-sampler", options, RECIPE, team)
        recipe = SamplerRecipe(**long_run.settings)
        generator = torch.Generator().manual_seed(0)  # keeps the same ones apart as `reproduce`
        photographs, _ = read_photographs(options.photographs, team.device, generator)
        long_run.check_data(
            {"photographs": len(photographs), "sum": photographs.pixels.sum().item()}
        )
        training = sampler_training(recipe, photographs, team.device)

        def describe():
            return f"loss {training.history['loss'][-1]:.5f}"

        def record():
            hours = round(training.history["seconds"][-1] / 3600, 3)
            return {**long_run.about, "hours": hours}

        return long_run.carry_out(training, recipe.batch_size, describe, record)
