"""The recipe of the weights in sampler.pth, and the training that it describes.

Terms of the loss were compared by one run each of 4,800 pairs, on photographs of the training set.
A term on products of different pixels, one on the mean of the samples, and ten times as much weight
on the mean variances brought no lower energy score of samples against clean images. In these runs
the variance between samples was pulled to the error of the first network's output.
"""

import math
from dataclasses import dataclass

import torch

from ...model import Model, Training
from ..training.optimizers import Muon
from ..training.photo_batches import PhotoBatches, generator_on
from .generator import COLOURS, WIDTHS, Generator, build_deviation_network
from .scores import sampler_loss


@dataclass(frozen=True)
class SamplerRecipe:
    """All numbers of the run."""

    pairs: int = 128_000  # noisy images that the generator sees, each once, with another one
    batch_size: int = 16  # noisy images in a step; each has two samples
    learning_rate: float = 0.004  # after the warm-up; then it falls to zero in a straight line
    warm_up: int = 50  # steps in which the rate rises from zero
    momentum: float = 0.95
    small_crops: float = 0.3  # see `PhotoBatches`
    seed: int = 0

    def num_steps(self):
        """How many batches the pairs are."""
        return math.ceil(self.pairs / self.batch_size)

    def learning_rate_at(self, step):
        """The learning rate of a step."""
        risen = (step + 1) / self.warm_up
        return self.learning_rate * min(risen, 1) * (1 - step / self.num_steps())


class SamplerBatches:
    """Inputs and targets of the generator.

    `batches(step)` follows from seed and step alone. It returns two uint8 tensors: for `Generator`
    (2 B, 3 + F, H, W), B noisy images twice with different random numbers; and for `sampler_loss`
    (2 B, 7, H, W), the noisy image y1, another one y2, and which colour of each block is drawn.
    """

    def __init__(self, recipe, photographs):
        self.seed = recipe.seed
        self.pairs = PhotoBatches(
            photographs, recipe.batch_size, recipe.small_crops, seed=recipe.seed
        )

    def __call__(self, step):
        y1, y2 = (images.repeat(2, 1, 1, 1) for images in self.pairs(step))
        generator = generator_on(y1.device, self.seed, f"sample {step}")

        def drawn(number, channels):
            random = torch.empty(len(y1), channels, *y1.shape[2:], dtype=y1.dtype, device=y1.device)
            return random.random_(number, generator=generator)

        fields = drawn(256, len(WIDTHS))
        picks = drawn(COLOURS, 1)
        return torch.cat([y1, fields], dim=1), torch.cat([y1, y2, picks], dim=1)


def sampler_training(recipe, photographs, device=None):
    """The `Training` of a `SamplerRecipe`, on pairs that are drawn from a `Photographs`."""
    model = Model(device=device)
    model.load_pretrained_model()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        deviation_network = build_deviation_network().to(model.device)
    return Training(
        Generator(model.network, deviation_network),
        SamplerBatches(recipe, photographs),
        recipe.num_steps(),
        lbfgs_iterations=0,
        optimizer=Muon,
        learning_rate=recipe.learning_rate_at,
        momentum=recipe.momentum,
        precision="float32",  # the generator's own networks take bfloat16 where it is faster
        loss=sampler_loss,
    )
