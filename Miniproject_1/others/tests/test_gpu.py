"""What is different on a GPU: CUDA graphs, and how convolutions round."""

import copy
import unittest

import torch
import torch.nn.functional as F

from ...model import Batches, Model, Training, accelerated
from ..fast import graphs
from . import TestCase, random_images, relative_error

STEPS = graphs.CALLS_BEFORE + 4  # the last ones are made by graphs


def gradients_of(network, forward, noisy, target):
    """All gradients of the loss, in one tensor."""
    network.zero_grad()
    F.mse_loss(forward(noisy), target).backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


def shipped_model(device):
    model = Model(device=device)
    model.load_pretrained_model()
    return model


@unittest.skipUnless(torch.cuda.is_available(), "needs a GPU")
class TestGPU(TestCase):
    def pairs(self, number):
        """Noisy images and targets with values 0 to 1, on the GPU."""
        images = random_images(2 * number, 32, 32).to("cuda") / 255
        return images[:number], images[number:]

    def test_graphs_have_the_gradients_of_plain_layers(self):
        # TF32, to which convolutions round by default, has an error of 0.002
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            self.compare_gradients("float32", tolerance=1e-3)
        self.compare_gradients("bfloat16", tolerance=0.1)

    def compare_gradients(self, precision, tolerance):
        network = shipped_model("cuda").network.train()
        forward = accelerated(network, precision).train()
        for step in range(STEPS):
            number = 5 if step == STEPS - 1 else 16  # a smaller last batch has no graph
            noisy, target = self.pairs(number)
            plain = copy.deepcopy(network).double()
            expected = gradients_of(plain, plain, noisy.double(), target.double())
            found = gradients_of(network, forward, noisy, target)
            self.assertLess(relative_error(found, expected), tolerance, step)
            for one, other in zip(network.buffers(), plain.buffers()):  # BatchNorm's statistics
                self.assertLess(relative_error(one, other), tolerance, step)
        self.assertIsNotNone(forward.graphed.recorded)

    def test_a_hybrid_training_and_the_next_of_the_same_network_have_graphs(self):
        batches = Batches(*random_images(96, 32, 32).split(48), batch_size=16)  # all are full
        network = shipped_model("cuda").network.train()
        trainings = []  # so that the graphs of the first are still there in the second
        for _ in range(2):
            training = Training(network, batches, 1 + STEPS, lbfgs_iterations=1)
            trainings.append(training)
            while training.step < training.num_steps:
                training.take_step()
            forwards = {"auto": training.forward, "float32": training.forward_in_float32}
            for precision, forward in forwards.items():
                self.assertIsNotNone(forward.train().graphed.recorded)
                noisy, target = self.pairs(16)
                copied = copy.deepcopy(network)
                without_graph = accelerated(copied, precision).train()
                expected = gradients_of(copied, without_graph, noisy, target)
                found = gradients_of(network, forward, noisy, target)
                self.assertLess(relative_error(found, expected), 1e-3)

    def test_predictions_are_those_of_a_cpu(self):
        noisy = random_images(3, 40, 30)
        found, expected = (shipped_model(device).predict(noisy).cpu() for device in ("cuda", "cpu"))
        self.assertClose(found, expected, 1)  # of 255: convolutions may round to TF32 on a GPU
