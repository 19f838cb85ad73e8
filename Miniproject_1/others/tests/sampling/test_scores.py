"""Scores that are least for the true distribution, and a generator that is trained by them."""

from unittest import mock

import torch
from torch import nn

from ....model import Training
from ...sampling import generator, scores
from ...training.optimizers import Muon
from .. import TestCase

IMAGES = 1_000
SPREAD = 0.2  # of clean values about their mean, and of noisy ones about the clean
STEPS = 300
FIELDS = len(generator.WIDTHS)


class TwoValues:
    """Scenes whose blocks are 0.3 or 0.7 with equal chances. A noisy draw adds or subtracts 0.2.

    So y1 is 0.1, 0.5 or 0.9. Where it is 0.5, both values fit, with equal chances; elsewhere one.
    """

    def __init__(self, number, side):
        self.number = number
        self.side = side

    def __call__(self, step):
        random = torch.Generator().manual_seed(step)
        shape = (self.number, 1, self.side, self.side)

        def signs():
            return torch.randint(2, shape, generator=random) * 2.0 - 1

        clean = 0.5 + SPREAD * signs()
        y1, y2, y3 = (clean + SPREAD * signs() for _ in range(3))
        target = torch.cat([y1, y2, y3], dim=1).repeat_interleave(3, dim=1).repeat(2, 1, 1, 1)
        uniform = torch.rand(2 * self.number, FIELDS, *shape[2:], generator=random)
        picks = torch.randint(generator.COLOURS, (2 * self.number, 1, *shape[2:]), generator=random)
        inputs = torch.cat([target[:, :3], uniform], dim=1)
        return 255 * inputs, torch.cat([255 * target, picks.float()], dim=1)


class TestScores(TestCase):
    """Of samples with the right spread, with too little and with too much."""

    def scores_of(self, score):
        """The score for standard deviations that are 0.7, 1 and 1.3 times the true one."""
        random = torch.Generator().manual_seed(0)

        def scenes():
            return torch.randn(IMAGES, 1, 1, 1, generator=random).expand(-1, 3, 16, 16)

        error = SPREAD * scenes()
        first, second = scenes(), scenes()
        return [
            score(factor * SPREAD * first, factor * SPREAD * second, error)
            for factor in (0.7, 1.0, 1.3)
        ]

    def assertLeastInTheMiddle(self, found):
        self.assertLess(found[1], found[0])
        self.assertLess(found[1], found[2])

    def test_the_energy_score(self):
        self.assertLeastInTheMiddle(
            self.scores_of(lambda *images: scores.energy_score(*images).mean())
        )

    def test_the_variance_of_each_pixel(self):
        def score(first, second, error):
            return scores.variance_score(first, second, error**2, 1.0)

        self.assertLeastInTheMiddle(self.scores_of(score))

    def test_the_square_of_a_mean_has_no_bias(self):
        random = torch.Generator().manual_seed(0)
        for mean in (0.0, 0.3):
            squares = [
                scores.squared_mean(mean + torch.randn(8, generator=random)) for _ in range(20_000)
            ]
            self.assertAlmostEqual(torch.stack(squares).mean().item(), mean**2, delta=0.01)


class TestTraining(TestCase):
    """On scenes of `TwoValues`, where the true spread is known."""

    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(scores, "REDUCTIONS", (1,)))  # for images of 4 x 4
        self.batches = TwoValues(64, 4)

    def trained_colours(self, targets):
        """Deviations of the colours of new samples, and whether both values fit: (128, ...)."""
        mean_network = nn.Sequential(nn.Conv2d(3, 3, 1))  # E[x | y1] = 0.25 + 0.5 y1
        mean_network[0].weight.data = 0.5 * torch.eye(3)[:, :, None, None]
        nn.init.constant_(mean_network[0].bias, 0.25)
        torch.manual_seed(0)
        deviation_network = nn.Sequential(
            nn.Conv2d(6 + FIELDS, 32, 1),
            nn.ReLU(),
            nn.Conv2d(32, (1 + FIELDS) * 3 * generator.COLOURS, 1),
        )
        network = generator.Generator(mean_network, deviation_network, "float32")
        loss = scores.SamplerLoss(targets)
        training = Training(
            network, self.batches, STEPS, 0, Muon, 0.02, precision="float32", loss=loss
        )
        for _ in range(STEPS):
            training.take_step()
        inputs, _ = self.batches(10**6)
        output = network.eval()(inputs / 255)
        both_fit = (inputs[:, :3] / 255 - 0.5).abs() < 0.1
        return output[:, 3:].view(128, generator.COLOURS, 3, 4, 4), both_fit

    def test_pairs_are_enough_for_the_mean_spread(self):
        colours, _ = self.trained_colours("pairs")
        variance = SPREAD**2 / 2  # half of the pixels fit both values
        self.assertLess(colours.mean().abs(), 0.15 * SPREAD)
        self.assertAlmostEqual(colours.mean(1).var().item(), variance, delta=0.2 * variance)
        of_colours = colours.var(1, unbiased=False).mean().item()
        self.assertAlmostEqual(of_colours, SPREAD**2, delta=0.2 * SPREAD**2)

    def test_a_third_draw_tells_where_the_spread_is(self):
        colours, both_fit = self.trained_colours("three draws")
        deviation = colours.mean(1)
        self.assertAlmostEqual(deviation[both_fit].std().item(), SPREAD, delta=0.2 * SPREAD)
        self.assertLess(deviation[~both_fit].std(), 0.4 * SPREAD)
