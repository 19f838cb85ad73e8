"""Channels that are zero everywhere have no gradient and never come back: draw them anew.

A BatchNorm behind a layer prevents this. In other layers, early steps that are too long can leave
many such channels.
"""

import copy

import torch
from torch import nn

from ...model import accelerated, xavier

# Layers of Appendix A that a ReLU follows but no BatchNorm, and the next convolution of each
MORTAL = {0: 2, 2: 4, 17: 19, 19: 21}


@torch.no_grad()
def revive(network, images, seed=0):
    """Draw anew the channels that are zero everywhere; the network computes what it did before.

    They get a kernel by Glorot and Bengio ("Xavier"), and a bias that makes them positive at half
    of the pixels. The next layer gets kernels of zero for them, which training then changes.

    Args:
        network: of `model.build_network`, changed in place.
        images: (N, 3, H, W), values 0 to 1; a channel that is positive nowhere on them is dead.
        seed: of the draws; PyTorch's global random state is left alone.

    Returns:
        how many channels were drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    num_revived = 0
    for index, next_index in MORTAL.items():
        layer, next_layer = network[index], network[next_index]
        is_dead = features_after(network, index, images).amax((0, 2, 3)) <= 0
        kernel_pixels = layer.weight[0, 0].numel()
        fan_in = layer.in_channels * kernel_pixels
        fan_out = layer.out_channels * kernel_pixels
        fresh_kernel = xavier(layer, fan_in, fan_out, generator)[0].to(layer.weight)
        outputs_first(layer, layer.weight)[is_dead] = outputs_first(layer, fresh_kernel)[is_dead]
        features = features_after(network, index, images)  # (N, channels, H', W')
        medians = features.transpose(0, 1).flatten(1).median(1).values
        layer.bias[is_dead] -= medians[is_dead]
        outputs_first(next_layer, next_layer.weight)[:, is_dead] = 0
        num_revived += int(is_dead.sum())
    return num_revived


def features_after(network, index, images):
    """What the network computes up to the layer of this index, in eval mode."""
    part = copy.deepcopy(network[: index + 1]).eval()
    return accelerated(part)(images)


def outputs_first(layer, kernel):
    """A view of the kernel of this layer with its output channels first, its inputs second."""
    if isinstance(layer, nn.ConvTranspose2d):
        return kernel.transpose(0, 1)
    return kernel
