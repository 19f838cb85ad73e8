"""How the shipped weights are made: Muon, channels drawn anew, and the `reproduce` command."""

import json
from unittest import mock

import torch

from ...model import Model
from ..data import photos, pictures
from ..training import reproduce
from ..training.muon import Muon, is_hidden_kernel, orthogonalized
from ..training.revive import revive
from . import TestCase, needs_pillow, random_images, weights_of
from .test_commands import CommandCase


class TestMuon(TestCase):
    def test_a_kernel_becomes_orthogonal(self):
        for shape in ((64, 32, 2, 2), (32, 64, 2, 2), (64, 64, 2, 2)):
            kernel = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            matrix = orthogonalized(kernel)
            narrow = matrix if shape[0] <= shape[1] else matrix.transpose(0, 1)
            values = torch.linalg.svdvals(narrow.flatten(1).double())
            self.assertGreater(values.min(), 0.6)
            self.assertLess(values.max(), 1.25)
            self.assertGreater((matrix * kernel).sum(), 0)

    def step_of(self, **options):
        """The hidden kernel and its step, in a network of three convolutions; and those of the first layer."""
        torch.manual_seed(0)
        network = torch.nn.Sequential(*[torch.nn.Conv2d(*sides, 2, padding=1) for sides in ((3, 8), (8, 8), (8, 3))])
        before = weights_of(network)
        optimizer = Muon(network.parameters(), **options)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        return before, {name: value - before[name] for name, value in network.state_dict().items()}

    def test_factor_and_weight_decay(self):
        before, plain = self.step_of(lr=0.01)
        for options, factor, decay in ((dict(factor=0.25), 0.25, 0), (dict(weight_decay=3.0), 1, 0.03),
                                       (dict(factor=0.25, weight_decay=3.0), 0.25, 0.0075)):  # fmt: skip
            _, step = self.step_of(lr=0.01, **options)
            for name in step:
                shrunk = decay * before[name] * is_hidden_kernel(before[name])
                self.assertLess((step[name] - (factor * plain[name] - shrunk)).abs().max(), 1e-6, name)
        self.assertEqual([name for name in before if is_hidden_kernel(before[name])], ["1.weight"])


class TestRevive(TestCase):
    def test_revived_channels_change_nothing_and_learn(self):
        model, images = Model("default"), random_images(4, 8, 8)
        network, killed = model.network, {0: 3, 2: 5, 17: 60, 19: 7}
        for index, channel in killed.items():
            network[index].bias.data[channel] = -1e3
        before = model.predict(images)
        self.assertGreaterEqual(revive(network, images / 255), 4)  # others fed on these alone
        self.assertLess((model.predict(images) - before).abs().max(), 1e-2)
        self.assertEqual(revive(network, images / 255), 0)
        revived = weights_of(network)
        model.train(images, images, 3, False, 2, "ADAM", 0.001, progress=False)
        for index, channel in killed.items():
            moved = weights_of(network)[f"{index}.weight"] - revived[f"{index}.weight"]
            self.assertGreater((moved[:, channel] if index > 4 else moved[channel]).abs().max(), 0)


class TestSchedule(TestCase):
    def test_rises_stays_and_falls_in_every_part(self):
        settings = dict(parts=(0, 0.6), learning_rate=(4, 2), decay=(0.5, 1), warm_up=2, small_crops=(0.4, 0.2))
        schedule = reproduce.Schedule(settings, 10)
        rates = [schedule.learning_rate(step) for step in range(10)]
        right = [2, 4, 4, 4, 4 * 2 / 3, 4 / 3, 1, 1.5, 1, 0.5]
        self.assertLess(max(abs(rate - wanted) for rate, wanted in zip(rates, right)), 1e-9)
        self.assertEqual([schedule.small_crops(step) for step in range(10)], [0.4] * 6 + [0.2] * 4)
        self.assertEqual([schedule.has_fallen(step) for step in range(10)], [False] * 3 + [True] * 7)


@needs_pillow
class TestReproduce(CommandCase):
    def setUp(self):
        super().setUp()
        (self.folder / "photos").mkdir()
        for number in range(5):
            pictures.write_picture(random_images(1, 90 + number, 100, seed=number)[0], self.photo(number))
        self.patch(mock.patch.dict(reproduce.RECIPE, batch_size=2, warm_up=2))
        self.patch(mock.patch.object(reproduce, "VALIDATION_STEPS", 2))

    def photo(self, number):
        return self.folder / "photos" / f"{number}.png"

    def record(self, name):
        return json.loads((self.folder / name).read_text())

    def test_stopped_and_resumed_it_is_the_unbroken_run_and_its_record_tells_all(self):
        out = self.succeed("reproduce", "photos", "--output", "whole.pth", "--pairs", 8)
        self.assertEqual(out.count("psnr_one_pass"), 2)
        for options in ([], ["--resume", "part.pth.checkpoint"]):
            options += ["--output", "part.pth", "--pairs", 8, "--deadline", 0]
            self.assertIn("continue with: reproduce photos", self.succeed("reproduce", "photos", *options))
        self.refuse(
            "begun with pairs = 8, not 6", "reproduce", "photos", "--resume", "part.pth.checkpoint", "--pairs", 6
        )
        self.succeed("reproduce", "photos", "--resume", "part.pth.checkpoint")
        self.assertSameWeights(self.weights("whole.pth"), self.weights("part.pth"))
        whole, part = self.record("whole.pth.json"), self.record("part.pth.json")
        for record in (whole, part):
            self.assertEqual([point["step"] for point in record["curve"]], [2, 4])
            for point in record["curve"]:
                point.pop("hours")
        self.assertEqual(whole, part)
        self.assertEqual((whole["settings"]["pairs"], whole["settings"]["warm_up"]), (8, 2))
        self.assertEqual((whole["data"]["photographs"], whole["data"]["kept_apart"]), (4, 1))
        self.assertAlmostEqual(whole["curve"][-1]["learning_rate"], 0.5 * 0.0012)
        names = {path.name for path in self.folder.iterdir()}
        self.assertEqual(names, {"photos", "whole.pth", "whole.pth.json", "part.pth", "part.pth.json"})

    def test_photographs_kept_apart_are_not_trained_on_and_stay_the_same(self):
        seen = []

        def watched(function):
            def call(paths, *arguments, **options):
                seen.append(sorted(path.name for path in paths))
                return function(paths, *arguments, **options)

            return call

        self.patch(mock.patch.object(reproduce, "PhotoPairs", watched(photos.PhotoPairs)))
        self.patch(mock.patch.object(reproduce, "make_pairs", watched(photos.make_pairs)))
        for seed in (0, 1):
            self.succeed("reproduce", "photos", "--output", f"{seed}.pth", "--pairs", 2, "--seed", seed)
        self.assertEqual(seen[:2], seen[2:])
        self.assertEqual(sorted(seen[0] + seen[1]), [f"{number}.png" for number in range(5)])
        self.assertFalse(torch.equal(self.weights("0.pth")["0.weight"], self.weights("1.pth")["0.weight"]))

    def test_it_refuses_what_it_cannot_do_before_it_trains(self):
        self.refuse("nosuch is not a folder", "reproduce", "nosuch")
        self.refuse("pairs must be an integer from 1", "reproduce", "photos", "--pairs", 0)
        self.refuse("deadline must be a number from 0", "reproduce", "photos", "--deadline", -1)
        self.succeed("reproduce", "photos", "--pairs", 8, "--deadline", 0)
        self.photo(0).unlink()
        checkpoint = ("--resume", "trained.pth.checkpoint")
        status, _, err = self.run_command("reproduce", "photos", "--pairs", 8, *checkpoint)
        self.assertEqual(status, 2)
        self.assertIn("begun with other photographs", err)
        for number in range(1, 4):
            self.photo(number).unlink()
        status, _, err = self.run_command("reproduce", "photos", "--output", "new.pth")
        self.assertEqual(status, 2)
        self.assertIn("has 1 usable photographs; at least 2 are needed", err)
