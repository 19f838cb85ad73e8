"""Samples for users: images of any size, from the weights that come with the project."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ...model import (
    MAX_PIXELS,
    Model,
    accelerated,
    check_images,
    check_number,
    check_weights,
    load_tensors,
    ordinary_pytorch,
    random_bits,
    tiles_of,
)
from .generator import COLOURS, WIDTHS, build_deviation_network, deviations, random_fields

WEIGHTS = Path(__file__).resolve().parent / "sampler.pth"


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
        OSError, ValueError: the weights cannot be read, or are of another network.
    """

    def __init__(self, path=WEIGHTS, device=None):
        self.model = Model(device=device)
        self.model.load_pretrained_model()
        self.network = build_deviation_network()
        prefix = "deviation_network."  # of the trained `Generator`
        saved = load_tensors(path)
        weights = {name.removeprefix(prefix): value for name, value in saved.items()}
        check_weights(path, weights, self.network.state_dict())
        self.network.load_state_dict(weights)
        self.network.to(self.model.device).eval()

    def samples(self, noisy: Tensor, number: int = 1, seed: int = 0) -> Iterator[Tensor]:
        """Yield samples, one after another.

        Args:
            noisy: images (N, 3, H, W), values 0 to 255, any real dtype.
            number: of samples of each image.
            seed: of the random numbers, 0 to 2^62. The same seed gives the same samples.

        Yields:
            float32 tensors (N, 3, H, W), values 0 to 255, on the model's device.
        """
        for colours in self.colours(noisy, number, seed):
            yield colours.mean(1).clamp(0, 255)

    def colours(self, noisy: Tensor, number: int = 1, seed: int = 0) -> Iterator[Tensor]:
        """Yield the colours of the blocks of samples, (N, COLOURS, 3, H, W); see `samples`.

        One colour of each block, picked at random, makes a noisy draw of the sample.
        """
        images = check_images("noisy", noisy)
        number = check_number("number", number, 1, whole=True)
        device = self.model.device
        mean = self.model.predict(images, average=False)
        images = images.to(device) / 255
        with ordinary_pytorch(device, gradients=False):
            network = accelerated(copy.deepcopy(self.network).eval())
        for sample in range(number):
            with ordinary_pytorch(device, gradients=False):
                fields = self.fields(images.shape, seed, sample)
                found = self.deviations(network, images, mean / 255, fields)
            yield mean[:, None] + 255 * found

    def fields(self, shape, seed, sample):
        """The random fields of a sample of images (N, 3, H, W)."""
        number, _, height, width = shape
        shape = (number, len(WIDTHS), height, width)
        bits = random_bits(seed, sample, math.prod(shape), self.model.device)
        return random_fields((bits & 255).view(shape) / 255)

    def deviations(self, network, *parts):
        """The deviations from the mean, (N, COLOURS, 3, H, W), tile by tile."""
        images = parts[0]
        output = images.new_empty(len(images), COLOURS, *images.shape[1:])
        for tile in tiles_of(images.shape, MAX_PIXELS):
            found = deviations(network, *(each[tile.rows][tile.source] for each in parts))
            output[tile.rows][tile.target] = found[tile.valid]
        return output
