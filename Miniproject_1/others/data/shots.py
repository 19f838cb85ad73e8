"""Pairs from a user's own pictures: two shots of every scene, in two folders, under one name."""

import math
from pathlib import Path

import torch

from ..console import progress, say
from ..pictures import read_picture
from .checks import doubts_about_pictures
from .noises import IMAGE_SIZE, random_square
from .photographs import named, picture_files

LARGEST_SHIFT = 0.5  # pixels; if it is larger, the network learns to blur
REACH = 8  # pixels in each direction that a hand-held camera may move
CLEAR = 8.0  # standard deviations that the correlation's peak must have within reach
CLEAR_ANYWHERE = 12.0  # and elsewhere; on photographs, other scenes had up to 11, the same 20
UNKNOWN_SHIFT = (
    "it cannot be told whether these pictures are aligned: they have no clear edges, or they show "
    "different scenes"
)
SOFTENED = 2.0  # pixels, of the filter before shots are compared; noise is finer, scenes are not


def pictures_by_name(folder):
    """The picture files below a folder.

    Args:
        folder: folders within it are searched too.

    Returns:
        dict from the path within the folder, without its ending, to the file.

    Raises:
        ValueError: two files differ in their endings alone.
        NotADirectoryError: there is no such folder.
    """
    found = {}
    for path in picture_files(folder):
        name = path.relative_to(Path(folder)).with_suffix("").as_posix()
        if name in found:
            text = f"{found[name]} and {path} have the same name; one scene needs one picture"
            raise ValueError(text)
        found[name] = path
    return found


def name_those_without_partner(first, second):
    """A line about every picture that has none of the same name in the other folder."""
    for name in sorted(set(first) ^ set(second)):
        path = first.get(name) or second.get(name)
        say(f"passed over {path}: it has no partner in the other folder")


def usable_scenes(first, second, check_noise=True, refused="passed over"):
    """Those scenes that two folders share whose pictures can be learned from.

    Each of the others is named in a line.

    Args:
        first, second: as of `pictures_by_name`.
        check_noise: say where the noise of two pictures is not independent. They are used all the
            same: it may be what the user wants.
        refused: what a line says of pictures that do not fit.

    Returns:
        dict from the name of a scene to its two files, and how many scenes could not be read.

    Raises:
        ValueError: there is none.
    """
    usable = {}
    doubtful = {}
    num_failed = 0
    names = sorted(set(first) & set(second))
    for name in progress(names, len(names), label="comparing scene"):
        paths = (first[name], second[name])
        try:
            pictures = [read_picture(path) for path in paths]
            fault, doubts = compared(*pictures, check_noise)
        except Exception as error:  # whatever it is, the others are still to be read
            say(f"{refused} {paths[0]} and {paths[1]}: {named(error, name)}")
            num_failed += 1
            continue
        if fault:
            say(f"{refused} {paths[0]} and {paths[1]}: {fault}")
            continue
        usable[name] = paths
        for doubt in doubts:
            doubtful.setdefault(doubt, []).append(str(paths[1]))
    for doubt, files in doubtful.items():
        say(f"warning: {len(files)} of {len(names)} pairs, {files[0]} the first of them: {doubt}")
    if not usable:
        raise ValueError("no two pictures of the same scene can be used")
    return usable, num_failed


def compared(first, second, check_noise):
    """Compare two pictures (3, H, W) of a scene.

    Returns:
        why they are no pair to learn from, in words, or None; and a list of doubts about them.
    """
    fault = fault_of(first, second)
    if fault:
        return fault, []
    found = shift(first, second)
    fault = fault_of_shift(found)
    if fault:
        return fault, []
    doubts = [UNKNOWN_SHIFT] if found is None else []
    if check_noise:
        doubts += doubts_about_pictures(first, second)
    return None, doubts


def fault_of(first, second):
    """Why two pictures (3, H, W) are no pair to learn from, in words; None: they may be one."""
    sizes = [f"{picture.shape[2]} x {picture.shape[1]}" for picture in (first, second)]
    if sizes[0] != sizes[1]:
        return f"they differ in size, {sizes[0]} and {sizes[1]}"
    if min(first.shape[1:]) < IMAGE_SIZE:
        return f"{sizes[0]} is too small, both sides need {IMAGE_SIZE} pixels"
    if torch.equal(first, second):
        return "they are identical, so there is no noise to learn from"
    return None


def fault_of_shift(found):
    """Why pictures with this `shift` are no pair to learn from, in words; None: they are one."""
    if found is None or math.hypot(*found) <= LARGEST_SHIFT:
        return None
    down, right = found
    text = f"{right:+.1f} pixels to the right and {down:+.1f} down"
    return f"the second is shifted by {text}; align them first"


def shift(first, second):
    """How far the second picture is shifted against the first.

    It is where the cross-correlation of both is largest. Independent noise does not move it.

    Args:
        first, second: (3, H, W).

    Returns:
        pixels down and to the right, floats; None where nothing in the pictures tells.
    """
    correlation = cross_correlation(first, second)
    if correlation.std() == 0:  # one of them is constant
        return None
    farthest = (min(correlation.shape) - 3) // 2
    near = min(REACH, farthest)
    found = summit_within(correlation, farthest, CLEAR_ANYWHERE)
    if found is None:
        found = summit_within(correlation, near, CLEAR)
    if found is None and max(map(abs, summit_within(correlation, farthest, 0))) < near:
        found = 0.0, 0.0  # the largest of all is where the same scene has it, but too low to trust
    return found


def summit_within(correlation, reach, clear):
    """Where a correlation is largest, for shifts of up to `reach` pixels in each direction.

    Returns:
        pixels down and to the right; None if it is below `clear` standard deviations there.
    """
    side = 2 * reach + 3  # with a place on each side for the parabola
    middle = correlation.roll((reach + 1, reach + 1), (0, 1))[:side, :side]
    inner = middle[1:-1, 1:-1]
    if inner.max() < clear * correlation.std():  # a scene without edges, or more noise than scene
        return None
    best = inner.argmax().item()
    row = best // (side - 2) + 1
    column = best % (side - 2) + 1
    down = row + summit(*middle[row - 1 : row + 2, column]) - reach - 1
    right = column + summit(*middle[row, column - 1 : column + 2]) - reach - 1
    return down, right


def cross_correlation(first, second):
    """The cross-correlation of two pictures (3, H, W), shift 0 first: (H, W).

    Frequencies that are too low to tell a place are taken out before, and so are those of noise.
    Edges fade to zero, since the Fourier transform joins them.
    """
    pictures = torch.stack([first, second]).double().mean(1)  # (2, H, W)
    height, width = pictures.shape[1:]
    rows = torch.hann_window(height, dtype=torch.double)
    columns = torch.hann_window(width, dtype=torch.double)
    pictures = (pictures - pictures.mean((1, 2), keepdim=True)) * rows[:, None] * columns
    spectra = torch.fft.rfft2(pictures)  # (2, H, W // 2 + 1)
    frequency = torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width) ** 2
    blurred = torch.exp(-((2 * math.pi * SOFTENED) ** 2) * frequency)
    passed = frequency * blurred  # a blurred second derivative
    return torch.fft.irfft2(spectra[0].conj() * spectra[1] * passed, s=(height, width))


def summit(before, at, after):
    """Where the parabola through three neighbouring values is largest, from the one between."""
    if at <= max(before, after):
        return 0.0
    return (0.5 * (before - after) / (before - 2 * at + after)).item()


def read_scene(paths):
    """Two pictures of the same size: uint8 tensor (2, 3, H, W)."""
    return torch.stack([read_picture(path) for path in paths])


def squares_of_scene(pictures, generator):
    """The same random square of 32 x 32 pixels of two pictures."""
    first, second = random_square(pictures, generator)
    return first, second
