"""Which trainings the experiments ask for."""

import math
from dataclasses import replace
from unittest import mock

from ....model import INITIALIZATIONS
from ...data.noises import NOISES
from ...study import experiments, networks
from ...study.experiments import Arm, Experiment, Settings, wanted_runs
from ...training.optimizers import ALL_OPTIMIZERS
from .. import TestCase


class TestExperiments(TestCase):
    def test_every_setting_has_a_meaning(self):
        for name, experiment in experiments.EXPERIMENTS.items():
            for arm in experiment.arms:
                with self.subTest(experiment=name, arm=arm.name):
                    settings = arm.settings
                    self.assertIn(settings.network, networks.NETWORKS)
                    self.assertIn(settings.initialization, (*INITIALIZATIONS, "pytorch"))
                    self.assertIn(settings.noise, ("blocks", *NOISES))
                    self.assertIn(settings.optimizer, (*ALL_OPTIMIZERS, "L-BFGS"))
                    self.assertIn(settings.rate, ("constant", "falling"))
                    self.assertIn(settings.target, ("noisy", "clean"))

    def search(self, best_rate, rates=(0.1, 0.2, 0.4)):
        """Make all runs of an arm that is best at some rate, and return them."""
        experiment = Experiment("", [Arm("arm", Settings(), rates)], seeds=(1, 2))
        self.patch(mock.patch.dict(experiments.EXPERIMENTS, {"search": experiment}))
        scores = {}
        while True:
            runs = wanted_runs("search", scores.get)
            missing = [run for run in runs if run not in scores]
            if not missing:
                return runs
            for run in missing:
                rate = run.settings.learning_rate
                scores[run] = -abs(math.log(rate / best_rate))

    def test_a_search_goes_on_until_the_best_rate_lies_inside(self):
        for best_rate, tried in (
            (0.2, [0.1, 0.2, 0.4]),
            (1.6, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]),
            (0.05, [0.025, 0.05, 0.1, 0.2, 0.4]),
        ):
            with self.subTest(best_rate=best_rate):
                runs = self.search(best_rate)
                searched = [run for run in runs if run.seed == experiments.SEARCH_SEED]
                reported = [run for run in runs if run.seed != experiments.SEARCH_SEED]
                self.assertEqual([run.settings.learning_rate for run in searched], tried)
                self.assertEqual([run.seed for run in reported], [1, 2])
                for run in reported:
                    self.assertEqual(run.settings, replace(Settings(), learning_rate=best_rate))
