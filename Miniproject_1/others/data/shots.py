"""Pairs to train on from a user's own pictures: two shots of every scene, in two folders, under the same names."""

import math
from pathlib import Path

import torch

from ...model import LARGEST_SEED, check_number, track
from .files import check_output, save
from .photos import IMAGE_SIZE, PHOTO_SUFFIXES
from .pictures import pillow, read_picture

LARGEST_SHIFT = 0.5  # pixels; more, and the network learns to blur
SEARCHED = 8  # pixels around the middle where the shift is looked for
CLEAR = 8.0  # standard deviations of the correlation that its peak must have; fewer are as likely to be noise
SOFTENED = 2.0  # pixels, standard deviation of the filter before shots are compared: noise is finer, scenes are not


def make_pairs_of_shots(first, second, out, clean=None, num_train=50_000, num_validation=1_000, validation_share=0.1,
                        seed=0, overwrite=False, report=print):  # fmt: skip
    """Build `train_data.pkl`, and `val_data.pkl` where there are clean pictures, from two folders of noisy ones.

    Pictures with the same name, but for the ending, show the same scene with noise of their own, as two shots of a
    burst or two scans do. Squares of 32 x 32 pixels are cut at random places, the same from both.

    Args:
        first, second: folders of pictures; folders within them are searched too.
        out: folder to write to, made if it is not there.
        clean: folder of the same scenes without noise, at least some of them. None: no validation file.
        num_train, num_validation: squares in each file.
        validation_share: the share of the scenes with a clean picture that is kept for validation, 0 to 1.
        seed: of all random choices.
        overwrite: replace files of these names that are there already.
        report: function that is given a line about every picture that is passed over, and about the files.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        ValueError: a number is out of range, or no usable pair is left.
        OSError: a folder is not there, or `out` cannot be written.
    """
    check_number("num_train", num_train, 1, whole=True)
    check_number("num_validation", num_validation, 1, whole=True)
    check_number("validation_share", validation_share, 0, 1)
    generator = torch.Generator().manual_seed(check_number("seed", seed, 0, LARGEST_SEED, whole=True))
    pillow()
    folders = [pictures_by_name(folder) for folder in (first, second, *([clean] if clean else []))]
    Path(out).mkdir(parents=True, exist_ok=True)
    train_file, validation_file = (Path(out) / name for name in ("train_data.pkl", "val_data.pkl"))
    for path in (train_file, validation_file)[: 2 if clean else 1]:
        check_output(path, overwrite)
    scenes = usable(folders[0], folders[1], report)
    kept = {}
    if clean:
        checked = usable({name: folders[0][name] for name in scenes}, folders[2], report, partners=False)
        order = [sorted(checked)[place] for place in torch.randperm(len(checked), generator=generator).tolist()]
        number = min(max(round(validation_share * len(order)), 1), len(scenes) - 1)
        kept = {name: checked[name] for name in sorted(order[:number])}
        if not kept:
            raise ValueError(f"{clean} has no usable partner of a pair that training can do without")
    train = {name: paths for name, paths in scenes.items() if name not in kept}
    for path, chosen, number in ((validation_file, kept, num_validation), (train_file, train, num_train)):
        if chosen:
            save(cut(list(chosen.values()), number, generator, path.name), path)
            report(f"{path}: {number} pairs from {len(chosen)} scenes")


def pictures_by_name(folder):
    """The picture files below a folder: a dict from their paths within it, without the ending."""
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder of pictures")
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file():
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise ValueError(f"{found[name]} and {path} have the same name; one scene needs one picture a folder")
            found[name] = path
    return found


def usable(first, second, report, partners=True):
    """The names that two folders share, with both paths, if the pictures can be learned from; `report` hears of others.

    With `partners`, a picture that has none in the other folder is reported too.
    """
    good, missing = {}, set(first) ^ set(second) if partners else set()
    for name in sorted(missing):
        report(f"passed over {first.get(name) or second.get(name)}: it has no partner in the other folder")
    both = sorted(set(first) & set(second))
    for name in track(both, len(both), label="comparing"):
        try:
            problem = problem_of(*(read_picture(path) for path in (first[name], second[name])))
        except (OSError, ValueError) as error:
            problem = str(error)
        if problem:
            report(f"passed over {first[name]} and {second[name]}: {problem}")
        else:
            good[name] = (first[name], second[name])
    if not good:
        raise ValueError("no two pictures of the same scene can be used")
    return good


def problem_of(first, second):
    """Why two pictures (3, H, W) are no pair to learn from, in words; None: they are one."""
    sizes = [f"{image.shape[2]} x {image.shape[1]}" for image in (first, second)]
    if sizes[0] != sizes[1]:
        return f"they differ in size, {sizes[0]} and {sizes[1]}"
    if min(first.shape[1:]) < IMAGE_SIZE:
        return f"{sizes[0]} is too small, both sides need {IMAGE_SIZE} pixels"
    if torch.equal(first, second):
        return "they are identical, so there is no noise to learn from"
    down, right = shift(first, second)
    if math.hypot(down, right) > LARGEST_SHIFT:
        return f"the second is shifted by {right:+.1f} pixels to the right and {down:+.1f} down; align them first"
    return None


def shift(first, second):
    """How far the second picture (3, H, W) is shifted against the first: pixels down and to the right, up to 8.

    It is where the cross-correlation of both is largest, between pixels where a parabola through three of its values
    is. Independent noise does not move its mean. Frequencies that are too low to tell, and those of noise, are taken
    out of both before; edges fade to zero, since the Fourier transform joins them. Where noise alone could have done
    it, the shift is 0.
    """
    images = torch.stack([first, second]).double().mean(1)  # (2, H, W)
    height, width = images.shape[1:]
    window = torch.hann_window(height, dtype=torch.double)[:, None] * torch.hann_window(width, dtype=torch.double)
    images = (images - images.mean((1, 2), keepdim=True)) * window
    frequency = torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width) ** 2
    passed = frequency * torch.exp(-((2 * math.pi * SOFTENED) ** 2) * frequency)  # a blurred second derivative
    spectra = torch.fft.rfft2(images)
    correlation = torch.fft.irfft2(spectra[0].conj() * spectra[1] * passed, s=(height, width))
    reach = min(SEARCHED, (min(height, width) - 3) // 2)
    middle = correlation.roll((reach + 1, reach + 1), (0, 1))[: 2 * reach + 3, : 2 * reach + 3]
    if middle[1:-1, 1:-1].max() < CLEAR * correlation.std():  # a scene without edges, or more noise than scene
        return 0.0, 0.0
    best = middle[1:-1, 1:-1].argmax().item()
    row, column = best // (2 * reach + 1) + 1, best % (2 * reach + 1) + 1

    def peak(before, at, after):
        return (0.5 * (before - after) / (before - 2 * at + after)).item() if at > max(before, after) else 0.0

    down = row - reach - 1 + peak(*middle[row - 1 : row + 2, column])
    return down, column - reach - 1 + peak(*middle[row, column - 1 : column + 2])


def cut(scenes, number, generator, label):
    """Squares at random places of two pictures each, the same number from every scene, in random order.

    Returns:
        two uint8 tensors (number, 3, 32, 32).
    """
    cuts = torch.empty(2, number, 3, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8)
    place = iter(torch.randperm(number, generator=generator).tolist())
    for index, paths in enumerate(track(scenes, len(scenes), label=label)):
        share = number // len(scenes) + (index < number % len(scenes))
        images = torch.stack([read_picture(path) for path in paths]) if share else None
        for _ in range(share):
            top, left = (
                torch.randint(side - IMAGE_SIZE + 1, (), generator=generator).item() for side in images.shape[2:]
            )
            cuts[:, next(place)] = images[:, :, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
    return cuts[0].clone(), cuts[1].clone()
