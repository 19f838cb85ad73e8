"""Classical methods on the images that the study's trainings are scored by.

    python -m Miniproject_1.others.study.classical --photographs FOLDER ... --data DATA

They are measured on the sample that comes with the project, too, and on the val_data.pkl in DATA.

BM3D (Dabov et al., 2007, the package of its authors) and non-local means are told how strong the
noise of each image is, and BM3D on Poisson noise its peak, which a network is not told. A median
filter takes 3 x 3 pixels. Inpainting (with biharmonic functions) is told which pixels are missing,
and keeps all others as they are. What `results/classical.json` has already is not repeated.
Needs: pip install bm3d scikit-image
"""

from pathlib import Path

import torch
import torch.nn.functional as F

from ..console import progress, tell
from ..data.files import SAMPLE, load_pairs
from ..data.noises import NOISES, default_strength
from ..metrics import psnr
from . import parser_of
from .material import PACKED, Images, Material, pack
from .results import load, save


def bm3d(noisy, clean):
    """BM3D of each channel. In opponent colours, noise that all channels share is underrated."""
    from bm3d import bm3d as denoise

    return denoise(noisy, strength(noisy, clean))


def bm3d_of_colours(noisy, clean):
    """BM3D in opponent colours, for noise that is independent in each channel."""
    from bm3d import bm3d_rgb

    return bm3d_rgb(noisy, strength(noisy, clean))


def bm3d_of_counts(noisy, clean):
    """BM3D of counted photons, after Anscombe's transform, which makes all of them equally noisy.

    The way back is without bias (Makitalo and Foi, "A closed-form approximation of the exact
    unbiased inverse of the Anscombe variance-stabilizing transformation", 2011).
    """
    from bm3d import bm3d_rgb

    _, peak = default_strength("Poisson")
    transformed = 2 * (noisy * peak + 3 / 8) ** 0.5  # its noise has a standard deviation of 1
    highest = transformed.max()
    found = highest * bm3d_rgb(transformed / highest, 1 / highest)
    found = found.clip(2 * (3 / 8) ** 0.5)
    root = 1.5**0.5
    photons = found**2 / 4 + root / (4 * found) - 11 / (8 * found**2) + 5 * root / (8 * found**3)
    return (photons - 1 / 8).clip(0) / peak


def non_local_means(noisy, clean):
    """Non-local means with the usual settings for this strength of noise."""
    from skimage.restoration import denoise_nl_means

    sigma = strength(noisy, clean)
    return denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, channel_axis=-1
    )


def median_filter(noisy, clean):
    """The median of 3 x 3 pixels, in each channel."""
    image = torch.from_numpy(noisy).permute(2, 0, 1)[None]
    windows = F.pad(image, (1, 1, 1, 1), mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1)
    return windows.flatten(4).median(4).values[0].permute(1, 2, 0).numpy()


def inpainting(noisy, clean):
    """Smooth functions through the pixels that are there; black ones are missing."""
    from skimage.restoration import inpaint_biharmonic

    return inpaint_biharmonic(noisy, (noisy == 0).all(2), channel_axis=-1)


def strength(noisy, clean):
    """The standard deviation of the noise of an image."""
    return float(((noisy - clean) ** 2).mean() ** 0.5)


FOR_ALL = {  # the slowest last
    "median filter": median_filter, "non-local means": non_local_means, "BM3D": bm3d,
}  # fmt: skip


def methods_for(noise):
    """What is measured on images with this noise: functions of a noisy and a clean image."""
    methods = dict(FOR_ALL)
    if noise == "Gaussian":
        methods["BM3D"] = bm3d_of_colours
    if noise == "Poisson":
        methods["BM3D"] = bm3d_of_counts
    if noise == "Bernoulli":
        methods["inpainting"] = inpainting
    return methods


def denoised(images, method):
    """Denoise `material.Images` one by one: (N, 3, H, W), values 0 to 255."""
    results = []
    for noisy, clean in progress(zip(images.noisy, images.clean), len(images.noisy), label="image"):
        arrays = [(each.double() / 255).permute(1, 2, 0).numpy() for each in (noisy, clean)]
        result = torch.from_numpy(method(*arrays)).permute(2, 0, 1)
        results.append((255 * result).clamp(0, 255))
    return torch.stack(results)


def main():
    """Measure what has no result yet, and file it."""
    parser = parser_of(__doc__)
    parser.add_argument("--photographs", nargs="+", type=Path, required=True, metavar="FOLDER")
    text = "a val_data.pkl, or the folder that holds it"
    parser.add_argument("--data", type=Path, required=True, help=text)
    options = parser.parse_args()
    pack(options.photographs, PACKED)
    material = Material(PACKED, "cpu")
    sets = {
        "sample": Images(*load_pairs(SAMPLE, "val_data.pkl")),
        "test": Images(*load_pairs(options.data, "val_data.pkl")),
    }
    for noise in ("blocks", *NOISES):
        sets[noise] = material.kept_apart(noise)[0]
    results = load("classical") or {}
    for name_of_set, images in sets.items():
        noisy = psnr(images.noisy, images.clean)
        found = results.setdefault(name_of_set, {"noisy": noisy.tolist()})
        before = torch.tensor(found["noisy"])
        if before.shape != noisy.shape or not torch.allclose(before, noisy, atol=0.001):
            raise ValueError(
                f"results/classical.json has {name_of_set} of other images; remove the file"
            )
        for name, method in methods_for(name_of_set).items():
            if name not in found:
                found[name] = psnr(denoised(images, method), images.clean).tolist()
                save("classical", results)
            tell(f"{name_of_set}, {name}: {sum(found[name]) / len(found[name]):.2f} dB")


if __name__ == "__main__":
    main()
