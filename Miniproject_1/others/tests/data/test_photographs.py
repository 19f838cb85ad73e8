"""From a folder of photographs to pairs."""

import contextlib
import io
from unittest import mock

import torch

from ...data import photographs
from ...pictures import write_picture
from .. import TestCase, needs_pillow


class TestFiles(TestCase):
    def test_hidden_and_equal_files_are_left_out_and_other_kinds_are_counted(self):
        same = ("b.png", "c.png")
        hidden = (".d.png", ".folder/e.png")
        others = ("f.nef", "g.txt")
        for name in ("a/a.JPG", *same, *hidden, *others):
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text("same" if name in same else name)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            found = photographs.distinct_photographs(self.folder)
        self.assertEqual([path.name for path in found], ["a.JPG", "b.png"])
        self.assertIn("2 files of other kinds (.nef, .txt)", err.getvalue())

    def test_a_link_to_a_folder_is_named(self):
        (self.folder / "photographs").mkdir()
        (self.folder / "photographs" / "more").symlink_to(self.folder, target_is_directory=True)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            photographs.picture_files(self.folder / "photographs")
        self.assertIn("more: it is a link to a folder", err.getvalue())

    @needs_pillow
    def test_one_bad_photograph_does_not_stop_the_others(self):
        paths = [self.folder / name for name in ("a.png", "b.png", "c.png", "small.png")]
        for path in paths:
            write_picture(torch.full((3, 40, 50), 100), path)
        write_picture(torch.full((3, 10, 50), 100), paths[3])
        pictures = [photographs.read_picture(path) for path in paths]
        contents = [pictures[0], RecursionError("whatever it is"), *pictures[2:]]
        with mock.patch.object(photographs, "read_picture", side_effect=contents):
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
            self.assertSame(pairs[0], -pairs[1])
            drawn.append(pairs[0].tolist())
        counts = [drawn[0].count(source) for source in (1, 2, 3)]
        self.assertEqual(counts, [11, 10, 10])
        self.assertNotEqual(drawn[0], sorted(drawn[0]))
        self.assertEqual(drawn[0], drawn[1])

    def test_of_many_sources_some_are_chosen_at_random(self):
        def draw(content, generator):
            return torch.tensor(content), torch.tensor(content)

        generator = torch.Generator().manual_seed(0)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            first, _ = photographs.draw_pairs(range(100), 5, draw, generator, read=int)
        self.assertEqual(len(first.unique()), 5)
        self.assertGreater(first.max(), 20)
        self.assertIn("drawing 5 pairs from 5 photographs", err.getvalue())

    def test_pairs_do_not_hold_the_pictures_that_they_were_cut_from(self):
        def draw(content, generator):
            return content[:, :4, :4], content[:, 4:8, :4]

        def read(source):
            return torch.zeros(3, 50, 50)

        with contextlib.redirect_stderr(io.StringIO()):
            for images in photographs.draw_pairs([1, 2], 6, draw, torch.Generator(), read=read):
                self.assertEqual(images.untyped_storage().nbytes(), 4 * images.numel())
