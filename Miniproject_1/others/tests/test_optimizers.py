"""Muon, its neighbours in the table, and the groups of the recipe."""

import copy

import torch
from torch import nn

from ...model import OPTIMIZERS, Batches, Training, build_network
from ..training.optimizers import ALL_OPTIMIZERS, Muon, orthogonalized
from ..training.recipe import Recipe, optimizer_of
from . import TestCase, random_images, weights_of

SHAPES = ((64, 32, 2, 2), (32, 64, 2, 2), (64, 64, 2, 2))


def three_convolutions():
    """A network whose second kernel is hidden."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 2), nn.Conv2d(8, 8, 2), nn.Conv2d(8, 3, 2))


def random_kernels(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


class TestMuon(TestCase):
    def test_steps_are_nearly_orthogonal_and_point_along_the_gradient(self):
        kernels = random_kernels(*SHAPES, *SHAPES)
        for kernel, step in zip(kernels, orthogonalized(kernels)):
            self.assertGreater((step * kernel).sum(), 0)
            if step.shape[0] > step.shape[1]:
                step = step.transpose(0, 1)
            matrix = step.flatten(1).double()
            size = 0.2 * matrix.shape[1] ** 0.5
            singular_values = torch.linalg.svdvals(matrix) / size
            self.assertGreater(singular_values.min(), 0.6)
            self.assertLess(singular_values.max(), 1.25)

    def test_steps_follow_the_running_mean_with_the_look_ahead_of_nesterov(self):
        first, second = random_kernels((8, 8, 2, 2), (8, 8, 2, 2))
        kernel = nn.Parameter(torch.zeros_like(first))
        optimizer = Muon([kernel], lr=1.0, momentum=0.9)
        mean = torch.zeros_like(first)
        for gradient in (first, second):
            mean = 0.9 * mean + 0.1 * gradient
            ahead = 0.9 * mean + 0.1 * gradient
            before = kernel.detach().clone()
            kernel.grad = gradient
            optimizer.step()
            self.assertClose(kernel.detach() - before, -orthogonalized([ahead])[0], 1e-5)

    def steps(self, **options):
        """The weights of a network, and a step of Muon without a gradient of the last bias."""
        network = three_convolutions()
        before = weights_of(network)
        optimizer = Muon(network.parameters(), lr=0.01, **options)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        network[2].bias.grad = None
        optimizer.step()
        after = weights_of(network)
        return before, {name: after[name] - before[name] for name in after}

    def test_factor_and_weight_decay_of_parameters_that_have_a_gradient(self):
        before, plain = self.steps()
        _, found = self.steps(factor=0.25, weight_decay=3.0)
        self.assertFalse(found["2.bias"].any())
        for name, step in found.items():
            wanted = 0.25 * plain[name]
            if name == "1.weight":
                wanted = wanted - 0.25 * 0.01 * 3.0 * before[name]
            self.assertClose(step, wanted, 1e-6, name)

    def test_all_other_parameters_are_trained_by_adam(self):
        ours = nn.Linear(4, 4)
        reference = copy.deepcopy(ours)
        muon = Muon(ours.parameters(), lr=0.01, momentum=0.8)
        adam = torch.optim.Adam(reference.parameters(), lr=0.01, betas=(0.8, 0.999))
        for step in range(1, 4):
            for mine, theirs in zip(ours.parameters(), reference.parameters()):
                mine.grad = step * torch.cos(mine.detach())
                theirs.grad = mine.grad.clone()
            muon.step()
            adam.step()
        self.assertSameWeights(weights_of(ours), weights_of(reference))


class TestRecipe(TestCase):
    def test_only_kernels_that_a_batch_norm_follows_decay(self):
        network = build_network()
        decaying, others = optimizer_of(Recipe(), network)(None, 0.01, 0.9).param_groups
        norms = [place for place, layer in enumerate(network) if isinstance(layer, nn.BatchNorm2d)]
        kernels = [network[place - 1].weight for place in norms]
        kernels.append(network[10].weight)  # behind another convolution
        self.assertEqual(set(decaying["params"]), set(kernels))
        self.assertEqual(set(others["params"]), set(network.parameters()) - set(kernels))
        self.assertEqual((decaying["weight_decay"], others["weight_decay"]), (0.1, 0))

    def test_the_rate_rises_stays_and_falls_to_zero(self):
        recipe = Recipe(pairs=20, batch_size=2, learning_rate=4, share_of_fall=0.5, warm_up=2)
        for step, rate in enumerate([2, 4, 4, 4, 4, 4, 3.2, 2.4, 1.6, 0.8, 0]):
            self.assertAlmostEqual(recipe.learning_rate_at(step), rate)
            self.assertEqual(recipe.is_falling(step), step >= 5)


class TestTable(TestCase):
    def test_each_goes_on_bit_for_bit_from_its_state_and_learns_at_its_own_rate(self):
        images = random_images(8, 8, 8)
        batches = Batches(images, images, batch_size=4)
        for name, optimizer in ALL_OPTIMIZERS.items():
            network = three_convolutions().append(nn.ConvTranspose2d(3, 3, 4))
            arguments = (batches, 9, 0, optimizer.function, optimizer.learning_rate)
            unbroken = Training(network, *arguments, momentum=optimizer.momentum)
            first_loss = unbroken.take_step()
            resumed = Training(copy.deepcopy(network), *arguments, momentum=optimizer.momentum)
            resumed.load_state_dict(unbroken.state_dict())
            for training in (unbroken, resumed):
                while training.step < 9:
                    last_loss = training.take_step()
            with self.subTest(name):
                self.assertSameWeights(weights_of(unbroken.network), weights_of(resumed.network))
                self.assertLess(last_loss, first_loss)

    def test_those_of_the_model_have_all_that_train_and_the_study_need(self):
        missing = set(OPTIMIZERS) - set(ALL_OPTIMIZERS)
        self.assertFalse(missing, "give them a learning rate in ALL_OPTIMIZERS")
