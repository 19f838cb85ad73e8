"""Channels that are zero everywhere have no gradient and never come back: draw them anew."""

import math

import torch
from torch import nn

from ...model import forward


def revive(network, images, seed=0):
    """Draw anew the channels that are zero everywhere; the network computes what it did before.

    Layers that a BatchNorm follows have none; of the other four, early steps that were too long can leave many. They
    get a Xavier draw, a bias that makes them positive at half of the pixels, and kernels of zero in the next layer,
    which training then finds use for.

    Args:
        network: from `build_network`.
        images: (N, 3, H, W), values 0 to 1, to look for channels that are zero.
        seed: of the draws; PyTorch's global random state is left alone.

    Returns:
        how many channels were drawn.
    """
    generator, number = torch.Generator().manual_seed(seed), 0
    with torch.no_grad():
        for index in (0, 2, 17, 19):
            layer, following = network[index], network[index + 2]
            dead = forward(network[: index + 1], images, training=False).amax((0, 2, 3)) <= 0
            bound = math.sqrt(6 / (layer.weight[0].numel() + layer.weight[:, 0].numel()))  # Xavier's
            drawn = torch.empty(layer.weight.shape).uniform_(-bound, bound, generator=generator).to(images.device)
            _channels(layer, "out")[dead] = _channels(layer, "out", drawn)[dead]
            layer.bias[dead] -= (
                forward(network[: index + 1], images, training=False).transpose(0, 1).flatten(1).median(1).values[dead]
            )
            _channels(following, "in")[dead] = 0
            number += int(dead.sum())
    return number


def _channels(layer, side, kernel=None):
    """The kernel with its "in" or "out" channels first, a view."""
    kernel = layer.weight if kernel is None else kernel
    return kernel if (side == "in") == isinstance(layer, nn.ConvTranspose2d) else kernel.transpose(0, 1)
