"""The recipe of the weights in sampler.pth, and the training that it describes.

Terms of the loss were compared by one run each of 4,800 pairs, on photographs of the training set.
A term on products of different pixels, one on the mean of the samples, and ten times as much weight
on the mean variances brought no lower energy score of samples against clean images. In these runs
the variance between samples was pulled to the error of the first network's output.
"""

import math
from dataclasses import dataclass

from ...model import Model, Training
from ..training.optimizers import Muon
from .batches import SamplerBatches
from .generator import Generator, seeded_deviation_network
from .scores import SamplerLoss


@dataclass(frozen=True)
class SamplerRecipe:
    """All numbers of the run.

    Attributes:
        pairs: noisy images that the generator sees, each once, with another one of its scene.
        batch_size: noisy images in a step; each has two samples.
        learning_rate: of Muon, after the warm-up. It falls to zero in a straight line.
        warm_up: steps in which it rises from zero.
        momentum: of Muon.
        small_crops: see `PhotoBatches`.
        targets: "pairs", "three draws" or "clean", see `SamplerLoss`.
        seed: of all random choices.
    """

    pairs: int = 128_000
    batch_size: int = 16
    learning_rate: float = 0.004
    warm_up: int = 50
    momentum: float = 0.95
    small_crops: float = 0.3
    targets: str = "pairs"
    seed: int = 0

    def num_steps(self):
        """How many batches the pairs are."""
        return math.ceil(self.pairs / self.batch_size)

    def learning_rate_at(self, step):
        """The learning rate of a step."""
        risen = (step + 1) / self.warm_up
        return self.learning_rate * min(risen, 1) * (1 - step / self.num_steps())


def sampler_training(recipe, photographs, device=None):
    """The training of a recipe.

    Args:
        recipe: a `SamplerRecipe`.
        photographs: a `Photographs`, from which pairs are drawn.
        device: see `Model`.

    Returns:
        a `Training` of the second network.
    """
    model = Model(device=device)
    model.load_pretrained_model()
    deviation_network = seeded_deviation_network(recipe.seed).to(model.device)
    return Training(
        Generator(model.network, deviation_network),
        SamplerBatches(
            photographs, recipe.batch_size, recipe.small_crops, recipe.targets, recipe.seed
        ),
        recipe.num_steps(),
        lbfgs_iterations=0,
        optimizer=Muon,
        learning_rate=recipe.learning_rate_at,
        momentum=recipe.momentum,
        precision="float32",  # the generator's own networks take bfloat16 where it is faster
        loss=SamplerLoss(recipe.targets),
    )
