"""The recipe of the weights in bestmodel.pth: fresh ones, pairs of noisy images alone, one run.

Every pair is drawn when its step comes: a crop of a photograph, flipped and turned at random, with
two independent draws of its noise. No image is clean, none is a mean of draws, and no pair is seen
twice. The run was one uninterrupted call of the command `reproduce` on an NVIDIA H200, five and a
half minutes long. In the last two thirds of its steps the learning rate falls to zero.

The settings were fixed before the run. None was chosen by the images that the README quotes, on
which this run was scored after it, as earlier weights had been. From fresh weights, after 128,000
pairs, batches of 128 ended 0.1 dB above batches of 256, and learning rates of 0.004 and 0.008 alike
(the study's experiment "batches", one seed). With batches of 16, rates of 0.002 to 0.008 ended
within 0.04 dB of one another. `rate_factor` and the share of the steps in which the rate falls were
not compared.

Channels that are zero everywhere are drawn anew at every measurement, until the rate first falls.
"""

import math
from dataclasses import dataclass

from .optimizers import Muon

# Layers of Appendix A whose output a BatchNorm scales, at once or behind another convolution
NORMALIZED = (4, 7, 10, 11, 14)


@dataclass(frozen=True)
class Recipe:
    """All numbers of the run.

    Without its warm-up a third of the first layer's channels are soon zero everywhere.
    """

    pairs: int = 5_000_000  # 6 minutes on an NVIDIA H200
    batch_size: int = 128
    initialization: str = "xavier"
    learning_rate: float = 0.004
    warm_up: int = 500  # steps in which the rate rises from zero
    share_of_fall: float = 2 / 3  # of the steps, at the end, in which it falls to zero
    momentum: float = 0.95
    weight_decay: float = 0.1  # of kernels that a BatchNorm follows; brings 0.02 dB
    rate_factor: float = 0.25  # of all other parameters; with a factor of 1, channels die
    small_crops: float = 0.3  # share of the pairs with blocks from 2 x 2 pixels on: weaker noise
    gaussian: float = 0.15  # share of the pairs with Gaussian noise; costs nothing on the others
    precision: str = "auto"
    seed: int = 0

    def num_steps(self):
        """How many batches the pairs are."""
        return math.ceil(self.pairs / self.batch_size)

    def learning_rate_at(self, step):
        """The learning rate of a step: it rises, stays, and falls to zero."""
        risen = (step + 1) / self.warm_up
        share_left = 1 - step / self.num_steps()
        return self.learning_rate * min(risen, 1) * min(share_left / self.share_of_fall, 1)

    def is_falling(self, step):
        """Whether the learning rate has begun to fall."""
        return step >= (1 - self.share_of_fall) * self.num_steps()


def optimizer_of(recipe, network):
    """Muon as the recipe wants it, for `Training`.

    Kernels that a BatchNorm follows may have any size, so they decay. All other parameters take
    smaller steps.

    Args:
        recipe: a `Recipe`.
        network: of `model.build_network`.

    Returns:
        a function of parameters, learning rate and momentum.
    """
    kernels = [network[index].weight for index in NORMALIZED]
    places = {id(kernel) for kernel in kernels}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in places]

    def make_optimizer(_, learning_rate, momentum):  # the parameters are in groups already
        groups = [
            {"params": kernels, "weight_decay": recipe.weight_decay},
            {"params": rest, "factor": recipe.rate_factor},
        ]
        return Muon(groups, learning_rate, momentum)

    return make_optimizer
