"""`reproduce`: from photographs to the weights that come with the project, by their recipe."""

import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F

from ...model import LARGEST_SEED, Model, Training, check_number
from ..console import progress, tell
from ..data.course_noise import SMALLEST_SIDE, noisy_and_clean
from ..data.photographs import distinct_photographs, draw_pairs, readable_photographs, split
from ..metrics import psnr
from ..pictures import pillow, read_picture
from ..training.long_run import (
    LongRun,
    add_options,
    deadline_of,
    machine,
    read_checkpoint,
    reserved_outputs,
    settings_of,
)
from ..training.measuring import seconds_to_denoise
from ..training.photo_batches import PhotoBatches, Photographs
from ..training.processes import team_of_processes
from ..training.recipe import Recipe, optimizer_of
from ..training.revive import dead_channels, revive

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
        "continues."
    )
    add_arguments_of_runs(parser, RECIPE)
    text = "reduce photographs whose short side has more pixels than this"
    parser.add_argument("--shrink", type=int, metavar="N", help=text)


def add_arguments_of_runs(parser, recipe):
    """Add the arguments of both commands that train from photographs by a recipe."""
    text = "folder of photographs; folders within it count"
    parser.add_argument("photographs", type=Path, metavar="PHOTOS", help=text)
    add_options(parser)
    text = f"pairs to draw; default: {recipe.pairs}"
    parser.add_argument("--pairs", type=int, metavar="N", help=text)
    text = f"of all random choices; default: {recipe.seed}"
    parser.add_argument("--seed", type=int, metavar="N", help=text)


def run(options):
    """Train fresh weights by the recipe; returns the exit status."""
    ends_at = deadline_of(options)
    pillow()
    with team_of_processes(options.device) as team:
        saved = team.from_first(lambda: read_checkpoint(options.resume, "reproduce"))
        settings = settings_of(options, saved, dataclasses.asdict(RECIPE))
        recipe = Recipe(**settings)
        check_number("--pairs", recipe.pairs, 1, whole=True)
        check_number("--seed", recipe.seed, 0, LARGEST_SEED, whole=True)
        if recipe.shrink is not None:
            check_number("--shrink", recipe.shrink, SMALLEST_SIDE, whole=True)
        with reserved_outputs(options, saved, team.is_first) as outputs:
            return reproduce(options, saved, recipe, outputs, team, ends_at)


def reproduce(options, saved, recipe, outputs, team, ends_at):
    """Begin or continue the run, and carry it out; returns the exit status."""
    num_steps = recipe.num_steps()
    model = Model(recipe.initialization, recipe.seed, team.device)
    batches, noisy, clean, data = read_data(options.photographs, recipe, model.device)
    settings = dataclasses.asdict(recipe)
    about = {"settings": settings, "data": data, "machines": [], "curve": []}
    if saved is not None:
        about = saved["about"]
        if about["data"] != data:
            raise ValueError(f"--resume: {options.resume} was begun with other photographs")
    if machine(model.device) not in about["machines"]:
        about["machines"].append(machine(model.device))

    team.join(model.network)
    training = Training(
        model.network,
        team.shared(batches),
        num_steps,
        lbfgs_iterations=0,
        optimizer=optimizer_of(recipe, model.network),
        learning_rate=recipe.learning_rate_at,
        momentum=recipe.momentum,
        precision=recipe.precision,
        loss=team.loss(F.mse_loss),
    )
    if saved is not None:
        training.load_state_dict(saved["training"])

    def measure():
        point = measurement(training, model, noisy, clean, recipe.batch_size)
        about["curve"].append(point)
        tell(", ".join(f"{name} {value}" for name, value in point.items()))

    def before_step():
        step = training.step
        if step == 0 or step % STEPS_BETWEEN_MEASUREMENTS > 0:
            return
        if team.is_first:
            measure()
        if not recipe.is_falling(step):
            num_revived = revive_channels(model, batches, step, recipe.seed)
            if team.is_first and num_revived > 0:
                about["curve"][-1]["revived"] = num_revived
                tell(f"{num_revived} channels were zero everywhere and are drawn anew")

    def record():
        if training.step == num_steps:
            measure()
        return {name: about[name] for name in ("settings", "data", "machines", "curve")}

    long_run = LongRun(
        "reproduce", options.photographs, options, training, outputs, about, team, ends_at
    )
    if options.deadline is not None:
        # a measurement on the way, with channels to revive, and one at the end
        num_images = 2 * len(noisy) + BATCHES_TO_REVIVE * recipe.batch_size
        seconds = seconds_to_denoise(model, noisy) / len(noisy)
        long_run.seconds_to_finish = num_images * seconds
    long_run.carry_out(before_step, "loss {:.5f}".format, record)
    return long_run.status()


def read_data(folder, recipe, device):
    """Read the photographs, and keep some of them apart to measure on.

    Returns:
        the `PhotoBatches` to train on, noisy and clean images (N, 3, 32, 32) to measure on, and a
        dict of numbers that tell sets of photographs apart.

    Raises:
        OSError, ValueError: there is no such folder, or too little in it.
    """
    generator = torch.Generator().manual_seed(0)
    photographs, kept = read_photographs(folder, recipe.shrink, device, generator)
    batches = PhotoBatches(
        photographs, recipe.batch_size, recipe.small_crops, recipe.gaussian, seed=recipe.seed
    )

    def read(path):
        return read_picture(path, recipe.shrink)

    num_pairs = VALIDATION_PAIRS * len(kept)
    noisy, clean = draw_pairs(kept, num_pairs, noisy_and_clean, generator, read)
    description = {
        "photographs": len(photographs),
        "pixels": len(photographs.pixels),
        "sum": photographs.pixels.sum().item(),
        "kept_apart": len(kept),
        "validation_pairs": num_pairs,
        "noisy_psnr": psnr(noisy, clean).mean().item(),
    }
    return batches, noisy, clean, description


def read_photographs(folder, shrink, device, generator):
    """Read the photographs to train on, and choose those that are kept apart.

    Args:
        folder: of photographs.
        shrink: see `read_picture`.
        device: see `Photographs`.
        generator: the `torch.Generator` of the choice.

    Returns:
        a `Photographs`, and the paths of those kept apart.

    Raises:
        OSError, ValueError: there is no such folder, or too little in it.
    """
    paths, _ = readable_photographs(distinct_photographs(folder), SMALLEST_SIDE, shrink)
    if len(paths) < 2:
        found = f"{folder} has {len(paths)} usable photographs"
        raise ValueError(f"{found}; at least 2 are needed")
    kept, others = split(paths, VALIDATION_SHARE, generator)
    paths_shown = progress(others, len(others), "photograph to train on")
    pictures = [read_picture(path, shrink) for path in paths_shown]
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
