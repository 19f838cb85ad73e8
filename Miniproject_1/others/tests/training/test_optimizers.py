"""Muon and its neighbours."""

import copy

import torch
from torch import nn

from ....model import Batches, Training
from ...training.optimizers import ALL_OPTIMIZERS, Muon, orthogonalized
from .. import TestCase, random_images, weights_of

SHAPES = ((64, 32, 2, 2), (32, 64, 2, 2), (64, 64, 2, 2))


def three_convolutions():
    """A network whose second kernel is hidden."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 2), nn.Conv2d(8, 8, 2), nn.Conv2d(8, 3, 2))


class TestOrthogonalized(TestCase):
    def test_directions_are_nearly_orthogonal_and_point_along_the_gradient(self):
        generator = torch.Generator().manual_seed(0)
        kernels = [torch.randn(shape, generator=generator) for shape in 2 * SHAPES]
        for kernel, direction in zip(kernels, orthogonalized(kernels)):
            self.assertGreater((direction * kernel).sum(), 0)
            if direction.shape[0] > direction.shape[1]:
                direction = direction.transpose(0, 1)
            matrix = direction.flatten(1).double()
            values = torch.linalg.svdvals(matrix) / (0.2 * matrix.shape[1] ** 0.5)
            self.assertGreater(values.min(), 0.6)
            self.assertLess(values.max(), 1.25)


class TestMuon(TestCase):
    def step_of(self, **options):
        """The weights before a step with gradients of one, and what the step adds."""
        network = three_convolutions()
        before = weights_of(network)
        optimizer = Muon(network.parameters(), **options)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        return before, {name: value - before[name] for name, value in weights_of(network).items()}

    def test_factor_and_weight_decay(self):
        before, plain = self.step_of(lr=0.01)
        _, step = self.step_of(lr=0.01, factor=0.25, weight_decay=3.0)
        for name in step:
            wanted = 0.25 * plain[name]
            if name == "1.weight":
                wanted = wanted - 0.25 * 0.01 * 3.0 * before[name]
            self.assertClose(step[name], wanted, 1e-6, name)

    def test_all_other_parameters_are_trained_by_adam(self):
        ours, reference = nn.Linear(4, 4), nn.Linear(4, 4)
        reference.load_state_dict(ours.state_dict())
        muon = Muon(ours.parameters(), lr=0.01, momentum=0.9)
        adam = torch.optim.Adam(reference.parameters(), lr=0.01, betas=(0.9, 0.999))
        for step in range(1, 4):
            for mine, theirs in zip(ours.parameters(), reference.parameters()):
                mine.grad = step * torch.cos(mine.detach())
                theirs.grad = mine.grad.clone()
            muon.step()
            adam.step()
        self.assertClose(ours.weight, reference.weight, 1e-6)
        self.assertClose(ours.bias, reference.bias, 1e-6)

    def test_momentum_carries_it_on_where_the_gradient_ends(self):
        for momentum, moves in ((0.0, False), (0.9, True)):
            kernel = nn.Parameter(torch.zeros(8, 8, 2, 2))
            optimizer = Muon([kernel], lr=0.01, momentum=momentum)
            kernel.grad = torch.ones_like(kernel)
            optimizer.step()
            after_one = kernel.detach().clone()
            kernel.grad = torch.zeros_like(kernel)
            optimizer.step()
            self.assertEqual(not torch.equal(kernel, after_one), moves)


class TestAllOptimizers(TestCase):
    def test_each_goes_on_bit_for_bit_from_its_state(self):
        images = random_images(8, 8, 8)
        for name, optimizer in ALL_OPTIMIZERS.items():
            network = three_convolutions().append(nn.ConvTranspose2d(3, 3, 4))
            arguments = (Batches(images, images, batch_size=4), 4, 0, optimizer, 0.01)
            unbroken = Training(network, *arguments)
            unbroken.take_step()
            resumed = Training(copy.deepcopy(network), *arguments)
            resumed.load_state_dict(unbroken.state_dict())
            for training in (unbroken, resumed):
                training.take_step()
                training.take_step()
            with self.subTest(name):
                self.assertSameWeights(weights_of(unbroken.network), weights_of(resumed.network))

    def test_sgd_has_no_momentum_and_nesterov_looks_ahead(self):
        for name, first, second in (("SGD", 1, 0), ("Nesterov", 1.9, 0.81)):
            weight = nn.Parameter(torch.zeros(1))
            optimizer = ALL_OPTIMIZERS[name]([weight], 1.0, 0.9)
            weight.grad = torch.ones(1)
            optimizer.step()
            self.assertAlmostEqual(weight.item(), -first, places=5)
            weight.grad = torch.zeros(1)
            optimizer.step()
            self.assertAlmostEqual(weight.item(), -first - second, places=5)
