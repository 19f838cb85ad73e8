"""`make-pairs`: from two folders of a user's own noisy pictures to data files."""

from pathlib import Path

import torch

from ..console import say, tell
from ..data.checks import doubts_about_validation
from ..data.photographs import draw_pairs
from ..data.shots import (
    name_those_without_partner,
    pictures_by_name,
    read_scene,
    squares_of_scene,
    usable_scenes,
)
from ..outputs import make_folder, reserved, save_somewhere
from ..pictures import pillow
from .make_data import add_output_arguments, check_output_numbers, warn_of_another


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Build train_data.pkl, and val_data.pkl if there are clean pictures, from two noisy shots "
        "of every scene, as of a burst or of two scans. Pictures with the same name, but for its "
        "ending, show the same scene. Pictures that do not fit are named and passed over; if some "
        "cannot be read, the exit status is 1. A warning says where the noise of two shots is not "
        "independent."
    )
    text = "folder of the first shots; folders within it are searched too"
    parser.add_argument("first", type=Path, metavar="SHOTS_1", help=text)
    text = "folder of the second shots, under the same names"
    parser.add_argument("second", type=Path, metavar="SHOTS_2", help=text)
    add_output_arguments(parser, "scenes with clean pictures", "with --clean: pairs")
    text = "folder of the same scenes without noise, or of some of them, to validate on"
    parser.add_argument("--clean", type=Path, metavar="FOLDER", help=text)


def run(options):
    """Build data files from two folders of shots; returns the exit status."""
    check_output_numbers(options)
    generator = torch.Generator().manual_seed(options.seed)
    pillow()
    if options.train_pairs == 0:
        raise ValueError("--train-pairs must be at least 1")
    with_validation = options.clean is not None and options.validation_pairs > 0
    first = pictures_by_name(options.first)
    second = pictures_by_name(options.second)
    train_file = options.data / "train_data.pkl"
    validation_file = options.data / "val_data.pkl"
    wanted = [train_file]
    if with_validation:
        clean_files = pictures_by_name(options.clean)
        wanted.append(validation_file)

    make_folder(options.data)
    warn_of_another(validation_file, with_validation)
    with reserved(*wanted, overwrite=options.overwrite):
        name_those_without_partner(first, second)
        scenes, num_failed = usable_scenes(first, second)
        all_in_place = True
        if with_validation:
            kept, num_clean_failed = kept_scenes(scenes, first, clean_files, options, generator)
            num_failed += num_clean_failed
            noisy, clean = drawn_pairs(kept, options.validation_pairs, generator)
            all_in_place = written_in_place((noisy, clean), validation_file, kept, options)
            for doubt in doubts_about_validation(noisy, clean):
                say(f"warning: {options.first} and {options.clean}: {doubt}")
            scenes = {name: paths for name, paths in scenes.items() if name not in kept}
        pairs = drawn_pairs(scenes, options.train_pairs, generator)
        all_in_place = written_in_place(pairs, train_file, scenes, options) and all_in_place
    if num_failed > 0 or not all_in_place:
        return 1
    return 0


def kept_scenes(scenes, first, clean, options, generator):
    """Choose scenes to validate on, at random among those with a clean picture.

    Args:
        scenes: all usable ones, by name.
        first, clean: noisy and clean pictures, by name.

    Returns:
        dict from the name of a scene to its noisy and its clean file, and how many scenes could
        not be read.
    """
    noisy = {name: first[name] for name in scenes}
    for name in sorted(set(clean) - set(first)):
        say(f"passed over {clean[name]}: it has no partner in {options.first}")
    if not set(clean) & set(noisy):
        raise ValueError(f"--clean: {options.clean} has no picture of a scene that can be used")
    usable, num_failed = usable_scenes(noisy, clean, check_noise=False, refused="not validated on:")
    names = sorted(usable)
    order = torch.randperm(len(names), generator=generator).tolist()
    num_kept = max(round(options.validation_share * len(names)), 1)
    num_kept = min(num_kept, len(scenes) - 1)  # one is left to train on
    if num_kept == 0:
        raise ValueError("one scene is too few to train on some and validate on others")
    chosen = sorted(names[place] for place in order[:num_kept])
    return {name: usable[name] for name in chosen}, num_failed


def drawn_pairs(scenes, num_pairs, generator):
    """Draw pairs from scenes: two tensors (N, 3, 32, 32)."""
    files = list(scenes.values())
    return draw_pairs(files, num_pairs, squares_of_scene, generator, read_scene, label="scene")


def written_in_place(pairs, path, scenes, options):
    """Write pairs, and return whether they could be written where the user wants them."""
    written = save_somewhere(pairs, path, options.overwrite)
    num_pairs = len(pairs[0])
    tell(f"{written}: {num_pairs} pairs from {min(num_pairs, len(scenes))} scenes")
    return written == path
