"""The network and its initializations, and what `others/fast/` makes of it."""

import copy
import itertools
import math
import unittest
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize, prune

from ...model import INITIALIZATIONS, Model, build_network, initialize
from ..fast import accelerated, winograd
from ..fast.memory import glibc
from . import TestCase, random_images, relative_error, weights_of


class TestNetwork(TestCase):
    def test_it_is_appendix_a(self):
        network = build_network()
        kinds = " ".join(type(layer).__name__ for layer in network)
        kinds = kinds.replace("ConvTranspose2d", "T").replace("Conv2d", "C")
        kinds = kinds.replace("BatchNorm2d", "N").replace("ReLU", "R")
        self.assertEqual(kinds, "C R C R C N R C N R C T N R T N R T R T R T")
        convolutions = [layer for layer in network if hasattr(layer, "kernel_size")]
        channels = [3, *(layer.out_channels for layer in convolutions)]
        self.assertEqual(channels, [3, 64, 64, 128, 256, 512, 256, 128, 64, 64, 3])
        for layer in convolutions:
            sizes = (layer.kernel_size, layer.stride, layer.padding)
            self.assertEqual(sizes, ((2, 2), (1, 1), (1, 1)))


class TestInitialization(TestCase):
    # Smallest and largest weight, in units of the bound that the name stands for; share of zeros
    EXPECTED = {
        "default": (-1, 1, 0),
        "default positive": (0, 1, 0.5),
        "xavier": (-1, 1, 0),
        "xavier positive": (0, 1, 0.5),
        "masked xavier": (-1, 1, 0.5),
        "zeros": (0, 0, 1),
    }

    def test_every_entry_of_the_table_draws_within_its_bounds(self):
        """Of a transposed layer as well, whose inputs and outputs PyTorch counts the other way."""
        layers = nn.Conv2d(64, 256, 2), nn.ConvTranspose2d(64, 256, 2)
        defaults = [layer.weight.abs().max().item() for layer in layers]  # as PyTorch drew them
        xavier = math.sqrt(6 / (64 * 4 + 256 * 4))
        for name in INITIALIZATIONS:
            with self.subTest(name):
                self.assertIn(name, self.EXPECTED, "say in EXPECTED what it should draw")
                lowest, highest, share_of_zeros = self.EXPECTED[name]
                initialize(nn.Sequential(*layers), name)
                for layer, default in zip(layers, defaults):
                    bound = default if "default" in name else xavier
                    weight = layer.weight
                    zeros = (weight == 0).float().mean()
                    self.assertClose(weight.min(), lowest * bound, 1e-4)
                    self.assertClose(weight.max(), highest * bound, 1e-4)
                    self.assertClose(zeros, share_of_zeros, 0.01)
                    self.assertEqual(bool(layer.bias.any()), "default" in name)
                    self.assertGreater(layer.bias.min().item(), lowest * bound - 1e-4)

    def test_seed_decides_and_the_random_state_of_pytorch_is_left_alone(self):
        state = torch.random.get_rng_state()
        weights = weights_of(Model())
        self.assertSame(state, torch.random.get_rng_state())
        self.assertSameWeights(weights, weights_of(Model(seed=0)))
        self.assertDiffer(weights["0.weight"], Model(seed=1).network[0].weight)

    def test_a_fresh_model_predicts_mid_grey(self):
        output = Model().predict(random_images(1, 16, 16))
        self.assertAlmostEqual(output.mean().item(), 127.5, delta=10)


def trained_network(layers=None, seed=3):
    """A network in float64, random weights, BatchNorm's statistics as if it had been trained."""
    network = build_network() if layers is None else nn.Sequential(*layers)
    initialize(network, "default", seed)
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5, generator=generator)
    return network.double()


class TestAccelerated(TestCase):
    """Against plain layers in float64, where nothing rounds."""

    def compare(self, network, shape, training):
        plain = network.train(training)
        ours = copy.deepcopy(plain)
        images = torch.randn(shape, dtype=torch.float64)
        images = images.contiguous(memory_format=torch.channels_last)
        before = images.clone()
        expected = plain(images)
        found = accelerated(ours)(images)
        self.assertSame(images, before)
        weight = torch.rand_like(expected)
        self.assertLess(relative_error(found, expected), 1e-10)
        for one, other in zip(ours.buffers(), plain.buffers()):
            self.assertLess(relative_error(one, other), 1e-10)
        if not training:
            return
        (expected * weight).sum().backward()
        (found * weight).sum().backward()
        largest = max(parameter.grad.norm() for parameter in plain.parameters())
        for one, other in zip(ours.parameters(), plain.parameters()):
            # a bias before a BatchNorm has no gradient at all, only rounding
            if other.grad.norm() > 1e-6 * largest:
                self.assertLess(relative_error(one.grad, other.grad), 1e-10)

    def test_outputs_gradients_and_statistics_are_those_of_the_plain_layers(self):
        for shape in ((2, 3, 9, 12), (3, 3, 1, 7)):
            for training in (True, False):
                with self.subTest(shape=shape, training=training):
                    self.compare(trained_network(), shape, training)

    def test_any_network_of_layers_in_a_row(self):
        conv, deconv, norm = nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d
        pooled = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        networks = {
            "no padding": [conv(3, 8, 2), nn.ReLU(), deconv(8, 8, 2), norm(8), deconv(8, 3, 2)],
            "other sizes": [conv(3, 8, 3, padding=1), conv(8, 4, 2, padding=1), deconv(4, 3, 2)],
            "pooling": [conv(3, 8, 1), *pooled, deconv(8, 3, 1)],
            "two ReLUs": [nn.ReLU(), conv(3, 3, 1), nn.ReLU(), nn.ReLU()],
            "a ReLU after another layer": [conv(3, 3, 1), nn.Sigmoid(), nn.ReLU(), conv(3, 3, 1)],
            "strides": [conv(3, 8, 2, stride=2), norm(8), deconv(8, 3, 2, stride=2)],
        }
        for name, layers in networks.items():
            for training in (True, False):
                with self.subTest(name, training=training):
                    self.compare(trained_network(layers), (2, 3, 8, 8), training)

    def test_kernels_are_prepared_anew_after_train_and_eval(self):
        network = trained_network([nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)])
        fast = accelerated(network).eval()
        images = torch.rand(1, 3, 4, 4, dtype=torch.float64)
        for change in (fast.eval, lambda: fast.train().eval()):
            before = fast(images)
            self.assertFalse(before.requires_grad)
            network[0].weight.data += 1
            self.assertSame(fast(images), before)
            change()
            self.assertLess(relative_error(fast(images), network(images)), 1e-10)


class Recorder(list):
    """Gathers the feature maps of a layer. A deep copy of it would gather them elsewhere."""

    def record(self, layer, inputs, output):
        self.append(output)


class TestHooks(TestCase):
    """Where somebody looks at feature maps or changes layers, the network itself is called."""

    KINDS = ("forward_pre_hook", "forward_hook", "full_backward_hook", "full_backward_pre_hook")

    def assertItself(self, network):
        for precision in ("float32", "bfloat16"):
            self.assertIs(accelerated(network, precision), network)

    def test_hooks_of_every_kind_on_layers_the_network_and_all_modules(self):
        network = build_network()
        for kind in self.KINDS:
            for owner, name in (
                (network, f"register_{kind}"),
                (network[3], f"register_{kind}"),
                (nn.modules.module, f"register_module_{kind}"),
            ):
                # PyTorch 1.13 has no pre-hooks of backward passes
                register = getattr(owner, name, network[3].register_forward_hook)
                hook = register(lambda *_: None)
                self.addCleanup(hook.remove)
                self.assertItself(network)
                hook.remove()
                self.assertIsNot(accelerated(network), network)

    def test_layers_and_containers_of_other_classes_and_changed_ones(self):
        class Negative(nn.Conv2d):
            def forward(self, images):
                return -super().forward(images)

        class Row(nn.Sequential):
            def forward(self, images):
                return -super().forward(images)

        networks = [nn.Sequential(*build_network()) for _ in range(3)]
        networks[0][2] = Negative(64, 64, 2, padding=1)
        prune.l1_unstructured(networks[1][2], "weight", 0.3)
        parametrize.register_parametrization(networks[2][2], "weight", nn.Identity())
        for network in (*networks, Row(*build_network())):
            self.assertItself(network)

    def test_predict_and_train_call_the_hooks_of_a_model(self):
        model = Model()
        images = random_images(2, 8, 8)
        expected = model.predict(images)
        seen = Recorder()
        model.network[3].register_forward_hook(seen.record)
        self.assertClose(model.predict(images), expected, 1e-2)
        self.assertEqual(len(seen), 8)
        self.assertEqual(seen[0].shape, (2, 64, 10, 10))
        model.train(images, images, 1, hybrid=False, precision="bfloat16", progress=False)
        self.assertEqual(len(seen), 8 + 2)  # a step, and the judgement of the last weights
        model.predict(images)
        self.assertEqual(len(seen), 8 + 2 + 8)


class TestWinograd(TestCase):
    def test_it_is_the_direct_convolution(self):
        self.patch(mock.patch.object(winograd, "FEWEST_CHANNELS", 1))
        self.patch(mock.patch.object(winograd, "TILES_AT_ONCE", 20))  # so that there are parts
        kernels = (  # size, padding, whether a ReLU comes first
            (3, 1, False),
            (2, 1, False),
            (2, 0, False),
            (3, 1, True),
            (2, 0, True),
        )
        sizes = ((2, 2, 3, 2), (4, 9, 5, 7), (37, 18, 4, 3))
        for (size, padding, relu), image in itertools.product(kernels, sizes):
            with self.subTest(kernel=size, padding=padding, relu=relu, image=image):
                self.compare(size, padding, relu, *image)

    def compare(self, size, padding, relu, height, width, channels, outputs):
        images = torch.randn(3, channels, height, width)
        kernel = torch.randn(outputs, channels, size, size)
        bias = torch.randn(outputs)
        arguments = [each.requires_grad_() for each in (images, kernel, bias)]
        exact = [each.detach().double().requires_grad_() for each in arguments]
        output = winograd.conv2d(*arguments, padding, relu)
        positive = exact[0].relu() if relu else exact[0]
        expected = F.conv2d(positive, *exact[1:], padding=padding)
        self.assertLess(relative_error(output, expected), 1e-5)
        weight = torch.randn(output.shape)
        found = torch.autograd.grad(output, arguments, weight)
        right = torch.autograd.grad(expected, exact, weight.double())
        for one, other in zip(found, right):
            self.assertLess(relative_error(one, other), 1e-5)


MEMORY = """
from pathlib import Path
import torch
from Miniproject_1.others.fast.memory import keep_memory_for

def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])  # of 4 KB

def is_kept():
    large = torch.ones(2**25)  # 128 MB
    above = torch.ones(2**15)  # so that the heap cannot shrink, if both are there
    del large
    return pages() > pages_before + 2**14

owners = [torch.nn.ReLU(), torch.nn.ReLU()]
pages_before = pages()
for owner in owners:
    keep_memory_for(owner)
del owner
while owners:
    print(is_kept())
    owners.pop()
print(is_kept())
"""


@unittest.skipUnless(glibc() and Path("/proc/self/statm").exists(), "needs glibc and /proc")
class TestMemory(TestCase):
    def test_memory_is_kept_until_the_last_owner_is_gone(self):
        self.assertEqual(self.python(MEMORY).split(), ["True", "True", "False"])


class TestBfloat16(TestCase):
    def gradients(self, network, **options):
        images = random_images(2, 12, 9) / 255
        target = random_images(2, 12, 9, seed=1) / 255
        network.zero_grad()
        F.mse_loss(accelerated(network, **options)(images), target).backward()
        return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])

    def test_it_changes_gradients_by_little_with_and_without_amx(self):
        self.patch(mock.patch.object(winograd, "TILES_AT_ONCE", 1))  # so that there are parts
        network = Model("default", device="cpu").network.train()
        exact = self.gradients(network)
        for amx in (False, True):
            with mock.patch.object(winograd, "processor_has", lambda _, amx=amx: amx):
                found = self.gradients(network, precision="bfloat16")
            self.assertLess(relative_error(found, exact), 0.3)
            self.assertGreater(relative_error(found, exact), 1e-5)
        self.assertEqual({value.dtype for value in network.parameters()}, {torch.float32})
