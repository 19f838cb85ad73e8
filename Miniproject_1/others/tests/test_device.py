"""A device other than the CPU, without one: tensors on the device "meta" have shapes and no values.

PyTorch lets some operations mix devices there. Here none may but copies, so a tensor that a GPU would not find fails.
"""

import contextlib
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from ... import model as model_module
from ...model import Model, Pairs, Training
from ..data.photos import PhotoPairs
from ..data.pictures import write_picture
from ..training.command import ALL_OPTIMIZERS
from ..training.crops import Crops
from . import TestCase, needs_pillow, random_images

COPIES = torch.ops.aten.copy_, torch.ops.aten._to_copy


class OneDevice(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        values = tree_flatten((arguments, options))[0]
        devices = {value.device.type for value in values if isinstance(value, torch.Tensor) and value.dim()}
        if len(devices) > 1 and function.overloadpacket not in COPIES:
            raise AssertionError(f"{function} of tensors on {devices}")
        return function(*arguments, **(options or {}))


class TestDevice(TestCase):
    def setUp(self):
        super().setUp()
        self.images = random_images(6, 32, 32)

    @contextlib.contextmanager
    def one_device(self):
        """Where a value is asked for, it is a half, and every condition is true."""
        answers = dict(item=lambda tensor: 0.5, __float__=lambda tensor: 0.5, __bool__=lambda tensor: True)
        with contextlib.ExitStack() as stack:
            for name, answer in answers.items():
                stack.enter_context(mock.patch.object(torch.Tensor, name, answer))
            stack.enter_context(mock.patch("warnings.warn"))
            stack.enter_context(OneDevice())
            yield

    def test_mixed_devices_are_noticed(self):
        kernel = torch.zeros(4, 3, 2, 2)
        with self.one_device(), self.assertRaisesRegex(AssertionError, "convolution.* of tensors on"):
            torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8, device="meta"), kernel)

    def test_prediction_training_and_tiles_stay_on_the_device(self):
        with self.one_device():
            model = Model(device="meta")
            self.assertEqual({value.device.type for value in model.network.state_dict().values()}, {"meta"})
            for images in (self.images, torch.zeros(1, 3, 400, 420)):
                for precision in ("float32", "bfloat16"):
                    output = model.predict(images, precision=precision)
                    self.assertEqual((output.device.type, output.shape), ("meta", images.shape))
            for images in (self.images, self.images.to("meta")):
                for precision in ("float32", "bfloat16"):
                    model.train(
                        images, images, 1, batch_size=1, precision=precision, progress=False
                    )  # L-BFGS, then momAGD
        self.assertEqual(len(model.history["loss"]), 24)

    def test_pairs_go_to_a_device_with_room_for_them(self):
        for room, device in ((10 * self.images.numel(), "meta"), (0, "cpu")):
            with mock.patch.object(model_module.fast, "memory_left", return_value=room), self.one_device():
                with mock.patch.object(Pairs, "__call__", autospec=True, side_effect=Pairs.__call__) as call:
                    Model(device="meta").train(self.images, self.images, 1, False, progress=False)
            self.assertEqual({images.device.type for images in call.call_args[0][0].images}, {device})

    @needs_pillow
    def test_pairs_from_photographs_and_crops_reach_the_device(self):
        write_picture(random_images(1, 90, 100)[0], self.folder / "photo.bmp")
        photos = PhotoPairs([self.folder / "photo.bmp"], 2, 0.5, gaussian=0.5)
        crops = Crops(Pairs(self.images, self.images, 2), 8, 0)
        with self.one_device():
            for pairs in (photos, crops):
                training = Training(Model(device="meta").network, pairs, 8, optimizer=ALL_OPTIMIZERS["Muon"])
                self.assertEqual(len(list(training)), 8)

    def test_a_checkpoint_of_a_cpu_goes_on_there(self):
        for name, optimizer in ALL_OPTIMIZERS.items():
            options = dict(hybrid=name == "momAGD", optimizer=optimizer, learning_rate=1e-3)
            on_cpu = Training(Model(device="cpu").network, Pairs(*[self.images[:2, :, :8, :8]] * 2, 1), 8, **options)
            next(on_cpu)
            with self.one_device(), self.subTest(name):
                model = Model(device="meta")
                there = Training(model.network, Pairs(self.images, self.images, 2), 8, **options)
                there.load_state_dict(on_cpu.state_dict())
                for _ in range(6):
                    next(there)
                self.assertEqual({value.device.type for value in model.network.state_dict().values()}, {"meta"})
                tensors = tree_flatten(there.optimizer.state_dict()["state"])[0]
                devices = {value.device.type for value in tensors if isinstance(value, torch.Tensor) and value.dim()}
                self.assertLessEqual(devices, {"meta"})
