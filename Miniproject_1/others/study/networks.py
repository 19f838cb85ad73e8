"""The networks of the study: Appendix A, what Brown et al. compare it with, and what others use.

All of them take and return images (N, 3, H, W), values 0 to 1. H and W are multiples of 4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ...model import build_network, initialize

CHANNELS = (64, 64, 128, 256, 512, 256, 128, 64, 64)  # of Appendix A, between its layers


def seeded_network(name, initialization, seed):
    """Build a network of `NETWORKS` on the CPU, and draw its weights.

    They are those of `model.initialize`; or what PyTorch draws, by the name "pytorch".
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name].build()
    if initialization != "pytorch":
        initialize(network, initialization, seed)
    return network


def appendix_a(width=1.0, norms=(2, 3, 5, 6), pooled=(), padding=1):
    """The network of Brown et al. with changes. Its ten layers of kernels are counted from 0.

    Args:
        width: how many times as many channels there are between its layers.
        norms: the layers that have a BatchNorm after them.
        pooled: two layers; from the first to before the second one the resolution is half of that
            of the images, by MaxPooling.
        padding: in pixels. Without it images shrink by a pixel a layer, and grow again.
    """
    inner = [round(width * number) for number in CHANNELS]
    layers = []
    for place, (inputs, outputs) in enumerate(pairwise([3, *inner, 3])):
        if place in pooled:
            layers.append(nn.MaxPool2d(2) if place < 5 else nn.Upsample(scale_factor=2))
        kernel = nn.Conv2d if place < 5 else nn.ConvTranspose2d
        layers.append(kernel(inputs, outputs, kernel_size=2, padding=padding))
        if place in norms:
            layers.append(nn.BatchNorm2d(outputs))
        if place not in (4, 9):  # the last ones of the encoder and of the decoder
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


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


def dncnn():
    """7 layers of 3 x 3 that learn the noise, of the kind of Zhang et al. (2017), but fewer."""
    inner = [layer for _ in range(5) for layer in convolution(64, 64)]
    first = convolution(3, 64)
    last = nn.Conv2d(64, 3, kernel_size=3, padding=1)
    return Residual(nn.Sequential(*first, *inner, last))


def two_convolutions(inputs, outputs):
    return nn.Sequential(*convolution(inputs, outputs), *convolution(outputs, outputs))


class UNet(nn.Module):
    """Two levels down and up again with skips, of the kind that Lehtinen et al. (2018) use.

    It has so many channels at full, half and a quarter of the resolution.
    """

    def __init__(self, full, half, quarter):
        super().__init__()
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
    experiment: str  # in `experiments.EXPERIMENTS`, the one that compares it with others
    initialization: str = "masked xavier"  # how its weights are drawn, see `seeded_network`


NETWORKS = {
    "Appendix A": Network(build_network, "networks"),
    "7 layers of 3 x 3": Network(dncnn, "networks", "pytorch"),
    "small U-Net": Network(lambda: Residual(UNet(48, 96, 192)), "networks", "pytorch"),
    "Appendix A, half as wide": Network(lambda: appendix_a(width=0.5), "networks"),
    "Appendix A, twice as wide": Network(lambda: appendix_a(width=2.0), "networks"),
    "pooling early": Network(lambda: appendix_a(pooled=(2, 8)), "variants"),
    "pooling in the middle": Network(lambda: appendix_a(pooled=(4, 6)), "variants"),
    "no padding": Network(lambda: appendix_a(padding=0), "variants"),
    "no BatchNorm": Network(lambda: appendix_a(norms=()), "starts"),
    "BatchNorm everywhere": Network(lambda: appendix_a(norms=range(9)), "starts"),
    "large U-Net": Network(lambda: Residual(UNet(128, 256, 512)), "ceiling", "pytorch"),
}


def networks_of(experiment):
    """The names of the networks that an experiment compares."""
    return [name for name, network in NETWORKS.items() if network.experiment == experiment]


def cost(name):
    """The parameters of a network, and the products in its convolutions for 32 x 32 pixels."""
    network = NETWORKS[name].build()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "products": counter.get_total_flops() // 2}  # and sums
