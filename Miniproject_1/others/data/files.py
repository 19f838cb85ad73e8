"""Data files in the course's format, and the sample that comes with the project."""

import json
import zipfile
from pathlib import Path

import torch

from ...model import load_tensors

SAMPLE = Path(__file__).resolve().parent / "sample"


def load_pairs(path, name):
    """Read a data file: pairs of images as two tensors.

    They are uint8 in the course's format, int16 or floats with other noises. They are mapped into
    memory: read when they are indexed, and shared by all processes that use the file.

    Args:
        path: the file, or the folder that holds it.
        name: its name in such a folder, "train_data.pkl" or "val_data.pkl".

    Returns:
        two tensors (N, 3, H, W), values 0 to 255 and beyond, where noise goes beyond.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not hold two such tensors.
    """
    path = Path(path)
    if path.is_dir():
        path = path / name
    can_be_mapped = path.is_file() and zipfile.is_zipfile(path) and is_utf8(path)
    pairs = load_tensors(path, mmap=can_be_mapped)
    if not isinstance(pairs, (tuple, list)) or len(pairs) != 2 or not are_pairs(*pairs):
        raise ValueError(f"{path} must hold two tensors of equal shape (N, 3, H, W)")
    return tuple(pairs)


def is_utf8(path):
    """Whether PyTorch can map a file of this name into memory."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def are_pairs(first, second):
    if not isinstance(first, torch.Tensor) or not isinstance(second, torch.Tensor):
        return False
    return first.shape == second.shape and first.dim() == 4 and first.shape[1] == 3 and len(first)


def sample_photographs():
    """Which images of the sample's val_data.pkl show which photograph.

    Returns:
        a dict from the photograph's file name in `sample/sources.md` to 14 indices of images.
    """
    return json.loads((SAMPLE / "photographs.json").read_text())
