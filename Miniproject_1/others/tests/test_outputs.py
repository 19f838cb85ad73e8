"""Output files are written whole or not at all."""

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch

from .. import outputs
from . import PROJECT, TestCase

RESERVE = """
import sys
from Miniproject_1.others.outputs import reserved
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
                outputs.check_output(path)
        self.assertEqual(outputs.check_output(there, overwrite=True), there)
        self.assertEqual(outputs.check_output(self.folder / "free"), self.folder / "free")
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
                outputs.check_output(path, overwrite=True)

    @unittest.skipIf(os.name == "nt" or os.geteuid() == 0, "nothing is forbidden to this user")
    def test_a_folder_that_may_not_be_written_to_is_named(self):
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        with self.assertRaisesRegex(PermissionError, "m.pth cannot be written: Permission denied"):
            outputs.check_output(self.folder / "m.pth")

    def test_what_was_there_stays_until_the_new_file_is_whole(self):
        path = self.folder / "file.pth"
        path.write_bytes(b"good")
        for error in (KeyboardInterrupt(), ValueError(), OSError("no")):
            with self.assertRaises(type(error)), outputs.replaced(path) as temporary:
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
        outputs.save([1], link)
        self.assertTrue(link.is_symlink())
        self.assertEqual(torch.load(target), [1])
        self.assertEqual(target.stat().st_mode & 0o777, 0o640)

    def test_no_other_file_is_touched(self):
        names = {"m.pth.part", "part-m.pth", ".m.pth.part", ".part-same.pth", ".m.pth.reserved"}
        for name in names:
            (self.folder / name).write_text("mine")
        path = self.folder / "m.pth"
        with outputs.reserved(path):
            outputs.save([1], path)
        with mock.patch.object(outputs.secrets, "token_hex", return_value="same"):
            with self.assertRaises(OSError):
                outputs.save([1], path)
        self.assertEqual({each.name for each in self.folder.iterdir()}, {*names, "m.pth"})
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
                with outputs.reserved(path, overwrite=True):
                    pass
            process.kill()
        with outputs.reserved(path):
            outputs.save([1], path, overwrite=False)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["m.pth"])

    def test_a_file_system_without_locks_is_written_to_all_the_same(self):
        path = self.folder / "m.pth"
        error = OSError(errno.ENOSYS, "Function not implemented")
        with mock.patch.object(outputs, "lock", side_effect=error), outputs.reserved(path):
            outputs.save([1], path, overwrite=False)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["m.pth"])

    def test_a_file_that_appears_meanwhile_is_not_replaced(self):
        path = self.folder / "m.pth"
        link = mock.patch.object(outputs.os, "link", side_effect=PermissionError("no links here"))
        for file_system in (contextlib.nullcontext(), link):
            with file_system, outputs.reserved(path):
                path.write_text("mine")
                with self.assertRaisesRegex(FileExistsError, "m.pth was made meanwhile"):
                    outputs.save([1], path, overwrite=False)
                self.assertEqual(path.read_text(), "mine")
            path.unlink()


class TestLastStep(TestCase):
    def test_what_cannot_be_saved_is_saved_in_the_temporary_folder(self):
        self.patch(mock.patch.object(tempfile, "tempdir", str(self.folder)))
        with contextlib.redirect_stderr(io.StringIO()) as err:
            path = outputs.save_somewhere([1], self.folder / "no" / "m.pth")
        self.assertEqual((torch.load(path), path.parent), ([1], self.folder))
        self.assertRegex(err.getvalue(), rf"no.m.pth cannot be written: .*saved as {path} instead")

    def test_ctrl_c_waits_until_the_file_is_written(self):
        path = self.folder / "m.pth"
        replace = os.replace

        def interrupted(*arguments):
            signal.raise_signal(signal.SIGINT)
            replace(*arguments)

        before = signal.getsignal(signal.SIGINT)
        with mock.patch.object(outputs.os, "replace", interrupted):
            with self.assertRaises(KeyboardInterrupt), contextlib.redirect_stderr(io.StringIO()):
                outputs.save([1], path)
        self.assertEqual(torch.load(path), [1])
        self.assertEqual(signal.getsignal(signal.SIGINT), before)
