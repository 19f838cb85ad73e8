"""A study from photographs to files of results, with tiny sizes."""

import json
import time
from unittest import mock

from ...pictures import write_picture
from ...study import experiments, material, results
from ...study.experiments import Arm, Experiment, Settings
from ...study.runner import Runner
from .. import TestCase, needs_pillow, random_images

SMALL = Settings(network="7 layers of 3 x 3", initialization="pytorch", batch_size=4, gradients=4)


@needs_pillow
class TestRunner(TestCase):
    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(results, "RESULTS", self.folder / "results"))
        for number, picture in enumerate(random_images(20, 90, 96)):
            folder = self.folder / "photographs" / str(number % 2)
            folder.mkdir(parents=True, exist_ok=True)
            write_picture(picture, folder / f"{number}.png")
        self.packed = self.folder / "packed.pt"
        material.pack([self.folder / "photographs"], self.packed)

    def runner(self, *arms, seeds=(1,), processes=1):
        experiment = Experiment("", list(arms), seeds)
        self.patch(mock.patch.dict(experiments.EXPERIMENTS, {"tiny": experiment}))
        return Runner(["tiny"], self.packed, "cpu", processes, self.folder / "checkpoints")

    def files(self):
        return sorted(path.name for path in (self.folder / "results" / "tiny").iterdir())

    def test_every_run_has_its_file_and_is_not_repeated(self):
        arms = Arm("Noisy, 4", SMALL), Arm("searched", SMALL, rates=(1e-9, 0.004, 1e9))
        self.assertTrue(self.runner(*arms, seeds=(1, 2), processes=2).run())
        names = ["noisy-4.1.json", "noisy-4.2.json", "searched.1.json", "searched.2.json"]
        self.assertEqual([name for name in self.files() if "rate" not in name], names)
        self.assertIn("searched-rate-0.004.0.json", self.files())
        before = {name: self.content(name) for name in self.files()}
        self.assertTrue(self.runner(*arms, seeds=(1, 2)).run())
        self.assertEqual({name: self.content(name) for name in self.files()}, before)
        found = json.loads(self.content("noisy-4.1.json"))
        self.assertEqual(len(found["psnr"]), 4)  # two images of each of two photographs
        self.assertEqual((found["gradients"], found["pairs"], found["seed"]), (4, 16, 1))

    def content(self, name):
        return (self.folder / "results" / "tiny" / name).read_text()

    def test_a_run_with_other_settings_is_not_taken_for_this_one(self):
        self.assertTrue(self.runner(Arm("arm", SMALL)).run())
        other = Arm("arm", experiments.replace(SMALL, gradients=5))
        with self.assertRaisesRegex(ValueError, "other settings"):
            self.runner(other).run()

    def test_at_the_deadline_it_stops_and_later_it_goes_on(self):
        arm = Arm("arm", SMALL)
        self.assertFalse(self.runner(arm).run(deadline=time.time() + 0.5))
        self.assertFalse((self.folder / "results").exists())
        (checkpoint,) = (self.folder / "checkpoints").iterdir()
        self.assertTrue(self.runner(arm).run())
        self.assertEqual(self.files(), ["arm.1.json"])
        self.assertFalse(checkpoint.exists())
