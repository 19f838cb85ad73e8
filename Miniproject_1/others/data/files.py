"""Data files in the course's format, and the sample that comes with the project."""

import json
import warnings
import zipfile
from pathlib import Path

import torch

from ...model import check_choice
from ..metrics import LOSSES

SAMPLE = Path(__file__).resolve().parent / "sample"
ADVICE = "torch.save((noisy, clean), path) writes a data file: two tensors of shape (N, 3, H, W)"


def load_pairs(path, name):
    """Read a data file: pairs of images as two tensors.

    They are uint8 in the course's format, int16 with other noises. PyTorch maps the file into
    memory: what is indexed is read, and several processes share it. Whoever turns them into floats,
    as `model.check_images` does with all but uint8, copies them whole.

    Args:
        path: the file, or the folder that holds it.
        name: its name in such a folder, "train_data.pkl" or "val_data.pkl".

    Returns:
        two dense tensors (N, 3, H, W), finite values 0 to 255, and beyond where noise goes beyond.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: it is damaged, or does not hold two such tensors.
    """
    path = Path(path)
    if path.is_dir():
        path = path / name
    can_be_mapped = zipfile.is_zipfile(path)  # as PyTorch writes files since version 1.6
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that PyTorch has not written
            pairs = torch.load(str(path), map_location="cpu", weights_only=True, mmap=can_be_mapped)
    except OSError:  # it names the file
        raise
    except Exception as error:  # damaged files raise nearly everything
        raise ValueError(f"{path} cannot be read; {ADVICE}") from error
    are_two = isinstance(pairs, (tuple, list)) and len(pairs) == 2
    if not are_two or not all(map(are_images, pairs)) or pairs[0].shape != pairs[1].shape:
        raise ValueError(f"{path} does not hold two tensors of images of equal shape; {ADVICE}")
    for images in pairs:
        if images.is_floating_point() and not torch.isfinite(images).all():
            raise ValueError(f"{path} holds values that are not finite numbers")
    return tuple(pairs)


def are_images(value):
    """Whether it is a dense tensor (N, 3, H, W) of integers or floats, none of the sizes 0."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return False
    is_real = value.dtype != torch.bool and not value.is_complex()
    return is_real and value.dim() == 4 and value.shape[1] == 3 and value.numel() > 0


def record(noise, loss, seed):
    """What train_data.json says about the train_data.pkl beside it."""
    return json.dumps({"noise": noise, "loss": loss, "seed": seed}) + "\n"


def load_loss(path):
    """The name of the loss that data need, which depends on their noise.

    Args:
        path: a data file, or the folder that holds a train_data.pkl.

    Returns:
        a name in `metrics.LOSSES`: the one in the `record` beside the file, "mse" without it.

    Raises:
        OSError: the record may not be read.
        ValueError: it does not name a loss.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "train_data.pkl"
    beside = path.with_suffix(".json")
    if not beside.exists():
        return "mse"
    try:
        return check_choice("loss", json.loads(beside.read_text())["loss"], LOSSES)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{beside} does not say which loss {path.name} needs") from error


def sample_photographs():
    """Which images of the sample's val_data.pkl show which photograph.

    Returns:
        a dict from the photograph's file name in `sample/sources.md` to 14 indices of images.
    """
    return json.loads((SAMPLE / "photographs.json").read_text())
