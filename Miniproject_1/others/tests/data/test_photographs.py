"""From a folder of photographs to pairs."""

import contextlib
import io
from unittest import mock

import torch

from ...data import photographs
from ...pictures import write_picture
from .. import TestCase, needs_pillow


def flat(value):
    return torch.full((3, 40, 50), value)


class TestFiles(TestCase):
    def test_hidden_files_are_left_out_and_other_files_are_counted(self):
        for name in ("b.png", "a/c.JPG", ".hidden.png", ".folder/d.png", "raw.nef", "notes.txt"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(name)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            found = photographs.picture_files(self.folder)
        self.assertEqual([path.name for path in found], ["c.JPG", "b.png"])
        self.assertIn("2 files of other kinds (.nef, .txt)", err.getvalue())

    def test_of_equal_files_the_first_is_taken(self):
        for name in ("a.png", "b.png", "c.png"):
            (self.folder / name).write_text("same")
        (self.folder / "c.png").write_text("other")
        with contextlib.redirect_stderr(io.StringIO()):
            found = photographs.distinct_photographs(self.folder)
        self.assertEqual([path.name for path in found], ["a.png", "c.png"])

    @needs_pillow
    def test_one_bad_photograph_does_not_stop_the_others(self):
        for name in ("a.png", "b.png", "c.png"):
            write_picture(flat(100), self.folder / name)
        write_picture(flat(100)[:, :10], self.folder / "small.png")
        paths = sorted(self.folder.glob("*.png"))
        read = photographs.read_picture

        def fails_at_b(path, shrink):
            if path.name == "b.png":
                raise RecursionError("whatever it is")
            return read(path, shrink)

        with mock.patch.object(photographs, "read_picture", fails_at_b):
            with contextlib.redirect_stderr(io.StringIO()) as err:
                readable, num_failed = photographs.readable_photographs(paths, smallest=32)
        self.assertEqual([path.name for path in readable], ["a.png", "c.png"])
        self.assertEqual(num_failed, 1)
        self.assertRegex(err.getvalue(), "passed over: .*b.png: whatever it is")
        self.assertRegex(err.getvalue(), "small.png: 50 x 10 is too small, both sides need 32")


class TestDrawPairs(TestCase):
    def test_each_source_gives_the_same_number_in_random_order(self):
        def draw(content, generator):
            return torch.tensor(content), torch.tensor(-content)

        drawn = []
        for _ in range(2):
            generator = torch.Generator().manual_seed(0)
            with contextlib.redirect_stderr(io.StringIO()):
                pairs = photographs.draw_pairs([1, 2, 3], 31, draw, generator, read=int)
            self.assertTrue(torch.equal(pairs[0], -pairs[1]))
            drawn.append(pairs[0].tolist())
        self.assertEqual([drawn[0].count(source) for source in (1, 2, 3)], [11, 10, 10])
        self.assertNotEqual(drawn[0], sorted(drawn[0]))
        self.assertEqual(drawn[0], drawn[1])
