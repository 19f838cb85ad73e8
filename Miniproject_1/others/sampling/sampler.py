"""Samples for users: images of any size, from the weights that come with the project."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ...model import (
    LARGEST_SEED,
    MAX_PIXELS,
    MAX_PIXELS_OF_A_GPU,
    Model,
    accelerated,
    check_images,
    check_number,
    generator_of,
    ordinary_pytorch,
    tiles_of,
    to_unit_range,
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
        OSError: there is no such file, or it may not be read.
        ValueError: it is damaged, or does not hold usable weights of this network.
    """

    def __init__(self, path=WEIGHTS, device=None):
        self.model = Model(device=device)
        self.model.load_pretrained_model()
        network = build_deviation_network()
        prefix = "deviation_network."  # of the trained `Generator`
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            weights = {name.removeprefix(prefix): value for name, value in saved.items()}
            network.load_state_dict(weights)
        except OSError:  # it names the file
            raise
        except Exception as error:  # damaged files raise nearly everything
            raise ValueError(f"{path} does not hold the weights of 'sample'") from error
        if not all(torch.isfinite(value).all() for value in weights.values()):
            raise ValueError(f"{path} holds weights that are not finite")
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
        images = check_images("noisy", noisy)
        number = check_number("number", number, 1, whole=True)
        seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user was warned above
            mean = self.model.predict(images, average=False)
        return (self.sample(images, mean, seed, place, kept) for place in range(number))

    def sample(self, images, mean, seed, place, kept):
        """The sample with this number, values 0 to 255, computed tile by tile to save memory."""
        device = self.model.device
        max_pixels = MAX_PIXELS_OF_A_GPU if device.type == "cuda" else MAX_PIXELS
        shape = (len(images), len(WIDTHS), *images.shape[2:])
        generator = generator_of(seed, f"sample {place}")
        # 8 bits, as in training
        random = torch.randint(256, shape, generator=generator, dtype=torch.uint8, device="cpu")
        output = None
        with ordinary_pytorch(device, gradients=False):
            fields = random_fields(to_unit_range(random, device))
            inputs = to_unit_range(images, device), mean / 255, fields
            for tile in tiles_of(images.shape, max_pixels):
                parts = [each[tile.images][tile.source] for each in inputs]
                colours = parts[1][:, None] + deviations(self.network, *parts)
                found = kept(255 * colours)
                if output is None:
                    output = found.new_empty(len(images), *found.shape[1:-2], *images.shape[2:])
                output[tile.images][tile.target] = found[tile.valid]
        return output
