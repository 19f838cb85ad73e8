"""The recipe of the weights in sampler.pth, and what they are trained by.

The loss is made of scores that are least for the true distribution. Let y1 be the noisy image that
the second network sees, x the clean image, y2 another noisy image of the same scene, m the output
of the first network, and d, d' the deviations of two samples from it. Noisy images are independent
given the scene, and their mean is x. Pairs determine three things about p(x | y1):

- the mean, E[x | y1] = E[y2 | y1];
- the products of different pixels i and j, E[x_i x_j | y1] = E[y2_i y2_j | y1];
- the squared error of any function f of y1, averaged over all images,
  E (f - x)^2 = E (f - y2)^2 - E (y1 - y2)^2 / 2. The variance between samples should be the
  squared error of their mean.

They do not tell the variance of a single pixel, since the noise within its block adds to it. The
energy score (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation",
2007) compares noisy draws of samples with y2. Two squares pull mean variances to what pairs say of
them: that between samples, and that between the colours of a block. A square of an expectation is
estimated without bias by the product of two independent estimates.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model import Model, Training, accelerated, to_unit_range
from ..training.optimizers import Muon
from ..training.photo_batches import PhotoBatches, generator_on
from .sampler import COLOURS, FIELDS, build_deviation_network, deviations, random_fields

MEAN_VARIANCES = 30.0  # weight of their terms in the loss; the energy score has weight one

# Windows of the energy score: images are reduced by a factor, and compared in squares of pixels
REDUCTIONS = (1, 2, 4)
SQUARES = (1, 2, 4)


@dataclass(frozen=True)
class SamplerRecipe:
    """All numbers of the run."""

    pairs: int = 128_000  # noisy images that the network sees, each once, with another one
    batch_size: int = 16  # noisy images in a step; each has two samples
    learning_rate: float = 0.004  # after the warm-up; then it falls to zero in a straight line
    warm_up: int = 50  # steps in which the rate rises from zero
    momentum: float = 0.95
    small_crops: float = 0.3  # see `PhotoBatches`
    seed: int = 0

    def num_steps(self):
        return math.ceil(self.pairs / self.batch_size)

    def learning_rate_at(self, step):
        risen = (step + 1) / self.warm_up
        return self.learning_rate * min(risen, 1) * (1 - step / self.num_steps())


def sampler_training(recipe, photographs, device=None):
    """The `Training` of a `SamplerRecipe`, on pairs that are drawn from a `Photographs`."""
    model = Model(device=device)
    model.load_pretrained_model()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_deviation_network().to(model.device)
    return Training(
        network,
        sampler_batches(recipe, photographs, model),
        recipe.num_steps(),
        lbfgs_iterations=0,
        optimizer=Muon,
        learning_rate=recipe.learning_rate_at,
        momentum=recipe.momentum,
        loss=sampler_loss,
    )


def sampler_batches(recipe, photographs, model):
    """A function of the step that returns inputs of the second network, and targets.

    They follow from seed and step alone. Each noisy image comes twice, with different fields. See
    `sampler_loss`; here all values are times 255, since `Training` divides by it.
    """
    pairs = PhotoBatches(photographs, recipe.batch_size, recipe.small_crops, seed=recipe.seed)
    mean_network = accelerated(model.network, "auto")

    def batch(step):
        y1, y2 = (to_unit_range(images, model.device) for images in pairs(step))
        with torch.no_grad():
            mean = mean_network(y1).clamp(0, 1)
        images = torch.cat([y1, mean, y2], dim=1).repeat(2, 1, 1, 1)  # (2 B, 9, H, W)
        generator = generator_on(model.device, recipe.seed, f"sample {step}")

        def random(number, channels):
            shape = (len(images), channels, *images.shape[2:])
            return torch.randint(number, shape, generator=generator, device=model.device)

        fields = random_fields(random(256, FIELDS) / 255)
        picks = random(COLOURS, 1)
        inputs = torch.cat([images[:, :6], fields], dim=1)
        return 255 * inputs, 255 * torch.cat([images, fields, picks], dim=1)

    return batch


def sampler_loss(output: Tensor, target: Tensor) -> Tensor:
    """The loss of two samples for each of B noisy images.

    Args:
        output: (2 B, ...), of the second network.
        target: (2 B, 10 + FIELDS, H, W): y1, m, y2, which are the same in both halves, the fields,
            and the number of a colour of each block, 0 to COLOURS - 1.
    """
    y1, mean, y2, fields, picks = target.split((3, 3, 3, FIELDS, 1), dim=1)
    colours = deviations(output, fields)  # (2 B, COLOURS, 3, H, W)
    deviation_1, deviation_2 = colours.mean(1).chunk(2)
    draw_1, draw_2 = drawn(colours, picks.round()).chunk(2)
    error, _ = (y2 - mean).chunk(2)

    noise, _ = (means((y1 - y2).square()) / 2).chunk(2)
    spread = means((deviation_1 - deviation_2).square()) / 2
    error_of_mean = means((error - deviation_1) * (error - deviation_2)) - noise
    of_colours = means(colours.var(1, unbiased=False)).view(2, -1).mean(0)
    squares = squared_mean(spread - error_of_mean) + squared_mean(of_colours - noise)
    return energy_score(draw_1, draw_2, error).mean() + MEAN_VARIANCES * squares


def drawn(colours: Tensor, picks: Tensor) -> Tensor:
    """Of colours (N, COLOURS, 3, H, W) those that `picks` number, (N, 1, H, W): (N, 3, H, W)."""
    places = picks.long()[:, :, None]  # (N, 1, 1, H, W)
    return colours.gather(1, places.expand(-1, -1, 3, -1, -1))[:, 0]


def means(images: Tensor) -> Tensor:
    """The mean of each image: (N, 3, H, W) to (N,)."""
    return images.mean((1, 2, 3))


def squared_mean(gaps: Tensor) -> Tensor:
    """The square of the expectation of values (N,), without bias: it may come out negative."""
    first, second = gaps.tensor_split(2)
    return first.mean() * second.mean()


def energy_score(sample_1: Tensor, sample_2: Tensor, image: Tensor) -> Tensor:
    """E |sample - image| - E |sample - other sample| / 2 of each image, (N,), by windows.

    The samples are independent, and judged by the image; all are (N, 3, H, W).
    """
    scores = []
    for reduction in REDUCTIONS:
        first = F.avg_pool2d(sample_1, reduction)
        second = F.avg_pool2d(sample_2, reduction)
        truth = F.avg_pool2d(image, reduction)
        for side in SQUARES:
            to_image = norms(first - truth, side) + norms(second - truth, side)
            between = norms(first - second, side)
            scores.append(means(to_image - between) / 2)
    return torch.stack(scores).mean(0)


def norms(images: Tensor, side: int) -> Tensor:
    """In each window of side x side pixels, the root of the mean of the sum over channels."""
    squares = images.square().sum(1, keepdim=True)
    squares = F.avg_pool2d(squares, side, stride=max(side // 2, 1))
    return torch.sqrt(squares + 1e-8)  # whose gradient is finite at zero
