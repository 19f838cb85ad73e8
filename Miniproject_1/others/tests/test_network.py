"""The network, its fast form, Winograd's convolution, and the initializations."""

import copy
from unittest import mock

import torch
from torch import nn

from ... import model as module
from ...model import INITIALIZATIONS, Model, build_network, forward, initialize
from . import THOROUGH, TestCase, random_images, relative_error, weights_of

fast = module.fast


class TestNetwork(TestCase):
    APPENDIX = """
    Conv2d 3 64, ReLU, Conv2d 64 64, ReLU, Conv2d 64 128, BatchNorm2d 128, ReLU, Conv2d 128 256, BatchNorm2d 256, ReLU,
    Conv2d 256 512, ConvTranspose2d 512 256, BatchNorm2d 256, ReLU, ConvTranspose2d 256 128, BatchNorm2d 128, ReLU,
    ConvTranspose2d 128 64, ReLU, ConvTranspose2d 64 64, ReLU, ConvTranspose2d 64 3"""

    def test_is_appendix_a(self):
        names, network = ("in_channels", "out_channels", "num_features"), Model().network
        found = []
        for layer in network:
            found.append(
                " ".join([type(layer).__name__, *(str(getattr(layer, n)) for n in names if hasattr(layer, n))])
            )
            if "Conv" in found[-1]:
                self.assertEqual((layer.kernel_size, layer.stride, layer.padding), ((2, 2), (1, 1), (1, 1)))
        self.assertEqual(found, [text.strip() for text in self.APPENDIX.split(",")])
        self.assertEqual(sum(parameter.numel() for parameter in network.parameters()), 1_413_635)

    def plain_and_ours(self, shape, training, dtype, seed, use_winograd=True, network=None):
        """Relative errors of the output and of every gradient against plain layers in float64: plain's, ours."""
        network = network or build_network()
        initialize(network, "default", seed)
        generator = torch.Generator().manual_seed(seed)
        for name, value in network.state_dict().items():
            if "running" in name:  # as if it had been trained
                value.uniform_(0.5, 1.5, generator=generator)
        images, weight = (torch.rand(shape, generator=generator) for _ in range(2))
        results = []
        for plain, kind in ((True, torch.float64), (True, dtype), (False, dtype)):
            # ours is given the other mode, which it must not look at
            copied = copy.deepcopy(network).to(kind).train(training == plain)
            with mock.patch.object(module, "fast", fast if use_winograd else None):
                output = copied(images.to(kind)) if plain else forward(copied, images.to(kind), training)
            parameters = list(copied.parameters()) if training or plain else []
            gradients = torch.autograd.grad((output * weight.to(kind)).sum(), parameters) if parameters else ()
            self.assertEqual({layer.training for layer in copied}, {training == plain})
            results.append([value.double() for value in (*copied.buffers(), output, *gradients)])
        exact, *others = results
        largest = max(value.norm() for value in exact)  # a bias before BatchNorm has no gradient at all
        return [
            [relative_error(value, true) for value, true in zip(values, exact) if true.norm() > 1e-6 * largest]
            for values in others
        ]

    def test_computes_what_the_plain_layers_compute(self):
        """In float64, where nothing rounds: outputs, gradients of every parameter, statistics of BatchNorm."""
        shapes = [(2, 3, 9, 12), (3, 3, 1, 7)] + [(1, 3, 16, 16), (100, 3, 2, 3)] * THOROUGH
        for use_winograd in (True, False):
            for training in (True, False):
                for shape in shapes:
                    with self.subTest(winograd=use_winograd, training=training, shape=shape):
                        _, ours = self.plain_and_ours(shape, training, torch.float64, 3, use_winograd)
                        self.assertLess(max(ours), 1e-10)

    def test_walks_any_network_of_such_layers(self):
        conv, deconv, norm, relu = nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU
        networks = {
            "no padding": [conv(3, 8, 2), relu(), conv(8, 8, 2), deconv(8, 8, 2), norm(8), deconv(8, 3, 2)],
            "other sizes": [conv(3, 8, 3, padding=1), conv(8, 4, 2, padding=1), deconv(4, 3, 2, padding=1), relu()],
            "pooling": [
                conv(3, 8, 2, padding=1),
                nn.MaxPool2d(2),
                nn.Upsample(scale_factor=2),
                deconv(8, 3, 2, padding=1),
            ],
            "two ReLUs": [conv(3, 3, 1), relu(), relu()],
        }
        for name, layers in networks.items():
            for training in (True, False):
                with self.subTest(name, training=training):
                    network = nn.Sequential(*layers)
                    _, ours = self.plain_and_ours((2, 3, 9, 9), training, torch.float64, 0, network=network)
                    self.assertLess(max(ours), 1e-10)

    def test_prepared_steps_are_a_copy(self):
        model, images = Model("default"), random_images(1, 8, 8) / 255
        model.network.double()
        steps = module.prepare(model.network, training=False)
        before = forward(steps, images.double(), training=False)
        for parameter in model.network.parameters():
            parameter.data.add_(1)
        self.assertTrue(torch.equal(forward(steps, images.double(), training=False), before))

    def test_winograd_convolution_is_the_direct_one(self):
        generator = torch.Generator().manual_seed(0)
        self.patch(mock.patch.object(fast, "FEWEST_CHANNELS", 1))
        self.patch(mock.patch.object(fast, "TILES_AT_ONCE", 20))  # so that there are several blocks
        for size, padding, relu in ((3, 1, False), (2, 1, False), (2, 0, False), (3, 1, True), (2, 0, True)):
            for height, width, channels, outputs in ((2, 2, 3, 2), (4, 9, 5, 7), (37, 18, 4, 3), (20, 20, 64, 64)):
                with self.subTest(kernel=size, padding=padding, relu=relu, image=(height, width)):
                    images = torch.randn(3, channels, height, width, generator=generator, requires_grad=True)
                    kernel = torch.randn(outputs, channels, size, size, generator=generator, requires_grad=True)
                    bias = torch.randn(outputs, generator=generator, requires_grad=True)
                    arguments = (images, kernel, bias)
                    exact = [argument.detach().double().requires_grad_() for argument in arguments]
                    output = fast.conv2d(*arguments, padding, relu)
                    positive = exact[0].relu() if relu else exact[0]
                    expected = nn.functional.conv2d(positive, *exact[1:], padding=padding)
                    self.assertLess(relative_error(output, expected), 1e-5)
                    weight = torch.randn(output.shape, generator=generator)
                    gradients = torch.autograd.grad(output, arguments, weight)
                    for gradient, reference in zip(gradients, torch.autograd.grad(expected, exact, weight.double())):
                        self.assertLess(relative_error(gradient, reference), 1e-5)

    def test_bfloat16_gradients_add_up_in_float32(self):
        generator = torch.Generator().manual_seed(0)
        images, weight = (torch.randn(64, 128, 8, 8, generator=generator) for _ in range(2))
        network = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1))
        gradients = []
        for bfloat16 in (False, True):
            network.zero_grad()
            with mock.patch.object(fast, "TILES_AT_ONCE", 2):  # an image at a time
                (forward(network, images, True, bfloat16) * weight).sum().backward()
            gradients.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
        self.assertLess(relative_error(*reversed(gradients)), 0.03)  # in bfloat16: 0.07

    def test_bfloat16_changes_gradients_by_little(self):
        images, target = (random_images(2, 12, 9, seed=seed) / 255 for seed in (0, 1))
        for winograd, amx in ((fast, False), (fast, True), (None, False)):
            with self.subTest(winograd=bool(winograd), amx=amx), mock.patch.object(module, "fast", winograd):
                self.patch(mock.patch.object(fast, "capabilities", lambda amx=amx: dict(amx_bf16=amx)))
                gradients = []
                for bfloat16 in (False, True):
                    network = Model("default").network
                    nn.functional.mse_loss(forward(network, images, True, bfloat16), target).backward()
                    gradients.append(
                        torch.cat([layer.weight.grad.flatten() for layer in network if hasattr(layer, "weight")])
                    )
                error = relative_error(*reversed(gradients))
                self.assertLess(error, 0.3)
                self.assertGreater(error, 1e-5)
        steps = module.prepare(network, training=False)
        with mock.patch.object(fast, "conv2d", wraps=fast.conv2d) as convolution:
            forward(steps, images, False, bfloat16=True)
        types = [call[0][0].dtype for call in convolution.call_args_list]
        self.assertEqual([each == torch.bfloat16 for each in types], [False] + [True] * 7 + [False])


class TestInitialization(TestCase):
    def test_signs_and_zeros_are_as_named(self):
        weight = {name: Model(name).network[7].weight for name in INITIALIZATIONS}
        for name in ("default", "xavier"):
            self.assertAlmostEqual((weight[name] < 0).float().mean().item(), 0.5, delta=0.01)
            positive = weight[name + " positive"]
            self.assertTrue(torch.equal(positive, weight[name].clamp(min=0)))
        self.assertEqual(weight["zeros"].abs().max(), 0)
        masked = weight["masked xavier"]
        self.assertAlmostEqual((masked == 0).float().mean().item(), 0.5, delta=0.01)
        self.assertAlmostEqual((masked < 0).float().mean().item(), 0.25, delta=0.01)

    def test_default_and_xavier_have_pytorchs_range(self):
        for name, draw in (
            ("default", lambda layer: layer.reset_parameters()),
            ("xavier", lambda layer: (nn.init.xavier_uniform_(layer.weight), nn.init.zeros_(layer.bias))),
        ):
            network = Model(name).network
            for layer in (network[4], network[14]):
                reference = copy.deepcopy(layer)
                draw(reference)
                for values, others in ((layer.weight, reference.weight), (layer.bias, reference.bias)):
                    if others.abs().max() == 0:
                        self.assertEqual(values.abs().max(), 0)
                        continue
                    delta = 0.02 if values.dim() > 1 else 0.2
                    self.assertAlmostEqual(values.std().item() / others.std().item(), 1, delta=delta)
                    self.assertAlmostEqual(values.max().item() / others.max().item(), 1, delta=delta)

    def test_only_a_models_last_bias_begins_elsewhere(self):
        """Mid-grey, so that a fresh model does not predict black; the study draws with `initialize` alone."""
        for name in INITIALIZATIONS:
            network = build_network()
            initialize(network, name, seed=3)
            drawn, model = weights_of(network), weights_of(Model(name, seed=3))
            self.assertTrue((model.pop("21.bias") == 0.5).all())
            self.assertLess(drawn.pop("21.bias").abs().max(), 0.2)
            self.assertSameWeights(drawn, model)
        output = Model().predict(torch.rand(1, 3, 20, 20) * 255)
        self.assertLess((output - 127.5).abs().max(), 20)

    def test_seed_decides_and_the_global_random_state_is_left_alone(self):
        state = torch.random.get_rng_state()
        first, same, other = (weights_of(Model(seed=seed)) for seed in (1, 1, 2))
        self.assertTrue(torch.equal(state, torch.random.get_rng_state()))
        self.assertSameWeights(first, same)
        self.assertFalse(torch.equal(first["0.weight"], other["0.weight"]))

    def test_batchnorm_begins_anew(self):
        network = build_network()
        for value in network.state_dict().values():
            value.fill_(7)
        initialize(network)
        for index in (5, 8, 12, 15):
            self.assertEqual(
                [value.float().mean().item() for value in network[index].state_dict().values()], [1, 0, 0, 1, 0]
            )
