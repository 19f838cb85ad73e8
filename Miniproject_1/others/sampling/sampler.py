"""Samples for users: images of any size, from the weights that come with the project.

`predict` gives the mean of all images that fit a noisy one, which is blurred. Brown et al. propose
to sample from them instead. A sample is as sharp as a photograph; it is plausible, and it is not
the truth.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ...model import (
    MAX_PIXELS,
    MAX_PIXELS_OF_A_GPU,
    Model,
    accelerated,
    generator_of,
    ordinary_pytorch,
    tiles_of,
    to_unit_range,
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
        """Draw samples as the colours of their blocks, (N, COLOURS, 3, H, W); see `samples`.

        One colour of each block, picked at random, makes a noisy draw of the sample.
        """
        mean = self.model.predict(noisy, average=False)
        return (self.sample(noisy, mean, seed, place) for place in range(number))

    def sample(self, noisy, mean, seed, place):
        """The colours of the sample with this number, computed tile by tile to save memory."""
        device = self.model.device
        max_pixels = MAX_PIXELS_OF_A_GPU if device.type == "cuda" else MAX_PIXELS
        number, _, height, width = noisy.shape
        generator = generator_of(seed, f"sample {place}")
        random = torch.empty(number, len(WIDTHS), height, width, dtype=torch.uint8, device="cpu")
        random.random_(generator=generator)  # 8 bits, as in training
        output = torch.empty(number, COLOURS, 3, height, width, device=device)
        with ordinary_pytorch(device, gradients=False):
            noisy, mean, random = (to_unit_range(each, device) for each in (noisy, mean, random))
            inputs = noisy, mean, random_fields(random)
            for tile in tiles_of(noisy.shape, max_pixels):
                parts = [each[tile.images][tile.source] for each in inputs]
                colours = parts[1][:, None] + deviations(self.network, *parts)
                output[tile.images][tile.target] = 255 * colours[tile.valid]
        return output
