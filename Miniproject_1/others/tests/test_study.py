"""What the study's experiments ask for, what trainings are made of, and how they are made."""

import json
import math
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from ... import model
from ...model import INITIALIZATIONS
from ..data.noises import NOISES
from ..metrics import LOSSES
from ..pictures import write_picture
from ..study import experiments, material, run
from ..study.experiments import EXPERIMENTS, Arm, Experiment, Settings, wanted_runs
from ..study.networks import NETWORKS, seeded_network
from ..study.results import RESULTS, Results
from ..study.trainings import StudyTraining
from ..training.optimizers import ALL_OPTIMIZERS
from . import TestCase, needs_pillow, random_images, weights_of

SMALL = Settings(network="7 layers of 3 x 3", initialization="pytorch", batch_size=4, gradients=4)


def names_of_arms(experiment):
    return [arm.name for arm in EXPERIMENTS[experiment].arms]


class TestTables(TestCase):
    """Whatever is added to a table is trained, and can be trained."""

    def test_every_network_is_compared_keeps_the_shape_and_has_gradients(self):
        images = torch.rand(2, 3, 8, 12)
        for name, entry in NETWORKS.items():
            with self.subTest(name):
                self.assertIn(entry.experiment, EXPERIMENTS)
                self.assertIn(entry.initialization, (*INITIALIZATIONS, "pytorch"))
                compared = [arm.settings.network for arm in EXPERIMENTS[entry.experiment].arms]
                self.assertIn(name, compared)
                network = seeded_network(name, entry.initialization, seed=0)
                output = network(images)
                self.assertEqual(output.shape, images.shape)
                output.square().mean().backward()
                for parameter in network.parameters():
                    self.assertIsNotNone(parameter.grad)

    def test_every_noise_is_trained_on_and_has_a_loss(self):
        photographs = random_images(2, 40, 48)
        for name, noise in NOISES.items():
            with self.subTest(name):
                for target in ("noisy", "clean"):
                    self.assertIn(f"{name}, {target} targets", names_of_arms("noises"))
                self.assertIn(noise.loss, LOSSES)
                images = material.kept_images(photographs, name, material.seeded(1), "cpu")
                self.assertDiffer(images.noisy, images.clean.float())

    def test_every_optimizer_is_searched_for_a_rate_and_takes_a_step(self):
        for name, optimizer in ALL_OPTIMIZERS.items():
            with self.subTest(name):
                arms = {arm.name: arm for arm in EXPERIMENTS["optimizers"].arms}
                self.assertIn(f"{name} at 0.05", arms)
                searched = arms[f"{name}, falling, 600 gradients"]
                self.assertEqual(searched.rates, optimizer.rates)
                self.assertGreater(len(optimizer.rates), 1, "a search begins with several rates")
                self.assertEqual(list(optimizer.rates), sorted(optimizer.rates))
                weight = torch.ones(2, 2, requires_grad=True)
                step = optimizer.function([weight], optimizer.rates[0], 0.9)
                weight.square().sum().backward()
                step.step()
                self.assertTrue((weight < 1).all())

    def test_every_initialization_is_compared(self):
        for name in INITIALIZATIONS:
            self.assertIn(f"{name}, two each, at 0.05", names_of_arms("starts"))


class TestSearches(TestCase):
    def search(self, best_rate, rates=(0.1, 0.2, 0.4)):
        """Make all runs of an arm that is best at some rate, and return them."""
        experiment = Experiment("", [Arm("arm", Settings(), rates)], seeds=(1, 2))
        self.patch(mock.patch.dict(EXPERIMENTS, {"search": experiment}))
        scores = {}
        while True:
            runs = wanted_runs("search", scores.get)
            missing = [run for run in runs if run not in scores]
            if not missing:
                return runs
            for each in missing:
                scores[each] = -abs(math.log(each.settings.learning_rate / best_rate))

    def test_a_search_goes_on_until_the_best_rate_lies_inside(self):
        for best_rate, tried in (
            (0.2, [0.1, 0.2, 0.4]),
            (1.6, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]),
            (0.05, [0.025, 0.05, 0.1, 0.2, 0.4]),
        ):
            with self.subTest(best_rate=best_rate):
                runs = self.search(best_rate)
                searched = [each for each in runs if each.seed == experiments.SEARCH_SEED]
                reported = [each for each in runs if each.seed != experiments.SEARCH_SEED]
                self.assertEqual([each.settings.learning_rate for each in searched], tried)
                self.assertEqual([each.seed for each in reported], [1, 2])
                for each in reported:
                    self.assertEqual(each.settings, replace(Settings(), learning_rate=best_rate))


class TestResults(TestCase):
    def test_every_file_belongs_to_a_training_that_an_experiment_asks_for(self):
        results = Results()
        asked = set()
        for name in EXPERIMENTS:
            asked.update(run.name_of(each) for each in wanted_runs(name, results.score))
        self.assertEqual(set(results.found) - asked, set())

    def test_a_setting_that_a_file_lacks_has_its_default_and_others_are_refused(self):
        path = next(Path(RESULTS, "targets").iterdir())
        content = json.loads(path.read_text())
        copied = self.folder / "targets" / path.name
        copied.parent.mkdir()
        del content["settings"]["lbfgs_counts"]
        copied.write_text(json.dumps(content))
        settings = Settings(**{**content["settings"], "flips": ()})
        wanted = experiments.Run("targets", content["arm"], settings, content["seed"])
        self.assertEqual(Results(self.folder).of(wanted)["psnr"], content["psnr"])
        with self.assertRaisesRegex(ValueError, "other settings"):
            Results(self.folder).of(replace(wanted, settings=replace(settings, momentum=0.5)))


class WithPhotographs(TestCase):
    def setUp(self):
        super().setUp()
        self.packed = self.folder / "packed.pt"
        torch.save({"photographs": list(random_images(40, 90, 96))}, self.packed)
        self.material = material.Material(self.packed, "cpu")

    def training(self, seed=1, **changes):
        return StudyTraining(replace(SMALL, **changes), seed, self.material)

    def trained(self, **changes):
        training = self.training(**changes)
        while not training.is_finished:
            training.take_step()
        return training


class TestTrainings(WithPhotographs):
    def test_a_training_that_was_stopped_ends_where_an_unbroken_one_does(self):
        stopped = self.training()
        stopped.take_step()
        stopped.take_step()
        state = self.folder / "state.pt"
        torch.save(stopped.state_dict(), state)
        with self.assertRaisesRegex(ValueError, "other settings"):
            self.training(gradients=5).load_state_dict(torch.load(state, weights_only=True))
        resumed = self.training()
        resumed.load_state_dict(torch.load(state, weights_only=True))
        self.assertEqual(resumed.spent, 2)
        while not resumed.is_finished:
            resumed.take_step()
        unbroken = self.trained()
        self.assertEqual(resumed.curve, unbroken.curve)
        self.assertSameWeights(weights_of(resumed.model), weights_of(unbroken.model))

    def test_trainings_end_after_their_gradients_or_iterations(self):
        for counts, optimizer, hybrid, least, most in (
            (True, "Muon", False, 8, 8),
            (True, "L-BFGS", False, 8, 36),
            (True, "momAGD", True, 8, 36),
            (False, "momAGD", True, 8 + 5, 8 + 5 * 10),  # five iterations, each counted once
        ):
            with self.subTest(optimizer=optimizer, hybrid=hybrid, lbfgs_counts=counts):
                self.patch(mock.patch.object(model, "LBFGS_STEPS", 2 if not counts else 20))
                changes = {"optimizer": optimizer, "hybrid": hybrid, "lbfgs_counts": counts}
                training = self.trained(gradients=8, batch_size=1, **changes)
                gradients = sum(training.training.history["evaluations"])
                self.assertTrue(least <= gradients <= most, gradients)

    def test_the_rate_rises_and_falls_or_stays(self):
        for rate, share_at_half in (("falling", 0.5), ("constant", 1)):
            training = self.training(gradients=100, warm_up=0.1, rate=rate)
            rates = []
            for training.spent in range(100):
                rates.append(training.learning_rate(0))
            self.assertEqual(rates.index(max(rates)), 10)
            self.assertLess(rates[0], rates[5])
            self.assertAlmostEqual(rates[50], share_at_half * SMALL.learning_rate)

    def test_a_training_that_explodes_ends_unless_it_has_no_safeguard(self):
        explosive = {"optimizer": "ADAM", "learning_rate": 10, "rate": "constant"}
        stopped = self.trained(gradients=6, **explosive)
        self.assertTrue(stopped.diverged)
        self.assertLess(stopped.spent, 6)
        trained_on = self.trained(gradients=6, safeguard=False, **explosive)
        self.assertFalse(trained_on.diverged)
        self.assertEqual(trained_on.spent, 6)
        self.assertTrue(trained_on.result()["exploded"])


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

    @needs_pillow
    def test_photographs_are_decoded_once_and_others_are_refused(self):
        folder = self.folder / "photographs"
        folder.mkdir()
        for number, picture in enumerate(random_images(2, 90, 96)):
            write_picture(picture, folder / f"{number}.png")
        packed = self.folder / "two.pt"
        material.pack([folder], packed)
        self.assertEqual(len(torch.load(packed)["photographs"]), 2)
        before = packed.stat().st_mtime_ns
        material.pack([folder], packed)
        self.assertEqual(packed.stat().st_mtime_ns, before)
        write_picture(random_images(1, 90, 96, seed=1)[0], folder / "another.png")
        with self.assertRaisesRegex(ValueError, "holds other photographs"):
            material.pack([folder], packed)


class TestRuns(WithPhotographs):
    def test_every_run_has_its_file_and_is_not_repeated(self):
        arms = [Arm("Noisy, 4", SMALL), Arm("searched", SMALL, rates=(1e-9, 0.004, 1e9))]
        self.patch(mock.patch.dict(EXPERIMENTS, {"tiny": Experiment("", arms, seeds=(1,))}))
        before = []
        for _ in range(2):
            checkpoints = self.folder / "checkpoints"
            results = Results(self.folder / "results")
            run.make_all(["tiny"], results, self.packed, "cpu", 1, checkpoints)
            paths = sorted((self.folder / "results" / "tiny").iterdir())
            times = [path.stat().st_mtime_ns for path in paths]
            self.assertIn(before, ([], times))
            before = times
        names = [path.stem for path in paths if "rate-1e" not in path.name]
        self.assertEqual(names, ["noisy-4.1", "searched-rate-0.004.0", "searched.1"])
        found = json.loads(paths[0].read_text())
        self.assertEqual(len(found["psnr"]), 8)  # two images of each of four photographs
        self.assertEqual((found["gradients"], found["pairs"]), (4, 16))
