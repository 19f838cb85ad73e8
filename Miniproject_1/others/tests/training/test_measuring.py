"""What is known of a network in training without clean images."""

import contextlib
import io
from unittest import mock

import torch

from ...training import measuring
from .. import TestCase, random_images


class Halving:
    """A "model" that halves the distance to mid-grey."""

    def predict(self, images, average):
        return (images.float() + 127.5) / 2


def noisy_pairs(number):
    """Grey images with independent noise of 20 of 255: a PSNR of 22.1 dB, halved 28.1."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.full((number, 3, 8, 8), 127.5)
    return [grey + 20 * torch.randn(grey.shape, generator=generator) for _ in range(2)]


class TestMeasuring(TestCase):
    def test_pairs_kept_apart_are_not_trained_on(self):
        images = random_images(50, 4, 4)
        kept, others = measuring.keep_apart(images, images, 0.1)
        self.assertEqual((len(kept[0]), len(others[0])), (5, 45))
        everything = torch.cat([kept[0], others[1]]).flatten(1)
        self.assertEqual(len(everything.unique(dim=0)), 50)
        with mock.patch.object(measuring, "MOST_KEPT_APART", 3):
            self.assertEqual(len(measuring.keep_apart(images, images, 0.1)[0][0]), 3)

    def test_the_line_of_progress_has_floor_and_estimated_psnr(self):
        pairs = noisy_pairs(300)
        nothing = [images[:0] for images in pairs]
        self.patch(mock.patch.object(measuring, "SECONDS_BETWEEN_MEASUREMENTS", -1))
        for kept, text in ((pairs, r"PSNR 28.\d dB \(noisy 22.\d dB\), "), (nothing, "")):
            measurements = measuring.Measurements(Halving(), kept, pairs, "mse")
            measurements.measure_now_and_then()
            described = measurements.describe(0.5)
            self.assertRegex(described, rf"^{text}loss 0.50000 \(floor 0.006\d+\)$")

    def test_a_psnr_that_cannot_be_estimated_is_unknown(self):
        noisy, _ = noisy_pairs(300)
        self.patch(mock.patch.object(measuring, "SECONDS_BETWEEN_MEASUREMENTS", -1))
        measurements = measuring.Measurements(Halving(), (noisy, noisy), (noisy, noisy), "mse")
        measurements.measure_now_and_then()
        self.assertIn("PSNR 28.1 dB (noisy unknown), loss", measurements.describe(0.5))

    def result(self, model, kept, validation):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            measuring.report_result(model, kept, validation, 1000)
        return printed.getvalue()

    def test_the_last_line_says_how_far_the_result_is_ahead(self):
        pairs = noisy_pairs(300)
        clean = torch.full((300, 3, 8, 8), 127.5)
        interval = r"( \(\d+.\d\d to \d+.\d\d\))?"
        for validation in (None, (pairs[0], clean)):
            printed = self.result(Halving(), pairs, validation)
            self.assertRegex(
                printed, rf"noisy 22.\d\d dB{interval}, denoised 28.\d\d dB{interval}:"
            )
            self.assertRegex(printed, r"the result is [56].\d\d dB ahead of its noisy input\n$")

    def test_the_last_line_says_so_where_the_result_is_worse_than_its_input(self):
        too_dark = mock.Mock()
        too_dark.predict.side_effect = lambda images, average: images - 40
        printed = self.result(too_dark, noisy_pairs(300), None)
        self.assertRegex(printed, r"\d dB BEHIND its noisy input: train longer")

    def test_an_exact_image_is_left_out_and_the_others_are_told_of(self):
        noisy, _ = noisy_pairs(300)
        clean = torch.full((300, 3, 8, 8), 127.5)
        noisy[0] = clean[0]
        printed = self.result(Halving(), (noisy, noisy), (noisy, clean))
        self.assertIn("exact, and not in the mean: 1", printed)
        self.assertRegex(printed, r"the result is [56].\d\d dB ahead of its noisy input\n$")

    def test_nothing_is_claimed_where_the_estimate_is_not_above_zero(self):
        noisy, target = noisy_pairs(300)
        knows_by_heart = mock.Mock()
        knows_by_heart.predict.side_effect = lambda images, average: target
        printed = self.result(knows_by_heart, (noisy, target), None)
        self.assertIn("denoised unknown (the estimated error is not above zero", printed)
        self.assertNotIn("the result is", printed)

    def test_nothing_is_claimed_from_too_few_pairs(self):
        nothing = [images[:0] for images in noisy_pairs(1)]
        printed = self.result(Halving(), nothing, None)
        self.assertEqual(printed.count("\n"), 1)
        self.assertIn("no pair was kept apart to measure the result on", printed)
