"""What the trainings of the study are made of: photographs, and images that are drawn from them.

Photographs are decoded once, into one file. 100 of them are kept apart to report scores by, and 50
more to choose learning rates and stopping points by. Each seed trains on a random half of the
others, so that the spread over seeds contains the choice among these photographs.
"""

import itertools
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from ...model import Batches, track
from ..data.course_noise import (
    IMAGE_SIZE,
    SMALLEST_SIDE,
    average_blocks,
    random_crop,
    random_square,
    sample_blocks,
)
from ..data.noises import NOISES
from ..data.photographs import picture_files
from ..data.shots import neighbours
from ..outputs import save
from ..pictures import read_picture
from ..training.photo_batches import PhotoBatches, Photographs
from .experiments import IMAGES_OF_EACH

PACKED = Path(".run") / "photographs.pt"  # all photographs, decoded; in the working folder
REPORTING = 100  # photographs by which scores are reported; a tenth if there are few
CHOOSING = 50  # photographs by which rates and stopping points are chosen; a twentieth if few


def pack(folders):
    """Decode all photographs in and below these folders into `PACKED`, if it has others.

    NotADirectoryError: there is no such folder.
    """
    found = [photograph for folder in folders for photograph in picture_files(folder)]
    found.sort(key=lambda photograph: photograph.name)  # whatever their folders
    names = [photograph.name for photograph in found]
    if PACKED.exists() and torch.load(PACKED, mmap=True, weights_only=True)["names"] == names:
        return
    photographs = [read_picture(each) for each in track(found, "photograph decoded")]
    PACKED.parent.mkdir(parents=True, exist_ok=True)
    save({"names": names, "photographs": photographs}, PACKED)


class Images(NamedTuple):
    """Noisy and clean images (N, 3, 32, 32) of photographs that are kept apart, on a device."""

    noisy: torch.Tensor
    clean: torch.Tensor


class Material:
    """The photographs in a file that `pack` wrote, and what a training takes from them."""

    def __init__(self, path, device):
        self.device = torch.device(device)
        photographs = torch.load(path, mmap=True, weights_only=True)["photographs"]
        order = torch.randperm(len(photographs), generator=seeded(0)).tolist()
        reporting = min(REPORTING, len(photographs) // 10)
        choosing = min(CHOOSING, len(photographs) // 20)
        shuffled = [photographs[place] for place in order]
        large = [each for each in shuffled if min(each.shape[1:]) >= SMALLEST_SIDE]
        self.reporting = large[:reporting]
        self.choosing = large[reporting : reporting + choosing]
        self.rest = large[reporting + choosing :]
        self.on_device = lru_cache(maxsize=1)(self.photographs_on_device)  # once for all arms

    def photographs_of(self, seed):
        """The photographs that a seed trains on."""
        order = torch.randperm(len(self.rest), generator=seeded(seed)).tolist()
        return [self.rest[place] for place in order[: len(order) // 2]]

    def photographs_on_device(self, seed):
        """The same as `Photographs`."""
        return Photographs(self.photographs_of(seed), self.device)

    def kept_apart(self, noise):
        """The `Images` with this noise to report by, and those to choose by."""
        reporting = kept_images(self.reporting, noise, seeded(1), self.device)
        choosing = kept_images(self.choosing, noise, seeded(2), self.device)
        return reporting, choosing

    def batches(self, settings, seed):
        """The batches of a training: a function of the step that returns noisy images, targets."""
        if settings.images is not None:
            return fixed_batches(self.photographs_of(seed), settings, seed, self.device)
        if settings.noise != "blocks":
            return square_batches(self.photographs_of(seed), settings, seed, self.device)
        is_clean = settings.target == "clean"
        return PhotoBatches(self.on_device(seed), settings.batch_size, clean=is_clean, seed=seed)


def seeded(seed):
    """A generator of random numbers."""
    return torch.Generator().manual_seed(seed)


def kept_images(photographs, noise, generator, device):
    """The `Images` of some photographs, `IMAGES_OF_EACH` of each, with this noise."""
    repeated = [each for each in photographs for _ in range(IMAGES_OF_EACH)]
    if noise == "blocks":
        crops = [random_crop(each, generator) for each in repeated]
        noisy = torch.stack([sample_blocks(crop, generator) for crop in crops])
        clean = torch.stack([average_blocks(crop) for crop in crops])
    else:
        clean = torch.stack([random_square(each, generator) for each in repeated])
        noisy = NOISES[noise](clean, generator)
    return Images(noisy.to(device), clean.to(device))


def fixed_batches(photographs, settings, seed, device):
    """Batches of a fixed number of images, as `model.Batches` draws them."""
    generator = seeded(seed)
    clean, draws = [], []
    for number in range(settings.images):
        crop = random_crop(photographs[number % len(photographs)], generator)
        clean.append(average_blocks(crop))
        draws.append(torch.stack([sample_blocks(crop, generator) for _ in range(settings.draws)]))
    draws = torch.stack(draws)
    if settings.target == "clean":
        noisy, target = draws[:, 0], torch.stack(clean)
    elif settings.draws == 2:
        noisy, target = draws.unbind(1)
    else:
        noisy, target = ordered_pairs(draws)
    if settings.appended:
        number = round(settings.appended * len(noisy))
        noisy = torch.cat([noisy, noisy[:number].flip(2)])
        target = torch.cat([target, target[:number].flip(2)])
    names = "batch_size", "flips", "flip_fraction", "swap"
    options = {name: getattr(settings, name) for name in names}
    return Batches(noisy, target, **options, seed=seed, device=device)


def ordered_pairs(draws):
    """All ordered pairs of different draws (N, D, 3, H, W): two tensors (N * D * (D - 1), ...)."""
    first, second = zip(*itertools.permutations(range(draws.shape[1]), 2))
    return draws[:, list(first)].flatten(0, 1), draws[:, list(second)].flatten(0, 1)


def square_batches(photographs, settings, seed, device):
    """Batches of fresh squares of photographs with another noise than the course's."""
    noise = NOISES[settings.noise]
    side = IMAGE_SIZE
    if settings.target == "neighbours":
        side = 2 * IMAGE_SIZE

    def batch(step):
        generator = seeded(1_000_003 * seed + step)
        places = torch.randint(len(photographs), (settings.batch_size,), generator=generator)
        squares = [random_square(photographs[place], generator, side) for place in places]
        clean = torch.stack(squares)
        noisy = noise(clean, generator)
        if settings.target == "noisy":
            target = noise(clean, generator)
        elif settings.target == "neighbours":
            pairs = [neighbours(image[None], generator) for image in noisy]
            noisy, target = (torch.stack(images) for images in zip(*pairs))
        else:
            target = clean.float()
        return noisy.to(device), target.to(device)

    return batch
