"""The study's own parts; its results are measured, not tested."""

from unittest import mock

import torch

from ...model import build_network, forward, initialize
from ..data.pairs import SAMPLE
from ..study import __main__ as main
from ..study import experiments, filing, measurements, robustness, runs
from . import TestCase, random_images, relative_error


class TestStudy(TestCase):
    def images(self):
        """Clean images and noisy draws with uniform noise, in `make_images`'s form."""
        generator = torch.Generator().manual_seed(0)
        clean = random_images(200, 16, 16) // 2 + 60
        noise = torch.randint(-20, 21, (200, runs.DRAWS, 3, 16, 16), generator=generator)
        images = clean, (clean[:, None] + noise).to(torch.uint8)
        return dict(train=images, validation=[part[:4] for part in images])

    def test_every_variant_of_the_network_is_its_plain_layers_and_trains(self):
        images = torch.rand(2, 3, 12, 16)
        names = ("no BatchNorm", "BatchNorm everywhere", *experiments.ROWS["layers"].variants)
        for name in names:
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
        runs.settle(network, random_images(100, 16, 16))  # two parts: the mean over both
        mean = network[5].running_mean.clone()
        parts = []
        for part in random_images(100, 16, 16).split(50):
            runs.settle(network, part)
            parts.append(network[5].running_mean.clone())
        self.assertLess((mean - sum(parts) / 2).abs().max(), 1e-5)

    SMALL = dict(num_pairs=12, batch_size=4, epochs=2, precision="float32")

    def test_a_run_is_complete_and_repeats_itself(self):
        settings = {**experiments.BASELINE, **self.SMALL, "num_pairs": 200, "batch_size": 20, "epochs": 1}
        first, second = (runs.run(settings, self.images(), seed=1) for _ in range(2))
        self.assertEqual(len(first["loss"]), 10)
        self.assertEqual([score["evaluations"] for score in first["scores"]], [0, 2, 4, 6, 8, 10])
        self.assertEqual(first["evaluations"], list(range(1, 11)))
        self.assertGreater(first.pop("seconds") * second.pop("seconds"), 0)
        self.assertEqual(first, second)
        self.assertFalse(first["diverged"])
        variance = (41**2 - 1) / 12 / 255**2  # of the noise's uniform distribution
        self.assertAlmostEqual(first["floor"], variance, delta=0.02 * variance)
        self.assertAlmostEqual(10 ** (-first["noisy_psnr"] / 10), variance, delta=0.1 * variance)

    def test_the_rate_falls_to_zero_or_stays(self):
        for rate, last in ((experiments.FALLING, 0.05 / 6), (experiments.CONSTANT, 0.05)):
            settings = experiments.settings_of(self.SMALL, rate)
            training, _, _ = runs.start(settings, self.images(), seed=1)
            rates = [rate for _, rate, _ in training]
            self.assertEqual((len(rates), rates[0]), (6, 0.05))
            self.assertAlmostEqual(rates[-1], last)

    def test_border_and_centre_make_the_whole(self):
        clean = random_images(3, 16, 16)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1))  # the identity, but for what is added at the border
        with torch.no_grad():
            network[0].weight.copy_(torch.eye(3)[:, :, None, None])
            network[0].bias.zero_()
        noisy = clean.float() * 0.5 + 60
        noisy[:, :, 4:-4, 4:-4] = clean[:, :, 4:-4, 4:-4] * 0.9 + 10
        found = runs.score_of(network, noisy, clean)
        error = ((noisy - clean) / 255).square()
        outside = torch.ones(16, 16, dtype=torch.bool)
        outside[4:-4, 4:-4] = False
        for name, part in dict(
            psnr=error.flatten(2), psnr_centre=error[..., ~outside], psnr_border=error[..., outside]
        ).items():
            self.assertAlmostEqual(found[name], (-10 * part.mean((1, 2)).log10()).mean().item(), delta=0.01)

    def test_a_run_that_explodes_is_told(self):
        settings = {**experiments.BASELINE, **self.SMALL, "learning_rate": 1e9}
        self.assertTrue(runs.run(settings, self.images(), seed=1)["diverged"])

    def test_a_network_that_cannot_learn_is_told_and_stopped(self):
        for initialization, dead in (("zeros", True), ("xavier", False)):
            settings = {**experiments.BASELINE, **self.SMALL, "epochs": 6, "initialization": initialization}
            result = runs.run(settings, self.images(), seed=1)
            self.assertEqual((result["dead"], len(result["loss"])), (dead, 15 if dead else 18))
            self.assertEqual(result["scores"][-1]["images"], runs.VALIDATION_IMAGES)

    def test_gradients_are_limited(self):
        settings = {**experiments.BASELINE, **self.SMALL, "max_evaluations": 4}
        self.assertEqual(runs.run(settings, self.images(), seed=1)["evaluations"], [1, 2, 3, 4])
        lbfgs = runs.run(dict(settings, optimizer="L-BFGS", max_evaluations=40), self.images(), seed=1)
        self.assertGreaterEqual(lbfgs["evaluations"][-1], 40)
        in_last_epoch = [score for score in lbfgs["scores"] if score["images"] == runs.VALIDATION_IMAGES]
        self.assertEqual(in_last_epoch, lbfgs["scores"][-1:])  # an iteration is more than an epoch of gradients

    def test_every_row_is_planned_once_and_the_best_rate_goes_on(self):
        self.patch(mock.patch.object(filing, "RESULTS", self.folder))
        planned = [
            (name, variant, settings["rate"], seed) for name, variant, settings, seed in main.plan(["flips", "tuned"])
        ]
        self.assertEqual(len(planned), len(set(planned)))
        self.assertEqual(len(planned), 5 * 2 + 7 * 3)  # nothing of "tuned" is known yet
        done = [
            dict(variant=f"ADAM, {rate}", seed=0, result=dict(psnr=psnr)) for rate, psnr in ((0.0005, 21), (0.003, 22))
        ]
        filing.save_results("tuned", done)
        later = [variant for _, variant, _, seed in main.plan(["tuned"]) if seed]
        self.assertEqual(later, ["ADAM, 0.003"] * 2)

    def test_a_run_that_another_row_has_made_is_not_repeated(self):
        self.patch(mock.patch.object(filing, "RESULTS", self.folder))
        run = self.patch(mock.patch.object(filing, "run", return_value=dict(psnr=20.0)))
        settings = experiments.settings_of({}, experiments.FALLING)
        with filing.Filing() as runs_of_study:
            for row, seed in (("flips", 0), ("flips", 0), ("layers", 0), ("layers", 1)):
                runs_of_study.begin(row, f"of {row}", settings, seed, self.images)
        self.assertEqual(run.call_count, 2)
        (first,), (copy, second) = filing.load_results("flips"), filing.load_results("layers")
        self.assertEqual(copy, dict(first, variant="of layers", taken_from="flips"))
        self.assertNotIn("taken_from", second)

    def test_several_processes_find_what_one_finds(self):
        found, settings = [], {**experiments.settings_of({}, experiments.FALLING), **self.SMALL}
        for processes in (1, 2):
            self.patch(mock.patch.object(filing, "RESULTS", self.folder / str(processes)))
            with filing.Filing(processes) as runs_of_study:
                for row, seed in (("flips", 0), ("flips", 1), ("layers", 0), ("layers", 1)):
                    runs_of_study.begin(row, row, settings, seed, self.images)
            results = [each for row in ("flips", "layers") for each in filing.load_results(row)]
            self.assertEqual([each.get("taken_from") for each in results], [None, None, "flips", "flips"])
            found.append({(each["seed"], each["variant"]): each["result"]["psnr"] for each in results})
        self.assertEqual(len(found[0]), 4)
        for run, psnr in found[0].items():
            self.assertAlmostEqual(psnr, found[1][run], delta=0.01)

    def test_an_edge_within_a_block(self):
        """With many pixels f is uniform: noise has 1/6, the best estimate, 1/3 or 2/3, has 1/18."""
        found = measurements.edge(100_000)
        for name, value in dict(noisy_mse=1 / 6, least_mse=1 / 18, clean_variance=1 / 12, best_variance=1 / 36).items():
            self.assertAlmostEqual(found[name], value, delta=1e-4)
        self.assertAlmostEqual(measurements.edge(1)["least_mse"], 0)

    def test_robustness_has_blocks_of_the_size_that_is_named(self):
        picture = random_images(1, 300, 280)[0]
        self.patch(mock.patch.object(robustness, "distinct_photos", return_value=["photo"]))
        self.patch(mock.patch.object(robustness, "read_picture", return_value=picture))
        for block, (name, noisy, clean) in zip(robustness.BLOCK_SIZES, robustness.cases("photos", SAMPLE)):
            with self.subTest(name):
                top, left, side = 150 - 16 * block, 140 - 16 * block, 32 * block
                crop = picture[:, top : top + side, left : left + side].float()
                means = torch.nn.functional.avg_pool2d(crop, block)
                self.assertLess((clean[0] - means).abs().max(), 0.51)
                blocks = crop.view(3, 32, block, 32, block)
                self.assertTrue((blocks == noisy[0][:, :, None, :, None]).any(4).any(2).all())
