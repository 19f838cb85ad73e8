"""The batches that the generator is trained on."""

import math

import torch

from ...model import random_bits
from ..training.photo_batches import PhotoBatches
from .generator import COLOURS, WIDTHS


class SamplerBatches:
    """Inputs and targets of the generator.

    `batches(step)` follows from seed and step alone. It returns two uint8 tensors: for `Generator`
    (2 B, 3 + F, H, W), B noisy images twice with different random numbers; and for `SamplerLoss`
    (2 B, 10, H, W), the noisy image y1, two other images y2 and y3, and which colour of each block
    is drawn.

    Args:
        photographs: a `Photographs`.
        batch_size: noisy images, B.
        small_crops: see `PhotoBatches`.
        targets: see `SamplerLoss`. With "pairs" y3 is y2.
        seed: of all random choices, 0 to 2^62 - 2.
    """

    def __init__(self, photographs, batch_size, small_crops, targets, seed):
        self.draws = PhotoBatches(
            photographs,
            batch_size,
            small_crops,
            clean=targets == "clean",
            seed=seed,
            num_draws=3 if targets == "three draws" else 2,
        )
        self.seed = seed

    def __call__(self, step):
        y1, y2, *others = self.draws(step)
        y3 = others[0] if others else y2
        number, _, height, width = y1.shape
        shape = (2 * number, len(WIDTHS) + 1, height, width)
        random = random_bits(self.seed + 1, step, math.prod(shape), y1.device) & 255
        random = random.view(shape)
        random, picks = random[:, :-1], random[:, -1:] % COLOURS
        inputs = torch.cat([y1.repeat(2, 1, 1, 1), random.to(torch.uint8)], dim=1)
        target = torch.cat([y1, y2, y3], dim=1).repeat(2, 1, 1, 1)
        return inputs, torch.cat([target, picks.to(torch.uint8)], dim=1)
