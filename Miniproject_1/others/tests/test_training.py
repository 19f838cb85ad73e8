"""Batches, `Model.train` and the `Training` under it."""

import contextlib
import copy
import io
import math
import threading
import time
from unittest import mock

import torch

from ... import model as module
from ...model import FLIPS, OPTIMIZERS, Model, Pairs, Training
from ..training.crops import Crops
from . import TestCase, random_images, relative_error, weights_of

NESTEROV = lambda p, lr, momentum: torch.optim.SGD(p, lr, momentum, nesterov=True)  # noqa: E731
SMALL = dict(batch_size=4, learning_rate=0.02, progress=False)


class TestPairs(TestCase):
    def setUp(self):
        super().setUp()
        self.images = random_images(6, 8, 8), random_images(6, 8, 8, seed=1)

    def batch(self, step=0, **options):
        options = {"batch_size": 6, "flips": (), "swap": False, **options}
        return Pairs(*self.images, **options)(step)

    def order(self, batch):
        """Which pair each row of a batch of whole images is, by its first image's values."""
        sums = [image.sum().item() for image in self.images[0]]
        return [sums.index(image.sum().item()) for image in batch[0]]

    def test_a_pass_is_all_pairs_in_another_order(self):
        batch = self.batch()
        order = self.order(batch)
        self.assertEqual(sorted(order), list(range(6)))
        for images, found in zip(self.images, batch):
            self.assertTrue(torch.equal(found, images[order]))
        self.assertNotEqual(order, self.order(self.batch(step=1)))
        pairs = Pairs(*self.images, batch_size=4, flips=(), swap=False)
        self.assertEqual(len(pairs), 2)
        self.assertEqual(self.order(pairs(0)) + self.order(pairs(1)), order)
        self.assertEqual([len(pairs(step)[0]) for step in range(4)], [4, 2, 4, 2])

    def test_a_batch_follows_from_seed_and_step_alone(self):
        pairs = Pairs(*self.images, batch_size=2)
        first = [pairs(step) for step in (0, 1, 5)]
        again = [Pairs(*self.images, batch_size=2)(step) for step in (5, 1, 0)]
        for one, other in zip(first, reversed(again)):
            self.assertTrue(all(map(torch.equal, one, other)))
        other = Pairs(*self.images, batch_size=2, seed=1)(0)
        self.assertFalse(torch.equal(first[0][0], other[0]))

    def test_flips_turn_both_images_of_a_pair_alike(self):
        turns = dict(vertical=(2,), horizontal=(3,))
        order = self.order(self.batch())
        for flip in FLIPS:
            batch = self.batch(flips=(flip,), flip_fraction=1)
            for images, found in zip(self.images, batch):
                turned = images.flip(turns[flip]) if flip in turns else images.transpose(2, 3)
                self.assertTrue(torch.equal(found, turned[order]), flip)

    def test_flip_fraction_is_the_share_that_is_flipped(self):
        ramp = torch.arange(4, dtype=torch.uint8).view(2, 2).expand(10_000, 3, 2, 2)
        expected = dict(vertical=2, horizontal=1)
        for flip, value in expected.items():
            noisy, _ = Pairs(ramp, ramp, 10_000, flips=(flip,), flip_fraction=0.25, swap=False)(0)
            self.assertAlmostEqual((noisy[:, 0, 0, 0] == value).float().mean().item(), 0.25, delta=0.02)
        self.assertEqual(Pairs(ramp[:4, :, :1], ramp[:4, :, :1])(0)[0].shape, (4, 3, 1, 2))  # never transposed
        noisy, _ = Pairs(ramp, ramp, 10_000, swap=False)(0)  # all 8 symmetries, equally often
        kinds, counts = noisy[:, 0].flatten(1).unique(dim=0, return_counts=True)
        self.assertEqual(len(kinds), 8)
        self.assertLess((counts - 1250).abs().max(), 150)

    def test_swap_lets_input_and_target_change_places(self):
        kept, found = self.batch(), self.batch(swap=True)
        swapped = [not torch.equal(one, other) for one, other in zip(kept[0], found[0])]
        self.assertEqual(set(swapped), {True, False})
        for row, is_swapped in enumerate(swapped):
            expected = (kept[1][row], kept[0][row]) if is_swapped else (kept[0][row], kept[1][row])
            self.assertTrue(torch.equal(found[0][row], expected[0]) and torch.equal(found[1][row], expected[1]))

    def test_crops_cut_the_same_square_out_of_both(self):
        pairs = Pairs(*self.images, batch_size=6, flips=(), swap=False)
        batch, order, corners = Crops(pairs, 3)(0), self.order(self.batch()), set()
        self.assertTrue(all(map(torch.equal, batch, Crops(pairs, 3)(0))))
        self.assertFalse(torch.equal(batch[0], Crops(pairs, 3, seed=1)(0)[0]))
        for row, pair in enumerate(order):
            places = [(y, x) for y in range(6) for x in range(6)
                      if torch.equal(self.images[0][pair][:, y : y + 3, x : x + 3], batch[0][row])]  # fmt: skip
            self.assertEqual(len(places), 1)
            y, x = places[0]
            self.assertTrue(torch.equal(self.images[1][pair][:, y : y + 3, x : x + 3], batch[1][row]))
            corners.add(places[0])
        self.assertGreater(len(corners), 1)


class TestTrain(TestCase):
    def setUp(self):
        super().setUp()
        self.pairs = random_images(16, 8, 8), random_images(16, 8, 8, seed=1)
        self.patch(mock.patch.object(module, "LBFGS_STEPS", 2))  # of 20, for the sake of time

    def train(self, model, num_epochs=1, **options):
        """The model after some epochs of momAGD on the small pairs."""
        model.train(*self.pairs, num_epochs, **{**SMALL, "hybrid": False, **options})
        return model

    def test_every_optimizer_lowers_the_loss(self):
        clean = random_images(8, 1, 1).expand(8, 3, 8, 8).contiguous()
        for optimizer in OPTIMIZERS:
            with self.subTest(optimizer), mock.patch.object(module, "LBFGS_STEPS", 8):
                model = Model()
                rate = 0.003 if optimizer == "ADAM" else 0.02
                model.train(clean, clean, 4, False, 4, optimizer, learning_rate=rate, progress=False)
                loss = model.history["loss"]
                self.assertLess(sum(loss[-2:]), 0.8 * sum(loss[:2]))

    def test_hybrid_is_five_iterations_of_lbfgs_then_momagd(self):
        evaluations = self.train(Model(), 2, hybrid=True).history["evaluations"]
        self.assertEqual(len(evaluations), 8)
        self.assertGreater(min(evaluations[:5]), 1)
        self.assertEqual(evaluations[5:], [1, 1, 1])

    def test_an_lbfgs_iteration_that_raises_the_loss_on_the_next_batch_is_undone(self):
        """The batches contradict each other: what L-BFGS learns from one is wrong for the next."""
        white, black = (torch.full((4, 3, 8, 8), value, dtype=torch.uint8) for value in (255, 0))

        def pairs(step):
            return self.pairs[0][:4], (white, black)[step % 2]

        network = Model().network
        training = Training(network, pairs, 6)
        before = weights_of(network)
        next(training)
        self.assertSameWeights(before, weights_of(network))  # statistics of BatchNorm too
        same = Training(network, lambda step: (self.pairs[0][:4], white), 6)
        next(same)
        self.assertFalse(torch.equal(before["21.bias"], network[21].bias))

    def test_a_training_that_explodes_goes_back_and_slows_down(self):
        model = self.train(Model(), 4, learning_rate=20.0)
        self.assertEqual(len(model.history["loss"]), 16)
        slower = 20 / 16 / model.history["learning_rate"][-1]
        self.assertGreater(slower, 1.9)
        self.assertAlmostEqual(math.log2(slower), round(math.log2(slower)))
        self.assertFinite(weights_of(model))
        self.assertLess(model.history["loss"][-1], 1)

    def test_a_hopeless_training_ends_with_an_error_and_the_last_good_weights(self):
        targets = torch.full((16, 3, 8, 8), 1e6)
        model = Model()
        for pairs, rate in ((self.pairs, 1e30), ((self.pairs[0], targets), 1e6)):
            with self.subTest(learning_rate=rate):
                before = weights_of(model)
                with self.assertRaisesRegex(FloatingPointError, "has the last good weights"):
                    model.train(*pairs, 5, hybrid=False, swap=False, **{**SMALL, "learning_rate": rate})
                self.assertSameWeights(before, weights_of(model))
        black = torch.zeros(16, 3, 8, 8, dtype=torch.uint8)
        model.train(black, black, 2, **SMALL)
        self.assertFinite(weights_of(model))

    def with_losses(self, losses):
        """A training whose losses are these, whatever it learns; and the weights before each step."""
        network, kept, losses = Model().network, [], iter(losses)

        def loss(output, target):
            kept.append(weights_of(network))
            return output.mean() * 1e-6 + next(losses)  # the gradient changes the weights at every step

        return Training(network, lambda step: self.pairs, 9, hybrid=False, learning_rate=10, loss=loss), kept

    def test_the_last_good_weights_are_those_of_the_last_usual_loss(self):
        """Usual, usual, unusual but not exploded, exploded; then again from the good ones."""
        training, kept = self.with_losses([1.0, 1.0, 50.0, 1e6, 1.0])
        rates = [next(training)[1] for _ in range(5)]
        self.assertEqual(training.rollbacks, 1)
        for name in ("21.bias", "0.weight"):
            self.assertTrue(torch.equal(kept[4][name], kept[1][name]), name)  # not those of the loss of 50
            self.assertFalse(torch.equal(kept[2][name], kept[1][name]), name)
        self.assertAlmostEqual(rates[4], 10 * (1 - 4 / 9) / 2)

    def test_a_loss_explodes_by_a_thousand_times_the_usual_or_of_40_db(self):
        for losses, rollbacks in (
            ([math.inf, 1.0], 1), ([math.nan, 1.0], 1), ([1.0, 900.0], 0), ([1.0, 1100.0], 1), ([0.0, 0.0, 0.05], 0),
            ([0.0, 0.0, 0.2], 1), ([1.0, 11.0, 900.0], 0), ([1.0, 0.1, 0.1, 0.1, 950.0], 1),
        ):  # fmt: skip
            training, _ = self.with_losses(losses)
            for _ in losses:
                next(training)
            self.assertEqual(training.rollbacks, rollbacks, losses)

    def test_the_last_step_is_not_trusted_unseen(self):
        """One step is all there is, and no later loss shows that it led astray."""
        model = self.train(Model(), batch_size=16, learning_rate=1e4)
        self.assertSameWeights(weights_of(Model()), weights_of(model))

    def test_an_error_anywhere_leaves_the_last_good_weights(self):
        """In the loss, in the optimizer's step after it has spoilt the weights, and between steps."""
        for place in ("loss", "optimizer", "between"):
            with self.subTest(place):
                model, kept = Model(), []

                class Broken(torch.optim.SGD):
                    def step(self, closure):
                        kept.append(weights_of(model))  # noqa: B023
                        result = super().step(closure)
                        if len(kept) == 3 and place == "optimizer":  # noqa: B023
                            model.network[0].weight.data.fill_(float("nan"))  # noqa: B023
                            raise KeyboardInterrupt
                        return result

                def broken(*_, **__):
                    raise KeyboardInterrupt

                def shown(items, *_, **__):
                    for item in items:
                        yield item
                        if place == "between":  # noqa: B023
                            raise KeyboardInterrupt

                real = module.forward
                outputs = [real, real, broken] if place == "loss" else [real] * 9
                with mock.patch.object(module, "track", shown), self.assertRaises(KeyboardInterrupt):
                    with mock.patch.object(module, "forward", lambda *a: outputs.pop(0)(*a)):  # noqa: B023
                        model.train(*self.pairs, 1, hybrid=False, optimizer=lambda p, lr, _: Broken(p, lr), **SMALL)
                self.assertEqual(len(model.history["loss"]), 1 if place == "between" else 2)
                self.assertSameWeights(kept[0 if place == "between" else 1], weights_of(model))

    def by_hand(self, nesterov):
        """Two steps on the plain network in float64: v = mu v + g, w = w - lr v, or with Nesterov's look ahead."""
        pairs = [images[:4] for images in self.pairs]
        model = Model()
        network = copy.deepcopy(model.network).double().train()
        model.train(*pairs, 2, batch_size=4, hybrid=False, learning_rate=0.02, final_learning_rate=0.02, momentum=0.5,
                    optimizer=NESTEROV if nesterov else "momAGD", flips=(), swap=False,
                    precision="float32", progress=False)  # fmt: skip
        velocity = [torch.zeros_like(parameter) for parameter in network.parameters()]
        noisy, target = (images.double() / 255 for images in pairs)
        for _ in range(2):
            loss = ((network(noisy) - target) ** 2).mean()
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            with torch.no_grad():
                for parameter, v, gradient in zip(network.parameters(), velocity, gradients):
                    v.mul_(0.5).add_(gradient)
                    parameter -= 0.02 * (gradient + 0.5 * v if nesterov else v)
        self.assertAlmostEqual(model.history["loss"][1], loss.item(), delta=1e-4 * loss.item())
        before = weights_of(Model())
        for name, value in network.state_dict().items():
            moved = value.double() - before[name].double()
            if value.dtype == torch.float64 and moved.norm() > 1e-3:
                found = weights_of(model)[name].double() - before[name].double()
                self.assertLess(relative_error(found, moved), 0.05, name)  # the other kind of momentum: 0.3

    def test_momagd_is_the_textbooks(self):
        self.by_hand(nesterov=False)

    def test_nesterov_is_the_textbooks(self):
        self.by_hand(nesterov=True)

    def test_bfloat16_reaches_the_steps(self):
        losses = []
        for precision in ("float32", "bfloat16"):
            model = self.train(Model(), precision=precision)
            losses.append(model.history["loss"])
            self.assertEqual({value.dtype for value in model.network.parameters()}, {torch.float32})
        self.assertNotEqual(*losses)
        for one, other in zip(*losses):
            self.assertAlmostEqual(one, other, delta=0.05 * one)

    def test_learning_rate_falls_or_stays_and_decay_is_the_share_of_the_steps_in_which_it_falls(self):
        for final, decay, expected in (
            (0.0, 1, [0.02, 0.015, 0.01, 0.005]),
            (0.02, 1, [0.02] * 4),
            (0.004, 0.5, [0.02, 0.02, 0.02, 0.012]),
            (0.004, 0, [0.02] * 4),
            (0.0, lambda step: step % 2, [0, 0.02, 0, 0.02]),
        ):
            options = dict(hybrid=False, learning_rate=0.02, final_learning_rate=final, decay=decay)
            training = Training(Model().network, lambda step: self.pairs, 4, **options)
            for (_, rate, _), right in zip(training, expected):
                self.assertAlmostEqual(rate, right)
        self.assertAlmostEqual(sum(self.train(Model()).history["learning_rate"]), 0.05)

    def test_called_twice_it_goes_on_with_other_random_choices(self):
        model, fresh = self.train(Model()), Model()
        fresh.network.load_state_dict(weights_of(model))
        self.train(model)
        self.assertEqual({len(values) for values in model.history.values()}, {8})
        self.assertSameWeights(weights_of(model), weights_of(self.train(fresh, seed=4)))

    def test_same_seed_same_weights_and_nothing_else_is_touched(self):
        before = [images.clone() for images in self.pairs]
        state = torch.random.get_rng_state()
        self.assertSameWeights(*(weights_of(self.train(Model(), hybrid=True)) for _ in range(2)))
        self.assertTrue(torch.equal(state, torch.random.get_rng_state()))
        for images, kept in zip(self.pairs, before):
            self.assertTrue(torch.equal(images, kept))

    def test_trains_though_gradients_are_off_and_outside_the_main_thread(self):
        model, before = Model(), weights_of(Model())
        # gradients are switched off for this thread alone
        thread = threading.Thread(target=lambda: (torch.set_grad_enabled(False), self.train(model)))
        thread.start()
        thread.join()
        self.assertFalse(torch.equal(before["0.weight"], model.network[0].weight))

    def test_previews_in_another_thread_change_nothing(self):
        images = random_images(2, 8, 8)

        def train(preview):
            model, stop = Model(), threading.Event()
            thread = threading.Thread(target=lambda: [model.predict(images) for _ in iter(stop.is_set, True)])
            thread.start() if preview else None
            self.train(model, 3)
            stop.set()
            thread.join() if preview else None
            return weights_of(model)

        self.assertSameWeights(train(False), train(True))

    def test_memory_is_that_of_the_batch_not_of_the_training_set(self):
        """50,000 pairs of uint8 are 0.3 GB, as float 1.2 GB: training may add 0.5 GB to what is there."""
        try:
            import resource  # noqa: F401
        except ModuleNotFoundError:
            self.skipTest("this system does not tell how much memory a process took")
        code = """
import resource, torch
from Miniproject_1.model import Model, Pairs, Training
pairs = torch.zeros(2, 50_000, 3, 32, 32, dtype=torch.uint8)
pairs[:, :, :, ::2] = 200
model = Model()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
next(Training(model.network, Pairs(*pairs, batch_size=1), 9, hybrid=False))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6)
"""
        self.assertLess(float(self.python(code)[0]), 0.5)

    def test_progress_is_shown_and_never_stops_the_work(self):
        shown, options = io.StringIO(), dict(SMALL, hybrid=False, progress=True)
        with contextlib.redirect_stderr(shown):
            Model().train(*self.pairs, 1, **options)
        self.assertRegex(shown.getvalue(), r"4 of 4, 0\.0 minutes left loss 0\.\d+, learning rate 0\.005")
        with contextlib.redirect_stderr(io.StringIO()) as lines, mock.patch.object(module.time, "monotonic") as clock:
            clock.side_effect = range(0, 1000, 60)  # a minute a step
            self.assertEqual(list(module.track("abcd", 4, label="letter")), list("abcd"))
            Model().predict(self.pairs[0])  # shows nothing unless asked to
        self.assertEqual(lines.getvalue().splitlines()[0].strip(), "letter 1 of 4, 3.0 minutes left")
        self.assertEqual(len(lines.getvalue().splitlines()), 4)
        shown.close()
        for stream in (shown, None):
            model = Model()
            with contextlib.redirect_stderr(stream):
                model.train(*self.pairs, 1, **options)
            self.assertEqual(len(model.history["loss"]), 4)


class TestResume(TestCase):
    """`state_dict` and `load_state_dict`: stopped after every step and continued, it is the unbroken training."""

    def setUp(self):
        super().setUp()
        self.pairs = Pairs(random_images(16, 8, 8), random_images(16, 8, 8, seed=1), batch_size=4)
        self.patch(mock.patch.object(module, "LBFGS_STEPS", 2))

    def check(self, **options):
        def start():
            return Training(Model().network, self.pairs, 12, **options)

        unbroken, begin = start(), time.monotonic()
        for _ in unbroken:
            pass
        self.assertLess(unbroken.history["seconds"][-1], time.monotonic() - begin)
        broken = start()
        for step in range(12):
            next(broken)
            torch.save(broken.state_dict(), str(self.folder / "state"))
            broken = start()
            broken.load_state_dict(torch.load(str(self.folder / "state")))
            self.assertEqual(len(broken.history["loss"]), step + 1)
        for name in ("loss", "learning_rate", "evaluations"):
            self.assertEqual(broken.history[name], unbroken.history[name])
        seconds = broken.history["seconds"]
        self.assertEqual(seconds, sorted(seconds))
        self.assertGreater(seconds[0], 0)
        self.assertSameWeights(weights_of(broken.network), weights_of(unbroken.network))
        self.assertSameWeights(broken.good, unbroken.good)
        return unbroken

    def test_through_lbfgs_and_momagd(self):
        self.check()

    def test_with_adam(self):
        self.check(hybrid=False, optimizer="ADAM", learning_rate=0.001)

    def test_through_rollbacks(self):
        self.assertGreater(self.check(hybrid=False, learning_rate=20.0).rollbacks, 0)

    def test_a_state_shares_nothing_with_its_training(self):
        training = Training(Model().network, self.pairs, 4, hybrid=False)
        next(training)
        state = training.state_dict()
        kept = copy.deepcopy(state)
        other = Training(Model().network, self.pairs, 4, hybrid=False)
        other.load_state_dict(state)
        for _ in range(2):
            next(training)
            next(other)
        self.assertEqual(state["training"]["history"], kept["training"]["history"])
        self.assertSameWeights(state["network"], kept["network"])
        self.assertSameWeights(state["training"]["good"], kept["training"]["good"])
