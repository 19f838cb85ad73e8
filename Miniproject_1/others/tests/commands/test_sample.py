"""The `sample` and `reproduce-sampler` commands."""

import json
from unittest import mock

import torch

from ...commands import reproduce_sampler
from ...pictures import read_picture, write_picture
from ...sampling.recipe import SamplerRecipe
from .. import needs_pillow, random_images
from . import CommandCase


@needs_pillow
class TestSample(CommandCase):
    def setUp(self):
        super().setUp()
        write_picture(random_images(1, 20, 30)[0], self.folder / "noisy.png")

    def test_it_writes_as_many_different_pictures_as_are_asked_for(self):
        self.succeed("sample", "noisy.png", "drawn", "--number", 2)
        self.succeed("sample", "noisy.png", "again", "--number", 1)
        first, second, again = (
            read_picture(self.folder / name)
            for name in ("drawn/1.png", "drawn/2.png", "again/1.png")
        )
        self.assertEqual(first.shape, (3, 20, 30))
        self.assertDiffer(first, second)
        self.assertSame(first, again)
        self.assertEqual(len(list((self.folder / "drawn").iterdir())), 2)

    def test_it_replaces_nothing_unless_told_to(self):
        self.succeed("sample", "noisy.png", "drawn", "--number", 1)
        self.refuse("1.png exists", "sample", "noisy.png", "drawn")
        self.succeed("sample", "noisy.png", "drawn", "--overwrite", "--seed", 1)
        self.refuse("number must be", "sample", "noisy.png", "other", "--number", 0)
        self.refuse("nosuch.png", "sample", "nosuch.png", "other")


@needs_pillow
class TestReproduceSampler(CommandCase):
    def setUp(self):
        super().setUp()
        (self.folder / "photos").mkdir()
        for number in range(5):
            pixels = random_images(1, 90 + number, 100, seed=number)[0]
            write_picture(pixels, self.folder / "photos" / f"{number}.png")
        recipe = SamplerRecipe(pairs=8, batch_size=2, warm_up=2)
        self.patch(mock.patch.object(reproduce_sampler, "RECIPE", recipe))

    def test_stopped_and_resumed_it_is_the_unbroken_run(self):
        command = ("reproduce-sampler", "photos")
        self.succeed(*command, "--output", "whole.pth")
        self.succeed(*command, "--output", "part.pth", "--deadline", 0)
        out = self.succeed(*command, "--resume", "part.pth.checkpoint", "--deadline", 0)
        self.assertIn("continue with: python -m Miniproject_1 reproduce-sampler photos", out)
        self.succeed(*command, "--resume", "part.pth.checkpoint")
        self.assertSameWeights(self.load("whole.pth"), self.load("part.pth"))
        record = json.loads((self.folder / "part.pth.json").read_text())
        self.assertEqual((record["settings"]["pairs"], record["data"]["photographs"]), (8, 4))

    def test_its_weights_are_those_that_sample_takes(self):
        write_picture(random_images(1, 20, 30)[0], self.folder / "noisy.png")
        for targets in ("pairs", "three draws", "clean"):
            name = f"{targets}.pth"
            self.succeed("reproduce-sampler", "photos", "--targets", targets, "--output", name)
            self.succeed("sample", "noisy.png", targets, "--weights", name, "--number", 1)
        pictures = [read_picture(self.folder / targets / "1.png") for targets in ("pairs", "clean")]
        self.assertFalse(torch.equal(*pictures))
