"""The recipe of the weights that come with the project."""

import dataclasses

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
        self.assertEqual(len(kernels), 5)
        for kernel, index in zip(kernels, (4, 7, 10, 11, 14)):
            self.assertIs(kernel, network[index].weight)
        parameters = list(network.parameters())
        optimizer = optimizer_of(Recipe(), network)(parameters, 0.01, 0.9)
        first, second = optimizer.param_groups
        self.assertEqual((first["weight_decay"], first["factor"]), (0.1, 1))
        self.assertEqual((second["weight_decay"], second["factor"]), (0, 0.25))
        self.assertEqual(len(first["params"]), 5)
        self.assertEqual(len(second["params"]), len(parameters) - 5)


class TestSchedule(TestCase):
    def setUp(self):
        super().setUp()
        first = Part(begins=0, learning_rate=4, share_of_fall=0.5, small_crops=0.4)
        second = Part(begins=0.6, learning_rate=2, share_of_fall=1, small_crops=0.2)
        recipe = Recipe(parts=(first, second), warm_up=2)
        self.schedule = Schedule(recipe, num_steps=10)

    def test_the_rate_rises_stays_and_falls_in_every_part(self):
        rates_of_first_part = [2, 4, 4, 4, 4 * 2 / 3, 4 / 3]
        rates_of_second_part = [1, 1.5, 1, 0.5]
        after_the_end = [0]
        wanted = rates_of_first_part + rates_of_second_part + after_the_end
        for step, rate in enumerate(wanted):
            self.assertAlmostEqual(self.schedule.learning_rate(step), rate)

    def test_it_knows_the_share_of_small_crops_and_whether_the_rate_has_fallen(self):
        for step in range(10):
            wanted = 0.4
            if step >= 6:
                wanted = 0.2
            self.assertEqual(self.schedule.small_crops(step), wanted)
            self.assertEqual(self.schedule.has_fallen(step), step >= 3)
