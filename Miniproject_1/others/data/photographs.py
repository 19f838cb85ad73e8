"""From a folder of photographs to pairs of images."""

import hashlib
from pathlib import Path

import torch

from ...model import track
from ..console import say
from ..pictures import SUFFIXES, read_picture


def picture_files(folder):
    """The picture files below a folder, sorted by name.

    Hidden files and folders are left out. How many other files there are is said in a line.

    Args:
        folder: folders within it are searched too.

    Returns:
        list of `Path`.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder of pictures")
    pictures = []
    others = []
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if is_hidden or not path.is_file():
            continue
        if path.suffix.lower() in SUFFIXES:
            pictures.append(path)
        else:
            others.append(path)
    if others:
        endings = sorted({path.suffix.lower() or path.name for path in others})
        say(f"left out in {folder}: {len(others)} files of other kinds ({', '.join(endings)})")
    return pictures


def distinct_photographs(folder):
    """The picture files below a folder, as `picture_files`; of files with equal bytes the first.

    A file that may not be read counts as distinct: who reads it as a picture names it.
    """
    found = {}
    for path in track(picture_files(folder), "photograph"):
        try:
            key = hashlib.sha256(path.read_bytes()).digest()
        except OSError:
            key = path
        found.setdefault(key, path)
    return list(found.values())


def readable_photographs(paths, smallest):
    """Those photographs that can be read and are large enough. The others are named.

    Args:
        paths: picture files.
        smallest: pixels that both sides need.

    Returns:
        list of paths, and how many of the others could not be read.
    """
    readable = []
    num_failed = 0
    for path in track(paths, "photograph"):
        try:
            height, width = read_picture(path).shape[1:]
        except (OSError, ValueError) as error:
            say(f"passed over: {named(error, path)}")
            num_failed += 1
            continue
        if min(height, width) < smallest:
            say(f"passed over {path}: {width} x {height} is too small, both sides need {smallest}")
            continue
        readable.append(path)
    return readable, num_failed


def named(error, path):
    """The text of an error in one line, with the file's name if it does not say so itself."""
    text = str(error) or type(error).__name__
    if str(path) not in text:
        text = f"{path}: {text}"
    return " ".join(text.split())


def split(paths, share, generator):
    """Split photographs at random into those to validate on and those to train on.

    Args:
        paths: the photographs.
        share: of them, for validation, 0 to 1. Both parts have at least one, if there are two.
        generator: the `torch.Generator` of the random choice.

    Returns:
        two sorted lists of paths.
    """
    order = torch.randperm(len(paths), generator=generator).tolist()
    num_kept = min(max(round(share * len(paths)), 1), len(paths) - 1)
    kept = [paths[place] for place in order[:num_kept]]
    others = [paths[place] for place in order[num_kept:]]
    return sorted(kept), sorted(others)


def draw_pairs(sources, num_pairs, draw, generator, read=read_picture, label="photograph"):
    """Draw pairs of images in random order, as many from each source, or one more from the first.

    Args:
        sources: photographs, or whatever else `read` reads. If there are more of them than pairs,
            some are chosen at random.
        num_pairs: the number of pairs.
        draw: a function of (what was read, generator) that makes the two images of a pair.
        generator: the `torch.Generator` of every random choice.
        read: a function of a source.
        label: what a source is.

    Returns:
        two tensors (num_pairs, 3, 32, 32).
    """
    if num_pairs < len(sources):
        order = torch.randperm(len(sources), generator=generator).tolist()
        sources = [sources[place] for place in sorted(order[:num_pairs])]
    say(f"drawing {num_pairs} pairs from {len(sources)} {label}s")
    places = iter(torch.randperm(num_pairs, generator=generator).tolist())
    pairs = None  # copied into two tensors, so that no image holds the picture it was cut from
    quotient, remainder = divmod(num_pairs, len(sources))
    for index, source in enumerate(track(sources, label)):
        content = read(source)
        for _ in range(quotient + 1 if index < remainder else quotient):
            pair = draw(content, generator)
            if pairs is None:
                pairs = [image.new_empty(num_pairs, *image.shape) for image in pair]
            place = next(places)
            for images, image in zip(pairs, pair):
                images[place] = image
    return tuple(pairs)
