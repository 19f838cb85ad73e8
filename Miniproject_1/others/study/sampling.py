"""How good the samples of `sample` are, on photographs that no training saw.

Each photograph gives two crops for each of three strengths of noise, and of each crop two noisy
images: one to denoise, one to judge by. Samples are compared with the output of `predict` in one
pass, and with that output with independent Gaussian noise whose variance is its squared error.
`samples.png` shows samples of images that come with the project.
"""

from pathlib import Path

import torch
import torch.nn.functional as F

from ..console import tell
from ..data.course_noise import CROP_SHARE, average_blocks, random_crop, sample_blocks
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..data.photographs import picture_files
from ..metrics import psnr, squared_errors
from ..pictures import comparison, read_picture, write_picture
from ..sampling.recipe import drawn, energy_score
from ..sampling.sampler import COLOURS, Sampler
from .measure import gradient_energies
from .results import save
from .verdicts import middle, resampled_means

SHARES = {"weak": (0.25, 0.5), "medium": (0.5, 0.75), "as in the course": CROP_SHARE}
PICTURE = Path(__file__).resolve().parent / "samples.png"
CROPS = 2  # of each photograph, for each strength of noise
SAMPLES = 64
PATCH = 4  # pixels
DIRECTIONS = 64  # of the sliced Wasserstein distance


def add_arguments(parser):
    parser.add_argument("photographs", type=Path, help="folder of some that no training saw")


def run(options):
    """Measure, file and draw the picture. Returns the exit status."""
    pictures = [read_picture(path) for path in picture_files(options.photographs)]
    sampler = Sampler(device="cpu")
    rows = []
    for strength, shares in SHARES.items():
        tell(strength)
        noisy, judge, clean = images_of(pictures, shares)
        row = {
            "noise": strength,
            "noisy_psnr": psnr(noisy, clean).mean().item(),
            "measures": measures_of_ways(sampler, noisy, judge, clean),
        }
        rows.append(row)
    save("sampling", {"photographs": len(pictures), "images": len(noisy), "rows": rows})

    shown = [places[0] for places in list(sample_photographs().values())[::2]]
    noisy, clean = (images[shown] for images in load_pairs(SAMPLE, "val_data.pkl"))
    images = [noisy, sampler.model.predict(noisy), *sampler.samples(noisy, number=3), clean]
    labels = ("noisy", "predict", "sample 1", "sample 2", "sample 3", "clean")
    write_picture(comparison(images, labels=labels), PICTURE)
    return 0


def images_of(photographs, shares):
    """Two noisy images and the clean one of crops of photographs: uint8 (N, 3, 32, 32) each."""
    generator = torch.Generator().manual_seed(0)
    repeated = [photograph for photograph in photographs for _ in range(CROPS)]
    crops = [random_crop(photograph, generator, shares) for photograph in repeated]
    first = torch.stack([sample_blocks(crop, generator) for crop in crops])
    second = torch.stack([sample_blocks(crop, generator) for crop in crops])
    return first, second, torch.stack([average_blocks(crop) for crop in crops])


def measures_of_ways(sampler, noisy, judge, clean):
    """What is measured of samples, of the output of `predict`, and of that with noise on it."""

    def measured(samples, draws, mean_of_samples, variance, error):
        """Of two samples, noisy draws of them, and the mean of all samples."""
        return {
            "gradient energy": ratio(gradient_energies(samples[0]), gradient_energies(clean)),
            "one sample": mean(psnr(samples[0], clean)),
            "mean of samples": mean(psnr(mean_of_samples, clean)),
            "spread over error": ratio(variance, error),
            "score by pairs": mean(score(draws, judge)),
            "score": mean(score(samples, clean)),
            "patches": distance_of_patches(samples[0], clean),
        }

    output = sampler.model.predict(noisy, average=False)
    error = squared_errors(output, clean)
    none = torch.zeros_like(error)
    even = none + error.mean()
    deviation = 255 * error.mean().sqrt()
    deviation_of_draws = 255 * squared_errors(output, judge).mean().sqrt()
    noise = torch.randn(4, *output.shape, generator=torch.Generator().manual_seed(2))
    noisy_outputs = (output + deviation * noise[:2]).clamp(0, 255)
    draws_of_outputs = (output + deviation_of_draws * noise[2:]).clamp(0, 255)

    samples = torch.stack(list(sampler.samples(noisy, SAMPLES)))  # (SAMPLES, N, 3, 32, 32)
    mean_of_samples = samples.mean(0)
    variance = (samples / 255).var(0).mean((1, 2, 3))
    # The mean of 64 has a 64th of their variance in its error
    error_of_mean = squared_errors(mean_of_samples, clean) - variance / SAMPLES
    generator = torch.Generator().manual_seed(1)
    draws = []
    for colours in sampler.colours(noisy, 2):
        picks = torch.randint(COLOURS, noisy[:, :1].shape, generator=generator)
        draws.append(drawn(colours, picks))

    return {
        "predict": measured([output] * 2, [output] * 2, output, none, error),
        "predict and noise": measured(noisy_outputs, draws_of_outputs, output, even, error),
        "pairs": measured(samples[:2], draws, mean_of_samples, variance, error_of_mean),
    }


def score(samples, image):
    """The energy score of each image, (N,)."""
    return energy_score(*(each / 255 for each in (*samples, image)))


def ratio(numerators, denominators):
    """The ratio of the means of values of each image, and its 95 % interval over photographs."""
    numerators = numerators.view(-1, CROPS).mean(1)
    denominators = denominators.view(-1, CROPS).mean(1)
    # the same photographs in both
    low, high = middle(resampled_means(numerators) / resampled_means(denominators))
    return {"score": (numerators.mean() / denominators.mean()).item(), "low": low, "high": high}


def mean(values):
    return ratio(values, torch.ones_like(values))


def distance_of_patches(images, clean):
    """The sliced Wasserstein distance (Bonneel et al., 2015) of squares of 4 x 4 pixels."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(3 * PATCH**2, DIRECTIONS, generator=generator)
    directions = directions / directions.norm(dim=0)

    def projections(images):
        columns = F.unfold(images.float() / 255, PATCH, stride=PATCH)  # (N, 48, places)
        return columns.transpose(1, 2).flatten(0, 1) @ directions

    first, second = (projections(each).sort(dim=0).values for each in (images, clean))
    return (first - second).abs().mean().item()
