"""What is concluded from results: verdicts where the truth is known, tables, claims, scores."""

import csv
import unittest
from collections import Counter

import torch

from ..study.experiments import EXPERIMENTS
from ..study.results import RESULTS
from . import TestCase, random_images

try:
    from ..study import measure, tables, verdicts
except ModuleNotFoundError as error:
    raise unittest.SkipTest(f"the study needs a package: pip install {error.name}") from error

PHOTOGRAPHS, REPETITIONS = 100, 100


def simulated(true_difference, num_seeds, spread_of_seeds, generator):
    """The PSNR of two arms, which also differ by the seed, by the photograph and by the image."""

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    first, second = {}, {}
    of_photographs = 0.15 * normal(PHOTOGRAPHS, 1)
    for seed in range(num_seeds):
        psnr = 26 + 4 * normal(PHOTOGRAPHS, 2)
        above = true_difference + spread_of_seeds * normal(1) + 0.1 * normal(PHOTOGRAPHS, 2)
        first[seed] = (psnr + above + of_photographs).flatten().tolist()
        second[seed] = psnr.flatten().tolist()
    return first, second


def frequencies(true_difference, num_seeds, spread_of_seeds=0.02):
    """How often each verdict is given, and how often the interval contains the truth."""
    generator = torch.Generator().manual_seed(num_seeds)
    counts = Counter()
    for _ in range(REPETITIONS):
        arms = simulated(true_difference, num_seeds, spread_of_seeds, generator)
        found = verdicts.difference(*arms)
        counts[found.verdict] += 1 / REPETITIONS
        counts["contained"] += (found.low <= true_difference <= found.high) / REPETITIONS
    return counts


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
        self.assertGreater(frequencies(0.08, num_seeds=5)["larger"], 0.9)

    def test_one_seed_decides_nothing_and_an_arm_that_always_diverges_is_below(self):
        one, well = {1: [20.0, 20.0]}, {1: [20.0, 20.0], 2: [20.0, 20.0]}
        sometimes, never = {1: None, 2: [20.0, 20.0]}, {1: None, 2: None}
        for first, second, verdict in (
            (one, well, "not decided"),
            (well, never, "larger"),
            (never, well, "smaller"),
            (never, never, "not decided"),
            (well, sometimes, "not decided"),
        ):
            self.assertEqual(verdicts.difference(first, second).verdict, verdict)
        self.assertIsNone(verdicts.difference(one, {2: [20.5, 20.5]}))


class TestTables(TestCase):
    def test_the_csv_files_say_what_the_trainings_found(self):
        trainings = tables.Trainings()
        for path in RESULTS.glob("*.csv"):
            with self.subTest(path.stem):
                self.assertEqual(tables.csv_of(trainings, path.stem), path.read_text())

    def test_arms_are_compared_seed_by_seed_where_they_saw_the_same_images(self):
        trainings = tables.Trainings()
        found = trainings.differences("batches")
        first, second = "batches of 128, rate 0.004", "batches of 256, rate 0.004"
        means = [sum(trainings.scores("batches", arm)[1]) / 200 for arm in (first, second)]
        self.assertAlmostEqual(found[f"{first} minus {second}"].mean, means[0] - means[1])
        self.assertAlmostEqual(found[f"{second} minus {first}"].mean, means[1] - means[0])
        others = "text, noisy targets minus Poisson, noisy targets"
        self.assertNotIn(others, trainings.differences("noises"))


class TestClaims(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.claims = {claim["label"]: claim for claim in verdicts.answered(tables.Trainings())}

    def test_every_claim_is_about_arms_that_exist(self):
        for claim in csv.DictReader(verdicts.CLAIMS.read_text(encoding="utf-8").splitlines()):
            for form in filter(None, (claim["theirs"], claim["fair"])):
                arms = EXPERIMENTS[claim["experiment"]].arms + EXPERIMENTS["replication"].arms
                names = {arm.name for arm in arms}
                self.assertIn(form.format(claim["first"]), names)
                self.assertIn(form.format(claim["second"]), names)

    def test_a_p_value_is_below_5_percent_where_the_interval_excludes_zero(self):
        for label, claim in self.claims.items():
            for found in (claim["theirs"], claim["fair"]):
                if found["p"] is not None:
                    is_decided = found["difference"].verdict != "not decided"
                    self.assertEqual(found["p"] < 0.05, is_decided, label)

    def test_holms_correction_stops_at_the_first_value_that_is_too_large(self):
        # 0.01 * 4 and 0.011 * 3 are below 0.05, 0.03 * 2 is not, and 0.04 comes behind it
        answers = [{"p": p, "kept": False} for p in (0.04, 0.01, None, 0.03, 0.011)]
        verdicts.keep_by_holm(answers)
        self.assertEqual([each["kept"] for each in answers], [False, True, False, False, True])

    def test_a_search_that_ends_below_the_noisy_images_answers_nothing(self):
        for label, word in (
            # The best of the rates that were tried had 13 dB, noisy images have 21
            ("BatchNorm helps: masked Xavier", "no rate learned"),
            ("Positive Xavier is best", "does not hold"),  # tried at all rates from 1e-7 to 1
        ):
            self.assertEqual(self.claims[label]["fair"]["word"], word)

    def test_what_follows_for_a_claim(self):
        def concluded(*words, kept=True):
            return verdicts.conclusion([{"word": word, "kept": kept} for word in words])

        self.assertEqual(concluded("holds", "not decided"), "holds")
        self.assertEqual(concluded("holds", "not run", kept=False), "holds, uncorrected")
        self.assertEqual(concluded("holds", "does not hold"), "depends on the setting")
        self.assertEqual(concluded("not run", "not decided", kept=False), "not decided")
        self.assertEqual(concluded("not run", "no rate learned", kept=False), "no answer")


class TestMeasurements(TestCase):
    def test_both_formulas_and_their_intervals(self):
        clean = random_images(80, 8, 8).float()
        noise = torch.arange(101, 111.0).repeat_interleave(8).view(80, 1, 1, 1)
        found = measure.both_scores(clean + noise, clean)
        errors = (noise[::8].flatten() / 255).square()  # of each photograph
        of_images, of_error = found["mean PSNR"], found["PSNR of the mean error"]
        psnr = -10 * errors.log10()
        self.assertAlmostEqual(of_images["score"], psnr.mean().item(), delta=1e-4)
        width = 2 * 1.96 * psnr.std(correction=0).item() / 10**0.5
        self.assertAlmostEqual(of_images["high"] - of_images["low"], width, delta=0.1 * width)
        self.assertAlmostEqual(of_error["score"], -10 * errors.mean().log10().item(), delta=1e-4)
        self.assertTrue(of_error["low"] < of_error["score"] < of_error["high"])
