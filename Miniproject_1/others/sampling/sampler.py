"""Samples for users: images of any size, from the weights that come with the project."""

import math
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ...model import (
    LARGEST_SEED,
    MAX_PIXELS,
    MAX_PIXELS_OF_A_GPU,
    Model,
    accelerated,
    check_images,
    check_number,
    check_weights,
    load_tensors,
    ordinary_pytorch,
    random_bits,
    tiles_of,
    to_unit_range,
    unwrapped,
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
        prefix = "deviation_network."  # of the trained `Generator`
        saved = unwrapped(load_tensors(path))
        weights = {name.removeprefix(prefix): value for name, value in saved.items()}
        network = build_deviation_network()
        check_weights(path, weights, network.state_dict())
        network.load_state_dict(weights)
        self.network = accelerated(network.to(self.model.device).eval(), "auto")

    def samples(self, noisy: Tensor, number: int = 1, seed: int = 0) -> Iterator[Tensor]:
        """Draw samples, one after another.

        Args:
            noisy: images (N, 3, H, W), values 0 to 255, any real dtype.
            number: of samples of each image.
            seed: of the random numbers, 0 to 2^62. The same seed gives the same samples.

        Returns:
            iterator of float32 tensors (N, 3, H, W), values 0 to 255, on the model's device.

        Raises:
            TypeError, ValueError: an argument is not as described.
        """
        return (colours.mean(1).clamp(0, 255) for colours in self.colours(noisy, number, seed))

    def colours(self, noisy: Tensor, number: int = 1, seed: int = 0) -> Iterator[Tensor]:
        """Draw samples as the colours of their blocks, (N, COLOURS, 3, H, W); see `samples`.

        One colour of each block, picked at random, makes a noisy draw of the sample.
        """
        images = check_images("noisy", noisy)
        number = check_number("number", number, 1, whole=True)
        seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True)
        mean = self.model.predict(images, average=False)
        return (self.colours_of_sample(images, mean, seed, sample) for sample in range(number))

    def colours_of_sample(self, images, mean, seed, sample):
        """The colours of the sample with this number."""
        device = self.model.device
        with ordinary_pytorch(device, gradients=False):
            shape = (len(images), len(WIDTHS), *images.shape[2:])
            bits = random_bits(seed, sample, math.prod(shape), device)
            fields = random_fields(to_unit_range((bits & 255).view(shape), device))
            found = self.deviations(to_unit_range(images, device), mean / 255, fields)
            return mean[:, None] + 255 * found

    def deviations(self, images, mean, fields):
        """The deviations from the mean, (N, COLOURS, 3, H, W), tile by tile."""
        max_pixels = MAX_PIXELS_OF_A_GPU if images.is_cuda else MAX_PIXELS
        output = images.new_empty(len(images), COLOURS, *images.shape[1:])
        for tile in tiles_of(images.shape, max_pixels):
            parts = [each[tile.rows][tile.source] for each in (images, mean, fields)]
            output[tile.rows][tile.target] = deviations(self.network, *parts)[tile.valid]
        return output
