"""Sharp images that fit noisy ones, of any size, from the weights that come with the project.

`predict` gives the mean of all images that fit a noisy one, which is blurred. Brown et al. propose
to sample from them instead. A sample is as sharp as a photograph; it is plausible, and it is not
the truth.

A sample is the output of `predict`, the mean, plus a deviation from it. A second network, which has
the layers of Appendix A at half their width, sees the noisy image, the mean and random fields. For
each value of the deviation it gives

    base + sum over the fields of gain * field.

The gains say where and how smoothly samples differ. Deviations are given for several colours of
each block. Their mean is the block's value in the sampled image. One of them, picked at random, is
its value in a noisy draw of that image.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model import (
    MAX_PIXELS,
    MAX_PIXELS_OF_A_GPU,
    Model,
    accelerated,
    build_network,
    generator_of,
    ordinary_pytorch,
    tiles_of,
    to_unit_range,
)

WEIGHTS = Path(__file__).resolve().parent / "sampler.pth"
COLOURS = 4  # of each block
WIDTHS = (0.0, 0.6, 1.0, 1.8)  # in pixels, of the Gaussian that smooths each random field
FIELDS = len(WIDTHS)
REACH = 5  # pixels from the centre to the end of that Gaussian


def build_deviation_network() -> nn.Sequential:
    """Return the second network, with PyTorch's initialization.

    It maps (N, 6 + FIELDS, H, W), which are noisy image, mean and fields, to
    (N, (1 + FIELDS) * COLOURS * 3, H, W), which are base and gains.
    """
    layers = []
    for layer in build_network():
        if isinstance(layer, nn.BatchNorm2d):
            layer = nn.BatchNorm2d(layer.num_features // 2)
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            inputs = layer.in_channels // 2
            outputs = layer.out_channels // 2
            if layer.in_channels == 3:
                inputs = 6 + FIELDS
            if layer.out_channels == 3:
                outputs = (1 + FIELDS) * COLOURS * 3
            layer = type(layer)(inputs, outputs, kernel_size=2, padding=1)
        layers.append(layer)
    return nn.Sequential(*layers)


def random_fields(uniform: Tensor) -> Tensor:
    """Fields (N, FIELDS, H, W) of mean 0 and variance 1, from independent pixels to smooth hills.

    `uniform` are independent numbers (N, FIELDS, H, W), evenly spread from 0 to 1, that the
    Gaussians of `WIDTHS` smooth. Near the border the variance is less.
    """
    places = torch.arange(-REACH, REACH + 1, dtype=uniform.dtype, device=uniform.device)
    fields = (uniform - 0.5) * 12**0.5
    smoothed = [fields[:, :1]]
    for number in range(1, FIELDS):
        weights = torch.exp(-((places / WIDTHS[number]) ** 2) / 2)
        weights = weights / weights.square().sum().sqrt()  # so that the variance stays the same
        field = fields[:, number, None]  # (N, 1, H, W)
        field = F.conv2d(field, weights.view(1, 1, -1, 1), padding=(REACH, 0))
        field = F.conv2d(field, weights.view(1, 1, 1, -1), padding=(0, REACH))
        smoothed.append(field)
    return torch.cat(smoothed, dim=1)


def deviations(output: Tensor, fields: Tensor) -> Tensor:
    """What a sample differs by from the mean, (N, COLOURS, 3, H, W), for values 0 to 1.

    Args:
        output: of the second network.
        fields: (N, FIELDS, H, W), which it has seen.
    """
    output = output.unflatten(1, (1 + FIELDS, COLOURS, 3))
    base = output[:, 0]
    gains = output[:, 1:]
    return base + (gains * fields[:, :, None, None]).sum(1)


class Sampler:
    """Draws images that fit noisy ones.

    Example:
        >>> sampler = Sampler()
        >>> noisy = torch.randint(256, (8, 3, 16, 16), dtype=torch.uint8)
        >>> [sample.shape for sample in sampler.samples(noisy, number=2)]
        [torch.Size([8, 3, 16, 16]), torch.Size([8, 3, 16, 16])]

    Args:
        path: weights of the second network, as `reproduce-sampler` writes them.
        device: see `Model`.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: it is damaged, or does not hold usable weights of this network.
    """

    def __init__(self, path=WEIGHTS, device=None):
        self.model = Model(device=device)
        self.model.load_pretrained_model()
        network = build_deviation_network()
        prefix = "deviation_network."  # in the weights that come with the project
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            weights = {name.removeprefix(prefix): value for name, value in saved.items()}
            network.load_state_dict(weights)
            if not all(torch.isfinite(value).all() for value in weights.values()):
                raise ValueError("some are not finite")
        except OSError:  # it names the file
            raise
        except Exception as error:  # damaged files raise nearly everything
            raise ValueError(f"{path} does not hold the weights of 'sample'") from error
        self.network = accelerated(network.to(self.model.device).eval(), "auto")

    def samples(self, noisy: Tensor, number: int = 1, seed: int = 0) -> Iterator[Tensor]:
        """Draw samples, one after another.

        Args:
            noisy: images (N, 3, H, W), values 0 to 255, any real dtype.
            number: of samples of each image.
            seed: of the random numbers. The same seed gives the same samples.

        Returns:
            iterator of float32 tensors (N, 3, H, W), values 0 to 255, on the model's device.

        Raises:
            TypeError, ValueError: the images are not as described.
        """
        found = self.colours(noisy, number, seed)
        return (colours.mean(1).clamp(0, 255) for colours in found)

    def colours(self, noisy: Tensor, number: int = 1, seed: int = 0) -> Iterator[Tensor]:
        """Draw samples as the colours of their blocks, (N, COLOURS, 3, H, W); see `samples`."""
        mean = self.model.predict(noisy, average=False)
        return (self.sample(noisy, mean, seed, place) for place in range(number))

    def sample(self, noisy, mean, seed, place):
        """The colours of the sample with this number, computed tile by tile to save memory."""
        device = self.model.device
        max_pixels = MAX_PIXELS_OF_A_GPU if device.type == "cuda" else MAX_PIXELS
        number, _, height, width = noisy.shape
        random = torch.empty(number, FIELDS, height, width, dtype=torch.uint8, device="cpu")
        random.random_(generator=generator_of(seed, f"sample {place}"))  # 8 bits, as in training
        colours = torch.empty(number, COLOURS, 3, height, width, device=device)
        with ordinary_pytorch(device, gradients=False):
            noisy, mean, random = (to_unit_range(each, device) for each in (noisy, mean, random))
            inputs = noisy, mean, random_fields(random)
            for tile in tiles_of(noisy.shape, max_pixels):
                parts = [each[tile.images][tile.source] for each in inputs]
                _, mean_part, fields = parts
                found = deviations(self.network(torch.cat(parts, dim=1)), fields)
                found += mean_part[:, None]
                colours[tile.images][tile.target] = 255 * found[tile.valid]
        return colours
