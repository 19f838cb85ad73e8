"""Samples for users, the loss that their network is trained by, and its recipe."""

import itertools
from unittest import mock

import torch

from ...model import WEIGHTS
from ..commands import reproduce_sampler
from ..data.files import SAMPLE, load_pairs
from ..metrics import psnr
from ..sampling import recipe, sampler
from ..sampling.recipe import SamplerRecipe
from ..sampling.sampler import Sampler
from . import TestCase, needs_pillow, random_images
from .test_train import PhotographsCase


class TestSampler(TestCase):
    def test_samples_follow_from_their_seed_and_differ_from_one_another(self):
        sampler = Sampler(device="cpu")
        noisy = random_images(2, 20, 24)
        first, second = sampler.samples(noisy, number=2, seed=5)
        again, _ = sampler.samples(noisy, number=2, seed=5)
        (other,) = sampler.samples(noisy, seed=6)
        self.assertEqual(first.shape, noisy.shape)
        self.assertGreaterEqual(first.min(), 0)
        self.assertLessEqual(first.max(), 255)
        self.assertSame(first, again)
        self.assertDiffer(first, second)
        self.assertDiffer(first, other)

    def test_large_images_are_sampled_in_tiles_without_seams(self):
        drawn = Sampler(device="cpu")
        noisy = random_images(1, 70, 90)
        (whole,) = drawn.samples(noisy)
        with mock.patch.object(sampler, "MAX_PIXELS", 48 * 48):
            (in_tiles,) = drawn.samples(noisy)
        self.assertClose(in_tiles, whole, 2)  # of 255: they are computed in bfloat16

    def test_samples_of_the_sample_are_sharp_and_their_mean_is_near_the_truth(self):
        """Differences of neighbours, and PSNR in dB."""
        noisy, clean = (images[::10] for images in load_pairs(SAMPLE, "val_data.pkl"))
        drawn = Sampler(device="cpu")
        samples = list(drawn.samples(noisy, number=8))
        denoised = drawn.model.predict(noisy, average=False)

        def energy(images):
            images = images.float()
            return images.diff(dim=2).square().mean() + images.diff(dim=3).square().mean()

        self.assertAlmostEqual((energy(samples[0]) / energy(clean)).item(), 1, delta=0.15)
        self.assertLess(energy(denoised) / energy(clean), 0.8)
        of_one = psnr(samples[0], clean).mean()
        of_mean = psnr(torch.stack(samples).mean(0), clean).mean()
        self.assertGreater(of_one, psnr(noisy, clean).mean() + 1)
        self.assertGreater(of_mean, of_one + 1.5)
        self.assertGreater(of_mean, psnr(denoised, clean).mean() - 0.8)

    def test_other_weights_are_refused(self):
        (self.folder / "damaged").write_bytes(b"damaged")
        for path in (WEIGHTS, self.folder / "damaged"):
            with self.assertRaisesRegex(ValueError, "does not hold the weights of 'sample'"):
                Sampler(path)


class TestLoss(TestCase):
    def test_for_flat_images_it_is_what_one_computes_by_hand(self):
        target = torch.zeros(4, 14, 16, 16)  # two samples of each of two images
        target[:, :3] = 0.4  # y1
        target[:, 3:6] = 0.5  # the mean
        target[[0, 2], 6:9] = 0.6  # y2: noise of 0.02, 0.1 above the mean
        target[[1, 3], 6:9] = 0.8  # noise of 0.08, 0.3 above the mean
        target[:2, 9] = 1  # the first field
        target[2:, 9] = -1
        target[:2, 13] = 1  # the number of a colour
        target[2:, 13] = 3
        output = torch.zeros(4, 5, 4, 3, 16, 16)
        for number, base in enumerate((0.0, 0.1, 0.2, 0.5)):  # variance 0.035
            output[:, 0, number] = base
        output[:, 1] = 0.3  # the gain of that field: deviations of 0.5 and -0.1, spread 0.18
        error_1 = -0.4 * 0.2 - 0.02
        error_2 = -0.2 * 0.4 - 0.08
        of_spread = (0.18 - error_1) * (0.18 - error_2)
        of_colours = (0.035 - 0.02) * (0.035 - 0.08)
        score = 3**0.5 * 0.05  # draws are 0.4 and 0.2 above the mean
        found = recipe.sampler_loss(output.flatten(1, 3), target).item()
        self.assertAlmostEqual(found, score + 30 * (of_spread + of_colours), places=3)

    def test_the_energy_score_is_that_of_windows_cut_out_in_float64(self):
        random = torch.Generator().manual_seed(0)
        images = torch.rand(3, 2, 3, 16, 16, generator=random)
        scores = []
        for reduction, side in itertools.product((1, 2, 4), (1, 2, 4)):
            size = 16 // reduction
            step = max(side // 2, 1)
            blocks = images.double().view(3, 2, 3, size, reduction, size, reduction)
            windows = blocks.mean((4, 6)).unfold(3, side, step).unfold(4, side, step)
            # (3, 2, columns, rows, values of a window)
            windows = windows.transpose(2, 4).flatten(4) / side
            first, second, image = windows
            to_image = (first - image).norm(dim=-1) + (second - image).norm(dim=-1)
            between = (first - second).norm(dim=-1)
            scores.append((to_image - between).mean((1, 2)) / 2)
        expected = sum(scores) / len(scores)
        self.assertClose(recipe.energy_score(*images), expected, 1e-5)


@needs_pillow
class TestReproduceSampler(PhotographsCase):
    def test_stopped_and_resumed_it_is_the_unbroken_run_whose_weights_sample_takes(self):
        small = SamplerRecipe(pairs=8, batch_size=2, warm_up=2)
        self.patch(mock.patch.object(reproduce_sampler, "RECIPE", small))
        _, record = self.stopped_and_resumed("reproduce-sampler", recipe, 1)
        self.assertEqual((record["settings"]["pairs"], record["data"]["photographs"]), (8, 4))
        noisy = random_images(1, 20, 30)
        (sample,) = Sampler(self.folder / "part.pth", "cpu").samples(noisy)
        (usual,) = Sampler(device="cpu").samples(noisy)
        self.assertEqual(sample.shape, usual.shape)
        self.assertDiffer(sample, usual)
