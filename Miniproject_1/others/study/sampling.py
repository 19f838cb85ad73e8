"""How good the samples of `sample` are, on photographs that no training saw.

Each photograph gives two crops for each of three strengths of noise, and of each crop two noisy
images: one to denoise, one to judge by. The measures are those of `measured`, with 95 % intervals
over photographs. They are there for the output of `predict` in one pass, too, and for that output
with independent Gaussian noise whose variance is its squared error.

`samples.png` shows samples of images of the sample that comes with the project.
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
from ..sampling.sampler import Sampler
from ..sampling.scores import drawn, energy_score
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
        noisy, judge, clean = images_of(pictures, shares)
        output = sampler.model.predict(noisy, average=False)
        measures = of_baselines(output, judge, clean)
        measures["pairs"] = of_sampler(sampler, noisy, judge, clean)  # which it was trained on
        row = {
            "noise": strength,
            "noisy_psnr": psnr(noisy, clean).mean().item(),
            "measures": measures,
        }
        rows.append(row)
        tell(str(row))
    save("sampling", {"photographs": len(pictures), "images": len(noisy), "rows": rows})
    draw_picture(sampler, PICTURE)
    return 0


def images_of(photographs, shares):
    """Two noisy images and the clean one of crops of photographs: uint8 (N, 3, 32, 32) each."""
    generator = torch.Generator().manual_seed(0)
    repeated = [photograph for photograph in photographs for _ in range(CROPS)]
    crops = [random_crop(photograph, generator, shares) for photograph in repeated]
    first = torch.stack([sample_blocks(crop, generator) for crop in crops])
    second = torch.stack([sample_blocks(crop, generator) for crop in crops])
    clean = torch.stack([average_blocks(crop) for crop in crops])
    return first, second, clean


def draw_picture(sampler, path):
    """Noisy images, what `predict` and `sample` make of them, and the clean images."""
    places = [numbers[0] for numbers in list(sample_photographs().values())[::2]]
    noisy, clean = (images[places] for images in load_pairs(SAMPLE, "val_data.pkl"))
    samples = list(sampler.samples(noisy, number=3))
    rows = [noisy, sampler.model.predict(noisy), *samples, clean]
    labels = ("noisy", "predict", "sample 1", "sample 2", "sample 3", "clean")
    write_picture(comparison(rows, labels=labels), path)


# ----------------------------------------------------------------------------------------------
# What is measured


def of_sampler(sampler, noisy, judge, clean):
    """The measures of samples."""
    generator = torch.Generator().manual_seed(1)
    draws = []
    for colours in sampler.colours(noisy, 2):
        number, kinds, _, height, width = colours.shape
        picks = torch.randint(kinds, (number, 1, height, width), generator=generator)
        draws.append(drawn(colours, picks / 255))
    samples = torch.stack(list(sampler.samples(noisy, SAMPLES)))  # (SAMPLES, N, 3, 32, 32)
    mean_of_samples = samples.mean(0)
    spread = (samples / 255).var(0).flatten(1).mean(1)
    # the mean of 64 has a 64th of their variance in its error
    error = squared_errors(mean_of_samples, clean) - spread / SAMPLES
    return measured(samples[:2], draws, mean_of_samples, spread, error, judge, clean)


def of_baselines(output, judge, clean):
    """The measures of the output of `predict`, and of that with noise on it."""
    generator = torch.Generator().manual_seed(2)

    def with_noise(variance):
        noise = torch.randn(output.shape, generator=generator)
        return (output + noise * 255 * variance**0.5).clamp(0, 255)

    error = squared_errors(output, clean)
    samples = [with_noise(error.mean()) for _ in range(2)]
    draws = [with_noise(squared_errors(output, judge).mean()) for _ in range(2)]
    no_spread = torch.zeros(len(output))
    even_spread = no_spread + error.mean()
    return {
        "predict": measured([output] * 2, [output] * 2, output, no_spread, error, judge, clean),
        "predict and noise": measured(samples, draws, output, even_spread, error, judge, clean),
    }


def measured(samples, draws, mean_of_samples, spread, error, judge, clean):
    """All measures of one way to make images. Images have values 0 to 255.

    Args:
        samples: two samples; where there is one output alone, the same twice.
        draws: noisy draws of these two.
        mean_of_samples: of as many as there are.
        spread: the variance between samples of each image, (N,), for values 0 to 1.
        error: the squared error of their expectation, (N,), for values 0 to 1.
        judge: the second noisy images.
        clean: what they are noisy versions of.
    """
    return {
        # A share of that of the clean images
        "gradient energy": ratio(gradient_energies(samples[0]), gradient_energies(clean)),
        "one sample": mean(psnr(samples[0], clean)),
        "mean of samples": mean(psnr(mean_of_samples, clean)),
        "spread over error": ratio(spread, error),
        # Energy scores and distances are better where they are lower
        "score by pairs": mean(score(draws, judge)),
        "score": mean(score(samples, clean)),
        "patches": distance_of_patches(samples[0], clean),
    }


def ratio(numerators, denominators):
    """The ratio of two means, with its 95 % interval over photographs.

    Args:
        numerators, denominators: of each image, (N,). Those of a photograph follow one another.
    """
    numerators = numerators.view(-1, CROPS).mean(1)
    denominators = denominators.view(-1, CROPS).mean(1)
    # the same photographs in both
    low, high = middle(resampled_means(numerators) / resampled_means(denominators))
    return {"score": (numerators.mean() / denominators.mean()).item(), "low": low, "high": high}


def mean(values):
    """A mean over images, with its 95 % interval over photographs."""
    return ratio(values, torch.ones_like(values))


def score(samples, image):
    """The energy score of each image, (N,)."""
    return energy_score(*(each.float() / 255 for each in (*samples, image)))


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
