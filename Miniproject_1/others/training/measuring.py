"""How good a network in training is, on pairs of noisy images that it is not trained on."""

import time

import torch

from ...model import generator_of
from ..console import tell
from ..metrics import error_from_noisy_pairs, estimated_psnr, psnr_of

SHARE_KEPT_APART = 0.01  # of the pairs
MOST_KEPT_APART = 1_000  # pairs
MEASURED_ON_THE_WAY = 200  # pairs, at most
SECONDS_BETWEEN_MEASUREMENTS = 30
OF_SCENES = "it is too high if the same scenes were trained on; 'evaluate' with others is right"
OF_NEIGHBOURS = (
    "neighbouring pixels show slightly different things, so it is not that of whole pictures: with "
    "Gaussian noise of 25 it was 1.3 dB too low"
)


def keep_apart(noisy_1, noisy_2):
    """Choose pairs to measure on, the same whatever the seed of the training is.

    Returns the pairs kept apart and the pairs to train on: each two tensors (n, 3, H, W).
    """
    num_kept = min(round(SHARE_KEPT_APART * len(noisy_1)), MOST_KEPT_APART)
    order = torch.randperm(len(noisy_1), generator=generator_of(0, "kept apart"))
    kept = order[:num_kept]
    others = order[num_kept:].sort().values
    return (noisy_1[kept], noisy_2[kept]), (noisy_1[others], noisy_2[others])


class Measurements:
    """The PSNR of a `Model` in training, estimated from pairs kept apart, of which may be none."""

    def __init__(self, model, pairs):
        self.model = model
        self.pairs = pairs
        self.last_time = time.monotonic()
        self.text = ""

    def on_the_way(self):
        """The last estimate in words; every half minute there is a new one."""
        is_time = time.monotonic() > self.last_time + SECONDS_BETWEEN_MEASUREMENTS
        if is_time and len(self.pairs[0]) > 0:
            errors = self.errors(MEASURED_ON_THE_WAY)
            before, after = (psnr_of(error.mean().item()) for error in errors)
            self.text = f"estimated PSNR {after:.1f} dB (noisy {before:.1f} dB), "
            self.last_time = time.monotonic()
        return self.text

    def report(self, are_neighbours):
        """Print the estimates of noisy images and of the result, and what is wrong with them."""
        number = len(self.pairs[0])
        if number == 0:
            tell("there are too few pairs to keep some apart, on which the PSNR could be estimated")
            return
        before, after = (estimated_psnr(error) for error in self.errors(number))
        kind = f"PSNR of the mean error in one pass, estimated from {number} pairs kept apart"
        tell(f"noisy {before}, denoised {after}: {kind}, with 95 % intervals")
        tell(OF_NEIGHBOURS if are_neighbours else OF_SCENES)
        if after.value < before.value:
            tell("the result is BEHIND its noisy input: train longer")

    def errors(self, number):
        """The `EstimatedErrors` of the first pairs."""
        noisy_1, noisy_2 = (images[:number] for images in self.pairs)
        output = self.model.predict(noisy_1, average=False).cpu()
        return error_from_noisy_pairs(output, noisy_1, noisy_2)
