"""Verdicts on simulated results, in which the truth is known."""

import torch

from ...study import verdicts
from .. import TestCase

PHOTOGRAPHS, REPETITIONS = 100, 100


def simulated(true_difference, num_seeds, generator, spread_of_seeds=0.02):
    """Results of two arms: PSNR of two images of each photograph, for each seed.

    Arms differ by the true difference, and by amounts that depend on the seed, on the photograph
    and on the image.
    """

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    first, second = {}, {}
    of_photographs = 0.15 * normal(PHOTOGRAPHS, 1)
    level = 26 + 4 * normal(PHOTOGRAPHS, 1)
    for seed in range(num_seeds):
        psnr = level + 0.5 * normal(PHOTOGRAPHS, 2)
        of_seed = spread_of_seeds * normal(1)
        of_images = 0.1 * normal(PHOTOGRAPHS, 2)
        above = true_difference + of_seed + of_photographs + of_images
        first[seed] = (psnr + above).flatten().tolist()
        second[seed] = psnr.flatten().tolist()
    return first, second


def frequencies(true_difference, num_seeds, spread_of_seeds=0.02):
    """How often each verdict is given, and how often the interval contains the truth."""
    generator = torch.Generator().manual_seed(num_seeds)
    counts = dict.fromkeys(("larger", "smaller", "equal", "not decided", "contained"), 0.0)
    for _ in range(REPETITIONS):
        arms = simulated(true_difference, num_seeds, generator, spread_of_seeds)
        found = verdicts.difference(*arms)
        counts[found.verdict] += 1 / REPETITIONS
        if found.low <= true_difference <= found.high:
            counts["contained"] += 1 / REPETITIONS
    return counts


class TestStudentsT(TestCase):
    def test_it_is_that_of_the_tables(self):
        for degrees, quantile in ((1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645)):
            values = torch.tensor([-quantile, 0.0, quantile], dtype=torch.float64)
            found = verdicts.students_t(values, degrees).tolist()
            for probability, expected in zip(found, (0.025, 0.5, 0.975)):
                self.assertAlmostEqual(probability, expected, places=5)


class TestVerdicts(TestCase):
    def test_intervals_contain_the_truth_in_more_than_90_of_100_cases(self):
        for num_seeds in (2, 3, 5):
            for spread_of_seeds in (0.0, 0.2):
                with self.subTest(num_seeds=num_seeds, spread=spread_of_seeds):
                    found = frequencies(0.0, num_seeds, spread_of_seeds)
                    self.assertGreater(found["contained"], 0.9)

    def test_a_difference_that_matters_is_found_and_seldom_called_equal_or_contrary(self):
        found = frequencies(0.06, num_seeds=3)
        self.assertLess(found["equal"] + found["smaller"], 0.05)
        self.assertGreater(frequencies(0.2, num_seeds=5)["larger"], 0.95)

    def test_exchanging_the_arms_mirrors_the_difference(self):
        first, second = simulated(0.03, 3, torch.Generator().manual_seed(0))
        found, mirrored = verdicts.difference(first, second), verdicts.difference(second, first)
        for one, other in ((found.low, mirrored.high), (found.high, mirrored.low)):
            self.assertAlmostEqual(one, -other, places=5)

    def test_one_seed_decides_nothing_and_seeds_that_only_one_arm_has_do_not_count(self):
        found = verdicts.difference({1: [20.0, 20.0], 2: [21.0, 21.0]}, {2: [20.5, 20.5]})
        self.assertEqual((found.mean, found.seeds), (0.5, 1))
        self.assertIsNone(found.low)
        self.assertEqual(found.verdict, "not decided")

    def test_an_arm_that_always_diverges_is_below_one_that_never_does(self):
        well, badly = {1: [20.0, 20.0], 2: [20.0, 20.0]}, {1: None, 2: None}
        sometimes = {1: None, 2: [20.0, 20.0]}
        self.assertEqual(verdicts.difference(well, badly).verdict, "larger")
        self.assertEqual(verdicts.difference(badly, well).verdict, "smaller")
        self.assertEqual(verdicts.difference(badly, badly).verdict, "not decided")
        self.assertEqual(verdicts.difference(well, sometimes).verdict, "not decided")
