"""`reproduce-sampler`: from photographs to the weights of `sample`, by their recipe."""

import torch

from ..sampling.recipe import SamplerRecipe, sampler_training
from ..training.processes import team_of_processes
from .reproduce import add_arguments_of_recipes, begin

RECIPE = SamplerRecipe()


def add_arguments(parser):
    parser.description = (
        "Train the network of 'sample' from photographs by its recipe, on pairs of single noisy "
        "draws. Ctrl-C ends the training after the step under way; nothing is lost, --resume goes "
        "on."
    )
    add_arguments_of_recipes(parser, RECIPE)


def run(options):
    with team_of_processes(options.device) as team:
        if team.size > 1:
            raise ValueError("reproduce-sampler is for one process: start it without torchrun")
        generator = torch.Generator().manual_seed(0)  # keeps the same ones apart as `reproduce`
        long_run, photographs, _ = begin("reproduce-sampler", options, RECIPE, team, generator)
        recipe = SamplerRecipe(**long_run.settings)
        training = sampler_training(recipe, photographs, team.device)
        return long_run.carry_out(training, recipe.batch_size)
