"""From folders of pictures to pairs of images."""

from pathlib import Path

import torch

from ...model import track
from ..console import say
from ..pictures import SUFFIXES, read_picture
from .shots import check_shots

FEW = 20  # scenes


def picture_files(folder):
    """The picture files below a folder, sorted by name, without hidden ones.

    How many other files there are is said in a line. NotADirectoryError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder of pictures")
    files = []
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden:
            files.append(path)
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    num_others = len(files) - len(pictures)
    if num_others > 0:
        say(f"left out in {folder}: {num_others} files that are not {', '.join(SUFFIXES)}")
    return pictures


def scenes_of(folder, other):
    """The scenes of which two folders hold pictures of the same name, but for its ending.

    Returns a list of pairs of files. A line says how many pictures have no partner.
    """
    first, second = (
        {path.relative_to(each).with_suffix(""): path for path in picture_files(each)}
        for each in (folder, other)
    )
    alone = sorted(first.keys() ^ second.keys())
    if alone:
        text = f"the first is {alone[0]}"
        say(f"passed over {len(alone)} pictures without a partner of the same name; {text}")
    return [(first[name], second[name]) for name in first if name in second]


def readable_photographs(paths, smallest):
    """The photographs that can be read, with sides of at least `smallest`; others are named.

    ValueError: there are fewer than two, of which one is kept apart.
    """
    photographs = [path for (path,) in usable_scenes([(path,) for path in paths], smallest)]
    if len(photographs) < 2:
        raise ValueError(f"{len(photographs)} usable photographs; at least 2 are needed")
    return photographs


def usable_scenes(scenes, smallest):
    """Those scenes that can be learned from. Each of the others is named in a line.

    Args:
        scenes: tuples of files: a picture, or two shots of the same scene.
        smallest: pixels that both sides need.

    Returns:
        a dict from the files of a scene to the number of squares of `smallest` pixels in it, where
        squares overlap by half.
    """
    usable = {}
    for paths in track(scenes, "scene"):
        names = " and ".join(map(str, paths))
        try:
            pictures = [read_picture(path) for path in paths]
            height, width = pictures[0].shape[1:]
            if min(height, width) < smallest:
                text = f"{width} x {height} is too small, both sides need {smallest} pixels"
                raise ValueError(text)
            if len(pictures) == 2 and not check_shots(*pictures):
                say(f"warning: {names} show too few clear edges to tell whether they are aligned")
        except (OSError, ValueError) as error:
            say(f"passed over {names}: {error}")
            continue
        usable[paths] = (height * 2 // smallest - 1) * (width * 2 // smallest - 1)
    return usable


def split(paths, share, generator):
    """Split photographs at random: a share of them, at least one, to validate on, and the others.

    Returns two sorted lists of paths.
    """
    order = torch.randperm(len(paths), generator=generator).tolist()
    num_kept = max(round(share * len(paths)), 1)
    shuffled = [paths[place] for place in order]
    return sorted(shuffled[:num_kept]), sorted(shuffled[num_kept:])


def read_scene(paths):
    """The pictures of a scene, which have the same size: uint8 (number, 3, H, W)."""
    return torch.stack([read_picture(path) for path in paths])


def draw_pairs(sources, num_pairs, draw, generator, read=read_picture):
    """Draw pairs of images in random order, as many from each source, or one more from the first.

    Args:
        sources: photographs, or whatever else `read` reads. If there are more of them than pairs,
            some are chosen at random.
        num_pairs: the number of pairs.
        draw: a function of (what was read, generator) that makes the two images of a pair.
        generator: the `torch.Generator` of every random choice.
        read: a function of a source.

    Returns:
        two tensors (num_pairs, 3, 32, 32).
    """
    if num_pairs < len(sources):
        order = torch.randperm(len(sources), generator=generator).tolist()
        sources = [sources[place] for place in sorted(order[:num_pairs])]
    text = f"drawing {num_pairs} pairs from {len(sources)} scenes"
    if len(sources) < FEW:
        text += ", so few that the pairs say little about others"
    say(text)
    shares = torch.randperm(num_pairs, generator=generator).tensor_split(len(sources))
    pairs = [None] * num_pairs
    for source, share in zip(track(sources, "scene"), shares):
        content = read(source)
        for place in share.tolist():
            first, second = draw(content, generator)
            pairs[place] = first.clone(), second.clone()  # so that they do not hold the picture
    return tuple(torch.stack(images) for images in zip(*pairs))
