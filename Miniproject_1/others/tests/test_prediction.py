"""`Model.predict`, and the weights that it uses."""

import copy
import os
import random
import threading
import warnings
from unittest import mock

import torch

from ... import model as module
from ...model import Model
from . import TestCase, random_images, thorough, weights_of


class TestPredict(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = Model(seed=1)
        cls.model.train(random_images(4, 8, 8), random_images(4, 8, 8), 2, batch_size=4, hybrid=False, progress=False)

    def test_any_size_and_dtype(self):
        for height, width in ((1, 1), (1, 9), (13, 6), (20, 20)):
            images = random_images(2, height, width)
            expected = self.model.predict(images)
            self.assertEqual((expected.shape, expected.dtype), (images.shape, torch.float32))
            self.assertTrue(0 <= expected.min() and expected.max() <= 255)
            names = ("float32", "float64", "int16", "int64", "bfloat16", "uint16", "uint32", "uint64")
            for name in names:  # PyTorch before 2.3 has no unsigned types of more than 8 bits
                if hasattr(torch, name):
                    found = self.model.predict(images.to(getattr(torch, name)))
                    self.assertLess((found - expected).abs().max(), 1e-3 if name != "bfloat16" else 20, name)

    def test_one_pass_is_the_network_itself(self):
        images = random_images(2, 9, 7)
        network = copy.deepcopy(self.model.network).double().eval()
        expected = (network(images.double() / 255) * 255).clamp(0, 255)
        self.assertLess((self.model.predict(images, average=False) - expected).abs().max(), 1e-2)

    def test_average_is_the_mean_over_the_eight_symmetries(self):
        images = random_images(1, 9, 7)
        network = copy.deepcopy(self.model.network).double().eval()
        total = 0
        for transposed in (False, True):
            for dimensions in ((), (2,), (3,), (2, 3)):
                turned = images.double().flip(dimensions) / 255
                turned = network(turned.transpose(2, 3) if transposed else turned)
                total = total + (turned.transpose(2, 3) if transposed else turned).flip(dimensions)
        expected = (total / 8 * 255).clamp(0, 255)
        self.assertLess((self.model.predict(images) - expected).abs().max(), 1e-2)

    def test_large_image_is_denoised_in_tiles_without_seams(self):
        image, model = random_images(1, 45, 70), Model()
        model.load_pretrained_model()  # with these the farthest pixels count
        whole = model.predict(image)
        with mock.patch.object(module, "MAX_PIXELS", 40 * 40):
            self.assertGreater(len(list(module.tiles(40 * 40, *image.shape))), 5)
            self.assertLess((model.predict(image) - whole).abs().max(), 1e-2)

    def test_pieces_have_a_limited_size_halo_included(self):
        """Feature maps grow by five pixels, so 4,096 images of 2 x 2 are more work than their pixels say."""
        for shape in ((4096, 3, 2, 2), (300, 3, 32, 32), (1, 3, 1000, 1), (2, 3, 700, 900), (1, 3, 379, 379)):
            covered = torch.zeros(shape[0], *shape[2:], dtype=torch.uint8)
            for rows, outer, inner, result in module.tiles(module.MAX_PIXELS, *shape):
                images = torch.empty(shape, device="meta")[rows][outer]
                number, _, height, width = images.shape
                self.assertLessEqual(number * (height + 5) * (width + 5), module.MAX_PIXELS)
                self.assertEqual(images[inner].shape[2:], covered[rows][result].shape[1:])
                covered[rows][result] += 1
            self.assertTrue((covered == 1).all())

    def test_touches_no_state(self):
        images, before = random_images(2, 8, 8).float(), weights_of(self.model)
        kept = images.clone()
        for training in (True, False):
            self.model.network.train(training)
            with mock.patch.object(torch.nn.Module, "train", side_effect=AssertionError("changes the mode")):
                output = self.model.predict(images)
            self.assertEqual({part.training for part in self.model.network.modules()}, {training})
        self.assertTrue(torch.equal(images, kept))
        self.assertSameWeights(before, weights_of(self.model))
        self.assertFalse(output.requires_grad)

    def test_threads_predict_what_one_predicts(self):
        model, before = Model(), None
        model.load_pretrained_model()
        before = weights_of(model)
        batches = [random_images(number, 12, 12, seed=number) for number in (1, 7, 2, 9)]
        expected = [model.predict(images, average=False) for images in batches]
        worst = [0.0] * len(batches)

        def work(which):
            for _ in range(10):
                difference = (model.predict(batches[which], average=False) - expected[which]).abs().max().item()
                worst[which] = max(worst[which], difference)

        threads = [threading.Thread(target=work, args=(which,)) for which in range(len(batches))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLess(max(worst), 1e-3)
        self.assertSameWeights(before, weights_of(model))

    def test_is_the_same_whatever_the_caller_has_set(self):
        images = random_images(2, 9, 9)
        expected = self.model.predict(images)
        settings = {
            "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
            "inference mode": torch.inference_mode,
            "gradients": torch.enable_grad,
        }
        if hasattr(torch.device, "__enter__"):
            settings["default device"] = lambda: torch.device("meta")
        for name, context in settings.items():
            with self.subTest(name), context():
                output = self.model.predict(images)
            self.assertTrue(torch.equal(output, expected))
            self.assertFalse(output.is_inference() or output.requires_grad)


class TestDevice(TestCase):
    def test_is_chosen_or_refused_by_name(self):
        self.assertEqual(Model(device="cpu").device, torch.device("cpu"))
        self.assertEqual(Model(device=torch.device("cpu")).device, torch.device("cpu"))
        for device in ("nonsense", "cuda:99", 3.5):
            with self.assertRaises((AssertionError, RuntimeError, TypeError)):
                Model(device=device)


class TestWeights(TestCase):
    def test_are_found_from_any_folder_and_equal_the_file(self):
        before = os.getcwd()
        os.chdir(str(self.folder))
        try:
            model = Model()
            model.load_pretrained_model()
        finally:
            os.chdir(before)
        self.assertSameWeights(torch.load(str(module.WEIGHTS), map_location="cpu"), weights_of(model))

    def load(self, content):
        model, path = Model(), self.folder / "weights"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, str(path))
        model.load_pretrained_model(path)
        return weights_of(model)

    def test_usual_wrappers_are_read(self):
        good = weights_of(Model("default", seed=5))
        parallel = {"module." + name: value for name, value in good.items()}
        for content in (good, parallel, {"state_dict": good, "epoch": 3}, {"state_dict": parallel}, {"network": good}):
            self.assertSameWeights(self.load(content), good)

    def test_bad_files_give_one_sentence_with_the_path(self):
        model = Model()
        good, before = module.WEIGHTS.read_bytes(), weights_of(model)
        integers = {name: value.to(torch.int64) for name, value in before.items()}
        foreign = "does not hold the weights of this network"
        cases = {
            "missing": (None, FileNotFoundError, "does not exist"),
            "empty": (b"", ValueError, "is damaged"),
            "truncated": (good[: len(good) // 2], ValueError, "is damaged"),
            "text": (b"these are no weights", ValueError, "is damaged"),
            "foreign": ({"0.weight": torch.zeros(3)}, ValueError, foreign),
            "list": ([1, 2], ValueError, foreign),
            "number": (3, ValueError, foreign),
            "integers": (integers, ValueError, foreign),
            "wrapped list": ({"state_dict": [1]}, ValueError, foreign),
            "numbers for names": ({3: torch.zeros(3)}, ValueError, foreign),
            "a whole network": (model.network, ValueError, r"holds objects.*network.state_dict\(\)"),
            "a whole model": (model, ValueError, r"holds objects.*network.state_dict\(\)"),
        }
        for name, index, value in (
            ("21.bias", 0, float("nan")),
            ("12.running_var", 3, float("inf")),  # half of the brightness, and finite
            ("12.running_var", 3, -1.0),
        ):
            spoilt = weights_of(model)
            spoilt[name].view(-1)[index] = value
            cases[f"{name} {value}"] = spoilt, ValueError, "not finite"
        for name, (content, error, words) in cases.items():
            with self.subTest(name):
                path = self.folder / name
                if isinstance(content, bytes):
                    path.write_bytes(content)
                elif content is not None:
                    torch.save(content, str(path))
                with self.assertRaisesRegex(error, words) as caught:
                    model.load_pretrained_model(path)
                self.assertIn(str(path), str(caught.exception))
                self.assertSameWeights(before, weights_of(model))

    @thorough
    def test_flipped_bits(self):
        """A file with a flipped bit is refused, or the bit was one that says nothing."""
        good, path, model = bytearray(module.WEIGHTS.read_bytes()), self.folder / "flipped", Model()
        model.load_pretrained_model()
        shipped, generator, refused = weights_of(model), random.Random(0), 0
        for position in generator.sample(range(len(good)), 200):
            good[position] ^= 1 << position % 8
            path.write_bytes(good)
            good[position] ^= 1 << position % 8
            try:
                model.load_pretrained_model(path)
            except ValueError as error:
                refused += 1
                self.assertIn(str(path), str(error))
            self.assertSameWeights(shipped, weights_of(model))
        self.assertGreater(refused, 180)


class TestRange(TestCase):
    def test_values_that_are_hardly_0_to_255_bring_a_warning(self):
        model = Model()
        picture = random_images(1, 8, 8).float()
        for images in (
            picture / 255,
            picture / 255 + 0.4,
            (picture - picture.mean()) / picture.std(),
            picture / 127.5 - 1,
            picture * 257,
            (picture * 257).to(torch.int32),
            picture - 300,
            (picture / 255).to(torch.bfloat16),
        ):
            with self.assertWarnsRegex(UserWarning, "test_input should have values 0 to 255") as caught:
                model.predict(images)
            self.assertEqual(caught.filename, __file__)
        with self.assertWarnsRegex(UserWarning, "train_target should have values 0 to 255"):
            model.train(picture, picture / 255, 1, hybrid=False, progress=False)
        noise = 60 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
        for images in (
            picture,
            picture + noise,
            picture / 4,
            picture.to(torch.int16),
            torch.zeros_like(picture).byte(),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                model.predict(images)
