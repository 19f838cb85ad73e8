"""`Model.predict`, and the weights that it uses."""

import copy
import doctest
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest import mock

import torch

from ... import model as module
from ...model import WEIGHTS, Model
from . import PROJECT, TestCase, random_images, thorough, weights_of


def shipped_model():
    model = Model(device="cpu")
    model.load_pretrained_model()
    return model


class TestPredict(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = Model(seed=1, device="cpu")
        pairs = random_images(4, 8, 8), random_images(4, 8, 8, seed=1)
        cls.model.train(*pairs, 2, batch_size=4, hybrid=False, progress=False)

    def plain(self, images):
        """One pass of the plain layers in float64, values 0 to 255."""
        network = copy.deepcopy(self.model.network).double().eval()
        return network(images.double() / 255) * 255

    def test_any_size_gives_float32_of_the_same_shape_from_0_to_255(self):
        for images in (random_images(2, *size) for size in ((1, 1), (1, 9), (13, 6))):
            output = self.model.predict(images)
            self.assertEqual((output.shape, output.dtype), (images.shape, torch.float32))
            self.assertTrue(output.min() >= 0 and output.max() <= 255)

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
            difference = self.model.predict(images, average) - expected.clamp(0, 255)
            self.assertLess(difference.abs().max(), 1e-2)

    def test_bfloat16_changes_it_by_little(self):
        images = random_images(2, 16, 16)
        exact = self.model.predict(images)
        error = (self.model.predict(images, precision="bfloat16") - exact).abs()
        self.assertGreater(error.max(), 0)
        self.assertLess(error.mean(), 1)

    def test_a_large_image_is_denoised_in_tiles_without_seams(self):
        image, model = random_images(1, 45, 70), shipped_model()  # whose farthest pixels count
        whole = model.predict(image)
        with mock.patch.object(module, "MAX_PIXELS", 40 * 40):
            self.assertGreater(len(module.tiles_of(image.shape, 40 * 40)), 5)
            self.assertClose(model.predict(image), whole, 1e-2)

    def test_tiles_cover_each_pixel_once_and_their_size_is_limited_halo_included(self):
        shapes = ((4096, 2, 2), (300, 32, 32), (1, 1000, 1), (2, 700, 900), (1, 379, 379))
        for number, height, width in shapes:
            images = torch.empty(number, 3, height, width, device="meta")
            covered = torch.zeros(number, height, width, dtype=torch.uint8)
            for tile in module.tiles_of(images.shape, module.MAX_PIXELS):
                part = images[tile.images][tile.source]
                pixels = len(part) * (part.shape[2] + 5) * (part.shape[3] + 5)
                self.assertLessEqual(pixels, module.MAX_PIXELS)
                target = covered[tile.images][tile.target]
                self.assertEqual(part[tile.valid].shape[2:], target.shape[1:])
                target += 1
            self.assertTrue((covered == 1).all())

    def test_it_touches_no_state(self):
        images, before = random_images(2, 8, 8).float(), weights_of(self.model)
        kept = images.clone()
        for training in (True, False):
            self.model.network.train(training)
            self.model.predict(images)
            modes = {layer.training for layer in self.model.network.modules()}
            self.assertEqual(modes, {training})
        self.assertSame(images, kept)
        self.assertSameWeights(before, weights_of(self.model))

    def test_threads_predict_what_one_predicts(self):
        model = shipped_model()
        batches = [random_images(number, 12, 12, seed=number) for number in (1, 7, 2, 9)]
        expected = [model.predict(images, average=False) for images in batches]
        with ThreadPoolExecutor(4) as threads:
            predict = partial(model.predict, average=False)
            found = list(threads.map(predict, 10 * batches))
        for output, right in zip(found, 10 * expected):
            self.assertClose(output, right, 1e-3)

    def test_it_is_the_same_whatever_the_caller_has_set(self):
        images = random_images(2, 9, 9)
        expected = self.model.predict(images)
        settings = {
            "autocast": torch.autocast("cpu", torch.bfloat16),
            "inference mode": torch.inference_mode(),
            "gradients": torch.enable_grad(),
        }
        if hasattr(torch.device, "__enter__"):
            settings["default device"] = torch.device("meta")
        for name, setting in settings.items():
            with self.subTest(name), setting:
                output = self.model.predict(images)
            self.assertSame(output, expected)
            self.assertFalse(output.is_inference() or output.requires_grad)

    def test_the_example_in_the_documentation_of_model_runs(self):
        finder = doctest.DocTestFinder(recurse=False)
        (example,) = finder.find(Model, globs={"Model": Model, "torch": torch})
        self.assertGreater(len(example.examples), 4)
        result = doctest.DocTestRunner().run(example)
        self.assertEqual(result.failed, 0)

    @thorough
    def test_it_can_be_compiled(self):
        images = random_images(1, 8, 8)
        compiled = torch.compile(self.model.predict, backend="eager")
        difference = compiled(images) - self.model.predict(images)
        self.assertLess(difference.abs().max(), 1e-3)


class TestDevice(TestCase):
    def test_it_is_chosen_or_refused(self):
        self.assertEqual(Model(device="cpu").device, torch.device("cpu"))
        for device in ("nonsense", "cuda:99", 3.5):
            with self.assertRaises((AssertionError, RuntimeError, TypeError)):
                Model(device=device)


class TestWeights(TestCase):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "weights"
        self.good = weights_of(Model("default", seed=5))

    def test_they_are_found_from_any_folder(self):
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(str(self.folder))
        # as weights from a CPU, which every machine can load
        expected = torch.load(str(PROJECT / "Miniproject_1" / "bestmodel.pth"))
        self.assertEqual({value.device.type for value in expected.values()}, {"cpu"})
        self.assertSameWeights(expected, weights_of(shipped_model()))

    def test_usual_wrappers_are_read(self):
        parallel = {"module." + name: value for name, value in self.good.items()}
        wrapped = ({"state_dict": self.good, "epoch": 3}, {"state_dict": parallel})
        compiled = {"_orig_mod." + name: value for name, value in self.good.items()}
        wrapped += (compiled, {"model": compiled}, {"network": self.good})
        for content in (self.good, parallel, *wrapped):
            model = Model()
            torch.save(content, str(self.path))
            model.load_pretrained_model(self.path)
            self.assertSameWeights(weights_of(model), self.good)

    def refused(self, words, content):
        model = Model()
        if isinstance(content, bytes):
            self.path.write_bytes(content)
        else:
            torch.save(content, str(self.path))
        with self.subTest(words), self.assertRaisesRegex(ValueError, f"{self.path}.*{words}"):
            model.load_pretrained_model(self.path)
        self.assertSameWeights(weights_of(Model()), weights_of(model))

    def test_damaged_files_and_those_of_something_else_are_refused(self):
        shipped, model = WEIGHTS.read_bytes(), Model()
        flipped = bytearray(shipped)
        flipped[len(flipped) // 2] ^= 1  # one bit of a weight
        flipped = bytes(flipped)
        integers = {name: value.to(torch.int64) for name, value in self.good.items()}
        strange = {"0.weight": torch.zeros(3)}, integers, {"state_dict": [1]}, [1, 2], 3
        for words, contents in (
            ("is damaged", (b"", shipped[: len(shipped) // 2], b"these are no weights", flipped)),
            ("does not hold the weights of this network", strange),
            (r"holds objects.*network.state_dict\(\),", (model, model.network)),
        ):
            for content in contents:
                self.refused(words, content)

    def test_weights_that_cannot_be_right_are_refused(self):
        for name, value in (
            ("21.bias", float("nan")),
            ("12.running_var", float("inf")),  # half of the brightness, and finite
            ("12.running_var", -1.0),
        ):
            spoilt = weights_of(Model())
            spoilt[name].view(-1)[0] = value
            self.refused("not finite|negative variance", spoilt)

    def test_the_cause_is_named(self):
        model = Model()
        with self.assertRaisesRegex(FileNotFoundError, "nowhere does not exist"):
            model.load_pretrained_model(self.folder / "nowhere")
        with self.assertRaisesRegex(IsADirectoryError, "is a folder"):
            model.load_pretrained_model(self.folder)
        self.patch(mock.patch("builtins.open", side_effect=PermissionError(13, "denied")))
        with self.assertRaisesRegex(PermissionError, "bestmodel.pth may not be read"):
            model.load_pretrained_model()


class TestRange(TestCase):
    def setUp(self):
        super().setUp()
        self.model, self.picture = Model(), random_images(1, 8, 8).float()

    def test_values_that_are_hardly_0_to_255_bring_a_warning(self):
        picture = self.picture
        standardized = (picture - picture.mean()) / picture.std()
        words = "test_input should have values 0 to 255"
        for images in (
            picture / 255,
            picture / 255 + 0.4,
            standardized,
            picture * 257,
            (picture * 257).to(torch.int32),
            picture - 300,
        ):
            with self.assertWarnsRegex(UserWarning, words) as caught:
                self.model.predict(images)
            self.assertEqual(caught.filename, __file__)
        words = "train_target should have values 0 to 255"
        with self.assertWarnsRegex(UserWarning, words) as caught:
            self.model.train(picture, picture / 255, 1, hybrid=False, progress=False)
        self.assertEqual(caught.filename, __file__)

    def test_noisy_and_dark_images_bring_none(self):
        noise = 60 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        dark = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
        for images in (self.picture, self.picture + noise, self.picture / 4, dark):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self.model.predict(images)
