"""Output files are written whole or not at all; data files are checked."""

import contextlib
import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch

from ...data import files
from .. import PROJECT, TestCase, random_images, thorough

RESERVE = """
import sys
from Miniproject_1.others.data.files import reserved
with reserved("m.pth"):
    print("reserved", flush=True)
    sys.stdin.read()
"""


class TestOutputs(TestCase):
    def test_outputs_are_checked_before_any_work(self):
        there = self.folder / "there.txt"
        there.write_text("mine")
        cases = {
            self.folder: "is a folder",
            self.folder / "no" / "o.png": "no does not exist",
            there / "o.png": "does not exist",
            there: "exists already.*--overwrite",
            self.folder / ("a" * 300): "too long",
        }
        for path, words in cases.items():
            with self.subTest(path.name[:9]), self.assertRaisesRegex(OSError, words):
                files.check_output(path)
        self.assertEqual(files.check_output(there, overwrite=True), there)
        self.assertEqual(files.check_output(self.folder / "free"), self.folder / "free")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["there.txt"])
        self.assertEqual(there.read_text(), "mine")

    @unittest.skipUnless(hasattr(os, "mkfifo"), "no named pipes")
    def test_devices_and_pipes_are_no_outputs(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        link = self.folder / "null"
        link.symlink_to(os.devnull)
        for path in (pipe, link, Path(os.devnull)):
            with self.assertRaisesRegex(OSError, "is a device or a pipe"):
                files.check_output(path, overwrite=True)

    @unittest.skipIf(os.name == "nt" or os.geteuid() == 0, "nothing is forbidden to this user")
    def test_a_folder_that_may_not_be_written_to_is_named(self):
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        with self.assertRaisesRegex(PermissionError, "m.pth cannot be written: Permission denied"):
            files.check_output(self.folder / "m.pth")

    def test_what_was_there_stays_until_the_new_file_is_whole(self):
        path = self.folder / "file.pth"
        path.write_bytes(b"good")
        for error in (KeyboardInterrupt(), ValueError(), OSError("no")):
            with self.assertRaises(type(error)), files.replaced(path) as temporary:
                temporary.write_bytes(b"half")
                self.assertEqual((path.read_bytes(), temporary.suffix), (b"good", ".pth"))
                raise error
            self.assertEqual([each.read_bytes() for each in self.folder.iterdir()], [b"good"])

    def test_links_and_permissions_stay(self):
        target = self.folder / "target"
        target.write_bytes(b"old")
        target.chmod(0o640)
        link = self.folder / "link"
        link.symlink_to(target)
        files.save([1], link)
        self.assertTrue(link.is_symlink())
        self.assertEqual(torch.load(target), [1])
        self.assertEqual(target.stat().st_mode & 0o777, 0o640)

    def test_no_other_file_is_touched(self):
        names = ("m.pth.part", "part-m.pth", ".m.pth.part", "m.pth.tmp", ".m.pth.reserved")
        for name in names:
            (self.folder / name).write_text("mine")
        path = self.folder / "m.pth"
        with files.reserved(path):
            files.save([1], path)
        (self.folder / ".part-same.pth").write_text("mine")
        with mock.patch.object(files.secrets, "token_hex", return_value="same"):
            with self.assertRaises(OSError):
                files.save([1], path)
        (self.folder / ".part-same.pth").unlink()
        self.assertEqual({path.name for path in self.folder.iterdir()}, {*names, "m.pth"})
        for name in names:
            self.assertEqual((self.folder / name).read_text(), "mine")


class TestReserved(TestCase):
    def test_a_name_is_kept_from_other_processes_until_the_end_even_if_killed(self):
        path = self.folder / "m.pth"
        command = [sys.executable, "-c", RESERVE]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=self.folder, env=environment, **streams) as process:
            process.stdout.readline()
            with self.assertRaisesRegex(FileExistsError, "being written by another process"):
                with files.reserved(path, overwrite=True):
                    pass
            process.kill()
        with files.reserved(path):
            files.save([1], path, overwrite=False)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["m.pth"])

    def test_a_file_that_appears_meanwhile_is_not_replaced(self):
        path = self.folder / "m.pth"
        no_links = mock.patch.object(files.os, "link", side_effect=PermissionError("no links here"))
        for file_system in (contextlib.nullcontext(), no_links):
            with file_system, files.reserved(path):
                path.write_text("mine")
                with self.assertRaisesRegex(FileExistsError, "m.pth was made meanwhile"):
                    files.save([1], path, overwrite=False)
                self.assertEqual(path.read_text(), "mine")
                path.unlink()
                files.save([1], path, overwrite=False)
                self.assertEqual(torch.load(path), [1])
            path.unlink()


class TestLastStep(TestCase):
    def test_what_cannot_be_saved_is_saved_in_the_temporary_folder(self):
        self.patch(mock.patch.object(tempfile, "tempdir", str(self.folder)))
        with contextlib.redirect_stderr(io.StringIO()) as err:
            path = files.save_somewhere([1], self.folder / "no" / "m.pth")
        self.assertEqual(torch.load(path), [1])
        self.assertEqual(path.parent, self.folder)
        self.assertRegex(err.getvalue(), rf"no.m.pth cannot be written: .*saved as {path} instead")
        self.patch(mock.patch.object(tempfile, "tempdir", str(self.folder / "nor there")))
        with self.assertRaisesRegex(OSError, "no.m.pth cannot be written"):
            files.save_somewhere([1], self.folder / "no" / "m.pth")

    def test_ctrl_c_waits_until_the_file_is_written(self):
        path = self.folder / "m.pth"
        replace = os.replace

        def interrupted(*arguments):
            signal.raise_signal(signal.SIGINT)
            replace(*arguments)

        before = signal.getsignal(signal.SIGINT)
        with mock.patch.object(files.os, "replace", interrupted):
            with self.assertRaises(KeyboardInterrupt), contextlib.redirect_stderr(io.StringIO()):
                files.save([1], path)
        self.assertEqual(torch.load(path), [1])
        self.assertEqual(signal.getsignal(signal.SIGINT), before)

    @thorough
    def test_a_full_disk_leaves_the_file_that_was_there(self):
        """The limit on the size of a file stands for a full disk."""
        code = """
import resource, signal, sys, torch
from Miniproject_1.others.data.files import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(torch.zeros(100_000), sys.argv[1])
except OSError as error:
    print(error)
"""
        path = self.folder / "file"
        path.write_bytes(b"good")
        out, _ = self.python(code, path)
        self.assertIn(f"{path} cannot be written: File too large", out)
        self.assertEqual([each.read_bytes() for each in self.folder.iterdir()], [b"good"])


class TestDataFiles(TestCase):
    def test_what_does_not_hold_pairs_is_refused(self):
        good = random_images(2, 4, 4)
        wrong = {
            "single": good,
            "flat": (good[0], good[0]),
            "shapes": (good, good[:1]),
            "three": [good] * 3,
            "grey": (good[:, :1], good[:, :1]),
            "empty": (good[:0], good[:0]),
        }
        for name, content in wrong.items():
            torch.save(content, self.folder / name)
            with self.assertRaisesRegex(ValueError, f"{name} must hold two tensors"):
                files.load_pairs(self.folder / name, "")

    def test_a_folder_stands_for_the_file_in_it(self):
        good = random_images(2, 4, 4)
        torch.save([good, good], self.folder / "val_data.pkl")
        self.assertTrue(torch.equal(files.load_pairs(self.folder, "val_data.pkl")[0], good))
        with self.assertRaisesRegex(FileNotFoundError, "train_data.pkl does not exist"):
            files.load_pairs(self.folder, "train_data.pkl")

    @unittest.skipUnless(Path("/proc/self/maps").exists(), "memory maps are listed on Linux alone")
    def test_images_are_read_where_they_are_indexed(self):
        path = self.folder / "train_data.pkl"
        torch.save([random_images(2, 4, 4)] * 2, path)
        pairs = files.load_pairs(path, "")
        self.assertIn(str(path), Path("/proc/self/maps").read_text())
        del pairs
        torch.save([random_images(2, 4, 4)] * 2, path, _use_new_zipfile_serialization=False)
        self.assertEqual(files.load_pairs(path, "")[0].shape, (2, 3, 4, 4))  # cannot be mapped

    def test_a_pickle_that_runs_code_is_refused(self):
        marker = self.folder / "executed"
        path = self.folder / "attack"

        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        torch.save(Attack(), path)
        with self.assertRaisesRegex(ValueError, "attack"):
            files.load_pairs(path, "")
        path.write_bytes(pickle.dumps(Attack()))
        with self.assertRaisesRegex(ValueError, "attack"):
            files.load_pairs(path, "")
        self.assertFalse(marker.exists())

    @thorough
    def test_data_cut_off_anywhere_are_refused(self):
        path = self.folder / "truncated"
        shutil.copy(files.SAMPLE / "val_data.pkl", path)
        for length in range(path.stat().st_size - 1, -1, -1000):
            os.truncate(path, length)
            with self.assertRaisesRegex(ValueError, "truncated"):
                files.load_pairs(path, "")


class TestSample(TestCase):
    def test_images_of_one_photograph_are_alike(self):
        """Their mean colours vary much less than those of all images."""
        _, clean = files.load_pairs(files.SAMPLE, "val_data.pkl")
        colours = clean.float().mean((2, 3))  # (210, 3)
        photographs = files.sample_photographs()
        self.assertEqual(sorted(sum(photographs.values(), [])), list(range(210)))
        within = torch.stack([colours[images].var(0) for images in photographs.values()])
        self.assertLess(within.mean(), 0.2 * colours.var(0).mean())
        for name in photographs:
            self.assertIn(f"`{name}`", (files.SAMPLE / "sources.md").read_text())
