"""The `reproduce` command."""

import json
from unittest import mock

from ...commands import reproduce
from ...pictures import write_picture
from ...training.recipe import Recipe
from .. import needs_pillow, random_images
from . import CommandCase


@needs_pillow
class TestReproduce(CommandCase):
    def setUp(self):
        super().setUp()
        (self.folder / "photos").mkdir()
        for number in range(5):
            pixels = random_images(1, 90 + number, 100, seed=number)[0]
            write_picture(pixels, self.photograph(number))
        recipe = Recipe(pairs=8, batch_size=2, warm_up=2)
        self.patch(mock.patch.object(reproduce, "RECIPE", recipe))
        self.patch(mock.patch.object(reproduce, "STEPS_BETWEEN_MEASUREMENTS", 2))
        self.patch(mock.patch.object(reproduce, "BATCHES_TO_REVIVE", 1))

    def photograph(self, number):
        return self.folder / "photos" / f"{number}.png"

    def record(self, name):
        """The record of a run, without its times."""
        record = json.loads((self.folder / f"{name}.json").read_text())
        for point in record["curve"]:
            point.pop("hours")
        return record

    def test_stopped_and_resumed_it_is_the_unbroken_run(self):
        out = self.succeed("reproduce", "photos", "--output", "whole.pth")
        self.assertEqual(out.count("psnr_one_pass"), 2)
        self.succeed("reproduce", "photos", "--output", "part.pth", "--deadline", 0)
        resume = ("reproduce", "photos", "--resume", "part.pth.checkpoint")
        status, _, err = self.run_command(*resume, "--pairs", 6)
        self.assertEqual(status, 2)
        self.assertIn("begun with pairs = 8, not 6", err)
        for _ in range(2):
            out = self.succeed(*resume, "--deadline", 0)
            self.assertIn("continue with: python -m Miniproject_1 reproduce photos", out)
        self.succeed(*resume)
        self.assertSameWeights(self.load("whole.pth"), self.load("part.pth"))
        self.assertEqual(self.record("whole.pth"), self.record("part.pth"))
        self.assertNotIn("part.pth.checkpoint", self.files())

    def test_its_record_tells_how_the_weights_came_about(self):
        self.succeed("reproduce", "photos", "--seed", 1)
        record = self.record("trained.pth")
        self.assertEqual([point["step"] for point in record["curve"]], [2, 4])
        self.assertEqual([point["pairs"] for point in record["curve"]], [4, 8])
        self.assertAlmostEqual(record["curve"][-1]["learning_rate"], 0.004 * 1.5 * 0.25)
        settings, data = record["settings"], record["data"]
        self.assertEqual((settings["pairs"], settings["seed"]), (8, 1))
        self.assertEqual((data["photographs"], data["kept_apart"]), (4, 1))
        self.assertEqual(len(record["machines"]), 1)

    def test_photographs_kept_apart_are_not_trained_on_whatever_the_seed(self):
        seen = []
        for seed in (0, 1):
            with mock.patch.object(reproduce, "draw_pairs", wraps=reproduce.draw_pairs) as draw:
                self.succeed("reproduce", "photos", "--output", f"{seed}.pth", "--seed", seed)
            seen.append([path.name for path in draw.call_args.args[0]])
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(self.record("0.pth")["data"], self.record("1.pth")["data"])

    def test_it_refuses_what_it_cannot_do_before_it_trains(self):
        self.refuse("nosuch is not a folder", "reproduce", "nosuch")
        self.refuse("--pairs must be an integer of at least 1", "reproduce", "photos", "--pairs", 0)
        self.succeed("reproduce", "photos", "--deadline", 0)
        self.photograph(0).unlink()
        _, _, err = self.run_command("reproduce", "photos", "--resume", "trained.pth.checkpoint")
        self.assertIn("begun with other photographs", err)
