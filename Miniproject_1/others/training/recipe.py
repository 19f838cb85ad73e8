"""The recipe of the weights in bestmodel.pth: fresh ones, pairs of noisy images alone, one run.

Every pair is two independent draws of the noise of a crop of a photograph, and is seen once. The
run was one call of the command `reproduce` on an NVIDIA H200, five and a half minutes long.

The settings were fixed before the run. None was chosen by the images that the README quotes, on
which this run was scored after it, as earlier weights had been. After 128,000 pairs, batches of 128
ended 0.1 dB above batches of 256, and learning rates of 0.004 and 0.008 alike (the study's
experiment "batches", one seed). `rate_factor` and `share_of_fall` were not compared.

Channels that are zero everywhere have no gradient and never come back. They are drawn anew at every
measurement, until the rate first falls. Behind a BatchNorm there are none.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn

from ...model import accelerated, xavier
from .optimizers import Muon

# Layers of Appendix A whose output a BatchNorm scales, at once or behind another convolution
NORMALIZED = (4, 7, 10, 11, 14)
# Those that a ReLU follows but no BatchNorm, so that channels can die, and the next one of each
MORTAL = {0: 2, 2: 4, 17: 19, 19: 21}


@dataclass(frozen=True)
class Recipe:
    """All numbers of the run."""

    pairs: int = 5_000_000
    batch_size: int = 128
    initialization: str = "xavier"
    learning_rate: float = 0.004
    warm_up: int = 500  # steps in which the rate rises from zero; without it, channels die
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
    """Muon for a network of `model.build_network`, as a `Training` takes an optimizer.

    Kernels that a BatchNorm follows may have any size, so they decay. All other parameters take
    smaller steps.
    """
    kernels = [network[index].weight for index in NORMALIZED]
    rest = [each for each in network.parameters() if each not in set(kernels)]

    def muon(_, learning_rate, momentum):
        groups = [
            {"params": kernels, "weight_decay": recipe.weight_decay},
            {"params": rest, "factor": recipe.rate_factor},
        ]
        return Muon(groups, learning_rate, momentum)

    return muon


@torch.no_grad()
def revive(network, images, seed=0):
    """Draw anew the channels that are zero everywhere; the network computes what it did before.

    They get a kernel as by "xavier", and a bias that makes them positive at half of the pixels. The
    next layer gets kernels of zero for them, which training then changes.

    Args:
        network: of `model.build_network`, changed in place.
        images: (N, 3, H, W), values 0 to 1; a channel that is positive nowhere on them is dead.
        seed: of the draws.

    Returns:
        how many channels were drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    num_revived = 0
    for index, next_index in MORTAL.items():
        layer = network[index]
        next_layer = network[next_index]
        is_dead = features_after(network, index, images).amax((0, 2, 3)) <= 0
        fans = layer.weight[0].numel(), layer.weight[:, 0].numel()
        fresh = xavier(layer, *fans, generator)[0].to(layer.weight)
        outputs_first(layer, layer.weight)[is_dead] = outputs_first(layer, fresh)[is_dead]
        features = features_after(network, index, images)  # (N, channels, H', W')
        medians = features.transpose(0, 1).flatten(1).median(1).values
        layer.bias[is_dead] -= medians[is_dead]
        outputs_first(next_layer, next_layer.weight)[:, is_dead] = 0
        num_revived += int(is_dead.sum())
    return num_revived


def features_after(network, index, images):
    """What the network computes up to the layer of this index, in evaluation mode."""
    part = copy.deepcopy(network[: index + 1]).eval()
    return accelerated(part)(images)


def outputs_first(layer, kernel):
    """A view of the kernel of this layer with its output channels first, its inputs second."""
    if isinstance(layer, nn.ConvTranspose2d):
        return kernel.transpose(0, 1)
    return kernel
