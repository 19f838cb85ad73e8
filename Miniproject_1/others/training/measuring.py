"""How good a network in training is, on pairs of noisy images that it is not trained on."""

import time

from ...model import random_bits
from ..console import say, tell
from ..metrics import described, error_from_noisy_pairs, estimated_psnr, psnr, psnr_of

MOST_KEPT_APART = 1_000  # pairs
MEASURED_IMAGES = 200  # at most, on the way and where time is short
SECONDS_BETWEEN_MEASUREMENTS = 30


def keep_apart(noisy_1, noisy_2, share):
    """Choose pairs to measure on, the same whatever the seed of the training is.

    Args:
        noisy_1, noisy_2: all pairs, (N, 3, H, W).
        share: of the pairs that is kept apart, at most `MOST_KEPT_APART` of them.

    Returns:
        the pairs kept apart and the pairs to train on, two tensors each.
    """
    num_kept = min(round(share * len(noisy_1)), MOST_KEPT_APART)
    order = random_bits(seed=0, step=0, count=len(noisy_1)).argsort()
    kept = order[:num_kept]
    others = order[num_kept:].sort().values
    return (noisy_1[kept], noisy_2[kept]), (noisy_1[others], noisy_2[others])


class Measurements:
    """The PSNR of a network in training, measured now and then, and the loss of clean images.

    Args:
        model: a `Model`, whose network is in training.
        kept_apart: pairs that it is not trained on, two tensors (N, 3, H, W); N may be 0.
        pairs: that it is trained on, two tensors (N, 3, H, W).
        loss: the name of the loss; only the floor of "mse" is known.
    """

    def __init__(self, model, kept_apart, pairs, loss):
        self.model = model
        self.noisy_1, self.noisy_2 = (images[:MEASURED_IMAGES] for images in kept_apart)
        self.last_moment = time.monotonic()
        self.psnr_text = ""  # stands before the loss
        self.floor_text = ""  # stands behind it
        if loss == "mse":
            # The loss of the clean images: no output is nearer to targets that were not trained on
            noisy_1, noisy_2 = (images[:MOST_KEPT_APART] for images in pairs)
            floor = error_from_noisy_pairs(noisy_1, noisy_1, noisy_2).noisy.mean().item()
            self.floor_text = f" (floor {floor:.5f})"

    def measure_now_and_then(self):
        """Measure, if the last time was long ago."""
        is_time = time.monotonic() - self.last_moment > SECONDS_BETWEEN_MEASUREMENTS
        if is_time and len(self.noisy_1) > 0:
            output = denoised(self.model, self.noisy_1)
            errors = error_from_noisy_pairs(output, self.noisy_1, self.noisy_2)
            before, after = (rough_psnr(error.mean().item()) for error in errors)
            self.psnr_text = f"PSNR {after} (noisy {before}), "
            self.last_moment = time.monotonic()

    def describe(self, loss):
        """The loss with what is known besides, for the line of progress."""
        return f"{self.psnr_text}loss {loss:.5f}{self.floor_text}"


def rough_psnr(error):
    """A PSNR in words; "unknown" where the estimated error is not above zero."""
    if error <= 0:
        return "unknown"
    return f"{psnr_of(error):.1f} dB"


def report_result(model, kept_apart, validation, most_images):
    """Print how far the result of a training is ahead of its noisy input.

    Args:
        model: a `Model`.
        kept_apart: as in `Measurements`.
        validation: noisy and clean images, two tensors (N, 3, H, W); or None.
        most_images: to measure on.
    """
    if validation is not None:
        report_mean_psnr(model, *(images[:most_images] for images in validation))
    elif len(kept_apart[0]) > 0:
        report_estimate(model, *(images[:most_images] for images in kept_apart))
    else:
        say("no pair was kept apart to measure the result on; --validation-share keeps more")


def report_mean_psnr(model, noisy, clean):
    kind = f"mean PSNR of {len(noisy)} images with known clean images"
    say(f"measuring the {kind}, in one pass")
    before, after = psnr(noisy, clean), psnr(denoised(model, noisy), clean)
    tell(f"noisy {described(before)}, denoised {described(after)}: {kind}")
    both = before.isfinite() & after.isfinite()
    if both.any():
        report_gain((after - before)[both].mean().item())


def report_estimate(model, noisy_1, noisy_2):
    kind = f"PSNR of the mean error, estimated from {len(noisy_1)} pairs kept apart"
    say(f"measuring the {kind}, in one pass")
    errors = error_from_noisy_pairs(denoised(model, noisy_1), noisy_1, noisy_2)
    before, after = estimated_psnr(errors.noisy), estimated_psnr(errors.denoised)
    tell(f"noisy {before}, denoised {after}: {kind} (in 95 of 100 cases it is within the brackets)")
    tell("it is too high if the same scenes were trained on; 'evaluate' with others is right")
    if before.is_known() and after.is_known():
        report_gain(after.value - before.value)


def report_gain(gain):
    if gain > 0:
        tell(f"the result is {gain:.2f} dB ahead of its noisy input")
    else:
        advice = "train longer, or with a lower learning rate"
        tell(f"the result is {-gain:.2f} dB BEHIND its noisy input: {advice}")


def denoised(model, noisy):
    return model.predict(noisy, average=False).cpu()


def seconds_to_denoise(model, noisy):
    start = time.monotonic()
    denoised(model, noisy)
    return time.monotonic() - start
