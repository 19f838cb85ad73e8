"""What is concluded from files of results, and the figures and numbers of the report."""

import json
from dataclasses import asdict
from unittest import mock

from ...study import claims, experiments, findings, quoted, results, verdicts
from ...study.experiments import Arm, Experiment, Settings, wanted_runs
from .. import TestCase


class TestFindings(TestCase):
    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(results, "RESULTS", self.folder))
        self.patch(mock.patch.object(findings, "RESULTS", self.folder))

    def make_runs(self, scores, seeds=(1, 2, 3), noisy=20.0):
        """File the results of an experiment: arms with a score each; None: it diverges."""
        arms = [Arm(name, Settings()) for name in scores]
        experiment = Experiment("", arms, seeds)
        self.patch(mock.patch.dict(experiments.EXPERIMENTS, {"made": experiment}))
        for run in wanted_runs("made", results.score_to_choose_by):
            score = scores[run.arm]
            values = [(score or 0) + run.seed / 100 + image / 10 for image in range(20)]
            result = {
                "diverged": score is None,
                "psnr_one_pass": values,
                "psnr_choosing": score,
                "psnr_noisy": noisy,
                "pairs": 64,
            }
            results.save_run(run, result)

    def test_arms_are_compared_seed_by_seed(self):
        self.make_runs({"good": 22.0, "bad": 21.0, "gone": None})
        found = findings.compared("made", "good", "bad")
        self.assertAlmostEqual(found.mean, 1.0, places=5)
        self.assertEqual(found.verdict, "larger")
        self.assertEqual(findings.compared("made", "gone", "bad").verdict, "smaller")

    def test_scores_of_different_photographs_are_not_compared(self):
        self.make_runs({"good": 22.0}, noisy=21.0)
        self.make_runs({"bad": 21.0})
        arms = [Arm(name, Settings()) for name in ("good", "bad")]
        experiment = Experiment("", arms, (1, 2, 3))
        self.patch(mock.patch.dict(experiments.EXPERIMENTS, {"made": experiment}))
        with self.assertRaisesRegex(ValueError, "different photographs"):
            findings.compared("made", "good", "bad")

    def test_the_best_arm_is_chosen_among_arms_with_the_same_seeds(self):
        self.make_runs({"bad": 21.0, "gone": None, "good": 22.0})
        self.assertEqual(findings.best_arm("made", ["bad", "gone", "good"]), "good")
        results.path_of("made/good.3").unlink()
        self.assertIsNone(findings.best_arm("made", ["bad", "gone", "good"]))

    def test_the_table_has_the_best_arm_first(self):
        self.make_runs({"bad": 21.0, "gone": None, "good": 22.0})
        rows = findings.table_of("made")
        self.assertEqual([row["arm"] for row in rows], ["good", "bad", "gone"])
        self.assertAlmostEqual(rows[0]["psnr"], 22.0 + 0.02 + 0.95)
        self.assertEqual(rows[2]["diverged"], 3)
        (path,) = findings.write_tables()
        lines = path.read_text().splitlines()
        self.assertEqual(len(lines), 4)
        self.assertTrue(lines[1].startswith("good,3,"))

    def test_every_claim_is_about_arms_that_exist(self):
        for claim in claims.CLAIMS:
            comparison = claims.COMPARISONS[claim.comparison]
            arms = experiments.EXPERIMENTS[comparison.experiment].arms
            names = [arm.name for arm in arms]
            for form in (comparison.form_at_theirs, comparison.form_at_fair):
                if form is not None:
                    self.assertIn(form.format(claim.first), names)
                    self.assertIn(form.format(claim.second), names)

    def test_what_follows_for_a_claim(self):
        claim = claims.Claim("", "", "flips", "one", "other", if_equal="is idle")
        larger, smaller, equal, undecided = (
            verdicts.Difference(0.0, 0.0, 0.0, 3, verdict)
            for verdict in ("larger", "smaller", "equal", "not decided")
        )
        for theirs, fair, expected in (
            (None, None, "not run"),
            (None, larger, "holds"),
            (smaller, None, "does not hold"),
            (equal, equal, "is idle"),
            (undecided, undecided, "not decided"),
            (larger, smaller, "holds at theirs, does not hold at a fair one"),
        ):
            self.assertEqual(claims.conclusion(claim, theirs, fair), expected)


class TestReport(TestCase):
    def test_its_numbers_can_be_written_and_name_arms_that_exist(self):
        numbers = quoted.quoted_numbers()
        json.dumps(numbers, default=asdict, allow_nan=False)  # as the report does
        arms = {
            (name, arm.name)
            for name, experiment in experiments.EXPERIMENTS.items()
            for arm in experiment.arms
        }
        settings = experiments.OPTIMIZER_SETTINGS.values()
        for experiment, form in settings:
            self.assertIn((experiment, form.format("momAGD")), arms)
        for name in experiments.OPTIMIZERS_QUOTED:
            quoted_arms = {(experiment, form.format(name)) for experiment, form in settings}
            self.assertTrue(quoted_arms & arms, name)
