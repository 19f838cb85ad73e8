"""`make-pairs`: from a user's own noisy pictures to pairs to train on."""

from ...model import check_number
from ..console import say
from ..data.course_noise import IMAGE_SIZE, random_square
from ..data.files import NEIGHBOURS
from ..data.photographs import draw_pairs, picture_files, read_scene, scenes_of, usable_scenes
from ..data.shots import neighbours
from .make_data import TRAINING_FILES, add_output_arguments, prepared, write_training_data
from .options import path

NEEDS = (
    "noise that is independent from pixel to pixel and zero in the mean. JPEG, demosaicing and "
    "denoising in a camera break that, and the network then keeps such noise"
)


def add_arguments(parser):
    parser.description = (
        "Build train_data.pkl from two noisy shots of every scene, as of a burst or of two scans. "
        "Pictures with the same name, but for its ending, show the same scene. Shots that are "
        "identical, shifted, or differ in size or exposure are named and passed over, and the exit "
        "status is 1. With one folder of shots, pairs are made of neighbouring pixels of single "
        f"pictures (Huang et al., 2021), and have half the resolution; this needs {NEEDS}."
    )
    text = "folder of noisy pictures; folders within it are searched too"
    parser.add_argument("first", type=path, metavar="SHOTS_1", help=text)
    text = "folder of other shots of the same scenes, under the same names"
    parser.add_argument("second", type=path, nargs="?", metavar="SHOTS_2", help=text)
    add_output_arguments(parser, ", or as many as the pictures have room for")


def run(options):
    check_number("--train-pairs", options.train_pairs, 1, whole=True)
    generator = prepared(options, TRAINING_FILES)
    if options.second is None:
        say(f"pairs of neighbouring pixels need {NEEDS}")
        scenes = [(picture,) for picture in picture_files(options.first)]
        draw, side, noise = neighbours, 2 * IMAGE_SIZE, NEIGHBOURS
    else:
        scenes = scenes_of(options.first, options.second)
        draw, side, noise = random_square, IMAGE_SIZE, "shots"
    usable = usable_scenes(scenes, side)
    if not usable:
        raise ValueError(f"{options.first} has no scene that can be used")
    num_pairs = min(options.train_pairs, sum(usable.values()))
    pairs = draw_pairs(list(usable), num_pairs, draw, generator, read_scene)
    write_training_data(pairs, options, noise, "mse")
    return 1 if len(usable) < len(scenes) else 0
