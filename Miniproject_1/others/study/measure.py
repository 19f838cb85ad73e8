"""Measurements of the weights that come with the project. Each has a file in `results/`.

    scores DATA             how good they are on a validation set, with intervals over photographs
    peers PEER_SCORES DATA  compared with public solutions of the same course, image by image
    robustness VAL DATA     other noise: weaker or stronger, none, and with Gaussian noise on top
    precision DATA          what bfloat16 costs in trainings of fresh weights and in prediction
    consistency             what trainings on a single image reach, as Brown et al. made them
    sample                  the PSNR of each image of the sample that comes with the project

DATA is a folder with the `val_data.pkl` of the README, whose images are eight of each photograph,
in a row; `precision` takes pairs to train on from the `train_data.pkl` in it. VAL is a folder of
photographs that no training saw. PEER_SCORES is a JSON file: by the name of each solution's
repository, its number of "parameters", and the PSNR in dB of each image of DATA, "one_pass" by its
own prediction and "mean_over_8" by the mean over the 8 flips and rotations around it.
"""

import json
from inspect import signature
from pathlib import Path

import torch

from ...model import LBFGS_ITERATIONS, Model, Training
from ..console import say, tell
from ..data.course_noise import IMAGE_SIZE, average_blocks, sample_blocks
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..data.photographs import picture_files
from ..metrics import psnr, psnr_of, squared_errors
from ..pictures import read_picture
from ..training.long_run import processor
from ..training.optimizers import Muon
from .results import save
from .verdicts import middle, resampled_means, verdict_of

IMAGES_OF_EACH = 8  # images of each photograph in DATA; they follow one another


def add_arguments(parser):
    parser.add_argument("what", choices=list(MEASURES), metavar="WHAT")
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="see above")


def run(options):
    """Measure what is asked for and file it. Returns the exit status."""
    wanted = signature(MEASURES[options.what]).parameters
    if len(options.paths) != len(wanted):
        say(f"error: {options.what} takes {' '.join(wanted).upper() or 'no path'}; see --help")
        return 2
    save(options.what, MEASURES[options.what](*options.paths))
    tell(f"results/{options.what}.json")
    return 0


def shipped_model(device=None):
    """A `Model` with the weights that come with the project."""
    model = Model(device=device)
    model.load_pretrained_model()
    return model


def mean(values):
    return values.mean().item()


def gradient_energies(images):
    """How sharp each image (N, 3, H, W) is: the mean squares of differences of neighbours, (N,)."""
    images = images.float()
    vertical = images.diff(dim=2).square().mean((1, 2, 3))
    horizontal = images.diff(dim=3).square().mean((1, 2, 3))
    return vertical + horizontal


# ----------------------------------------------------------------------------------------------
# Scores


def scores(data):
    """The scores of the noisy and of the denoised images."""
    noisy, clean = load_pairs(data, "val_data.pkl")
    model = shipped_model()
    found = {
        "noisy": both_scores(noisy, clean),
        "one pass": both_scores(model.predict(noisy, average=False).cpu(), clean),
        "mean over 8 flips": both_scores(model.predict(noisy, progress=True).cpu(), clean),
    }
    return {"images": len(noisy), "photographs": len(noisy) // IMAGES_OF_EACH, "scores": found}


def both_scores(images, clean):
    """The scores of images (N, 3, H, W) by both formulas, with 95 % intervals over photographs.

    "mean PSNR" is the course's, "PSNR of the mean error" that of Brown et al., in dB.
    """
    values = psnr(images, clean).view(-1, IMAGES_OF_EACH).mean(1)  # of each photograph
    low, high = middle(resampled_means(values))
    of_images = {"score": mean(values), "low": low, "high": high}
    errors = squared_errors(images, clean).view(-1, IMAGES_OF_EACH).mean(1)
    low, high = middle(resampled_means(errors))
    of_error = {"score": psnr_of(mean(errors)), "low": psnr_of(high), "high": psnr_of(low)}
    return {"mean PSNR": of_images, "PSNR of the mean error": of_error}


def peers(peer_scores, data):
    """How much our PSNR is above that of public solutions, image by image."""
    noisy, clean = load_pairs(data, "val_data.pkl")
    ours = psnr(shipped_model().predict(noisy, progress=True).cpu(), clean)
    found = {}
    for name, peer in json.loads(peer_scores.read_text()).items():
        theirs = max(torch.tensor(peer["one_pass"]), torch.tensor(peer["mean_over_8"]), key=mean)
        lead = (ours - theirs).view(-1, IMAGES_OF_EACH).mean(1)  # of each photograph
        low, high = middle(resampled_means(lead))
        found[name] = {
            "parameters": peer["parameters"],
            "score": mean(theirs),
            "lead": mean(lead),
            "low": low,
            "high": high,
            "verdict": verdict_of(low, high),
        }
    best_first = dict(sorted(found.items(), key=lambda item: -item[1]["score"]))
    photographs = len(ours) // IMAGES_OF_EACH
    return {"photographs": photographs, "ours": mean(ours), "peers": best_first}


def sample():
    """The PSNR of each denoised image of the sample."""
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    return {"denoised": psnr(shipped_model().predict(noisy, progress=True).cpu(), clean).tolist()}


# ----------------------------------------------------------------------------------------------
# Other noise


def robustness(val, data):
    """The scores on other noise, and gradient energies as shares of that of the clean images."""
    model = shipped_model()
    rows = []
    for name, noisy, clean in cases(val, data):
        row = {"name": name, "images": len(noisy)}
        for kind, images in (("noisy", noisy), ("denoised", model.predict(noisy).cpu())):
            row[f"{kind}_psnr"] = mean(psnr(images, clean))
            row[f"{kind}_energy"] = mean(gradient_energies(images)) / mean(gradient_energies(clean))
        rows.append(row)
    return rows


def cases(val, data):
    """Yield the name, the noisy and the clean images of each row of the table.

    Every fourth of the photographs by name gives the crop of 32 s x 32 s pixels at its centre, for
    blocks of s x s pixels, and one noisy draw of it. From DATA every tenth pair is taken: with the
    clean image as the input, and with Gaussian noise added to the noisy one.
    """
    generator = torch.Generator().manual_seed(0)
    pictures = [read_picture(path) for path in picture_files(val)[::4]]
    for block in (2, 3, 4, 6, 8):  # pixels
        side = block * IMAGE_SIZE
        crops = [centre_crop(each, side) for each in pictures if min(each.shape[1:]) >= side]
        noisy = torch.stack([sample_blocks(crop, generator) for crop in crops])
        clean = torch.stack([average_blocks(crop) for crop in crops])
        yield f"blocks of {block} x {block}", noisy, clean
    noisy, clean = (images[::10] for images in load_pairs(data, "val_data.pkl"))
    yield "as in the course", noisy, clean
    yield "clean input", clean, clean
    for sigma in (5, 10):  # of 255
        noise = sigma * torch.randn(noisy.shape, generator=generator)
        yield f"Gaussian {sigma} on top", (noisy + noise).clamp(0, 255), clean


def centre_crop(picture, side):
    height, width = picture.shape[1:]
    return picture.narrow(1, (height - side) // 2, side).narrow(2, (width - side) // 2, side)


# ----------------------------------------------------------------------------------------------
# Trainings


def precision(data):
    """What trainings of fresh weights and predictions reach in both precisions.

    Five seeds are trained on 3,200 pairs in batches of 16 with Muon, 0.004 falling to 0.
    """
    pairs = [images[:3_200] for images in load_pairs(data, "train_data.pkl")]
    noisy, clean = load_pairs(data, "val_data.pkl")
    recipe = {"batch_size": 16, "optimizer": Muon, "learning_rate": 0.004, "momentum": 0.95}
    denoised = {}
    for precision in ("float32", "bfloat16"):
        options = {"average": False, "precision": precision}
        denoised[f"prediction, {precision}"] = shipped_model().predict(noisy, **options)
        for seed in range(5):
            model = Model(seed=seed)
            model.train(*pairs, 1, hybrid=False, precision=precision, seed=seed, **recipe)
            name = f"fresh weights, seed {seed}, {precision}"
            denoised[name] = model.predict(noisy, average=False)
    found = {"processor": processor(), "images": len(noisy), "noisy_psnr": mean(psnr(noisy, clean))}
    for name, images in denoised.items():
        found[name] = {"psnr_one_pass": mean(psnr(images.cpu(), clean))}
    return found


def consistency():
    """What trainings of 20 epochs on a single image reach, as input and as target.

    Brown et al. report 74.5 dB. Here five images of the sample are trained on, each with another
    seed. BatchNorm normalizes by the image itself while training, and in `predict` by running means
    over earlier steps, whose weights were different; so there are two scores.
    """
    _, clean = load_pairs(SAMPLE, "val_data.pkl")
    images = [clean[places[0], None] for places in sample_photographs().values()][:5]
    found = {}
    for name, iterations in {"hybrid": LBFGS_ITERATIONS, "momAGD": 0, "L-BFGS": 20}.items():
        scores = [trained_on_one(image, seed, iterations) for seed, image in enumerate(images)]
        found[name] = dict(zip(("training", "predict"), zip(*scores)))
    return found


def trained_on_one(image, seed, lbfgs_iterations):
    """The PSNR in dB of an image (1, 3, H, W) after 20 steps of training on it, in both modes."""
    model = Model(seed=seed, device="cpu")
    training = Training(model.network, lambda step: (image, image), 20, lbfgs_iterations)
    for _ in range(20):
        training.take_step()
    predicted = model.predict(image, average=False)
    with torch.no_grad():
        output = 255 * model.network.train()(image / 255)
    return psnr(output, image).item(), psnr(predicted, image).item()


ALL_MEASURES = (scores, peers, robustness, precision, consistency, sample)
MEASURES = {measure.__name__: measure for measure in ALL_MEASURES}
