"""`Model.predict`, and the weights that it uses."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest import mock

import torch

from ... import model as module
from ...model import WEIGHTS, Model
from . import TestCase, random_images, weights_of


def shipped_model():
    model = Model(device="cpu")
    model.load_pretrained_model()
    return model


class TestPredict(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = shipped_model()

    def plain(self, images):
        """One pass of the plain layers in float64, values 0 to 255."""
        network = copy.deepcopy(self.model.network).double().eval()
        return network(images.double() / 255) * 255

    def test_any_real_dtype_gives_the_same(self):
        images = random_images(2, 13, 6)
        expected = self.model.predict(images)
        for name in ("float32", "float64", "int16", "int64", "uint16", "uint32", "uint64"):
            if hasattr(torch, name):  # PyTorch before 2.3 lacks some
                found = self.model.predict(images.to(getattr(torch, name)))
                self.assertClose(found, expected, 1e-3, name)

    def test_it_is_the_network_itself_or_its_mean_over_the_eight_symmetries(self):
        images, total = random_images(1, 9, 7), 0
        for dimensions in ((), (2,), (3,), (2, 3)):
            flipped = images.flip(dimensions)
            total = total + self.plain(flipped).flip(dimensions)
            total = total + self.plain(flipped.mT).mT.flip(dimensions)
        for average, expected in ((False, self.plain(images)), (True, total / 8)):
            found = self.model.predict(images, average)
            self.assertClose(found, expected.clamp(0, 255), 1e-2)

    def test_its_values_are_0_to_255(self):
        model = Model()
        for bias, expected in ((9, 255), (-9, 0)):
            model.network[-1].bias.data.fill_(bias)
            self.assertTrue((model.predict(random_images(1, 4, 4)) == expected).all())

    def test_bfloat16_changes_it_by_little(self):
        images = random_images(2, 16, 16)
        exact = self.model.predict(images)
        error = (self.model.predict(images, precision="bfloat16") - exact).abs()
        self.assertGreater(error.max(), 0)
        self.assertLess(error.mean(), 1)

    def test_tiles_of_any_size_make_the_whole(self):
        for shape, side in (((1, 45, 70), 26), ((1, 70, 1), 40), ((5, 9, 12), 22)):
            images = random_images(*shape)
            with mock.patch.object(module, "MAX_PIXELS", side**2):
                self.assertGreater(len(module.tiles_of(images.shape, side**2)), 2)
                found = self.model.predict(images, average=False)
            self.assertEqual((found.shape, found.dtype), (images.shape, torch.float32))
            self.assertClose(found, self.plain(images).clamp(0, 255), 1e-2)

    def test_the_feature_maps_of_tiles_are_limited(self):
        for shape in ((4096, 3, 2, 2), (1, 3, 1000, 1), (2, 3, 700, 900), (1, 3, 379, 379)):
            images = torch.empty(shape, device="meta")
            for tile in module.tiles_of(shape, module.MAX_PIXELS):
                number, _, height, width = images[tile.images][tile.source].shape
                self.assertLessEqual(number * (height + 5) * (width + 5), module.MAX_PIXELS)

    def test_it_touches_no_state(self):
        images, before = random_images(2, 8, 8).float(), weights_of(self.model)
        kept, random_state = images.clone(), torch.random.get_rng_state()
        expected = self.model.predict(images)
        for training in (True, False):
            self.model.network.train(training)
            self.assertSame(self.model.predict(images), expected)
            modes = {layer.training for layer in self.model.network.modules()}
            self.assertEqual(modes, {training})
        self.assertSame(images, kept)
        self.assertSameWeights(before, weights_of(self.model))
        self.assertSame(random_state, torch.random.get_rng_state())

    def test_threads_predict_what_one_predicts(self):
        batches = [random_images(number, 12, 12, seed=number) for number in (1, 7, 2, 9)]
        predict = partial(self.model.predict, average=False)
        expected = [predict(images) for images in batches]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(predict, 4 * batches))
        for output, right in zip(found, 4 * expected):
            self.assertClose(output, right, 1e-3)

    def test_it_is_the_same_whatever_the_caller_has_set(self):
        images = random_images(2, 9, 9)
        expected = self.model.predict(images)
        for setting in (
            torch.autocast("cpu", torch.bfloat16), torch.enable_grad(), torch.no_grad(),
        ):  # fmt: skip
            with setting:
                output = self.model.predict(images)
            self.assertSame(output, expected)
            self.assertFalse(output.requires_grad)


class TestWeights(TestCase):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "weights"
        self.good = weights_of(Model("default", seed=5))

    def test_files_without_usable_weights_are_refused_in_a_line_with_their_name(self):
        infinite = torch.full((256,), float("inf"))
        shipped = WEIGHTS.read_bytes()
        for content in (
            b"these are no weights",
            shipped[: len(shipped) // 2],
            Model().network,
            [1, 2],
            {"0.weight": torch.zeros(3)},
            {**self.good, "x": torch.zeros(1)},
            {**self.good, "12.running_var": infinite},
        ):
            if isinstance(content, bytes):
                self.path.write_bytes(content)
            else:
                torch.save(content, str(self.path))
            model = Model()
            with self.assertRaises(ValueError) as caught:
                model.load_pretrained_model(self.path)
            self.assertRegex(str(caught.exception), f"^{self.path} .*(not hold|not finite).*$")
            self.assertSameWeights(weights_of(Model()), weights_of(model))


class TestRange(TestCase):
    def setUp(self):
        super().setUp()
        self.model, self.picture = Model(), random_images(1, 8, 8).float()

    def test_values_that_are_hardly_0_to_255_bring_a_warning(self):
        picture = self.picture
        for images in (
            picture / 255,
            (picture - picture.mean()) / picture.std(),
            picture - 128,  # centred at zero
            picture * 257,
            (picture * 257).to(torch.int32),
            picture - 300,
        ):
            with self.assertWarnsRegex(UserWarning, "test_input should have values 0 to 255, got"):
                self.model.predict(images)
            with self.assertWarnsRegex(UserWarning, "train_target should have values 0 to 255"):
                module.Batches(picture, images)

    def test_noisy_and_dark_images_bring_none(self):
        noise = 60 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        dark = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
        for images in (self.picture, self.picture + noise, self.picture / 4, dark):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self.model.predict(images)
