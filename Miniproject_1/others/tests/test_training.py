"""Batches, `Training` and `Model.train`."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import torch
from torch.nn.utils import parameters_to_vector

from ... import model as module
from ...model import FLIPS, OPTIMIZERS, Batches, Model, Training
from . import TestCase, random_images, relative_error, weights_of


class TestBatches(TestCase):
    # Where the pixels of [[0, 1], [2, 3]] go
    EXPECTED_FLIPS = {
        "vertical": [[2, 3], [0, 1]],
        "horizontal": [[1, 0], [3, 2]],
        "transpose": [[0, 2], [1, 3]],
    }

    def ramps(self, number):
        return torch.arange(4, dtype=torch.uint8).view(2, 2).expand(number, 3, 2, 2)

    def test_an_epoch_is_all_pairs_once_in_another_order_each_time(self):
        numbers = torch.arange(7, dtype=torch.uint8).view(7, 1, 1, 1).expand(7, 3, 2, 2)
        batches = Batches(numbers, numbers + 100, batch_size=4, swap=False)
        self.assertEqual(len(batches), 2)
        orders = set()
        for first_step in (0, 2, 4):
            order = []
            for step in (first_step, first_step + 1):
                noisy, target = batches(step)
                self.assertSame(target, noisy + 100)
                order += noisy[:, 0, 0, 0].tolist()
            self.assertEqual(sorted(order), list(range(7)))
            orders.add(tuple(order))
        self.assertEqual(len(orders), 3)

    def test_a_batch_follows_from_seed_and_step_alone_and_a_part_is_of_the_whole(self):
        images = random_images(12, 8, 8).split(6)
        batches = Batches(*images)
        for step in (0, 5, 1):
            whole = batches(step)
            again = Batches(*images)(step)
            part = batches(step, slice(1, None, 3))
            for place in range(2):
                self.assertSame(whole[place], again[place])
                self.assertSame(whole[place][1::3], part[place])
        other = Batches(*images, seed=1)
        self.assertDiffer(batches(0)[0], other(0)[0])
        self.assertDiffer(batches(1)[0], other(0)[0])

    def test_every_entry_of_the_table_of_flips_turns_both_images_of_a_pair(self):
        for name in FLIPS:
            with self.subTest(name):
                self.assertIn(name, self.EXPECTED_FLIPS, "say there where the pixels should go")
                images = self.ramps(1)
                batches = Batches(images, images + 100, flips=name, flip_fraction=1, swap=False)
                expected = torch.tensor([3 * [self.EXPECTED_FLIPS[name]]], dtype=torch.uint8)
                noisy, target = batches(0)
                self.assertSame(noisy, expected)
                self.assertSame(target, expected + 100)

    def test_images_that_are_not_square_are_never_transposed(self):
        images = random_images(9, 4, 6)
        noisy, target = Batches(images, images, flip_fraction=1)(0)
        self.assertEqual(noisy.shape, images.shape)
        self.assertSame(noisy, target)

    def test_all_eight_symmetries_of_both_images_are_equally_frequent(self):
        """And half of the pairs change places."""
        images = self.ramps(10_000)
        noisy, target = Batches(images, images + 100, 10_000)(0)
        kinds, counts = noisy[:, 0].flatten(1).unique(dim=0, return_counts=True)
        self.assertEqual(len(kinds), 16)
        self.assertClose(counts, 625, 100)
        self.assertTrue(((noisy == target + 100) | (target == noisy + 100)).all())


class TrainingCase(TestCase):
    def setUp(self):
        super().setUp()
        self.pairs = random_images(16, 8, 8), random_images(16, 8, 8, seed=1)
        self.patch(mock.patch.object(module, "LBFGS_STEPS", 2))  # of 20, for the sake of time

    def train(self, model, num_epochs=1, **options):
        """The model after some epochs of momAGD in steps of 4 pairs."""
        defaults = {"hybrid": False, "batch_size": 4, "learning_rate": 0.02, "progress": False}
        model.train(*self.pairs, num_epochs, **{**defaults, **options})
        return model

    def training(self, num_steps=8, lbfgs_iterations=0, **options):
        batches = Batches(*self.pairs, batch_size=4)
        return Training(Model().network, batches, num_steps, lbfgs_iterations, **options)

    def assertTakesTheSteps(self, training, textbook, num_steps):
        """The next steps are those of a textbook on plain layers in float64."""
        start = parameters_to_vector(training.network.parameters()).detach()
        network = copy.deepcopy(training.network).double().train()
        parameters = list(network.parameters())
        memories = [{} for _ in parameters]
        for _ in range(num_steps):
            noisy, target = (images.double() / 255 for images in training.batches(training.step))
            loss = ((network(noisy) - target) ** 2).mean()
            gradients = torch.autograd.grad(loss, parameters)
            rate = training.learning_rate(training.step)
            for value, gradient, memory in zip(parameters, gradients, memories):
                value.data -= rate * textbook(memory, gradient)
            self.assertAlmostEqual(training.take_step(), loss.item(), delta=1e-4 * loss.item())
        found = parameters_to_vector(training.network.parameters()) - start
        expected = parameters_to_vector(network.parameters()) - start
        self.assertLess(relative_error(found, expected), 0.01)


def momagd(memory, gradient, momentum=0.5):
    """The weights move by v = mu v + g."""
    memory["v"] = momentum * memory.get("v", 0) + gradient
    return memory["v"]


def adam(memory, gradient, momentum=0.5):
    """Kingma and Ba's algorithm 1; what is smaller than rounding is left out."""
    memory["t"] = memory.get("t", 0) + 1
    memory["m"] = momentum * memory.get("m", 0) + (1 - momentum) * gradient
    memory["v"] = 0.999 * memory.get("v", 0) + 0.001 * gradient**2
    mean = memory["m"] / (1 - momentum ** memory["t"])
    square = memory["v"] / (1 - 0.999 ** memory["t"])
    return mean / (square.sqrt() + 1e-8)


class TestOptimizers(TrainingCase):
    TEXTBOOKS = {"momAGD": momagd, "ADAM": adam}
    RATES = {"momAGD": 0.02, "ADAM": 1e-4}

    def test_every_entry_of_the_table_is_the_textbooks(self):
        for name in OPTIMIZERS:
            with self.subTest(name):
                self.assertIn(name, self.TEXTBOOKS, "write there how it moves weights")
                self.assertIn(name, self.RATES, "give a learning rate that suits it")
                training = self.training(
                    optimizer=name, learning_rate=self.RATES[name], momentum=0.5,
                    precision="float32",
                )  # fmt: skip
                self.assertTakesTheSteps(training, self.TEXTBOOKS[name], num_steps=3)

    def test_bfloat16_reaches_the_steps(self):
        exact = self.train(Model(), precision="float32").history["loss"]
        found = self.train(Model(), precision="bfloat16").history["loss"]
        self.assertNotEqual(exact, found)
        for one, other in zip(exact, found):
            self.assertAlmostEqual(one, other, delta=0.05 * one)


class TestHybrid(TrainingCase):
    def test_the_sixth_step_is_the_first_of_momagd(self):
        batches = Batches(*self.pairs, batch_size=4)
        training = Training(Model().network, batches, 99, momentum=0.5, precision="float32")
        for _ in range(5):
            training.take_step()
        self.assertTakesTheSteps(training, momagd, num_steps=2)
        evaluations = training.history["evaluations"]
        self.assertGreater(min(evaluations[:5]), 1)
        self.assertEqual(evaluations[5:], [1, 1])
        self.assertEqual(training.lbfgs.state_dict()["state"], {})  # whose memory is free

    def test_an_iteration_that_raises_the_loss_on_the_next_batch_is_undone(self):
        """What L-BFGS learns from white targets is wrong for black ones."""
        noisy = self.pairs[0][:4]
        white = torch.full_like(noisy, 255)
        black = torch.zeros_like(noisy)
        unknown = torch.full(noisy.shape, math.nan)
        for next_target in (black, unknown, white):
            training = self.training(lbfgs_iterations=5)
            pairs = [(noisy, white), (noisy, next_target)]
            training.batches = pairs.__getitem__
            before = weights_of(training.network)
            training.take_step()
            after = weights_of(training.network)
            memory = training.lbfgs.state_dict()["state"]
            if next_target is white:
                self.assertDiffer(before["21.bias"], after["21.bias"])
                self.assertNotEqual(memory, {})
            else:
                self.assertSameWeights(before, after)  # statistics of BatchNorm too
                self.assertEqual((memory, training.safeguard.rollbacks), ({}, 0))

    def test_it_computes_in_float32_with_the_learning_rate_of_the_step(self):
        losses = []
        for precision in ("float32", "bfloat16"):
            training = self.training(lbfgs_iterations=3, precision=precision)
            training.take_step()
            losses.append(training.take_step())
            (group,) = training.lbfgs.param_groups
            self.assertEqual(group["lr"], training.history["learning_rate"][1])
        self.assertEqual(*losses)


class TestLearningRate(TrainingCase):
    def test_a_number_falls_linearly_to_zero_and_a_function_is_taken_as_it_is(self):
        for rate, expected in (
            (0.02, (0.02, 0.015, 0.01, 0.005)),
            (lambda step: 0.01 * step, (0.0, 0.01, 0.02, 0.03)),
        ):
            found = self.train(Model(), learning_rate=rate).history["learning_rate"]
            self.assertTrue(torch.allclose(torch.tensor(found), torch.tensor(expected)))


class TestSafeguard(TrainingCase):
    def with_losses(self, losses, num_steps=99):
        """A training whose losses are these, and the weights before each of its steps."""
        training = self.training(num_steps, learning_rate=10)
        weights = []

        def loss(output, target):
            weights.append(weights_of(training.network))
            return output.mean() * 1e-6 + losses[training.step]  # so there is a gradient

        training.loss = loss
        for _ in losses:
            training.take_step()
        return training, weights

    def test_it_goes_back_to_the_weights_of_the_last_usual_loss_at_half_the_rate(self):
        """Usual, usual, unusual but not exploded, exploded, and usual again."""
        training, weights = self.with_losses([1.0, 1.0, 50.0, 1e6, 1.0])
        for name in ("21.bias", "0.weight"):
            self.assertSame(weights[4][name], weights[1][name], name)
            self.assertDiffer(weights[2][name], weights[1][name], name)
        passes = [each["5.num_batches_tracked"].item() for each in weights]
        self.assertEqual(passes, [1, 2, 3, 4, 3])  # statistics of BatchNorm go back as well
        self.assertAlmostEqual(training.history["learning_rate"][4], 10 * (1 - 4 / 99) / 2)
        training, _ = self.with_losses([1.0, 1.0, 1e6])
        self.assertEqual(training.optimizer.state_dict()["state"], {})  # no momentum

    def test_a_loss_explodes_by_a_thousand_times_the_usual_one_or_of_40_db(self):
        for losses, rollbacks in (
            ([math.inf, 1.0], 1),
            ([1.0, math.nan], 1),
            ([1.0, 900.0], 0),
            ([1.0, 1100.0], 1),
            ([0.0, 0.0, 0.05], 0),
            ([0.0, 0.0, 0.2], 1),
            ([1.0, 0.1, 0.1, 0.1, 950.0], 1),  # the usual loss falls
            ([1.0, 900.0, 1100.0], 1),  # and never rises
        ):
            training, _ = self.with_losses(losses)
            self.assertEqual(training.safeguard.rollbacks, rollbacks, losses)

    def test_the_sixth_explosion_ends_with_an_error_and_the_last_good_weights(self):
        self.with_losses([1.0, *5 * [1e6]])
        with self.assertRaises(FloatingPointError):
            self.with_losses([1.0, *6 * [1e6]])
        for hybrid in (False, True):
            model = Model()
            with self.assertRaisesRegex(FloatingPointError, "has the last good weights"):
                self.train(model, 5, learning_rate=1e30, hybrid=hybrid)
            self.assertSame(Model().network[0].weight, model.network[0].weight)
            self.assertFinite(weights_of(model))
            self.assertFalse(model.network.training)

    def test_an_error_in_a_step_leaves_the_last_good_weights(self):
        training, weights = self.with_losses([1.0, 1.0])
        training.loss = lambda output, target: 1 / 0
        with self.assertRaises(ZeroDivisionError):
            training.take_step()
        self.assertSameWeights(weights_of(training.network), weights[1])

    def test_the_last_step_is_not_trusted_unseen_and_the_look_changes_nothing(self):
        model = self.train(Model(), batch_size=16, learning_rate=1e4)  # a single step
        self.assertSame(Model().network[0].weight, model.network[0].weight)
        model = self.train(Model())
        self.assertEqual(model.network[5].num_batches_tracked.item(), 4)


class TestModelTrain(TrainingCase):
    def test_called_twice_it_goes_on_with_other_random_choices(self):
        model, fresh = self.train(Model()), Model()
        fresh.network.load_state_dict(weights_of(model))
        self.train(model)
        self.assertEqual({len(values) for values in model.history.values()}, {8})
        self.assertEqual(model.history["seconds"], sorted(model.history["seconds"]))
        self.assertSameWeights(weights_of(model), weights_of(self.train(fresh, seed=4)))

    def test_same_seed_same_weights_and_nothing_else_is_touched(self):
        before = torch.stack(self.pairs)
        state = torch.random.get_rng_state()
        first = self.train(Model(), hybrid=True, seed=7)
        second = self.train(Model(), hybrid=True, seed=7)
        other = self.train(Model(), hybrid=True, seed=8)
        self.assertGreater(first.history["evaluations"][0], 1)
        self.assertFalse(first.network.training)
        self.assertSameWeights(weights_of(first), weights_of(second))
        self.assertDiffer(first.network[0].weight, other.network[0].weight)
        self.assertSame(state, torch.random.get_rng_state())
        self.assertSame(before, torch.stack(self.pairs))

    def test_gradients_and_autocast_of_the_caller_change_nothing(self):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            model = self.train(Model(), precision="float32")
        expected = self.train(Model(), precision="float32")
        self.assertSameWeights(weights_of(model), weights_of(expected))

    def test_predictions_in_another_thread_change_nothing(self):
        model, images = Model(), random_images(2, 8, 8)
        with ThreadPoolExecutor(1) as thread:
            training = thread.submit(self.train, model, 3)
            while not training.done():
                model.predict(images)
        training.result()
        self.assertSameWeights(weights_of(self.train(Model(), 3)), weights_of(model))

    def test_ctrl_c_between_two_steps_leaves_the_last_good_weights(self):
        def rate(step):
            if step == 1:
                raise KeyboardInterrupt
            return 0.02

        model = Model()
        with self.assertRaises(KeyboardInterrupt):
            self.train(model, learning_rate=rate)
        self.assertSame(model.network[0].weight, Model().network[0].weight)
        self.assertFalse(model.network.training)


class TestResume(TrainingCase):
    def test_stopped_after_every_step_and_continued_it_is_the_unbroken_training(self):
        for options in (
            {"lbfgs_iterations": 2, "precision": "bfloat16"},
            {"optimizer": "ADAM", "learning_rate": 0.001},
            {"learning_rate": 20.0},  # with rollbacks
        ):
            unbroken = self.training(5, **options)
            for _ in range(5):
                unbroken.take_step()
            broken = self.training(5, **options)
            for _ in range(5):
                broken.take_step()
                torch.save(broken.state_dict(), str(self.folder / "state"))
                broken = self.training(5, **options)
                broken.load_state_dict(torch.load(str(self.folder / "state")))
            with self.subTest(**options):
                for name in ("loss", "learning_rate", "evaluations"):
                    self.assertEqual(broken.history[name], unbroken.history[name])
                self.assertSameWeights(weights_of(broken.network), weights_of(unbroken.network))
                self.assertSame(broken.safeguard.good, unbroken.safeguard.good)
        self.assertGreater(unbroken.safeguard.rollbacks, 0)
