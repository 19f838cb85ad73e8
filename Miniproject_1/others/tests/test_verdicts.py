"""What the report concludes from the study's trainings."""

import json
from unittest import mock

from ..study import verdicts
from . import TestCase


class TestVerdicts(TestCase):
    def results(self, scores, rate="falling"):
        """Of each seed a result with this score; None: it diverged."""
        return {
            seed: dict(psnr=score, psnr_median=score and score - 1, diverged=score is None, settings=dict(rate=rate))
            for seed, score in enumerate(scores)
        }

    def test_variants_are_separated_by_more_than_their_spread(self):
        for first, second, verdict in (
            ((20.0, 21.0), (19.0, 20.0), "above"),
            ((19.0, 20.0), (20.0, 21.1), "below"),
            ((20.0, 21.5), (19.9, 20.0), "not separated"),  # 0.1 and 1.5 dB: the mean, 0.8, is less than the spread
            ((20.0, 21.0), (21.0, 20.0), "not separated"),
            ((25.0,), (19.0,), "not separated"),  # one seed
            ((25.0, 25.0), (19.0,), "not separated"),  # one that both have
            ((20.0, 21.0), (None, None), "above"),
            ((None, None), (20.0, 21.0), "below"),
            ((20.0, None), (None, None), "not separated"),
            ((None, None), (None, None), "not separated"),
            ((20.0,), (None,), "not separated"),
        ):
            with self.subTest(first=first, second=second):
                found = verdicts.compare(self.results(first), self.results(second))
                self.assertEqual(found["verdict"], verdict)
                self.assertEqual(found["seeds"], min(len(first), len(second)))
        self.assertIsNone(verdicts.compare({}, self.results((20.0,))))
        found = verdicts.compare(self.results((20.0, 21.5)), self.results((19.5, 20.5)))
        self.assertEqual((found["difference"], found["low"], found["high"]), (0.75, 0.5, 1.0))

    def test_at_a_constant_rate_the_median_of_the_last_epoch_counts(self):
        first, second = (self.results((20.0,), rate)[0] for rate in ("falling", "constant"))
        self.assertEqual((verdicts.score(first), verdicts.score(second)), (20.0, 19.0))

    def test_all_variants_of_a_row_are_compared(self):
        self.patch(mock.patch.object(verdicts, "RESULTS", self.folder))
        (self.folder / "rows").mkdir()
        runs = [
            dict(variant=variant, seed=seed, settings=dict(rate=rate), result=dict(self.results([score])[0]))
            for rate in ("falling", "constant")
            for variant, score in (("a", 20.0), ("b", 21.0))
            for seed in (0, 1)
        ]
        (self.folder / "rows" / "layers.json").write_text(json.dumps(runs))
        found = verdicts.comparisons("layers", "falling")
        self.assertEqual({name: each["verdict"] for name, each in found.items()}, {"a > b": "below", "b > a": "above"})
        self.assertEqual(found["a > b"]["seeds"], 2)
        self.assertEqual(verdicts.comparisons("flips", "falling"), {})
