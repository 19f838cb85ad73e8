"""`reproduce`: from photographs to the weights that come with the project, by their recipe."""

import dataclasses

import torch

from ...model import Model, Training, track
from ..console import tell
from ..data.course_noise import SMALLEST_SIDE, noisy_and_clean
from ..data.photographs import draw_pairs, picture_files, readable_photographs, split
from ..metrics import psnr
from ..pictures import read_picture
from ..training.long_run import LongRun
from ..training.photo_batches import PhotoBatches, Photographs
from ..training.processes import team_of_processes
from ..training.recipe import Recipe, optimizer_of, revive
from .options import path
from .train import add_options_of_runs

RECIPE = Recipe()
VALIDATION_SHARE = 0.05  # of the photographs, kept apart whatever the seed
VALIDATION_PAIRS = 8  # of each of them
STEPS_BETWEEN_MEASUREMENTS = 2_500  # 320,000 pairs
BATCHES_TO_REVIVE = 16  # on which a channel must be zero to be drawn anew: 2,048 images


def add_arguments(parser):
    parser.description = (
        "Train fresh weights from photographs by the recipe of the weights that come with the "
        "project, in one run, on pairs of single noisy draws alone. Photographs kept apart measure "
        "the way. Ctrl-C ends the training after the step under way; nothing is lost, --resume "
        "goes on."
    )
    add_arguments_of_recipes(parser, RECIPE)


def add_arguments_of_recipes(parser, recipe):
    """Add the arguments of both commands that train from photographs by a recipe."""
    text = "folder of photographs; folders within it count"
    parser.add_argument("photographs", type=path, metavar="PHOTOS", help=text)
    add_options_of_runs(parser)
    text = f"of all random choices; default: {recipe.seed}"
    parser.add_argument("--seed", type=int, metavar="N", help=text)


def run(options):
    with team_of_processes(options.device) as team:
        generator = torch.Generator().manual_seed(0)
        long_run, photographs, kept = begin("reproduce", options, RECIPE, team, generator)
        noisy, clean = draw_pairs(kept, VALIDATION_PAIRS * len(kept), noisy_and_clean, generator)
        return reproduce(photographs, noisy, clean, long_run, team)


def begin(command, options, recipe, team, generator):
    """What both commands that train from photographs by a recipe begin with.

    Args:
        command, options, team: see `LongRun`.
        recipe: of the command.
        generator: the `torch.Generator` that chooses photographs to keep apart.

    Returns:
        the `LongRun`, the `Photographs` to train on, and the paths of those kept apart.
    """
    folder = options.photographs
    paths = picture_files(folder)
    long_run = LongRun(command, folder, options, dataclasses.asdict(recipe), paths, team)
    kept, others = split(readable_photographs(paths, SMALLEST_SIDE), VALIDATION_SHARE, generator)
    pictures = [read_picture(each) for each in track(others, "photograph to train on")]
    long_run.about["data"] = {"photographs": len(others), "kept_apart": len(kept)}
    return long_run, Photographs(pictures, team.device), kept


def reproduce(photographs, noisy, clean, long_run, team):
    """Begin or go on with the run, measured on noisy and clean images; returns the exit status."""
    recipe = Recipe(**long_run.settings)
    model = Model(recipe.initialization, recipe.seed, team.device)
    batches = PhotoBatches(
        photographs, recipe.batch_size, recipe.small_crops, recipe.gaussian, seed=recipe.seed
    )
    training = Training(
        model.network,
        batches,
        recipe.num_steps(),
        lbfgs_iterations=0,
        optimizer=optimizer_of(recipe, model.network),
        learning_rate=recipe.learning_rate_at,
        momentum=recipe.momentum,
        precision=recipe.precision,
    )
    curve = long_run.about.setdefault("curve", [])

    def measure():
        history = training.history
        last_losses = history["loss"][-STEPS_BETWEEN_MEASUREMENTS:]
        denoised = model.predict(noisy, average=False).cpu()
        point = {
            "step": training.step,
            "pairs": training.step * recipe.batch_size,
            "hours": round(history["seconds"][-1] / 3600, 3),
            "learning_rate": history["learning_rate"][-1],
            "loss": round(sum(last_losses) / len(last_losses), 6),
            "psnr_one_pass": round(psnr(denoised, clean).mean().item(), 3),
        }
        curve.append(point)
        tell(", ".join(f"{name} {value}" for name, value in point.items()))
        return {}

    def before_step():
        step = training.step
        if step > 0 and step % STEPS_BETWEEN_MEASUREMENTS == 0:
            measure()
            if not recipe.is_falling(step):
                next_batches = [batches(step + ahead)[0] for ahead in range(BATCHES_TO_REVIVE)]
                images = torch.cat(next_batches).to(model.device) / 255
                curve[-1]["revived"] = revive(model.network, images, recipe.seed + step)
                team.equalize(model.network)
        return ""

    return long_run.carry_out(training, recipe.batch_size, before_step, measure)
