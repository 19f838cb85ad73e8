"""Output files are written whole or not at all."""

import os
import unittest

import torch

from .. import outputs
from . import TestCase


class TestOutputs(TestCase):
    def test_outputs_are_checked_before_any_work(self):
        there = self.folder / "there.txt"
        there.write_text("mine")
        for path, words in (
            (self.folder, "is a folder"),
            (os.devnull, "is a folder or a device"),
            (self.folder / "no" / "o.png", "no folder .*no that may be written to"),
            (there, "exists already; --overwrite"),
            (self.folder / ("a" * 300), "too long"),
        ):
            with self.assertRaisesRegex(OSError, words):
                outputs.check_output(path)
        outputs.check_output(there, overwrite=True)
        outputs.check_output(self.folder / "free")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["there.txt"])

    def test_what_was_there_stays_until_the_new_file_is_whole_also_behind_a_link(self):
        path = self.folder / "file.pth"
        path.write_bytes(b"good")
        link = self.folder / "link"
        link.symlink_to(path)
        for error in (KeyboardInterrupt(), ValueError(), OSError("no")):
            with self.assertRaises(type(error)), outputs.replaced(link) as temporary:
                temporary.write_bytes(b"half")
                self.assertEqual((path.read_bytes(), temporary.suffix), (b"good", ".pth"))
                raise error
        outputs.save([1], link)
        self.assertTrue(link.is_symlink())
        self.assertEqual(torch.load(path), [1])
        self.assertEqual(set(self.folder.iterdir()), {path, link})

    @unittest.skipUnless(os.name == "posix", "no limits for the size of files")
    def test_a_disk_that_is_full_is_an_error_that_says_so(self):
        import resource

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with self.assertRaisesRegex(OSError, "m.pth cannot be written: File too large"):
            outputs.save(torch.zeros(100_000), self.folder / "m.pth")
        self.assertEqual(list(self.folder.iterdir()), [])
