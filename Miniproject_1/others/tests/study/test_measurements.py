"""What is measured of the shipped weights, and the contenders of the benchmark."""

from unittest import mock

import torch

from ...study import contenders, scores
from .. import TestCase, random_images, relative_error


class Untouched:
    """A model that leaves images as they are."""

    def predict(self, images, average=True, progress=False):
        return images.float()


class TestScores(TestCase):
    def test_both_formulas_and_their_intervals(self):
        clean = random_images(20, 8, 8).float()
        noise = torch.arange(1, 11.0).repeat_interleave(2).view(20, 1, 1, 1)
        found = scores.measure(Untouched(), clean + noise, clean, images_of_each=2)
        errors = (noise.flatten() / 255).square()
        psnr = -10 * errors.log10()
        psnr_of_mean = -10 * errors.mean().log10()
        for name in ("noisy", "one pass", "mean over 8 flips"):
            mean = found[name]["mean PSNR"]
            of_mean = found[name]["PSNR of the mean error"]
            self.assertAlmostEqual(mean["score"], psnr.mean().item(), delta=1e-3)
            self.assertAlmostEqual(of_mean["score"], psnr_of_mean.item(), delta=1e-3)
            for score in (mean, of_mean):
                self.assertLess(score["low"], score["score"])
                self.assertLess(score["score"], score["high"])


class TestBenchmark(TestCase):
    def test_all_contenders_take_the_same_step(self):
        noisy = random_images(2, 8, 8)
        target = random_images(2, 8, 8, seed=1)
        self.patch(mock.patch.object(contenders, "LEARNING_RATE", 0.05))
        weights = {}
        for name in ("plain", "ours, float32"):
            competitor = contenders.CONTENDERS[name]("cpu")
            competitor.step(noisy, target)
            network = competitor.network if name == "plain" else competitor.model.network
            weights[name] = network.state_dict()
        for name, value in weights["plain"].items():
            error = relative_error(weights["ours, float32"][name], value)
            self.assertLess(error, 1e-5, name)
