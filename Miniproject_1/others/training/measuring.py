"""How good a network in training is, on pairs of noisy images that it is not trained on."""

import time

import torch

from ...model import generator_of
from ..console import say, tell
from ..metrics import described, error_from_noisy_pairs, estimated_psnr, psnr, psnr_of

SHARE_KEPT_APART = 0.01  # of the pairs
MOST_KEPT_APART = 1_000  # pairs
MEASURED_ON_THE_WAY = 200  # images, at most
SECONDS_BETWEEN_MEASUREMENTS = 30
FEW_STEPS = 1_000  # after which a bad result says nothing about the learning rate


def keep_apart(noisy_1, noisy_2):
    """Choose pairs to measure on, the same whatever the seed of the training is.

    Args:
        noisy_1, noisy_2: all pairs, (N, 3, H, W).

    Returns:
        the pairs kept apart and the pairs to train on, two tensors each.
    """
    num_kept = min(round(SHARE_KEPT_APART * len(noisy_1)), MOST_KEPT_APART)
    order = torch.randperm(len(noisy_1), generator=generator_of(0, "kept apart"))
    kept = order[:num_kept]
    others = order[num_kept:].sort().values
    return (noisy_1[kept], noisy_2[kept]), (noisy_1[others], noisy_2[others])


class Measurements:
    """The PSNR of a network in training, estimated now and then.

    Args:
        model: a `Model`, whose network is in training.
        noisy_1, noisy_2: pairs that it is not trained on, (N, 3, H, W); N may be 0.

    Attributes:
        text: the last estimate, to be followed by other text; empty before the first one.
    """

    def __init__(self, model, noisy_1, noisy_2):
        self.model = model
        self.noisy_1 = noisy_1[:MEASURED_ON_THE_WAY]
        self.noisy_2 = noisy_2[:MEASURED_ON_THE_WAY]
        self.last_time = time.monotonic()
        self.text = ""

    def measure_now_and_then(self):
        """Measure, if the last time was long ago."""
        is_time = time.monotonic() > self.last_time + SECONDS_BETWEEN_MEASUREMENTS
        if is_time and len(self.noisy_1) > 0:
            output = denoised(self.model, self.noisy_1)
            errors = error_from_noisy_pairs(output, self.noisy_1, self.noisy_2)
            before, after = (rough_psnr(error.mean().item()) for error in errors)
            self.text = f"estimated PSNR {after} (noisy {before}), "
            self.last_time = time.monotonic()


def rough_psnr(error):
    """A PSNR in words; "unknown" where the estimated error is not above zero."""
    if error <= 0:
        return "unknown"
    return f"{psnr_of(error):.1f} dB"


def report_result(model, kept_apart, validation, num_steps):
    """Print how far the result of a training is ahead of its noisy input.

    Args:
        model: a `Model`.
        kept_apart: as in `Measurements`.
        validation: noisy and clean images, two tensors (N, 3, H, W); or None.
        num_steps: of the training.
    """
    if validation is not None:
        gain = mean_gain(model, *(images[:MOST_KEPT_APART] for images in validation))
    elif len(kept_apart[0]) > 0:
        gain = estimated_gain(model, *kept_apart)
    else:
        say("there are too few pairs to keep some apart, on which the result could be measured")
        gain = None
    if gain is not None and gain > 0:
        tell(f"the result is {gain:.2f} dB ahead of its noisy input")
    elif gain is not None:
        advice = "train longer"
        if num_steps > FEW_STEPS:
            advice += ", or with a lower learning rate"
        tell(f"the result is {-gain:.2f} dB BEHIND its noisy input: {advice}")


def mean_gain(model, noisy, clean):
    """Print the mean PSNR before and after. Returns its gain in dB, None if all are exact."""
    kind = f"mean PSNR of {len(noisy)} images with known clean images, in one pass"
    before = psnr(noisy, clean)
    after = psnr(denoised(model, noisy), clean)
    tell(f"noisy {described(before)}, denoised {described(after)}: {kind}")
    both = before.isfinite() & after.isfinite()
    return (after - before)[both].mean().item() if both.any() else None


def estimated_gain(model, noisy_1, noisy_2):
    """Print the estimated PSNR before and after. Returns its gain in dB, None if it is unknown."""
    kind = f"PSNR of the mean error in one pass, estimated from {len(noisy_1)} pairs kept apart"
    errors = error_from_noisy_pairs(denoised(model, noisy_1), noisy_1, noisy_2)
    before, after = estimated_psnr(errors.noisy), estimated_psnr(errors.denoised)
    tell(f"noisy {before}, denoised {after}: {kind} (in 95 of 100 cases it is within the brackets)")
    tell("it is too high if the same scenes were trained on; 'evaluate' with others is right")
    return after.value - before.value if before.is_known() and after.is_known() else None


def denoised(model, noisy):
    return model.predict(noisy, average=False).cpu()
