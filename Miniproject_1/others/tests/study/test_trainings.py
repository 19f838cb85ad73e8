"""What a seed trains on, how a training of the study ends, and what it finds."""

from dataclasses import replace
from unittest import mock

import torch

from ...study import experiments, material, networks, trainings
from ...study.experiments import Settings
from ...study.trainings import OutOfTime, StudyTraining
from .. import TestCase, random_images

SMALL = Settings(network="7 layers of 3 x 3", initialization="pytorch", batch_size=4, gradients=4)


class WithPhotographs(TestCase):
    def setUp(self):
        super().setUp()
        pictures = random_images(40, 90, 96)
        packed = self.folder / "packed.pt"
        shapes = [tuple(picture.shape) for picture in pictures]
        torch.save({"shapes": shapes, "pixels": pictures.flatten()}, packed)
        self.material = material.Material(packed, "cpu")


class TestTrainings(WithPhotographs):
    def result(self, seed=1, **changes):
        training = StudyTraining(replace(SMALL, **changes), seed, self.material)
        training.run()
        return training.result()

    def test_a_run_that_was_stopped_ends_where_an_unbroken_one_does(self):
        stopped = StudyTraining(SMALL, 1, self.material)
        with mock.patch.object(trainings.time, "time", side_effect=[0, 0, 9]):
            with self.assertRaises(OutOfTime):
                stopped.run(deadline=5)
        self.assertEqual(stopped.spent, 2)
        resumed = StudyTraining(SMALL, 1, self.material)
        resumed.load_state_dict(stopped.state_dict())
        resumed.run()
        unbroken = self.result()
        self.assertEqual(resumed.result()["psnr"], unbroken["psnr"])
        self.assertNotEqual(self.result(seed=2)["psnr"], unbroken["psnr"])

    def test_every_optimizer_ends_after_its_gradients(self):
        settings = replace(SMALL, gradients=8, batch_size=1)
        for name, most in (("momAGD", 8), ("Muon", 8), ("L-BFGS", 36), ("hybrid", 36)):
            with self.subTest(name):
                chosen = experiments.with_optimizer(settings, name)
                training = StudyTraining(chosen, 1, self.material)
                training.run()
                self.assertGreaterEqual(training.spent, 8)
                self.assertLessEqual(training.spent, most)

    def test_an_iteration_of_lbfgs_counts_as_one_where_its_gradients_do_not(self):
        settings = experiments.with_optimizer(SMALL, "hybrid")
        settings = replace(settings, gradients=7, batch_size=1, lbfgs_counts=False)
        training = StudyTraining(settings, 1, self.material)
        training.run()
        self.assertEqual(training.training.step, 7)
        self.assertGreater(training.result()["gradients"], 5 * 10)

    def test_the_rate_rises_and_falls_or_stays(self):
        for rate, share_at_half in (("falling", 0.5), ("constant", 1)):
            settings = replace(SMALL, gradients=100, warm_up=0.1, rate=rate)
            training = StudyTraining(settings, 1, self.material)
            rates = []
            for training.spent in range(100):
                rates.append(training.learning_rate(0))
            self.assertEqual(rates.index(max(rates)), 10)
            self.assertLess(rates[0], rates[5])
            self.assertAlmostEqual(rates[50], share_at_half * SMALL.learning_rate)

    def test_a_training_that_diverges_is_told(self):
        result = self.result(optimizer="momAGD", learning_rate=1e12, rate="constant")
        self.assertTrue(result["diverged"])


class TestMaterial(WithPhotographs):
    def test_photographs_kept_apart_are_in_no_training(self):
        parts = self.material.reporting, self.material.choosing, self.material.rest
        self.assertEqual([len(part) for part in parts], [4, 2, 34])
        places = {photograph.data_ptr() for part in parts for photograph in part}
        self.assertEqual(len(places), 40)
        first, second = (torch.stack(self.material.photographs_of(seed)) for seed in (1, 2))
        self.assertEqual(len(first), 17)
        self.assertDiffer(first, second)

    def test_noisy_and_clean_targets_have_the_same_inputs(self):
        for changes in ({}, {"images": 8}, {"noise": "Gaussian"}):
            with self.subTest(**changes):
                noisy, clean = (
                    self.material.batches(replace(SMALL, target=target, **changes), 1)(3)
                    for target in ("noisy", "clean")
                )
                self.assertSame(noisy[0], clean[0])
                self.assertDiffer(noisy[1], clean[1])

    def test_every_ordered_pair_of_the_draws_is_an_input_and_a_target(self):
        draws = torch.arange(6.0).view(2, 3, 1, 1, 1)  # two images, three draws of each
        pairs = list(zip(*(part.flatten().tolist() for part in material.ordered_pairs(draws))))
        self.assertEqual(len(set(pairs)), 2 * 3 * 2)
        for first, second in pairs:
            self.assertNotEqual(first, second)
            self.assertEqual(first // 3, second // 3)


class TestNetworks(TestCase):
    def test_every_network_keeps_the_shape_and_has_gradients(self):
        images = torch.rand(2, 3, 12, 16)
        for name in networks.NETWORKS:
            with self.subTest(name):
                network = networks.seeded_network(name, "pytorch", 0)
                output = network(images)
                self.assertEqual(output.shape, images.shape)
                output.square().mean().backward()
                for parameter in network.parameters():
                    self.assertIsNotNone(parameter.grad)
