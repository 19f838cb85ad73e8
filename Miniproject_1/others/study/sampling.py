"""How good the samples of `sample` are, on photographs that no training saw.

    python -m Miniproject_1.others.study.sampling PHOTOGRAPHS [--weights NAME=FILE ...]

Each photograph gives two crops for each of three strengths of noise, and of each crop two noisy
images: one to denoise, one to judge by. `results/sampling.json` has, for each set of weights and
each strength of noise:

- "gradient energy": the mean square of the differences of neighbouring pixels, as a share of that
  of the clean images;
- "one sample", "mean of 64": their mean PSNR in dB;
- "spread over error": the variance between samples, over the squared error of their mean;
- "energy score": of noisy draws, judged by the other noisy image; lower is better;
- "patches": the sliced Wasserstein distance (Bonneel et al., 2015) of squares of 4 x 4 pixels to
  those of the clean images; lower is better.

The same measures are there for the output of `predict` in one pass, and for that output with
independent Gaussian numbers on it, as large as its error. Intervals are over photographs.

`samples.png` shows samples of images of the sample that comes with the project.
"""

from pathlib import Path

import torch
import torch.nn.functional as F

from ..console import progress, tell
from ..data.course_noise import IMAGE_SIZE, SMALLEST_SIDE, average_blocks, sample_blocks
from ..data.files import SAMPLE, load_pairs, sample_photographs
from ..data.photographs import distinct_photographs
from ..metrics import psnr, squared_errors
from ..pictures import comparison, read_picture, write_picture
from ..sampling.sampler import WEIGHTS, Sampler
from ..sampling.scores import drawn, energy_score
from . import parser_of
from .results import save
from .verdicts import DRAWS, middle

SHARES = {"weak": (0.25, 0.5), "medium": (0.5, 0.75), "as in the course": (0.75, 1.0)}
PICTURE = Path(__file__).resolve().parent / "samples.png"
CROPS = 2  # of each photograph, for each strength of noise
SAMPLES = 64
PATCH = 4  # pixels
DIRECTIONS = 64  # of the sliced Wasserstein distance


# ----------------------------------------------------------------------------------------------
# Images


def images_of(photographs, share, generator):
    """Two noisy images and the clean one of crops of photographs: uint8 (N, 3, 32, 32) each."""
    crops = [crop_of(each, share, generator) for each in photographs for _ in range(CROPS)]
    first = torch.stack([sample_blocks(crop, generator) for crop in crops])
    second = torch.stack([sample_blocks(crop, generator) for crop in crops])
    clean = torch.stack([average_blocks(crop) for crop in crops])
    return first, second, clean


def crop_of(photograph, share, generator):
    """A random square of this share of a photograph's short side, in blocks of 2 x 2 or more."""
    height, width = photograph.shape[1:]
    lowest, highest = share
    side = lowest + (highest - lowest) * torch.rand((), generator=generator).item()
    side = max(int(side * min(height, width)) // IMAGE_SIZE, 2) * IMAGE_SIZE
    top = torch.randint(height - side + 1, (), generator=generator).item()
    left = torch.randint(width - side + 1, (), generator=generator).item()
    return photograph[:, top : top + side, left : left + side]


# ----------------------------------------------------------------------------------------------
# Measures


def gradient_energies(images):
    """The mean square of the differences of neighbouring pixels of each image: (N,)."""
    images = images.float() / 255
    vertical = images.diff(dim=2).square().flatten(1).mean(1)
    horizontal = images.diff(dim=3).square().flatten(1).mean(1)
    return vertical + horizontal


def distance_of_patches(images, clean):
    """The sliced Wasserstein distance of the patches of two sets of images, values 0 to 1."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(3 * PATCH**2, DIRECTIONS, generator=generator)
    directions = directions / directions.norm(dim=0)
    projections = [patches(each) @ directions for each in (images, clean)]
    first, second = (each.sort(dim=0).values for each in projections)
    return (first - second).abs().mean().item()


def patches(images):
    """Squares of 4 x 4 pixels, next to each other: (N, 3, H, W) to (patches, 48)."""
    columns = F.unfold(images.float() / 255, PATCH, stride=PATCH)  # (N, 48, places)
    return columns.transpose(1, 2).flatten(0, 1)


def ratio(numerators, denominators):
    """The ratio of two means, with its 95 % interval over photographs.

    Args:
        numerators, denominators: of each image, (N,). Those of a photograph follow one another.
    """
    numerators = numerators.view(-1, CROPS).mean(1)
    denominators = denominators.view(-1, CROPS).mean(1)
    generator = torch.Generator().manual_seed(0)
    drawn_rows = torch.randint(len(numerators), (DRAWS, len(numerators)), generator=generator)
    ratios = numerators[drawn_rows].mean(1) / denominators[drawn_rows].mean(1)
    low, high = middle(ratios)
    return {"score": (numerators.mean() / denominators.mean()).item(), "low": low, "high": high}


def mean(values):
    """A mean over images, with its 95 % interval over photographs."""
    return ratio(values, torch.ones_like(values))


def measured(samples, noisy_draws, mean_of_all, spread, judge, clean):
    """All measures of one way to make images.

    Args:
        samples: two samples; where there is one output alone, the same twice.
        noisy_draws: of these two.
        mean_of_all: the mean of all samples.
        spread: the variance between samples of each image, (N,), values 0 to 1.
        judge: the second noisy images.
        clean: what they are noisy versions of.
    """
    score = energy_score(*(each.float() / 255 for each in (*noisy_draws, judge)))
    error = squared_errors(mean_of_all, clean)
    return {
        "gradient energy": ratio(gradient_energies(samples[0]), gradient_energies(clean)),
        "one sample": mean(psnr(samples[0], clean)),
        "mean of 64": mean(psnr(mean_of_all, clean)),
        "spread over error": ratio(spread, error * SAMPLES / (SAMPLES + 1)),
        "energy score": mean(score),
        "patches": distance_of_patches(samples[0], clean),
    }


def of_sampler(sampler, noisy, judge, clean):
    """The measures of samples, and the images that pictures show."""
    generator = torch.Generator().manual_seed(1)
    kept, draws = [], []
    total, squares = 0, 0
    for colours in progress(sampler.colours(noisy, SAMPLES), SAMPLES, "sample"):
        sample = colours.mean(1).clamp(0, 255)
        total = total + sample
        squares = squares + sample**2
        if len(kept) < 3:
            number, kinds, _, height, width = colours.shape
            picks = torch.randint(kinds, (number, 1, height, width), generator=generator)
            draws.append(drawn(colours, picks / 255))
            kept.append(sample)
    mean_of_all = total / SAMPLES
    variance = (squares / SAMPLES - mean_of_all**2) * SAMPLES / (SAMPLES - 1)
    spread = (variance / 255**2).flatten(1).mean(1)
    return measured(kept[:2], draws[:2], mean_of_all, spread, judge, clean), kept


def of_baselines(output, judge, clean):
    """The measures of the output of `predict`, and of that with random numbers on it."""
    generator = torch.Generator().manual_seed(2)

    def with_noise(variance):
        noise = torch.randn(output.shape, generator=generator)
        return output + noise * 255 * variance**0.5

    variance = squared_errors(output, clean).mean()  # of a pixel
    of_draws = squared_errors(output, judge).mean()
    none = torch.zeros(len(output))
    samples = [with_noise(variance) for _ in range(2)]
    draws = [with_noise(of_draws) for _ in range(2)]
    return {
        "predict": measured([output] * 2, [output] * 2, output, none, judge, clean),
        "predict and Gaussian numbers": measured(
            samples, draws, output, none + variance, judge, clean
        ),
    }


def draw_picture(sampler, path):
    """Noisy images, what `predict` and `sample` make of them, and the clean images."""
    places = [numbers[0] for numbers in list(sample_photographs().values())[::2]]
    noisy, clean = (images[places] for images in load_pairs(SAMPLE, "val_data.pkl"))
    samples = list(sampler.samples(noisy, number=3))
    rows = [noisy, sampler.model.predict(noisy), *samples, clean]
    labels = ("noisy", "predict", "sample 1", "sample 2", "sample 3", "clean")
    write_picture(comparison(rows, labels=labels), path)


def main():
    """Measure, print and file."""
    parser = parser_of(__doc__)
    parser.add_argument("photographs", type=Path, help="folder of some that no training saw")
    text = f"sets of weights, by the name that the results give them; default: pairs={WEIGHTS.name}"
    parser.add_argument(
        "--weights", nargs="+", default=[f"pairs={WEIGHTS}"], metavar="NAME=FILE", help=text
    )
    options = parser.parse_args()
    pictures = [read_picture(path) for path in distinct_photographs(options.photographs)]
    pictures = [each for each in pictures if min(each.shape[1:]) >= SMALLEST_SIDE]
    samplers = {}
    for text in options.weights:
        name, path = text.split("=", 1)
        samplers[name] = Sampler(path, device="cpu")
    rows = []
    for strength, share in SHARES.items():
        generator = torch.Generator().manual_seed(0)
        noisy, judge, clean = images_of(pictures, share, generator)
        output = next(iter(samplers.values())).model.predict(noisy, average=False)
        found = of_baselines(output, judge, clean)
        for name, sampler in samplers.items():
            found[name], _ = of_sampler(sampler, noisy, judge, clean)
        noisy_psnr = psnr(noisy, clean).mean().item()
        rows.append({"noise": strength, "noisy_psnr": noisy_psnr, "measures": found})
        for name, measures in found.items():
            values = ", ".join(
                f"{key} {value['score'] if isinstance(value, dict) else value:.4g}"
                for key, value in measures.items()
            )
            tell(f"{strength}, {name}: {values}")
    draw_picture(next(iter(samplers.values())), PICTURE)
    save("sampling", {"photographs": len(pictures), "images": len(noisy), "rows": rows})


if __name__ == "__main__":
    main()
