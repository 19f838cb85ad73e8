"""One training of the study, and the images that all of them share."""

import itertools
import math
from pathlib import Path
from statistics import median

import torch
from torch import nn

from ...model import Pairs, Training, forward, initialize, prepare, track
from ..data.noises import LOSSES, NOISES
from ..data.pairs import psnr
from ..data.photos import average_blocks, distinct_photos, random_crop, readable_photos, sample_blocks, split
from ..data.pictures import read_picture
from ..training import reproduce
from ..training.command import ALL_OPTIMIZERS
from .experiments import FALLING, variant_network

RESULTS = Path(__file__).resolve().parent / "results" / "rows"
VALIDATION_IMAGES = 200
SCORED_ON_THE_WAY = 100  # of them; all in the last epoch and at the end
SCORED_IN_LAST_EPOCH = 5  # times, evenly; the median is the score at a constant rate
SETTLED_ON = 1_000  # images to train on, which give BatchNorm's statistics in the end
DRAWS = 9  # noisy versions of each image: one is the input, up to eight make the target
EVALUATIONS_OF_LBFGS = 25  # gradients that one of its iterations takes, nearly
BORDER = 4  # pixels
DEAD_EPOCHS = 5  # after which a network is looked at; the last bias has settled by then


def draw_images(paths, number, draws, generator):
    """Crops of photographs: clean (number, 3, 32, 32) and noisy versions (number, draws, 3, 32, 32), uint8."""
    clean, noisy = [None] * number, [None] * number
    order = iter(torch.randperm(number, generator=generator).tolist())
    for place, path in enumerate(track(paths, len(paths), label="drawing")):
        photo = read_picture(path)
        for _ in range(number // len(paths) + (place < number % len(paths))):
            crop, index = random_crop(photo, generator), next(order)
            clean[index] = average_blocks(crop)
            noisy[index] = torch.stack([sample_blocks(crop, generator) for _ in range(draws)])
    return torch.stack(clean), torch.stack(noisy)


def make_images(photos, number, num_validation=VALIDATION_IMAGES, draws=DRAWS):
    """Images to train on, `number` of them, and to validate on: a dict of (clean, draws); "unseen" are the paths of the
    photographs, half of the latter's, that `reproduce` keeps apart as well."""
    paths, generator = readable_photos(distinct_photos(photos), None, print), torch.Generator().manual_seed(0)
    unseen, _ = split(paths, reproduce.VALIDATION_SHARE, (1, 1), torch.Generator().manual_seed(0))
    kept, rest = split(paths, 0.1, (1, 1), generator)
    return dict(
        train=draw_images(rest, number, draws, generator),
        validation=draw_images(kept, num_validation, draws, generator),
        unseen=unseen,
    )


def make_pairs(images, settings, seed):
    """Inputs and targets, (N, 3, 32, 32) each, values 0 to 255."""
    clean, draws = images
    if settings["noise"] == "blocks":
        number = 0 if settings["target"] == "clean" else int(settings["target"].split()[0])
        return draws[:, 0], draws[:, 1 : 1 + number].float().mean(1) if number else clean.float()
    generator = torch.Generator().manual_seed(seed)
    corrupt, _ = NOISES[settings["noise"]]
    noisy = corrupt(clean, generator)
    return noisy, clean.float() if settings["target"] == "clean" else corrupt(clean, generator)


def run(settings, images, seed, device="cpu"):
    """Train one variant on a device and validate it on the way.

    Returns:
        dict: "loss" and "evaluations" (so far) of each step; "scores", what validations found: epochs and evaluations
        so far, PSNR in dB (one pass, mean over images); "psnr", over all validation images at the end; "psnr_median",
        the median of the last epoch; "psnr_settled", with BatchNorm's statistics of the last weights; "psnr_border" and
        "psnr_centre" of the outer 4 pixels and the rest; "psnr_of_mean", by the formula of Brown et al.; "noisy_psnr";
        "floor" of the loss, the noise of the targets; "seconds" of training; "diverged": the loss left all bounds;
        "dead": it was stopped early since the output is one colour and can be no other; "bfloat16": whether the large
        convolutions were computed in it. Scores are None where they are not finite.
    """
    validation = make_pairs(images["validation"], dict(settings, target="clean"), seed + 1000)
    validation = [part.to(device) for part in validation]
    training, batches, pairs = start(settings, images, seed, device)
    scores, history, most = [], training.history, settings["max_evaluations"] or math.inf
    gradients = EVALUATIONS_OF_LBFGS if settings["optimizer"] == "L-BFGS" else 1  # of a step

    def validate(number):
        score = score_of(training.network, *(part[:number] for part in validation), training.bfloat16)["psnr"]
        steps, spent = len(history["loss"]), sum(history["evaluations"])
        scores.append(dict(epochs=steps / len(batches), evaluations=spent, images=number, psnr=score))

    validate(SCORED_ON_THE_WAY)
    diverged, dead, often = False, False, max(len(batches) // SCORED_IN_LAST_EPOCH, 1)
    try:
        for _ in training:
            step, spent = len(history["loss"]), sum(history["evaluations"])
            left, diverged = min((training.num_steps - step) * gradients, most - spent), training.rollbacks > 0
            if left < len(batches) and (left <= 0 or step % often == 0):
                validate(VALIDATION_IMAGES)
            elif spent - scores[-1]["evaluations"] >= len(batches):
                validate(SCORED_ON_THE_WAY)
            dead = step == DEAD_EPOCHS * len(batches) and is_dead(training.network)
            if diverged or dead or left <= 0:
                break
    except FloatingPointError:
        diverged = True
    if dead:
        validate(VALIDATION_IMAGES)
    last = [score["psnr"] for score in scores if score["images"] == VALIDATION_IMAGES and score["psnr"] is not None]
    result = dict(
        loss=history["loss"], evaluations=list(itertools.accumulate(history["evaluations"])), scores=scores,
        seconds=history["seconds"][-1], diverged=diverged, dead=dead, bfloat16=training.bfloat16,
        noisy_psnr=psnr(*validation).mean().item(), floor=floor(settings, images["train"][1][: settings["num_pairs"]]),
        psnr_median=median(last) if last else None, **score_of(training.network, *validation),
    )  # fmt: skip
    settle(training.network, pairs[0][:SETTLED_ON])
    return dict(result, psnr_settled=score_of(training.network, *validation)["psnr"])


def is_dead(network):
    """Whether nothing but the last bias has a gradient: for zeros as weights, or ReLUs that all are shut."""
    *rest, _ = network.parameters()
    return not any(parameter.grad.any() for parameter in rest)


def start(settings, images, seed, device="cpu"):
    """The `Training` of a variant, its batches, and the pairs in them."""
    pairs = make_pairs([part[: settings["num_pairs"]] for part in images["train"]], settings, seed)
    pairs = [part.to(device) for part in pairs]
    network = variant_network(settings["layers"])
    initialize(network, settings["initialization"], seed)
    network.to(device)
    names = ("batch_size", "flips", "flip_fraction", "swap")
    batches = Pairs(*pairs, seed=1000 * seed, **{name: settings[name] for name in names})
    num_steps, most = settings["epochs"] * len(batches), settings["max_evaluations"]
    if settings["optimizer"] == "L-BFGS":
        num_steps = -(-(most or num_steps) // EVALUATIONS_OF_LBFGS)
    elif settings["hybrid"] and most:
        num_steps = 5 + most - 5 * EVALUATIONS_OF_LBFGS
    rate = settings["learning_rate"]
    training = Training(
        network, batches, num_steps, settings["hybrid"], ALL_OPTIMIZERS[settings["optimizer"]], rate,
        0.0 if settings["rate"] == FALLING else rate, momentum=settings["momentum"], precision=settings["precision"],
        loss=LOSSES[settings["loss"]],
    )  # fmt: skip
    return training, batches, pairs


def settle(network, noisy):
    """Give BatchNorm the statistics that the present weights have on these images (N, 3, H, W), values 0 to 255."""
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
    with torch.no_grad():
        for number, part in enumerate(noisy.split(50), 1):
            for norm in norms:
                norm.momentum = 1 / number  # so that the running means are those over all batches
            forward(network, part.float() / 255, training=True)


def score_of(network, noisy, clean, bfloat16=False):
    """PSNR in dB of one pass, of the images, their border and centre, and of the mean error; None if not finite."""
    steps = prepare(network, training=False)
    with torch.no_grad():
        parts = [forward(steps, part.float() / 255, False, bfloat16) for part in noisy.split(50)]
    output = (torch.cat(parts) * 255).clamp(0, 255)
    inside = slice(BORDER, -BORDER)
    whole, centre = (10 ** (-psnr(output[part], clean[part]) / 10) for part in (..., (..., inside, inside)))  # errors
    share = (1 - 2 * BORDER / clean.shape[2]) * (1 - 2 * BORDER / clean.shape[3])  # of the pixels that is the centre
    border = (whole - share * centre) / (1 - share)
    errors = dict(psnr=whole, psnr_border=border, psnr_centre=centre, psnr_of_mean=whole.mean())
    scores = {name: (-10 * error.log10()).mean().item() for name, error in errors.items()}
    return {name: score if math.isfinite(score) else None for name, score in scores.items()}


def floor(settings, draws):
    """The noise of the targets: the loss of a prediction that knows the clean image. None: not estimated.

    Two draws with independent noise of variance v differ by 2 v in the mean square. The mean of k draws has v / k.
    """
    if settings["noise"] != "blocks" or settings["target"] == "clean" or settings["loss"] != "mse":
        return None
    difference = (draws[:, 0].float() - draws[:, 1].float()) / 255
    return difference.square().mean().item() / 2 / int(settings["target"].split()[0])
