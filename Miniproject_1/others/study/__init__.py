"""The study: experiments, measurements of the shipped weights, and the report."""

import argparse

from ...model import Model


def parser_of(text):
    """A parser of `argparse` whose help shows this text as it is."""
    return argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def shipped_model(device=None):
    """A `Model` with the weights that come with the project."""
    model = Model(device=device)
    model.load_pretrained_model()
    return model
