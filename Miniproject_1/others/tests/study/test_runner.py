"""A study from photographs to files of results, with tiny sizes."""

import itertools
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from unittest import mock

from ...pictures import write_picture
from ...study import experiments, material, results, runner
from ...study.experiments import Arm, Experiment, Run, Settings
from ...study.runner import Runner
from ...study.trainings import StudyTraining
from .. import PROJECT, TestCase, needs_pillow, random_images

SMALL = Settings(network="7 layers of 3 x 3", initialization="pytorch", batch_size=4, gradients=4)


@needs_pillow
class TestRunner(TestCase):
    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(results, "RESULTS", self.folder / "results"))
        self.photographs = self.folder / "photographs"
        (self.photographs / "more").mkdir(parents=True)
        for number, picture in enumerate(random_images(20, 90, 96)):
            folder = self.photographs
            if number % 2:
                folder = self.photographs / "more"
            write_picture(picture, folder / f"{number}.png")
        self.packed = self.folder / "packed.pt"
        material.pack([self.photographs], self.packed)

    def runner(self, *arms, seeds=(1,), processes=1):
        experiment = Experiment("", list(arms), seeds)
        self.patch(mock.patch.dict(experiments.EXPERIMENTS, {"tiny": experiment}))
        return Runner(["tiny"], self.packed, "cpu", processes, self.folder / "checkpoints")

    def files(self):
        """The names of the files of results, and what they hold."""
        folder = self.folder / "results" / "tiny"
        paths = sorted(folder.iterdir())
        return {path.name: path.read_text() for path in paths}

    def test_every_run_has_its_file_and_is_not_repeated(self):
        arms = [Arm("Noisy, 4", SMALL), Arm("searched", SMALL, rates=(1e-9, 0.004, 1e9))]
        finished = self.runner(*arms, seeds=(1, 2), processes=2).run()
        self.assertTrue(finished)
        before = self.files()
        self.assertIn("searched-rate-0.004.0.json", before)
        for name in ("noisy-4.1", "noisy-4.2", "searched.1", "searched.2"):
            self.assertIn(f"{name}.json", before)

        finished = self.runner(*arms, seeds=(1, 2)).run()
        self.assertTrue(finished)
        self.assertEqual(self.files(), before)

        found = json.loads(before["noisy-4.1.json"])
        self.assertEqual(len(found["psnr"]), 4)  # two images of each of two photographs
        self.assertEqual(found["gradients"], 4)
        self.assertEqual(found["pairs"], 16)

    def test_a_run_with_other_settings_is_not_taken_for_this_one(self):
        self.assertTrue(self.runner(Arm("arm", SMALL)).run())
        other = Arm("arm", replace(SMALL, gradients=5))
        with self.assertRaisesRegex(ValueError, "other settings"):
            self.runner(other).run()

    def test_a_setting_that_a_file_lacks_has_its_default(self):
        arm = Arm("arm", SMALL)
        self.assertTrue(self.runner(arm).run())
        path = self.folder / "results" / "tiny" / "arm.1.json"
        content = json.loads(path.read_text())
        del content["settings"]["lbfgs_counts"]
        path.write_text(json.dumps(content))
        self.assertTrue(self.runner(arm).run())
        with self.assertRaisesRegex(ValueError, "other settings"):
            self.runner(Arm("arm", replace(SMALL, lbfgs_counts=False))).run()

    def test_after_the_deadline_no_training_begins(self):
        finished = self.runner(Arm("arm", SMALL)).run(deadline=time.time())
        self.assertFalse(finished)
        self.assertFalse((self.folder / "results").exists())

    def test_a_training_that_was_stopped_goes_on_from_its_checkpoint(self):
        self.patch(mock.patch.object(runner, "material", material.Material(self.packed, "cpu")))
        run = Run("tiny", "arm", SMALL, 1)
        checkpoint = self.folder / "checkpoint.pt"
        unbroken = runner.make(run, math.inf, checkpoint)
        self.assertFalse(checkpoint.exists())
        with mock.patch.object(time, "time", side_effect=itertools.count()):
            self.assertIsNone(runner.make(run, 4, checkpoint))  # three steps
        other = replace(run, settings=replace(SMALL, gradients=5))
        with self.assertRaisesRegex(ValueError, "checkpoint.pt: .* other settings"):
            runner.make(other, math.inf, checkpoint)
        steps = self.patch(
            mock.patch.object(
                StudyTraining, "measure", autospec=True, side_effect=StudyTraining.measure
            )
        )
        resumed = runner.make(run, math.inf, checkpoint)
        self.assertEqual(steps.call_count, 1)
        self.assertEqual(resumed["psnr"], unbroken["psnr"])

    def test_a_checkpoint_is_removed_when_the_result_is_filed(self):
        one = self.runner(Arm("arm", SMALL))
        checkpoint = self.folder / "checkpoints" / "tiny.arm.1.pt"
        self.patch(mock.patch.object(runner, "material", material.Material(self.packed, "cpu")))
        checkpoint.parent.mkdir()
        with mock.patch.object(time, "time", side_effect=itertools.count()):
            runner.make(Run("tiny", "arm", SMALL, 1), 4, checkpoint)
        self.assertTrue(checkpoint.exists())
        self.assertTrue(one.run())
        self.assertEqual(list(self.files()), ["arm.1.json"])
        self.assertFalse(checkpoint.exists())

    def test_photographs_are_decoded_once_and_others_are_refused(self):
        before = self.packed.stat().st_mtime_ns
        material.pack([self.photographs], self.packed)
        self.assertEqual(self.packed.stat().st_mtime_ns, before)
        write_picture(random_images(1, 90, 96, seed=1)[0], self.photographs / "another.png")
        with self.assertRaisesRegex(ValueError, "holds other photographs"):
            material.pack([self.photographs], self.packed)
        write_picture(random_images(1, 90, 96, seed=2)[0], self.photographs / "more" / "0.png")
        with self.assertRaisesRegex(ValueError, "two files are called 0.png"):
            material.pack([self.photographs], self.packed)

    def test_when_the_study_is_killed_its_trainings_end(self):
        code = f"""
import time
from pathlib import Path
from Miniproject_1.others.study.runner import Runner
folder = Path({str(self.folder)!r})
pool = Runner([], folder / "packed.pt", "cpu", 1, folder).pool
pool.submit(print, "at work", flush=True)
pool.submit(time.sleep, 100).result()
"""
        command = [sys.executable, "-c", code]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        study = subprocess.Popen(command, cwd=PROJECT, **pipes)
        self.assertEqual(study.stdout.readline(), "at work\n")
        study.kill()
        study.communicate(timeout=60)  # comes back once no process has the output open any more
