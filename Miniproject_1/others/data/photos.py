"""Noisy pairs in the course's format, made from any folder of photographs.

The course's noise is block sampling. A square crop of a photograph is divided into 32 x 32 blocks of s x s pixels. The
*clean* image is the mean of every block; a *noisy* image takes one pixel of every block at random, the same for the
three channels. Two noisy versions are two independent draws, so the mean over draws is the clean image: all that
Noise2Noise asks for (Lehtinen et al., 2018, https://arxiv.org/abs/1803.04189). Flat regions have no noise.
"""

import hashlib
import math
from functools import partial
from pathlib import Path

import torch

from ...model import FLIPS, LARGEST_SEED, check_number, track
from .files import check_output, save
from .noises import named_noise, square_pair
from .pictures import pillow, read_picture

IMAGE_SIZE = 32  # blocks along each side of a crop: the height and width of the course's images
LARGEST_SIGMA = 15.0  # of 255, of added Gaussian noise: half as much again as `robustness.py` tries
CROP_SHARE = (0.75, 1.0)  # of a photograph's short side; gives 21.0 dB, the course's set has 20.7
SMALLEST_SIDE = math.ceil(2 * IMAGE_SIZE / CROP_SHARE[0])  # of a photograph that holds blocks of 2 x 2 pixels
PHOTO_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def sample_blocks(crop, generator):
    """A noisy version of a crop, one pixel of each of its 32 x 32 blocks: (3, 32 s, 32 s) to (3, 32, 32), uint8."""
    side = crop.shape[-1]
    block = side // IMAGE_SIZE
    offset = torch.randint(block, (2, IMAGE_SIZE, IMAGE_SIZE), generator=generator)
    start = torch.arange(0, side, block)
    return crop[:, start[:, None] + offset[0], start + offset[1]]


def average_blocks(crop):
    """The clean image of a crop: the mean of each block, rounded. (3, 32 s, 32 s) to (3, 32, 32)."""
    block = crop.shape[-1] // IMAGE_SIZE
    mean = torch.nn.functional.avg_pool2d(crop[None].float(), block)[0]
    return mean.round().clamp(0, 255).to(torch.uint8)


def random_crop(photo, generator, small_crops=0.0):
    """Cut a random square out of a photograph, its side a multiple of 32 and 75 to 100 % of the short side.

    With probability `small_crops` its side is 0 to 75 % of the short side, and 64 pixels at least.
    """
    height, width = photo.shape[1:]
    low, high = CROP_SHARE
    if small_crops and torch.rand((), generator=generator).item() < small_crops:
        low, high = 0, low
    share = low + (high - low) * torch.rand((), generator=generator).item()
    side = IMAGE_SIZE * max(int(min(height, width) * share) // IMAGE_SIZE, 2)
    top = torch.randint(height - side + 1, (), generator=generator).item()
    left = torch.randint(width - side + 1, (), generator=generator).item()
    return photo[:, top : top + side, left : left + side]


def distinct_photos(folder):
    """The picture files below `folder`, sorted by name; of files with equal bytes only the first."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file():
            found.setdefault(hashlib.sha256(path.read_bytes()).digest(), path)
    return list(found.values())


def readable_photos(paths, shrink, report, smallest=SMALLEST_SIDE):
    """Those of `paths` that can be read and have `smallest` pixels a side; `report` is told of the others."""
    readable = []
    for path in track(paths, len(paths), label="reading"):
        try:
            height, width = read_picture(path, shrink).shape[1:]
        except (OSError, ValueError) as error:
            report(f"passed over: {error}")
            continue
        if min(height, width) < smallest:
            report(f"passed over {path}: {width} x {height} is too small, both sides need {smallest} pixels")
            continue
        readable.append(path)
    return readable


def make_pairs(paths, num_pairs, draw, generator, shrink=None, label="sampling"):
    """Draw `num_pairs` pairs from photographs, the same number from each, in random order.

    Args:
        paths: photographs that `read_picture` reads.
        num_pairs: the number of pairs.
        draw: function of (photograph, generator) that makes the two images of a pair.
        generator: the `torch.Generator` of every random choice.
        shrink: see `read_picture`.
        label: what the lines of progress say.

    Returns:
        two tensors (num_pairs, 3, 32, 32).
    """
    pairs = [None] * num_pairs
    place = iter(torch.randperm(num_pairs, generator=generator).tolist())
    for number, path in enumerate(track(paths, len(paths), label=label)):
        share = num_pairs // len(paths) + (number < num_pairs % len(paths))
        photo = read_picture(path, shrink) if share else None
        for _ in range(share):
            pairs[next(place)] = draw(photo, generator)
    return tuple(torch.stack(images) for images in zip(*pairs))


def noisy_pair(photo, generator, small_crops=0.0):
    """Two independent noisy versions of a random crop: a pair to train on."""
    crop = random_crop(photo, generator, small_crops)
    return sample_blocks(crop, generator), sample_blocks(crop, generator)


def noisy_and_clean(photo, generator):
    """A noisy version of a random crop and the clean image: a pair to validate on."""
    crop = random_crop(photo, generator)
    return sample_blocks(crop, generator), average_blocks(crop)


class PhotoPairs:
    """Training pairs drawn on the fly: fresh crops of photographs, two independent single draws of the noise of each.

    `pairs(step)` is the batch of a step, two tensors (B, 3, 32, 32), values 0 to 255, a function of `seed` and the
    number of the step alone, `share` an index of those wanted of it; each pair is flipped and turned at random. They
    are uint8, or float32 where there is Gaussian noise, which is not cut off at 0 and 255: that would move its mean.
    All photographs are held in memory as uint8: 3 bytes a pixel. A batch is drawn at once, without a loop.

    Args:
        paths: photographs that `read_picture` reads, both sides at least 86 pixels.
        batch_size: pairs in a batch.
        small_crops: as in `random_crop`, or a function of the step.
        gaussian: share of the pairs with independent Gaussian noise on both images, of one random sigma from 0 to
            `LARGEST_SIGMA`.
        seed: of all random choices.
        shrink: see `read_picture`.
    """

    def __init__(self, paths, batch_size=16, small_crops=0.0, gaussian=0.0, seed=0, shrink=None):
        self.batch_size = check_number("batch_size", batch_size, 1, whole=True)
        self.small_crops = small_crops if callable(small_crops) else check_number("small_crops", small_crops, 0, 1)
        self.gaussian = check_number("gaussian", gaussian, 0, 1)
        self.seed = check_number("seed", seed, 0, whole=True)
        photos = [read_picture(path, shrink) for path in track(paths, len(paths), label="reading")]
        self.heights, self.widths = (torch.tensor([photo.shape[side] for photo in photos]) for side in (1, 2))
        self.starts = (self.heights * self.widths).cumsum(0) - self.heights * self.widths  # of each in `pixels`
        self.pixels = torch.cat([photo.permute(1, 2, 0).reshape(-1, 3) for photo in photos])  # (pixels, 3)

    def __call__(self, step, share=...):
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**32)
        number, grid = self.batch_size, torch.arange(IMAGE_SIZE)
        photo = torch.randint(len(self.heights), (number,), generator=generator)
        small, size, top, left, *flips = torch.rand(7, number, 1, 1, generator=generator)
        height, width, start = (each[photo].view(-1, 1, 1) for each in (self.heights, self.widths, self.starts))
        low, high = CROP_SHARE
        small_crops = self.small_crops(step) if callable(self.small_crops) else self.small_crops
        size = torch.where(small < small_crops, low * size, low + (high - low) * size)
        block = (torch.minimum(height, width) * size / IMAGE_SIZE).long().clamp(min=2)
        top, left = ((place * (side - IMAGE_SIZE * block + 1)).long() for place, side in ((top, height), (left, width)))
        offset = (torch.rand(2, 2, number, IMAGE_SIZE, IMAGE_SIZE, generator=generator) * block).long()
        rows, columns = top + grid[:, None] * block + offset[0], left + grid * block + offset[1]  # (2, B, 32, 32) each
        pairs = self.pixels[start + rows * width + columns].permute(0, 1, 4, 2, 3)  # (2, B, 3, 32, 32)
        for flip, change in zip(flips, FLIPS.values()):
            flipped = flip[:, None] < 0.5  # (B, 1, 1, 1)
            pairs = torch.stack([torch.where(flipped, change(images), images) for images in pairs])
        if self.gaussian:
            chosen, strength = torch.rand(2, number, 1, 1, 1, generator=generator)
            sigma = LARGEST_SIGMA * strength * (chosen < self.gaussian)
            pairs = pairs + sigma * torch.randn(pairs.shape, generator=generator)
        return pairs[0, share], pairs[1, share]


def make_data(photos, out, num_train=50_000, num_validation=1_000, validation_share=0.1, small_crops=0.0,
              noise=None, seed=0, shrink=None, overwrite=False, report=print):  # fmt: skip
    """Build `train_data.pkl` and `val_data.pkl` from a folder of photographs.

    The files have the course's format: two uint8 tensors (N, 3, 32, 32) each, values 0 to 255, (noisy, noisy) to train
    on and (noisy, clean) to validate on. No photograph is in both. The same photographs and seed give the same bytes.

    Args:
        photos: folder of pictures; folders within it are searched too.
        out: folder to write to, made if it is not there.
        num_train, num_validation: pairs in each file. 0: the file is not written.
        validation_share: the share of the photographs kept for validation, 0 to 1.
        small_crops: share of the pairs to train on that are cut from less than 75 % of the short side: weaker noise.
        noise: another noise than the course's, as `named_noise` reads it: "gaussian:25". Images are then squares of
            32 x 32 pixels of the photographs as they are, int16, and noisy values go beyond 0 and 255.
        seed, shrink: of the split, the crops and the noise; see `read_picture`.
        overwrite: replace files of these names that are there already.
        report: function that is given each line of text for the user.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        ValueError: a number is out of range, or there are too few photographs to split.
        OSError: `photos` is not a folder, or `out` cannot be written.
    """
    numbers = check_data(photos, num_train, num_validation, validation_share, small_crops, shrink)
    draws, smallest, loss = (noisy_and_clean, partial(noisy_pair, small_crops=small_crops)), SMALLEST_SIDE, None
    if noise is not None:
        if small_crops:
            raise ValueError(f"small_crops is for the course's noise, not for {noise}")
        function, loss = named_noise(noise)
        draws = [partial(square_pair, noise=function, clean=clean) for clean in (True, False)]
        smallest = IMAGE_SIZE
    generator = torch.Generator().manual_seed(check_number("seed", seed, 0, LARGEST_SEED, whole=True))
    pillow()
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, number in numbers.items():
        if number:
            check_output(Path(out) / name, overwrite)
    paths = readable_photos(distinct_photos(photos), shrink, report, smallest)
    parts = split(paths, validation_share, numbers.values(), generator)
    for (name, number), part, draw in zip(numbers.items(), parts, draws):
        if number and not part:
            raise ValueError(
                f"{photos} has {len(paths)} usable photographs, too few for a validation share of {validation_share}"
            )
        if number:
            save(make_pairs(part, number, draw, generator, shrink, name), Path(out) / name)
            report(f"{Path(out) / name}: {number} pairs from {len(part)} photographs")
    if loss and loss != "mse":
        report(f"this noise wants another loss: train {out} --loss {loss}")


def split(paths, share, numbers, generator):
    """Those to validate on, a random share of them, and those to train on; each at least one if pairs are wanted."""
    order = [paths[place] for place in torch.randperm(len(paths), generator=generator).tolist()]
    num_kept = round(share * len(paths))
    if all(numbers):
        num_kept = min(max(num_kept, 1), len(paths) - 1)
    return sorted(order[:num_kept]), sorted(order[num_kept:])


def check_data(photos, num_train, num_validation, validation_share, small_crops, shrink):
    """Raise unless the arguments are as `make_data` wants them; returns the number of pairs in each file."""
    wanted = {"val_data.pkl": ("num_validation", num_validation), "train_data.pkl": ("num_train", num_train)}
    numbers = {file: check_number(name, number, 0, whole=True) for file, (name, number) in wanted.items()}
    if not any(numbers.values()):
        raise ValueError("the numbers of pairs must not both be zero")
    check_number("validation_share", validation_share, 0, 1)
    check_number("small_crops", small_crops, 0, 1)
    if shrink is not None:
        check_number("shrink", shrink, 1, whole=True)
    if not Path(photos).is_dir():
        raise NotADirectoryError(f"{photos} is not a folder of photographs")
    return numbers
