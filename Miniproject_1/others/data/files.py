"""Data files in the course's format, and the sample that comes with the project."""

import json
from pathlib import Path

import torch

from ...model import check_choice
from ..metrics import LOSSES

SAMPLE = Path(__file__).resolve().parent / "sample"
NEIGHBOURS = "neighbouring pixels"  # the name of the noise in pairs from single pictures
ADVICE = "torch.save((noisy, clean), path) writes a data file: two tensors of shape (N, 3, H, W)"


def load_pairs(path, name):
    """Read a data file: pairs of images as two tensors.

    Args:
        path: the file, or the folder that holds it.
        name: its name in such a folder, "train_data.pkl" or "val_data.pkl".

    Returns:
        two tensors (N, 3, H, W), values 0 to 255: uint8 in the course's format; int16 with other
        noises, which go beyond.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: it is damaged, or does not hold two such tensors.
    """
    path = Path(path)
    if path.is_dir():
        path = path / name
    try:
        first, second = torch.load(str(path), map_location="cpu", weights_only=True)
        if first.dim() != 4 or first.shape[1] != 3 or first.shape != second.shape:
            raise ValueError("other shapes")
    except OSError:  # it names the file
        raise
    except Exception as error:  # damaged files and other contents raise nearly everything
        raise ValueError(f"{path} holds no pairs of images; {ADVICE}") from error
    return first, second


def load_record(path):
    """What the train_data.json beside data says of their noise.

    Args:
        path: a data file, or the folder that holds a train_data.pkl.

    Returns:
        dict of "noise", what it is called, and of "loss", the name in `metrics.LOSSES` of the loss
        that it needs. Without that file they are "unknown" and "mse".
    """
    if path.is_dir():
        path = path / "train_data.pkl"
    beside = path.with_suffix(".json")
    record = {"noise": "unknown", "loss": "mse"}
    if beside.exists():
        record.update(json.loads(beside.read_text()))
    check_choice("loss", record["loss"], LOSSES)
    return record


def sample_photographs():
    """The places in the sample's val_data.pkl of the 14 images of each photograph, by its name."""
    return json.loads((SAMPLE / "photographs.json").read_text())
