"""The generator: from a noisy image and random numbers to an image that fits the noisy one.

A sample is the output of the network that comes with the project, the mean, plus a deviation from
it. A second network, which has the layers of Appendix A of Brown et al. at half their width, sees
the noisy image, the mean and random fields. For each value of the deviation it gives

    base + sum over the fields of gain * field.

The gains say where and how smoothly samples differ. Deviations are given for several colours of
each block. Their mean is the block's value in the sampled image. One of them, picked at random, is
its value in a noisy draw of that image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model import build_network
from ..fast.network import InBlocks
from ..fast.precision import uses_bfloat16

COLOURS = 4  # of each block
WIDTHS = (0.0, 0.6, 1.0, 1.8)  # in pixels, of the Gaussian that smooths each random field
REACH = 5  # pixels from the centre to the end of that Gaussian


def build_deviation_network() -> nn.Sequential:
    """Return the second network, with PyTorch's initialization.

    It maps (N, 6 + F, H, W) to (N, (1 + F) * 3 * COLOURS, H, W), where F is the number of fields:
    base and gains of each colour.
    """
    fields = len(WIDTHS)
    layers = []
    for layer in build_network():
        if isinstance(layer, nn.BatchNorm2d):
            layer = nn.BatchNorm2d(layer.num_features // 2)
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            inputs, outputs = layer.in_channels // 2, layer.out_channels // 2
            if layer.in_channels == 3:
                inputs = 6 + fields
            if layer.out_channels == 3:
                outputs = (1 + fields) * 3 * COLOURS
            layer = type(layer)(inputs, outputs, kernel_size=2, padding=1)
        layers.append(layer)
    return nn.Sequential(*layers)


def random_fields(uniform: Tensor) -> Tensor:
    """Random fields of mean 0 and variance 1, from independent numbers to smooth hills.

    Args:
        uniform: (N, F, H, W), independent and uniform from 0 to 1.

    Returns:
        (N, F, H, W). Each is smoothed by the Gaussian of `WIDTHS` that belongs to it; near the
        border their variance is less.
    """
    fields = ((uniform - 0.5) * 12**0.5).split(1, dim=1)
    places = torch.arange(-REACH, REACH + 1, dtype=uniform.dtype, device=uniform.device)
    smoothed = [fields[0]]
    for width, field in zip(WIDTHS[1:], fields[1:]):
        weights = torch.exp(-((places / width) ** 2) / 2)
        weights = weights / weights.square().sum().sqrt()  # so that the variance stays the same
        field = F.conv2d(field, weights.view(1, 1, -1, 1), padding=(REACH, 0))
        smoothed.append(F.conv2d(field, weights.view(1, 1, 1, -1), padding=(0, REACH)))
    return torch.cat(smoothed, dim=1)


def deviations(network: nn.Module, noisy: Tensor, mean: Tensor, fields: Tensor) -> Tensor:
    """What a sample differs by from the mean, in each colour of each block.

    Args:
        network: the second network.
        noisy, mean: (N, 3, H, W), values 0 to 1.
        fields: (N, F, H, W), of `random_fields`.

    Returns:
        (N, COLOURS, 3, H, W).
    """
    found = network(torch.cat([noisy, mean, fields], dim=1)).to(noisy.dtype)
    number, _, height, width = found.shape
    found = found.view(number, 1 + len(WIDTHS), COLOURS, 3, height, width)
    base, gains = found[:, 0], found[:, 1:]
    return base + (gains * fields[:, :, None, None]).sum(1)


class Generator(nn.Module):
    """Two samples for each noisy image. `model.Training` trains the second network alone.

    Args:
        mean_network: the network that comes with the project.
        deviation_network: of `build_deviation_network`.
        precision: of both networks, see `accelerated`.
    """

    def __init__(self, mean_network, deviation_network, precision="auto"):
        super().__init__()
        self.deviation_network = deviation_network
        bfloat16 = uses_bfloat16(precision, next(deviation_network.parameters()).device)
        # in a list, whose entries do not count as parts of this module
        self.fast = [InBlocks(mean_network.eval(), bfloat16), InBlocks(deviation_network, bfloat16)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Sample.

        Args:
            inputs: (2 B, 3 + F, H, W), values 0 to 1: B noisy images twice, and random numbers.

        Returns:
            (2 B, 3 + 3 COLOURS, H, W): the mean, and deviations from it.
        """
        mean_network, deviation_network = self.fast
        noisy = inputs[:, :3]
        with torch.no_grad():
            mean = mean_network(noisy[: len(noisy) // 2]).to(noisy.dtype).clamp(0, 1)
        mean = mean.repeat(2, 1, 1, 1)
        fields = random_fields(inputs[:, 3:])
        found = deviations(deviation_network, noisy, mean, fields)
        return torch.cat([mean, found.flatten(1, 2)], dim=1)
