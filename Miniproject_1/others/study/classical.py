"""Classical methods on the images that the study's trainings are scored by.

They are measured on the sample that comes with the project, too, and on the val_data.pkl in DATA.

BM3D (Dabov et al., 2007, the package of its authors) and non-local means are told how strong the
noise of each image is, and BM3D on Poisson noise its peak, which a network is not told. A median
filter takes 3 x 3 pixels. Inpainting (with biharmonic functions) is told which pixels are missing,
and keeps all others as they are.
"""

from pathlib import Path

import torch
from bm3d import bm3d, bm3d_rgb
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means, inpaint_biharmonic

from ...model import track
from ..console import tell
from ..data.files import SAMPLE, load_pairs
from ..data.noises import NOISES
from ..metrics import psnr
from .material import PACKED, Images, Material, pack
from .results import save


def bm3d_of_counts(noisy, sigma):
    """BM3D of counted photons, after Anscombe's transform, which makes all of them equally noisy.

    The way back is without bias (Makitalo and Foi, "A closed-form approximation of the exact
    unbiased inverse of the Anscombe variance-stabilizing transformation", 2011).
    """
    peak = NOISES["Poisson"].default
    transformed = 2 * (noisy * peak + 3 / 8) ** 0.5  # its noise has a standard deviation of 1
    highest = transformed.max()
    found = highest * bm3d_rgb(transformed / highest, 1 / highest)
    found = found.clip(2 * (3 / 8) ** 0.5)
    root = 1.5**0.5
    photons = found**2 / 4 + root / (4 * found) - 11 / (8 * found**2) + 5 * root / (8 * found**3)
    return (photons - 1 / 8).clip(0) / peak


def inpainted(noisy, sigma):
    return inpaint_biharmonic(noisy, (noisy == 0).all(2), channel_axis=-1)


METHODS = {  # functions of a noisy image and the standard deviation of its noise
    "median filter": lambda noisy, sigma: median_filter(noisy, size=(3, 3, 1), mode="mirror"),
    "non-local means": lambda noisy, sigma: denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, channel_axis=-1
    ),
    "BM3D": bm3d,  # of each channel: in opponent colours, noise that all share is underrated
}
SPECIAL_METHODS = {  # for some noises
    "Gaussian": {"BM3D": bm3d_rgb},  # in opponent colours, for noise independent in each channel
    "Poisson": {"BM3D": bm3d_of_counts},
    "Bernoulli": {"inpainting": inpainted},
}


def denoised(images, method):
    """Denoise `material.Images` one by one: (N, 3, H, W), values 0 to 255."""
    results = []
    for pair in track(list(zip(*images)), "image"):
        noisy, clean = [(each.double() / 255).permute(1, 2, 0).numpy() for each in pair]
        sigma = float(((noisy - clean) ** 2).mean() ** 0.5)
        result = torch.from_numpy(method(noisy, sigma)).permute(2, 0, 1)
        results.append((255 * result).clamp(0, 255))
    return torch.stack(results)


def add_arguments(parser):
    parser.add_argument("--photographs", nargs="+", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--data", type=Path, required=True)


def run(options):
    """Measure everything and file it. Returns the exit status."""
    pack(options.photographs)
    material = Material(PACKED, "cpu")
    sets = {
        "sample": Images(*load_pairs(SAMPLE, "val_data.pkl")),
        "test": Images(*load_pairs(options.data, "val_data.pkl")),
        **{noise: material.kept_apart(noise)[0] for noise in ("blocks", *NOISES)},
    }
    results = {}
    for set_name, images in sets.items():
        found = results[set_name] = {"noisy": psnr(images.noisy, images.clean).tolist()}
        for name, method in {**METHODS, **SPECIAL_METHODS.get(set_name, {})}.items():
            found[name] = psnr(denoised(images, method), images.clean).tolist()
            tell(f"{set_name}, {name}: {sum(found[name]) / len(found[name]):.2f} dB")
    save("classical", results)
    return 0
