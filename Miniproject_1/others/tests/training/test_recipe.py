"""The recipe of the weights that come with the project."""

import dataclasses

import torch

from ....model import build_network
from ...training.recipe import Part, Recipe, Schedule, normalized_kernels, optimizer_of
from .. import TestCase


class TestRecipe(TestCase):
    def test_its_numbers_survive_a_checkpoint(self):
        recipe = dataclasses.replace(Recipe(), pairs=8, seed=3)
        self.assertEqual(Recipe.from_dict(recipe.as_dict()), recipe)

    def test_only_kernels_that_a_batch_norm_follows_decay(self):
        network = build_network()
        kernels = normalized_kernels(network)
        wanted = [network[index].weight for index in (4, 7, 10, 11, 14)]
        self.assertEqual([id(kernel) for kernel in kernels], [id(kernel) for kernel in wanted])
        make_optimizer = optimizer_of(Recipe(), network)
        first, second = make_optimizer(list(network.parameters()), 0.01, 0.9).param_groups
        self.assertEqual((first["weight_decay"], first["factor"]), (0.1, 1))
        self.assertEqual((second["weight_decay"], second["factor"]), (0, 0.25))
        num_parameters = len(list(network.parameters()))
        self.assertEqual((len(first["params"]), len(second["params"])), (5, num_parameters - 5))


class TestSchedule(TestCase):
    def test_the_rate_rises_stays_and_falls_in_every_part(self):
        parts = (Part(0, 4, 0.5, small_crops=0.4), Part(0.6, 2, 1, small_crops=0.2))
        schedule = Schedule(dataclasses.replace(Recipe(), parts=parts, warm_up=2), num_steps=10)
        rates = torch.tensor([schedule.learning_rate(step) for step in range(11)])
        wanted = torch.tensor([2, 4, 4, 4, 4 * 2 / 3, 4 / 3, 1, 1.5, 1, 0.5, 0])
        self.assertLess((rates - wanted).abs().max(), 1e-6)
        shares = [schedule.small_crops(step) for step in range(10)]
        self.assertEqual(shares, [0.4] * 6 + [0.2] * 4)
        has_fallen = [schedule.has_fallen(step) for step in range(10)]
        self.assertEqual(has_fallen, [False] * 3 + [True] * 7)
