"""Options that several commands have."""

import argparse
from pathlib import Path

from ...model import WEIGHTS, Model


def path(text):
    """A type for `add_argument`: a path, but not the empty one of an unset shell variable."""
    if not text:
        raise argparse.ArgumentTypeError("the name of a file or folder must not be empty")
    return Path(text)


def add_device(parser):
    text = "cpu, cuda, ...; default: the GPU where there is one"
    parser.add_argument("--device", metavar="NAME", help=text)


def add_overwrite(parser):
    text = "replace output files that exist already"
    parser.add_argument("--overwrite", action="store_true", help=text)


def add_prediction_options(parser):
    """Add what `denoise` and `evaluate` let users choose about the network."""
    text = "weights to use; default: those that come with the project"
    parser.add_argument("--weights", type=path, default=WEIGHTS, metavar="FILE", help=text)
    text = "denoise once, without the mean over 8 flips: 8 times faster, 0.07 dB less"
    parser.add_argument("--one-pass", action="store_true", help=text)
    add_device(parser)


def load_model(options):
    """The `Model` that the options of `add_prediction_options` ask for."""
    if options.weights.suffix == ".checkpoint":
        raise ValueError(f"{options.weights} is a checkpoint, which 'train --resume' goes on with")
    model = Model(device=options.device)
    model.load_pretrained_model(options.weights)
    return model
