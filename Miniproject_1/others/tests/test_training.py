"""Random numbers, batches, `Training`, `Model.train`."""

import contextlib
import copy
import io
import math
import sys
import threading
import unittest
from unittest import mock

import torch

from ... import model as module
from ...model import Batches, Model, Training
from . import TestCase, random_images, relative_error, weights_of


class TestRandomNumbers(TestCase):
    def test_they_are_those_of_splitmix64(self):
        known = (6457827717110365317, 3203168211198807973, 9817491932198370423)  # for 1234567
        found = module.splitmix64(1234567, torch.arange(3)).tolist()
        self.assertEqual([value % 2**64 for value in found], list(known))


class TestBatches(TestCase):
    def test_an_epoch_is_all_pairs_in_another_order(self):
        numbers = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 3, 2, 2)
        batches = Batches(numbers, numbers + 100, batch_size=4, swap=False)
        self.assertEqual(len(batches), 2)
        epochs = []
        for first_step in (0, 2):
            pairs = zip(batches(first_step), batches(first_step + 1))
            noisy, target = (torch.cat(parts)[:, 0, 0, 0] for parts in pairs)
            self.assertSame(target, noisy + 100)
            self.assertEqual(sorted(noisy.tolist()), list(range(6)))
            epochs.append(noisy.tolist())
        self.assertNotEqual(*epochs)

    def test_a_batch_follows_from_seed_and_step_alone_and_a_share_is_a_part_of_it(self):
        images = random_images(6, 8, 8), random_images(6, 8, 8, seed=1)
        first, again, other = (Batches(*images, seed=seed) for seed in (0, 0, 1))
        for step in (0, 5, 1):
            for whole, same, part in zip(first(step), again(step), first(step, slice(1, None, 3))):
                self.assertSame(whole, same)
                self.assertSame(whole[1::3], part)
        self.assertDiffer(first(0)[0], other(0)[0])

    def test_flips_turn_both_images_of_a_pair_alike(self):
        images = random_images(1, 8, 8), random_images(1, 8, 8, seed=1)
        for name, turn in (
            ("vertical", lambda images: images.flip(2)),
            ("horizontal", lambda images: images.flip(3)),
            ("transpose", lambda images: images.mT),
        ):
            batch = Batches(*images, flips=[name], flip_fraction=1, swap=False)(0)
            for found, original in zip(batch, images):
                self.assertSame(found, turn(original), name)

    def test_all_eight_symmetries_are_equally_frequent(self):
        ramp = torch.arange(4, dtype=torch.uint8).view(2, 2).expand(10_000, 3, 2, 2)
        noisy, _ = Batches(ramp, ramp, 10_000, swap=False)(0)
        kinds, counts = noisy[:, 0].flatten(1).unique(dim=0, return_counts=True)
        self.assertEqual(len(kinds), 8)
        self.assertClose(counts, 1250, 150)

    def test_flip_fraction_is_the_share_that_is_flipped(self):
        ramp = torch.arange(4, dtype=torch.uint8).view(2, 2).expand(10_000, 3, 2, 2)
        noisy, _ = Batches(ramp, ramp, 10_000, ["vertical"], flip_fraction=0.25)(0)
        self.assertAlmostEqual((noisy[:, 0, 0, 0] == 2).float().mean().item(), 0.25, delta=0.02)

    def test_input_and_target_of_half_of_the_pairs_change_places(self):
        noisy = torch.zeros(10_000, 3, 1, 1, dtype=torch.uint8)
        first, second = Batches(noisy, noisy + 1, 10_000)(0)
        self.assertSame(first + second, noisy + 1)
        self.assertAlmostEqual(first[:, 0].float().mean().item(), 0.5, delta=0.02)


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

    def training(self, num_steps=8, hybrid=False, **options):
        network = Model().network
        batches = Batches(*self.pairs, batch_size=4)
        lbfgs_iterations = 2 if hybrid else 0
        return Training(network, batches, num_steps, lbfgs_iterations, **options)


class TestOptimizers(TrainingCase):
    def test_momagd_is_the_textbooks(self):
        """Two steps on plain layers in float64: v = mu v + g, w = w - lr v."""
        self.pairs = [images[:4] for images in self.pairs]
        model = Model()
        network = copy.deepcopy(model.network).double().train()
        options = {"flips": (), "swap": False, "momentum": 0.5, "precision": "float32"}
        self.train(model, 2, learning_rate=lambda step: 0.02, **options)
        noisy, target = (images.double() / 255 for images in self.pairs)
        velocity = [torch.zeros_like(parameter) for parameter in network.parameters()]
        for _ in range(2):
            loss = ((network(noisy) - target) ** 2).mean()
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            with torch.no_grad():
                for parameter, v, gradient in zip(network.parameters(), velocity, gradients):
                    v.mul_(0.5).add_(gradient)
                    parameter -= 0.02 * v
        self.assertAlmostEqual(model.history["loss"][1], loss.item(), delta=1e-4 * loss.item())
        for start, expected, found in zip(
            Model().network.parameters(), network.parameters(), model.network.parameters()
        ):
            moved = expected - start
            if moved.norm() > 1e-3:
                self.assertLess(relative_error(found - start, moved), 0.05)

    def test_bfloat16_reaches_the_steps(self):
        exact, found = (
            self.train(Model(), precision=precision).history["loss"]
            for precision in ("float32", "bfloat16")
        )
        self.assertNotEqual(exact, found)
        for one, other in zip(exact, found):
            self.assertAlmostEqual(one, other, delta=0.05 * one)


class TestHybrid(TrainingCase):
    def test_it_is_five_iterations_of_lbfgs_then_momagd(self):
        evaluations = self.train(Model(), 2, hybrid=True).history["evaluations"]
        self.assertEqual(len(evaluations), 8)
        self.assertGreater(min(evaluations[:5]), 1)
        self.assertEqual(evaluations[5:], [1, 1, 1])

    def test_an_iteration_that_raises_the_loss_on_the_next_batch_is_undone(self):
        """What L-BFGS learns from white targets is wrong for black ones."""
        noisy = self.pairs[0][:4]
        white, black = torch.full_like(noisy, 255), torch.zeros_like(noisy)
        for next_target, is_undone in ((black, True), (white, False)):
            training = self.training()
            training.lbfgs_iterations = 5
            training.batches = lambda step, t=next_target: (noisy, t if step % 2 else white)
            before = weights_of(training.network)
            training.take_step()
            after = weights_of(training.network)
            self.assertEqual(torch.equal(before["21.bias"], after["21.bias"]), is_undone)
            self.assertEqual(training.optimizer is None, is_undone)
            if is_undone:
                self.assertSameWeights(before, after)  # statistics of BatchNorm too

    def test_it_computes_in_float32(self):
        losses = []
        for precision in ("float32", "bfloat16"):
            training = self.training(hybrid=True, precision=precision)
            losses.append([training.take_step() for _ in range(2)])
        self.assertEqual(*losses)

    def test_every_iteration_has_its_own_learning_rate(self):
        noisy = self.pairs[0][:4]
        training = self.training(hybrid=True, learning_rate=lambda step: (0.05, 1e-12)[step])
        training.batches = lambda step: (noisy, torch.full_like(noisy, 255))
        training.take_step()
        before = training.network[21].bias.detach().clone()
        training.take_step()
        self.assertClose(training.network[21].bias.detach(), before, 1e-6)


class TestLearningRate(TrainingCase):
    def test_a_number_falls_linearly_to_zero_and_a_function_is_taken_as_it_is(self):
        for rate, expected in (
            (0.02, (0.02, 0.015, 0.01, 0.005)),
            (lambda step: 0.01 * step, (0.0, 0.01, 0.02, 0.03)),
        ):
            found = self.train(Model(), learning_rate=rate).history["learning_rate"]
            self.assertTrue(torch.allclose(torch.tensor(found), torch.tensor(expected)))


class TestSafeguard(TrainingCase):
    def with_losses(self, losses):
        """A training whose losses are these, and the weights before each of its steps."""
        training, weights, remaining = self.training(99, learning_rate=10), [], iter(losses)

        def loss(output, target):
            weights.append(weights_of(training.network))
            return output.mean() * 1e-6 + next(remaining)  # so there is a gradient

        training.loss = loss
        for _ in losses:
            training.take_step()
        return training, weights

    def test_it_goes_back_to_the_weights_of_the_last_usual_loss(self):
        """Usual, usual, unusual but not exploded, exploded, and usual again."""
        training, weights = self.with_losses([1.0, 1.0, 50.0, 1e6, 1.0])
        self.assertEqual(training.safeguard.rollbacks, 1)
        for name in ("21.bias", "0.weight"):
            self.assertSame(weights[4][name], weights[1][name], name)
            self.assertDiffer(weights[2][name], weights[1][name], name)
        self.assertAlmostEqual(training.history["learning_rate"][4], 10 * (1 - 4 / 99) / 2)

    def test_the_momentum_that_led_to_an_explosion_is_forgotten(self):
        training, _ = self.with_losses([1.0, 1.0, 1e6])
        self.assertIsNone(training.optimizer)

    def test_a_loss_explodes_by_a_thousand_times_the_usual_one_or_of_40_db(self):
        for losses, rollbacks in (
            ([math.inf, 1.0], 1), ([math.nan, 1.0], 1), ([1.0, 900.0], 0), ([1.0, 1100.0], 1),
            ([0.0, 0.0, 0.05], 0), ([0.0, 0.0, 0.2], 1), ([1.0, 11.0, 900.0], 0),
            ([1.0, 0.1, 0.1, 0.1, 950.0], 1),
        ):  # fmt: skip
            training, _ = self.with_losses(losses)
            self.assertEqual(training.safeguard.rollbacks, rollbacks, losses)

    def test_a_hopeless_training_ends_with_an_error_and_the_last_good_weights(self):
        model, before = Model(), weights_of(Model())
        with self.assertRaisesRegex(FloatingPointError, "has the last good weights"):
            self.train(model, 5, learning_rate=1e30)
        self.assertFinite(weights_of(model))
        self.assertSame(before["0.weight"], model.network[0].weight)

    def test_weights_that_cannot_be_right_are_an_error_even_with_a_finite_loss(self):
        """An infinite variance in BatchNorm makes a channel constant, and the loss stays finite."""
        model = Model()
        model.network[4].weight.data.fill_(1e30)
        before = weights_of(model)
        with self.assertRaises(FloatingPointError):
            self.train(model, 5)
        self.assertSameWeights(before, weights_of(model))

    def test_a_training_whose_loss_was_never_finite_is_an_error(self):
        model = Model()
        for value in model.network.parameters():
            value.data.mul_(1e12)
        with self.assertRaisesRegex(FloatingPointError, "never finite"):
            self.train(model, batch_size=8)

    def test_the_last_step_is_not_trusted_unseen(self):
        model = self.train(Model(), batch_size=16, learning_rate=1e4)  # a single step
        self.assertSame(Model().network[0].weight, model.network[0].weight)

    def test_looking_at_the_last_weights_changes_nothing(self):
        model = self.train(Model())
        self.assertEqual(model.network[5].num_batches_tracked.item(), 4)

    def test_after_the_last_step_there_is_none(self):
        training = self.training(num_steps=1)
        training.take_step()
        with self.assertRaisesRegex(RuntimeError, "all 1 steps"):
            training.take_step()

    def test_an_error_in_a_step_leaves_the_last_good_weights(self):
        training = self.training()
        training.take_step()

        def broken():
            training.network[0].weight.data.fill_(math.nan)
            raise KeyboardInterrupt

        training.optimizer.step = broken
        with self.assertRaises(KeyboardInterrupt):
            training.take_step()
        self.assertEqual(training.step, 1)
        self.assertFinite(weights_of(training.network))


class TestModelTrain(TrainingCase):
    def test_called_twice_it_goes_on_with_other_random_choices(self):
        model, fresh = self.train(Model()), Model()
        fresh.network.load_state_dict(weights_of(model))
        self.train(model)
        self.assertEqual({len(values) for values in model.history.values()}, {8})
        self.assertEqual(model.history["seconds"], sorted(model.history["seconds"]))
        self.assertSameWeights(weights_of(model), weights_of(self.train(fresh, seed=4)))

    def test_same_seed_same_weights_and_nothing_else_is_touched(self):
        before = [images.clone() for images in self.pairs]
        state = torch.random.get_rng_state()
        first, second = (self.train(Model(), hybrid=True) for _ in range(2))
        self.assertSameWeights(weights_of(first), weights_of(second))
        self.assertSame(state, torch.random.get_rng_state())
        for images, kept in zip(self.pairs, before):
            self.assertSame(images, kept)

    def test_previews_in_another_thread_change_nothing(self):
        model, images, stop, previews = Model(), random_images(2, 8, 8), threading.Event(), []

        def preview():
            while not stop.is_set():
                previews.append(model.predict(images))

        thread = threading.Thread(target=preview)
        thread.start()
        self.train(model, 3)
        stop.set()
        thread.join()
        self.assertDiffer(previews[0], previews[-1])
        self.assertSameWeights(weights_of(self.train(Model(), 3)), weights_of(model))

    def test_afterwards_the_network_is_in_evaluation_mode(self):
        self.assertFalse(self.train(Model()).network.training)

    def test_ctrl_c_between_two_steps_leaves_the_last_good_weights(self):
        def interrupted(items, *_):
            yield next(iter(items))
            raise KeyboardInterrupt

        self.patch(mock.patch.object(module, "track", interrupted))
        model = Model()
        with self.assertRaises(KeyboardInterrupt):
            self.train(model)
        self.assertSame(model.network[0].weight, Model().network[0].weight)

    def test_progress_is_shown_and_never_stops_the_work(self):
        shown = io.StringIO()
        with contextlib.redirect_stderr(shown):
            self.train(Model(), progress=True)
        self.assertRegex(shown.getvalue(), r"step 4 of 4, 0\.0 minutes left, loss 0\.\d+, learning")
        shown.close()
        with contextlib.redirect_stderr(shown):
            model = self.train(Model(), progress=True)
        self.assertEqual(len(model.history["loss"]), 4)

    @unittest.skipUnless(sys.platform == "linux", "memory is told in other units elsewhere")
    def test_memory_is_that_of_the_batch_not_of_the_training_set(self):
        """20,000 pairs are 0.5 GB as float32: training may add 0.3 GB."""
        code = """
import resource, torch
from Miniproject_1.model import Batches, Training, build_network
pairs = torch.zeros(2, 20_000, 3, 32, 32, dtype=torch.uint8)
pairs[:, :, :, ::2] = 200
network = build_network()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Training(network, Batches(*pairs, batch_size=1), 9, 0).take_step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6)
"""
        self.assertLess(float(self.python(code)), 0.3)


class TestResume(TrainingCase):
    def test_stopped_after_every_step_and_continued_it_is_the_unbroken_training(self):
        for options in (
            {"hybrid": True},
            {"optimizer": "ADAM", "learning_rate": 0.001},
            {"learning_rate": 20.0},  # with rollbacks
        ):
            unbroken = self.training(**options)
            for _ in range(8):
                unbroken.take_step()
            broken = self.training(**options)
            for _ in range(8):
                broken.take_step()
                torch.save(broken.state_dict(), str(self.folder / "state"))
                broken = self.training(**options)
                broken.load_state_dict(torch.load(str(self.folder / "state")))
            with self.subTest(**options):
                self.assertSameTraining(broken, unbroken)
        self.assertGreater(unbroken.safeguard.rollbacks, 0)

    def assertSameTraining(self, found, expected):
        for name in ("loss", "learning_rate", "evaluations"):
            self.assertEqual(found.history[name], expected.history[name])
        self.assertEqual(found.history["seconds"], sorted(found.history["seconds"]))
        self.assertSameWeights(weights_of(found.network), weights_of(expected.network))
        self.assertSame(found.safeguard.good, expected.safeguard.good)

    def test_a_state_shares_nothing_with_its_training(self):
        training = self.training()
        training.take_step()
        state = training.state_dict()
        kept = copy.deepcopy(state)
        self.training().load_state_dict(state)
        training.take_step()
        self.assertEqual(state["history"], kept["history"])
        self.assertSameWeights(state["network"], kept["network"])
        self.assertSame(state["safeguard"]["good"], kept["safeguard"]["good"])
