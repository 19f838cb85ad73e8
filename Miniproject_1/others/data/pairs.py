"""Data files in the course's format, and how good a denoiser is on them: PSNR on pairs of noisy and clean images."""

import time
import zipfile
from pathlib import Path

import torch

from ...model import load_file

SAMPLE = Path(__file__).resolve().parent / "sample"  # photographs that may be shipped; sources.md lists them


def places_in_sample():
    """Which images of the sample's val_data.pkl show the same photograph: a tensor (15, 14), a row for each."""
    return places(21, 15, 210)


def places(num_photos, num_kept, num_pairs, seed=0):
    """Which pairs of a val_data.pkl are of the same photograph: a tensor (num_kept, pairs of each).

    `make_data` draws first the order of all photographs, of which it keeps some, then the places of the pairs, of which
    each photograph has the same number here.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.randperm(num_photos, generator=generator)
    return torch.randperm(num_pairs, generator=generator).view(num_kept, -1)


def psnr(images, reference):
    """Peak signal-to-noise ratio of each image, in dB; infinite where they are equal.

    The course's formula; its score is the mean over images. `-10 log10` of the mean error over all images, as in the
    report of Brown et al., gives about 1 dB less on the same pictures.

    Args:
        images, reference: (N, 3, H, W), values 0 to 255, any real dtype.

    Returns:
        float32 tensor (N,).
    """
    difference = (images.float() - reference.float()) / 255
    return -10 * torch.log10(difference.square().mean((1, 2, 3)))


def described(values):
    """A mean PSNR in words: over the finite ones of `values` (N,), and how many images are exact."""
    finite = values[values.isfinite()]
    text = f"{finite.mean().item():6.2f} dB" if len(finite) else "   all"
    exact = len(values) - len(finite)
    return text + (f" ({exact} exact, not in the mean)" if len(finite) and exact else " exact" if exact else "")


def load_pairs(path, name):
    """The two tensors (N, 3, H, W) of a data file: uint8 in the course's format, int16 or floats with other noises.

    They are memory-mapped: read where and when they are indexed, and shared by all processes that read the file.

    Args:
        path: the file, or the folder that holds it.
        name: its name in such a folder, "train_data.pkl" or "val_data.pkl".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not hold two such tensors.
    """
    path = Path(path)
    path = path / name if path.is_dir() else path
    pairs = load_file(path, mmap=zipfile.is_zipfile(path))
    if (
        not isinstance(pairs, (tuple, list))
        or len(pairs) != 2
        or not all(isinstance(images, torch.Tensor) and images.dim() == 4 for images in pairs)
        or pairs[0].shape != pairs[1].shape
    ):
        raise ValueError(f"{path} must hold two tensors of equal shape (N, 3, H, W)")
    return tuple(pairs)


def evaluate(model, noisy, clean, average=True, precision="float32"):
    """Denoise all images, `average` and `precision` as in `predict`, and compare.

    Returns:
        the denoised images, float32 (N, 3, H, W); their number a second; the PSNR in dB of each noisy and of each
        denoised image, two tensors (N,).
    """
    start = time.perf_counter()
    denoised = model.predict(noisy, average=average, progress=len(noisy) >= 1000, precision=precision).cpu()
    speed = len(noisy) / (time.perf_counter() - start)
    return denoised, speed, psnr(noisy, clean), psnr(denoised, clean)


def report(speed, before, after):
    """Print what `evaluate` found."""
    print(f"{len(before)} images, {speed:.0f} a second")
    print(f"noisy    {described(before)} PSNR, mean over images")
    print(f"denoised {described(after)}")
