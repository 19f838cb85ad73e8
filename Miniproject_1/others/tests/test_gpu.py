"""What is different on a GPU: CUDA graphs, and draws that are made there."""

import copy
import itertools
import unittest
from unittest import mock

import torch
import torch.nn.functional as F

from ...model import Batches, Model, Training, accelerated
from ..fast import graphs
from ..sampling.recipe import SamplerRecipe, sampler_training
from ..training.optimizers import Muon
from ..training.photo_batches import PhotoBatches, Photographs
from . import TestCase, random_images, relative_error

STEPS = graphs.CALLS_BEFORE + 4  # the last ones are made by graphs


def gradients_of(network, forward, noisy, target):
    """All gradients of the loss, in one tensor."""
    network.zero_grad()
    F.mse_loss(forward(noisy), target).backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


@unittest.skipUnless(torch.cuda.is_available(), "needs a GPU")
class TestGPU(TestCase):
    def pairs(self, number):
        """Noisy images and targets with values 0 to 1, on the GPU."""
        images = random_images(2 * number, 32, 32).to("cuda") / 255
        return images[:number], images[number:]

    def network(self):
        """The network with its trained weights, in training mode."""
        model = Model(device="cuda")
        model.load_pretrained_model()
        return model.network.train()

    def test_graphs_have_the_gradients_of_plain_layers(self):
        # TF32, to which convolutions round by default, has an error of 0.002
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            self.compare_gradients("float32", tolerance=1e-3)
        self.compare_gradients("bfloat16", tolerance=0.1)

    def compare_gradients(self, precision, tolerance):
        network = self.network()
        forward = accelerated(network, precision).train()
        for step in range(STEPS):
            number = 5 if step == STEPS - 1 else 16  # a smaller last batch has no graph
            noisy, target = self.pairs(number)
            plain = copy.deepcopy(network).double()
            expected = gradients_of(plain, plain, noisy.double(), target.double())
            found = gradients_of(network, forward, noisy, target)
            self.assertLess(relative_error(found.double(), expected), tolerance, step)
            for name, value in network.state_dict().items():  # BatchNorm's statistics
                error = relative_error(value.double(), plain.state_dict()[name].double())
                self.assertLess(error, tolerance, name)
        self.assertIsNotNone(forward.graphed.recorded)

    def test_trainings_with_graphs_are_those_without(self):
        for optimizer, learning_rate in (("momAGD", 0.01), (Muon, 0.002)):
            losses = []
            for calls_before in (graphs.CALLS_BEFORE, 10**9):
                with mock.patch.object(graphs, "CALLS_BEFORE", calls_before):
                    batches = Batches(*random_images(100, 32, 32).split(50), batch_size=16)
                    training = Training(
                        Model(device="cuda").network, batches, 2 * STEPS, 0, optimizer,
                        learning_rate, precision="float32",
                    )  # fmt: skip
                    losses.append([training.take_step() for _ in range(2 * STEPS)])
                    is_recorded = training.forward.graphed.recorded is not None
                    self.assertEqual(is_recorded, calls_before < STEPS)
                    if optimizer is Muon:
                        graph = training.optimizer.updates[0].graph
                        self.assertEqual(graph is not None, calls_before < STEPS)
            for with_graph, without in zip(*losses):
                self.assertAlmostEqual(with_graph, without, delta=0.02 * without)

    def test_a_hybrid_training_and_the_next_of_the_same_network_have_graphs(self):
        batches = Batches(*random_images(96, 32, 32).split(48), batch_size=16)  # all are full
        network = self.network()
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

    def test_batches_are_the_same_on_both_devices(self):
        images = random_images(100, 32, 32).split(50)
        on_cpu, on_gpu = (Batches(*images, 16, seed=5, device=device) for device in ("cpu", "cuda"))
        self.assertEqual(on_gpu.noisy_1.device.type, "cuda")
        self.assertSameBatches(on_cpu, on_gpu)

    def test_pairs_from_photographs_are_the_same_on_both_devices(self):
        photographs = [random_images(1, 100, 100 + 10 * number)[0] for number in range(5)]
        on_cpu, on_gpu = Photographs(photographs), Photographs(photographs, "cuda")
        for gaussian, clean in itertools.product((0.0, 0.15), (False, True)):
            options = {"small_crops": 0.3, "gaussian": gaussian, "clean": clean, "seed": 3}
            batches = PhotoBatches(on_gpu, 16, **options)
            self.assertSameBatches(PhotoBatches(on_cpu, 16, **options), batches)
            self.assertIsNotNone(batches.recorded_batch.graph)

    def assertSameBatches(self, first, second):
        for step in range(STEPS):
            for expected, found in zip(first(step), second(step)):
                self.assertSame(expected, found.cpu(), step)

    def test_predictions_are_those_of_a_cpu(self):
        noisy = random_images(3, 40, 30)
        found, expected = (self.model_on(device).predict(noisy).cpu() for device in ("cuda", "cpu"))
        self.assertClose(found, expected, 1)  # of 255: convolutions may round to TF32 on a GPU

    def test_a_generator_is_trained_by_one_graph(self):
        photographs = [random_images(1, 100, 100 + 10 * number)[0] for number in range(5)]
        recipe = SamplerRecipe(pairs=8 * STEPS, batch_size=8)
        training = sampler_training(recipe, Photographs(photographs, "cuda"), "cuda")
        losses = [training.take_step() for _ in range(STEPS)]
        self.assertIsNotNone(training.forward.graphed.recorded)
        on_cpu = sampler_training(recipe, Photographs(photographs), "cpu")
        for step, loss in enumerate(losses[:3]):
            self.assertAlmostEqual(on_cpu.take_step(), loss, delta=0.1 * loss, msg=step)

    def model_on(self, device):
        model = Model(device=device)
        model.load_pretrained_model()
        return model
