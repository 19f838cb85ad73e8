"""The recipe of the weights that come with the project."""

from ....model import build_network
from ...training.recipe import Recipe, optimizer_of
from .. import TestCase


class TestRecipe(TestCase):
    def test_only_kernels_that_a_batch_norm_follows_decay(self):
        network = build_network()
        parameters = list(network.parameters())
        optimizer = optimizer_of(Recipe(), network)(parameters, 0.01, 0.9)
        decaying, others = optimizer.param_groups
        self.assertEqual(len(decaying["params"]), 5)
        for kernel, index in zip(decaying["params"], (4, 7, 10, 11, 14)):
            self.assertIs(kernel, network[index].weight)
        self.assertEqual(decaying["weight_decay"], 0.1)
        self.assertEqual(others["weight_decay"], 0)
        self.assertEqual(others["factor"], 0.25)
        num_others = len(parameters) - 5
        self.assertEqual(len(others["params"]), num_others)

    def test_the_rate_rises_stays_and_falls_to_zero(self):
        recipe = Recipe(pairs=20, batch_size=2, learning_rate=4, share_of_fall=0.5, warm_up=2)
        self.assertEqual(recipe.num_steps(), 10)
        wanted = [2, 4, 4, 4, 4, 4, 3.2, 2.4, 1.6, 0.8, 0]
        for step, rate in enumerate(wanted):
            self.assertAlmostEqual(recipe.learning_rate_at(step), rate)
            self.assertEqual(recipe.is_falling(step), step >= 5)
