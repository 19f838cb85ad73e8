"""What the study's experiments ask for, what trainings are made of, and how they are made."""

import json
import math
from dataclasses import replace
from unittest import mock

import torch

from ..study import material, run
from ..study.experiments import EXPERIMENTS, Arm, Experiment, Settings, wanted_runs
from ..study.networks import NETWORKS, seeded_network
from ..study.results import Results, name_of
from ..study.trainings import StudyTraining
from ..training.optimizers import ALL_OPTIMIZERS
from . import TestCase, random_images, weights_of

SMALL = Settings(network="7 layers of 3 x 3", initialization="pytorch", batch_size=4, gradients=4)


class TestTables(TestCase):
    """Whatever is added to a table is trained, and can be trained."""

    def test_every_network_is_compared_keeps_the_shape_and_has_gradients(self):
        images = torch.rand(2, 3, 8, 12)
        for name, entry in NETWORKS.items():
            with self.subTest(name):
                compared = [arm.settings.network for arm in EXPERIMENTS[entry.experiment].arms]
                self.assertIn(name, compared)
                network = seeded_network(name, entry.initialization, seed=0)
                output = network(images)
                self.assertEqual(output.shape, images.shape)
                output.square().mean().backward()
                self.assertNotIn(None, [parameter.grad for parameter in network.parameters()])

    def test_a_search_begins_with_several_rates(self):
        for name, optimizer in ALL_OPTIMIZERS.items():
            self.assertGreater(len(optimizer.rates), 1, name)


class TestResults(TestCase):
    def test_a_search_goes_on_until_the_best_rate_lies_inside(self):
        experiment = Experiment("", [Arm("arm", Settings(), (0.1, 0.2, 0.4))], seeds=(1, 2))
        self.patch(mock.patch.dict(EXPERIMENTS, {"search": experiment}))
        for best_rate, tried in (
            (1.6, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]),
            (0.05, [0.025, 0.05, 0.1, 0.2, 0.4]),
        ):
            with self.subTest(best_rate=best_rate):
                scores = {}
                while missing := set(wanted_runs("search", scores.get)) - set(scores):
                    for each in missing:
                        scores[each] = -abs(math.log(each.settings.learning_rate / best_rate))
                rates = [(each.seed, each.settings.learning_rate) for each in scores]
                expected = [(0, rate) for rate in tried] + [(1, best_rate), (2, best_rate)]
                self.assertEqual(sorted(rates), expected)

    def test_every_file_belongs_to_a_training_that_an_experiment_asks_for(self):
        results = Results()
        asked = set()
        for name in EXPERIMENTS:
            asked.update(name_of(each) for each in wanted_runs(name, results.score))
        self.assertEqual(set(results.found) - asked, set())


class WithPhotographs(TestCase):
    def setUp(self):
        super().setUp()
        self.packed = self.folder / "packed.pt"
        torch.save({"photographs": list(random_images(40, 90, 96))}, self.packed)
        self.material = material.Material(self.packed, "cpu")

    def training(self, **changes):
        return StudyTraining(replace(SMALL, **changes), 1, self.material)

    def trained(self, **changes):
        training = self.training(**changes)
        while not training.is_finished:
            training.take_step()
        return training


class TestTrainings(WithPhotographs):
    def test_a_training_that_was_stopped_ends_where_an_unbroken_one_does(self):
        stopped = self.training()
        stopped.take_step()
        state = self.folder / "state.pt"
        torch.save(stopped.state_dict(), state)
        resumed = self.training()
        resumed.load_state_dict(torch.load(state, weights_only=True))
        while not resumed.is_finished:
            resumed.take_step()
        unbroken = self.trained()
        self.assertEqual(resumed.curve, unbroken.curve)
        self.assertSameWeights(weights_of(resumed.model), weights_of(unbroken.model))

    def test_trainings_end_after_their_gradients_or_iterations(self):
        once = {"hybrid": True, "lbfgs_counts": False}  # five iterations, each counted once
        for optimizer, changes, least, most in (
            ("Muon", {}, 8, 8),
            ("L-BFGS", {}, 8, 36),
            ("momAGD", once, 8 + 5, 8 + 5 * 25),
        ):
            training = self.trained(gradients=8, batch_size=1, optimizer=optimizer, **changes)
            gradients = sum(training.training.history["evaluations"])
            self.assertTrue(least <= gradients <= most, gradients)

    def test_the_rate_rises_and_falls_or_stays(self):
        for rate, share_at_half in (("falling", 0.5), ("constant", 1)):
            training = self.training(gradients=100, warm_up=0.1, rate=rate)
            rates = []
            for training.spent in (0, 5, 10, 50):
                rates.append(training.learning_rate(0) / SMALL.learning_rate)
            self.assertEqual(rates.index(max(rates)), 2)
            self.assertLess(rates[0], rates[1])
            self.assertEqual(rates[3], share_at_half)

    def test_a_training_that_explodes_ends_unless_it_has_no_safeguard(self):
        explosive = {"optimizer": "ADAM", "learning_rate": 10, "rate": "constant", "gradients": 6}
        stopped = self.trained(**explosive)
        self.assertTrue(stopped.diverged)
        self.assertLess(stopped.spent, 6)
        trained_on = self.trained(safeguard=False, **explosive)
        self.assertFalse(trained_on.diverged)
        self.assertEqual(trained_on.spent, 6)
        self.assertGreater(max(trained_on.training.history["loss"]), 1000)


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
                settings = replace(SMALL, **changes)
                noisy = self.material.batches(settings, 1)(3)
                clean = self.material.batches(replace(settings, target="clean"), 1)(3)
                self.assertSame(noisy[0], clean[0])
                self.assertDiffer(noisy[1], clean[1])

    def test_every_ordered_pair_of_the_draws_is_an_input_and_a_target(self):
        draws = torch.tensor([[0, 1, 2], [3, 4, 5]])[..., None]  # two images, three draws of each
        first, second = (part.flatten().tolist() for part in material.ordered_pairs(draws))
        pairs = {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}
        pairs |= {(one + 3, other + 3) for one, other in pairs}
        self.assertEqual(sorted(zip(first, second)), sorted(pairs))


class TestRuns(WithPhotographs):
    def test_every_run_has_its_file_and_is_not_repeated(self):
        searched = Arm("searched", SMALL, rates=(1e-9, 0.004, 1e9))
        arms = [Arm("Noisy, 4", SMALL), searched]
        self.patch(mock.patch.dict(EXPERIMENTS, {"tiny": Experiment("", arms, seeds=(1,))}))
        folder = self.folder / "results"
        run.make_all(["tiny"], Results(folder), self.packed, "cpu", 1, self.folder / "checkpoints")
        self.assertEqual(run.missing_runs(["tiny"], Results(folder)), [])
        paths = sorted((folder / "tiny").iterdir())
        names = [path.stem for path in paths if "rate-1e" not in path.name]
        self.assertEqual(names, ["noisy-4.1", "searched-rate-0.004.0", "searched.1"])
        found = json.loads(paths[0].read_text())
        self.assertEqual(len(found["psnr_one_pass"]), 8)  # two images of each of four photographs
        self.assertEqual((found["gradients"], found["pairs"]), (4, 16))
