"""Samples for users: images of any size, from the weights that come with the project."""

import math
import warnings
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
from .generator import WIDTHS, build_deviation_network, deviations, random_fields

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
        found = self.samples_of(noisy, number, seed, lambda colours: colours.mean(1))
        return (sample.clamp(0, 255) for sample in found)

    def colours(self, noisy: Tensor, number: int = 1, seed: int = 0) -> Iterator[Tensor]:
        """Draw samples as the colours of their blocks, (N, COLOURS, 3, H, W); see `samples`.

        One colour of each block, picked at random, makes a noisy draw of the sample.
        """
        return self.samples_of(noisy, number, seed, lambda colours: colours)

    def samples_of(self, noisy, number, seed, kept):
        """Draw samples; `kept` is what is kept of the colours of each, a function of them."""
        images = check_images("noisy", noisy, stacklevel=4)
        number = check_number("number", number, 1, whole=True)
        seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user was warned above
            mean = self.model.predict(images, average=False)
        return (self.sample(images, mean, seed, place, kept) for place in range(number))

    def sample(self, images, mean, seed, place, kept):
        """The sample with this number."""
        device = self.model.device
        with ordinary_pytorch(device, gradients=False):
            shape = (len(images), len(WIDTHS), *images.shape[2:])
            bits = random_bits(seed, place, math.prod(shape), device)
            fields = random_fields(to_unit_range((bits & 255).view(shape), device))
            return self.in_tiles(to_unit_range(images, device), mean / 255, fields, kept)

    def in_tiles(self, images, mean, fields, kept):
        """What is kept of the colours, values 0 to 255, computed tile by tile to save memory."""
        max_pixels = MAX_PIXELS_OF_A_GPU if images.is_cuda else MAX_PIXELS
        output = None
        for tile in tiles_of(images.shape, max_pixels):
            parts = [each[tile.images][tile.source] for each in (images, mean, fields)]
            colours = parts[1][:, None] + deviations(self.network, *parts)
            found = kept(255 * colours)
            if output is None:
                output = found.new_empty(len(images), *found.shape[1:-2], *images.shape[2:])
            output[tile.images][tile.target] = found[tile.valid]
        return output
