"""The study's own parts; its results are measured, not tested."""

import torch

from ...model import build_network, forward, initialize
from ..study import experiments, runs
from . import TestCase, random_images, relative_error


class TestStudy(TestCase):
    def images(self):
        """Clean images and noisy draws with uniform noise, in `make_images`'s form."""
        generator = torch.Generator().manual_seed(0)
        clean = random_images(100, 32, 32) // 2 + 60
        noise = torch.randint(-20, 21, (100, runs.DRAWS, 3, 32, 32), generator=generator)
        images = clean, (clean[:, None] + noise).to(torch.uint8)
        return dict(train=images, validation=[part[:4] for part in images])

    def test_every_variant_of_the_network_is_its_plain_layers_and_trains(self):
        images = torch.rand(2, 3, 12, 16)
        for name in ("two each", *experiments.EXPERIMENTS["batchnorm"], *experiments.EXPERIMENTS["layers"]):
            with self.subTest(name):
                network = experiments.variant_network(name)
                initialize(network)
                output = forward(network, images, training=True)
                self.assertEqual(output.shape, images.shape)
                self.assertLess(relative_error(output, network.train()(images)), 1e-4)
                output.square().mean().backward()
                self.assertTrue(all(parameter.grad is not None for parameter in network.parameters()))

    def test_settled_statistics_are_those_of_the_images(self):
        network, noisy = build_network(), random_images(20, 16, 16)
        initialize(network)
        runs.settle(network, noisy)
        with torch.no_grad():
            settled = forward(network, noisy.float() / 255, training=False)
            in_training = forward(network, noisy.float() / 255, training=True)
        self.assertLess((settled - in_training).abs().max(), 1e-3)
        runs.settle(network, random_images(40, 16, 16))  # two parts: the mean over both
        mean = network[5].running_mean.clone()
        parts = []
        for part in random_images(40, 16, 16).split(20):
            runs.settle(network, part)
            parts.append(network[5].running_mean.clone())
        self.assertLess((mean - sum(parts) / 2).abs().max(), 1e-5)

    def test_a_run_is_complete_and_repeats_itself(self):
        settings = {**experiments.BASELINE, "batch_size": 4, "crop": 8, "steps_per_epoch": 3, "epochs": 1}
        first, second = (runs.run(settings, self.images(), seed=1) for _ in range(2))
        self.assertEqual(len(first["loss"]), 3)
        self.assertEqual([score["evaluations"] for score in first["scores"]], [0])
        self.assertEqual(first["evaluations"], [1, 2, 3])
        for name in ("loss", "psnr", "psnr_settled"):
            self.assertEqual(first[name], second[name])
        self.assertFalse(first["diverged"])
        variance = (41**2 - 1) / 12 / 255**2  # of the noise's uniform distribution
        self.assertAlmostEqual(first["floor"], variance, delta=0.02 * variance)

    def test_a_run_that_explodes_is_told(self):
        settings = {**experiments.BASELINE, "batch_size": 4, "crop": 8, "steps_per_epoch": 3, "learning_rate": 1e9}
        self.assertTrue(runs.run(settings, self.images(), seed=1)["diverged"])

    def test_gradients_are_limited_and_weights_averaged(self):
        settings = {**experiments.BASELINE, "batch_size": 4, "crop": 8, "max_evaluations": 4, "averaging": 0.5}
        result = runs.run(settings, self.images(), seed=1)
        self.assertEqual(result["evaluations"], [1, 2, 3, 4])
        last = runs.run(dict(settings, averaging=None), self.images(), seed=1)
        self.assertEqual(last["loss"], result["loss"])
        self.assertNotEqual(last["psnr"], result["psnr"])
