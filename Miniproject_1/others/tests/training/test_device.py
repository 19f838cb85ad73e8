"""A device other than the CPU, without one: tensors on "meta" have shapes and no values.

PyTorch lets some operations mix devices there. Here none may but copies, so a tensor that a GPU
would not find fails.
"""

import contextlib
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from .... import model
from ....model import Batches, Model, Training
from ...training.optimizers import ALL_OPTIMIZERS
from ...training.photo_batches import PhotoBatches, Photographs
from .. import TestCase, random_images

COPIES = torch.ops.aten.copy_, torch.ops.aten._to_copy


def devices_of(values):
    """The devices of all tensors that are more than a number."""
    flat = tree_flatten(values)[0]
    return {value.device.type for value in flat if isinstance(value, torch.Tensor) and value.dim()}


class OneDevice(TorchDispatchMode):
    """Lets no operation but a copy take tensors of several devices."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        devices = devices_of((arguments, options))
        if len(devices) > 1 and function.overloadpacket not in COPIES:
            raise AssertionError(f"{function} of tensors on {devices}")
        return function(*arguments, **(options or {}))


def answering(method, answer):
    """A method of tensors that has this answer on "meta", where there are no values."""

    def answer_or_call(tensor):
        if tensor.device.type == "meta":
            return answer
        return method(tensor)

    return answer_or_call


class Halves:
    """A `model.CopyToCPU` of a loss and of a sum of weights that have no values."""

    def __init__(self, values):
        pass

    def wait(self):
        return [0.5, 0.5]


@contextlib.contextmanager
def one_device():
    """On "meta", where a value is asked for, it is a half, and every condition is true."""
    with contextlib.ExitStack() as stack:
        for name, answer in (("item", 0.5), ("__float__", 0.5), ("__bool__", True)):
            method = answering(getattr(torch.Tensor, name), answer)
            stack.enter_context(mock.patch.object(torch.Tensor, name, method))
        stack.enter_context(mock.patch.object(model, "CopyToCPU", Halves))
        stack.enter_context(mock.patch("warnings.warn"))
        stack.enter_context(OneDevice())
        yield


class TestDevice(TestCase):
    def assertOnDevice(self, training):
        self.assertEqual(devices_of(training.network.state_dict()), {"meta"})
        self.assertLessEqual(devices_of(training.optimizer.state_dict()), {"meta"})

    def test_batches_from_photographs_reach_the_device(self):
        batches = PhotoBatches(
            Photographs([random_images(1, 90, 100)[0]]), 2, small_crops=0.5, gaussian=0.5
        )
        with one_device():
            muon = ALL_OPTIMIZERS["Muon"]
            network = Model(device="meta").network
            training = Training(network, batches, 3, lbfgs_iterations=0, optimizer=muon)
            for _ in range(3):
                training.take_step()
            self.assertOnDevice(training)

    def test_a_checkpoint_of_a_cpu_goes_on_there(self):
        images = random_images(2, 8, 8)
        batches = Batches(images, images, batch_size=1)
        for name, optimizer in ALL_OPTIMIZERS.items():
            lbfgs_iterations = 2 if name == "momAGD" else 0
            arguments = (batches, 4, lbfgs_iterations, optimizer, 1e-3)
            on_cpu = Training(Model(device="cpu").network, *arguments)
            on_cpu.take_step()
            with one_device(), self.subTest(name):
                there = Training(Model(device="meta").network, *arguments)
                there.load_state_dict(on_cpu.state_dict())
                for _ in range(3):
                    there.take_step()
                self.assertOnDevice(there)
