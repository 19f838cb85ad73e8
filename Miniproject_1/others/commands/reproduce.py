"""`reproduce`: from photographs to the weights that come with the project, by their recipe."""

import dataclasses

import torch

from ...model import LARGEST_SEED, Model, Training, check_number, track
from ..console import tell
from ..data.course_noise import SMALLEST_SIDE, noisy_and_clean
from ..data.photographs import distinct_photographs, draw_pairs, readable_photographs, split
from ..metrics import psnr
from ..pictures import SUFFIXES, pillow, read_picture
from ..training.long_run import LongRun, machine
from ..training.photo_batches import PhotoBatches, Photographs
from ..training.processes import team_of_processes
from ..training.recipe import Recipe, optimizer_of
from ..training.revive import dead_channels, revive
from .options import path
from .train import add_options_of_runs

RECIPE = Recipe()
VALIDATION_SHARE = 0.05  # of the photographs, kept apart whatever the seed
VALIDATION_PAIRS = 8  # of each of them
STEPS_BETWEEN_MEASUREMENTS = 2_500  # 320,000 pairs
BATCHES_TO_REVIVE = 16  # on which a channel must be zero to be drawn anew: 2,048 images


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
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
    text = f"pairs to draw; default: {recipe.pairs}"
    parser.add_argument("--pairs", type=int, metavar="N", help=text)
    text = f"of all random choices; default: {recipe.seed}"
    parser.add_argument("--seed", type=int, metavar="N", help=text)


def run(options):
    """Train fresh weights by the recipe; returns the exit status."""
    with team_of_processes(options.device) as team:
        long_run = run_of_recipe("reproduce", options, RECIPE, team)
        return reproduce(options.photographs, Recipe(**long_run.settings), long_run, team)


def run_of_recipe(command, options, recipe, team):
    """The `LongRun` of a command that trains from photographs by a recipe."""
    pillow()
    inputs = [each for each in options.photographs.rglob("*") if each.suffix.lower() in SUFFIXES]
    defaults = dataclasses.asdict(recipe)
    long_run = LongRun(command, options.photographs, options, defaults, inputs, team)
    check_number("--pairs", long_run.settings["pairs"], 1, whole=True)
    check_number("--seed", long_run.settings["seed"], 0, LARGEST_SEED, whole=True)
    machines = long_run.about.setdefault("machines", [])
    if machine(team.device) not in machines:
        machines.append(machine(team.device))
    return long_run


def reproduce(folder, recipe, long_run, team):
    """Begin or go on with the run, and carry it out; returns the exit status."""
    model = Model(recipe.initialization, recipe.seed, team.device)
    batches, noisy, clean, data = read_data(folder, recipe, model.device)
    long_run.check_data(data)
    curve = long_run.about.setdefault("curve", [])
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

    def measure():
        point = measurement(training, model, noisy, clean, recipe.batch_size)
        curve.append(point)
        tell(", ".join(f"{name} {value}" for name, value in point.items()))

    def before_step():
        step = training.step
        if step == 0 or step % STEPS_BETWEEN_MEASUREMENTS > 0:
            return
        if team.is_first:
            measure()
        if not recipe.is_falling(step):
            num_revived = revive_channels(model, batches, step, recipe.seed)
            team.equalize(model.network)
            if team.is_first and num_revived > 0:
                curve[-1]["revived"] = num_revived
                tell(f"{num_revived} channels were zero everywhere and are drawn anew")

    def describe():
        return f"loss {training.history['loss'][-1]:.5f}"

    def record():
        measure()
        return long_run.about

    return long_run.carry_out(training, recipe.batch_size, describe, record, before_step)


def read_data(folder, recipe, device):
    """Read the photographs, and keep some of them apart to measure on.

    Returns:
        the `PhotoBatches` to train on, noisy and clean images (N, 3, 32, 32) to measure on, and a
        dict of numbers that tell sets of photographs apart.

    Raises:
        OSError, ValueError: there is no such folder, or too little in it.
    """
    generator = torch.Generator().manual_seed(0)
    photographs, kept = read_photographs(folder, device, generator)
    batches = PhotoBatches(
        photographs, recipe.batch_size, recipe.small_crops, recipe.gaussian, seed=recipe.seed
    )
    num_pairs = VALIDATION_PAIRS * len(kept)
    noisy, clean = draw_pairs(kept, num_pairs, noisy_and_clean, generator)
    description = {
        "photographs": len(photographs),
        "pixels": len(photographs.pixels),
        "sum": photographs.pixels.sum().item(),
        "kept_apart": len(kept),
        "validation_pairs": num_pairs,
        "noisy_psnr": psnr(noisy, clean).mean().item(),
    }
    return batches, noisy, clean, description


def read_photographs(folder, device, generator):
    """Read the photographs to train on, and choose those that are kept apart.

    Args:
        folder: of photographs.
        device: see `Photographs`.
        generator: the `torch.Generator` of the choice.

    Returns:
        a `Photographs`, and the paths of those kept apart.

    Raises:
        OSError, ValueError: there is no such folder, or too little in it.
    """
    paths, _ = readable_photographs(distinct_photographs(folder), SMALLEST_SIDE)
    if len(paths) < 2:
        found = f"{folder} has {len(paths)} usable photographs"
        raise ValueError(f"{found}; at least 2 are needed")
    kept, others = split(paths, VALIDATION_SHARE, generator)
    pictures = [read_picture(each) for each in track(others, "photograph to train on")]
    return Photographs(pictures, device), kept


def measurement(training, model, noisy, clean, batch_size):
    """A point of the learning curve."""
    history = training.history
    last_losses = history["loss"][-STEPS_BETWEEN_MEASUREMENTS:]
    denoised = model.predict(noisy, average=False).cpu()
    is_dead = dead_channels(model.network, noisy.to(model.device) / 255)
    return {
        "step": training.step,
        "pairs": training.step * batch_size,
        "hours": round(history["seconds"][-1] / 3600, 3),
        "learning_rate": history["learning_rate"][-1],
        "loss": round(sum(last_losses) / len(last_losses), 6),
        "psnr_one_pass": round(psnr(denoised, clean).mean().item(), 3),
        "dead_channels": [int(channels.sum()) for channels in is_dead.values()],
    }


def revive_channels(model, batches, step, seed):
    """Draw channels anew that are zero on all of the next batches; returns how many."""
    noisy = [batches(step + ahead)[0] for ahead in range(BATCHES_TO_REVIVE)]
    images = torch.cat(noisy).to(model.device) / 255
    return revive(model.network, images, seed + step)
