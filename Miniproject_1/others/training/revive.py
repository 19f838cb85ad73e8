"""Channels that are zero everywhere have no gradient and never come back: draw them anew.

A BatchNorm behind a layer prevents this. In other layers, early steps that are too long can leave
many such channels.
"""

import copy

import torch
from torch import nn

from ...model import accelerated, xavier

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def mortal_layers(network):
    """The indices of the convolutions whose channels can die: a ReLU follows, and no BatchNorm."""
    return [
        index
        for index in range(len(network) - 1)
        if isinstance(network[index], CONVOLUTIONS) and isinstance(network[index + 1], nn.ReLU)
    ]


@torch.no_grad()
def dead_channels(network, images):
    """Find the channels that are nowhere positive, in each of the layers where there can be some.

    Args:
        network: an `nn.Sequential`; here it computes as in eval mode.
        images: (N, 3, H, W), values 0 to 1, to look at.

    Returns:
        dict: for the index of each such layer, a bool tensor (channels,).
    """
    return {index: dead_after(network, index, images) for index in mortal_layers(network)}


@torch.no_grad()
def revive(network, images, seed=0):
    """Draw anew the channels that are zero everywhere; the network computes what it did before.

    They get a kernel by Glorot and Bengio ("Xavier"), and a bias that makes them positive at half
    of the pixels. The next layer gets kernels of zero for them, which training then changes.

    Args:
        network: an `nn.Sequential`, changed in place.
        images: (N, 3, H, W), values 0 to 1; a channel that is positive nowhere on them is dead.
        seed: of the draws; PyTorch's global random state is left alone.

    Returns:
        how many channels were drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    num_revived = 0
    for index in mortal_layers(network):
        layer = network[index]
        later_convolutions = (
            later for later in network[index + 1 :] if isinstance(later, CONVOLUTIONS)
        )
        next_convolution = next(later_convolutions)
        is_dead = dead_after(network, index, images)
        kernel_pixels = layer.weight[0, 0].numel()
        fan_in = layer.in_channels * kernel_pixels
        fan_out = layer.out_channels * kernel_pixels
        fresh_kernel = xavier(layer, fan_in, fan_out, generator)[0].to(layer.weight)
        outputs_first(layer, layer.weight)[is_dead] = outputs_first(layer, fresh_kernel)[is_dead]
        features = features_after(network, index, images)  # (N, channels, H', W')
        medians = features.transpose(0, 1).flatten(1).median(1).values
        layer.bias[is_dead] -= medians[is_dead]
        outputs_first(next_convolution, next_convolution.weight)[:, is_dead] = 0
        num_revived += int(is_dead.sum())
    return num_revived


def features_after(network, index, images):
    """What the network computes up to the layer of this index, in eval mode."""
    part = copy.deepcopy(network[: index + 1]).eval()
    return accelerated(part)(images)


def dead_after(network, index, images):
    """Which channels of the layer of this index are positive nowhere."""
    return features_after(network, index, images).amax((0, 2, 3)) <= 0


def outputs_first(layer, kernel):
    """A view of the kernel of this layer with its output channels first, its inputs second."""
    if isinstance(layer, nn.ConvTranspose2d):
        return kernel.transpose(0, 1)
    return kernel
