"""The networks of the study: Appendix A, what Brown et al. compare it with, and what others use.

All of them take and return images (N, 3, H, W), values 0 to 1. H and W are multiples of 4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ...model import build_network, initialize

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def seeded_network(name, initialization, seed):
    """Build a network and draw its weights.

    Args:
        name: in `NETWORKS`.
        initialization: in `model.INITIALIZATIONS`, for the networks that are made of Appendix A;
            "pytorch": what PyTorch draws, for the others.
        seed: of the weights.

    Returns:
        an `nn.Module` on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name].build()
    if initialization != "pytorch":
        initialize(network, initialization, seed)
    return network


def appendix_a(width=1.0):
    """The network of Brown et al. with `width` times as many channels between its layers."""

    def scaled(channels):
        return channels if channels == 3 else round(width * channels)

    layers = []
    for layer in build_network():
        if isinstance(layer, CONVOLUTIONS):
            channels = scaled(layer.in_channels), scaled(layer.out_channels)
            layer = type(layer)(*channels, layer.kernel_size, padding=layer.padding)
        elif isinstance(layer, nn.BatchNorm2d):
            layer = nn.BatchNorm2d(scaled(layer.num_features))
        layers.append(layer)
    return nn.Sequential(*layers)


def without_batchnorm():
    """Appendix A without its four BatchNorms."""
    layers = [layer for layer in build_network() if not isinstance(layer, nn.BatchNorm2d)]
    return nn.Sequential(*layers)


def batchnorm_everywhere():
    """Appendix A with a BatchNorm after every layer but the last."""
    layers = []
    for layer in without_batchnorm():
        layers.append(layer)
        if isinstance(layer, CONVOLUTIONS):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    return nn.Sequential(*layers[:-1])


def pooled(first, last):
    """Appendix A at half the resolution, by MaxPooling, from one layer to before another one."""
    layers = list(build_network())
    inner = [nn.MaxPool2d(2), *layers[first:last], nn.Upsample(scale_factor=2)]
    return nn.Sequential(*layers[:first], *inner, *layers[last:])


def without_padding():
    """Appendix A whose images shrink by a pixel a layer, and grow again."""
    network = build_network()
    for layer in network:
        if isinstance(layer, CONVOLUTIONS):
            layer.padding = (0, 0)
    return network


class Residual(nn.Module):
    """Adds what a network makes of the images to the images."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return images + self.network(images)


def convolution(inputs, outputs):
    """A convolution with a kernel of 3 x 3, and the BatchNorm and the ReLU after it."""
    kernel = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
    return [kernel, nn.BatchNorm2d(outputs), nn.ReLU()]


def dncnn(channels=64):
    """7 layers of 3 x 3 that learn the noise, of the kind of Zhang et al. (2017), but fewer."""
    inner = [convolution(channels, channels) for _ in range(5)]
    layers = sum(inner, start=convolution(3, channels))
    layers.append(nn.Conv2d(channels, 3, kernel_size=3, padding=1))
    return Residual(nn.Sequential(*layers))


def two_convolutions(inputs, outputs):
    return nn.Sequential(*convolution(inputs, outputs), *convolution(outputs, outputs))


class UNet(nn.Module):
    """Two levels down and up again with skips, of the kind that Lehtinen et al. (2018) use.

    Args:
        channels: at the full, at half and at a quarter of the resolution.
    """

    def __init__(self, channels):
        super().__init__()
        full, half, quarter = channels
        self.down_1 = two_convolutions(3, full)
        self.down_2 = two_convolutions(full, half)
        self.middle = two_convolutions(half, quarter)
        self.grow_2 = nn.ConvTranspose2d(quarter, half, kernel_size=2, stride=2)
        self.up_2 = two_convolutions(2 * half, half)
        self.grow_1 = nn.ConvTranspose2d(half, full, kernel_size=2, stride=2)
        self.up_1 = two_convolutions(2 * full, full)
        self.last = nn.Conv2d(full, 3, kernel_size=1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, images):
        full = self.down_1(images)  # (N, full, H, W)
        half = self.down_2(self.pool(full))  # (N, half, H / 2, W / 2)
        quarter = self.middle(self.pool(half))  # (N, quarter, H / 4, W / 4)
        half = self.up_2(torch.cat([half, self.grow_2(quarter)], dim=1))
        full = self.up_1(torch.cat([full, self.grow_1(half)], dim=1))
        return self.last(full)


@dataclass(frozen=True)
class Network:
    """A network of the study."""

    build: Callable  # returns it, an `nn.Module`
    initialization: str  # how its weights are drawn, see `seeded_network`
    experiment: str  # in `experiments.EXPERIMENTS`, the one that compares it with others


NETWORKS = {
    "Appendix A": Network(appendix_a, "masked xavier", "networks"),
    "7 layers of 3 x 3": Network(dncnn, "pytorch", "networks"),
    "small U-Net": Network(lambda: Residual(UNet((48, 96, 192))), "pytorch", "networks"),
    "Appendix A, half as wide": Network(lambda: appendix_a(0.5), "masked xavier", "networks"),
    "Appendix A, twice as wide": Network(lambda: appendix_a(2.0), "masked xavier", "networks"),
    "pooling early": Network(lambda: pooled(4, 19), "masked xavier", "variants"),
    "pooling in the middle": Network(lambda: pooled(10, 14), "masked xavier", "variants"),
    "no padding": Network(without_padding, "masked xavier", "variants"),
    "no BatchNorm": Network(without_batchnorm, "masked xavier", "starts"),
    "BatchNorm everywhere": Network(batchnorm_everywhere, "masked xavier", "starts"),
    "large U-Net": Network(lambda: Residual(UNet((128, 256, 512))), "pytorch", "ceiling"),
}


def networks_of(experiment):
    """The names of the networks that an experiment compares."""
    return [name for name, network in NETWORKS.items() if network.experiment == experiment]


def cost(name):
    """What a network in `NETWORKS` costs for one image of 32 x 32 pixels.

    Returns:
        dict of "parameters", and of "products": multiplications in its convolutions.
    """
    products = []

    def count(layer, inputs, output):
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        products.append(layer.weight.numel() * positions[0, 0].numel())

    network = NETWORKS[name].build()
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "products": sum(products)}
