"""What is measured of the shipped weights, and the contenders of the benchmark."""

from unittest import mock

import torch

from ...study import benchmark, peers, robustness, scores
from .. import TestCase, needs_pillow, random_images, relative_error


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
        for name in ("noisy", "one pass", "mean over 8 flips"):
            mean, of_mean = found[name]["mean PSNR"], found[name]["PSNR of the mean error"]
            self.assertAlmostEqual(mean["score"], (-10 * errors.log10()).mean().item(), delta=1e-3)
            expected = (-10 * errors.mean().log10()).item()
            self.assertAlmostEqual(of_mean["score"], expected, delta=1e-3)
            for score in (mean, of_mean):
                self.assertLess(score["low"], score["score"])
                self.assertLess(score["score"], score["high"])


class TestPeers(TestCase):
    def test_the_lead_is_over_the_better_prediction_of_each(self):
        theirs = torch.linspace(20, 30, 80)
        wave = 0.1 * torch.sin(torch.arange(80.0))
        found = peers.compare(
            theirs + 0.3 + wave,
            {
                "weak": {
                    "parameters": 1,
                    "one_pass": (theirs - 2).tolist(),
                    "mean_over_8": (theirs - 1).tolist(),
                },
                "strong": {
                    "parameters": 2,
                    "one_pass": theirs.tolist(),
                    "mean_over_8": (theirs - 1).tolist(),
                },
            },
        )
        self.assertEqual(list(found), ["strong", "weak"])
        self.assertAlmostEqual(found["strong"]["lead"], 0.3, delta=0.02)
        self.assertAlmostEqual(found["weak"]["lead"], 1.3, delta=0.02)
        self.assertEqual(found["strong"]["verdict"], "larger")


class TestRobustness(TestCase):
    @needs_pillow
    def test_blocks_have_the_size_that_is_named(self):
        picture = random_images(1, 300, 280)[0]
        data = self.folder / "val_data.pkl"
        torch.save([random_images(20, 32, 32)] * 2, data)
        self.patch(mock.patch.object(robustness, "distinct_photographs", return_value=["it"]))
        self.patch(mock.patch.object(robustness, "read_picture", return_value=picture))
        for block, (name, noisy, clean) in zip(
            robustness.BLOCK_SIZES, robustness.cases("photographs", data)
        ):
            with self.subTest(name):
                top, left, side = 150 - 16 * block, 140 - 16 * block, 32 * block
                crop = picture[:, top : top + side, left : left + side].float()
                means = torch.nn.functional.avg_pool2d(crop, block)
                self.assertLess((clean[0] - means).abs().max(), 0.51)
                blocks = crop.view(3, 32, block, 32, block)
                is_pixel = (blocks == noisy[0][:, :, None, :, None]).any(4).any(2)
                self.assertTrue(is_pixel.all())

    def test_blurred_images_have_less_gradient_energy(self):
        sharp = random_images(2, 16, 16).float()
        blurred = torch.nn.functional.avg_pool2d(sharp, 3, stride=1, padding=1)
        self.assertLess(robustness.gradient_energy(blurred), robustness.gradient_energy(sharp))
        row = robustness.measure(Untouched(), sharp, sharp)
        self.assertAlmostEqual(row["denoised_energy"], 1)


class TestBenchmark(TestCase):
    def test_all_contenders_take_the_same_step(self):
        noisy, target = random_images(2, 8, 8), random_images(2, 8, 8, seed=1)
        self.patch(mock.patch.object(benchmark, "LEARNING_RATE", 0.05))
        weights = {}
        for name in ("plain", "ours, float32"):
            competitor = benchmark.CONTENDERS[name]("cpu")
            competitor.step(noisy, target)
            network = competitor.network if name == "plain" else competitor.model.network
            weights[name] = network.state_dict()
        for name, value in weights["plain"].items():
            error = relative_error(weights["ours, float32"][name], value)
            self.assertLess(error, 1e-5, name)

    def test_every_contender_can_predict_and_is_timed(self):
        pairs = random_images(2, 8, 8), random_images(2, 8, 8, seed=1)
        for name in benchmark.ON_CPU:
            competitor = benchmark.CONTENDERS[name]("cpu")
            for task in ("step", "predict"):
                self.assertGreater(benchmark.timed(competitor, task, pairs, "cpu"), 0)
