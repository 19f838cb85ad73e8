"""What all commands have in common: exit statuses, messages, and streams that take nothing."""

import contextlib
import io
import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

import torch

from ..commands import COMMANDS, evaluate, main
from ..data.files import SAMPLE, load_pairs
from ..pictures import write_picture
from . import PROJECT, TestCase


class CommandCase(TestCase):
    """Runs commands in an empty folder, `self.folder`."""

    def run_command(self, *arguments):
        """Exit status, standard output and standard error of a command."""
        out = io.StringIO()
        err = io.StringIO()
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main([str(argument) for argument in arguments])
        finally:
            os.chdir(before)
        return status, out.getvalue(), err.getvalue()

    def succeed(self, *arguments):
        """Standard output of a command that ends with status 0."""
        status, out, err = self.run_command(*arguments)
        self.assertEqual(status, 0, err)
        return out

    def refuse(self, words, *arguments):
        """The command ends with status 2 and one line with these words, and changes no file."""
        before = self.files()
        status, out, err = self.run_command(*arguments)
        self.assertEqual((status, out), (2, ""), arguments)
        self.assertRegex(err, rf"\Aerror: [^\n]*{words}[^\n]*\n\Z")
        self.assertEqual(self.files(), before)

    def files(self):
        """The files in the folder and what they hold."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    def data_files(self, number=4):
        """Write a val_data.pkl and a train_data.pkl with the first images of the sample."""
        for name in ("val_data.pkl", "train_data.pkl"):
            pairs = [images[:number].clone() for images in load_pairs(SAMPLE, name)]
            torch.save(pairs, self.folder / name)

    def write(self, name, picture):
        """Write pixels (C, H, W) to a picture file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(picture, path)

    def process(self, *arguments, **streams):
        """A command in a process of its own, which runs in the folder."""
        command = [sys.executable, "-m", "Miniproject_1", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **streams)


class TestStatus(CommandCase):
    def test_what_a_user_can_mend_is_one_line_with_status_2(self):
        self.refuse("No such file or directory: 'nowhere.pkl'", "evaluate", "nowhere.pkl")
        self.refuse("must not be empty", "evaluate", "")
        self.refuse("is a checkpoint", "evaluate", SAMPLE, "--weights", "a.checkpoint")
        self.refuse("device must be one that PyTorch", "evaluate", SAMPLE, "--device", "gpu")
        self.refuse("unrecognized arguments: --nonsense", "evaluate", SAMPLE, "--nonsense")
        self.refuse("invalid choice: 'paint'", "paint")

    def test_a_fault_of_the_program_is_raised_and_too_little_memory_is_one_line(self):
        read = self.patch(mock.patch.object(evaluate, "load_pairs"))
        for error in (RuntimeError("CUDA error: a bug"), TypeError("a bug")):
            read.side_effect = error
            with self.assertRaises(type(error)):
                self.run_command("evaluate", SAMPLE)
        for error in (MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory")):
            read.side_effect = error
            self.refuse("too little memory", "evaluate", SAMPLE)

    def test_sigterm_ends_a_command_as_ctrl_c_does(self):
        with self.process("evaluate", SAMPLE, stderr=subprocess.PIPE) as process:
            self.assertEqual(process.stderr.readline(), "denoising 210 images, 8 flips each\n")
            process.terminate()
            self.assertEqual((process.wait(), process.stderr.read()), (130, ""))

    def test_every_command_explains_itself(self):
        for name in COMMANDS:
            out = io.StringIO()
            with contextlib.redirect_stdout(out), self.assertRaises(SystemExit):
                main([name, "--help"])
            self.assertIn(f"usage: python -m Miniproject_1 {name}", out.getvalue())


class TestStreams(CommandCase):
    def outcome(self, stdout):
        """Exit status and standard error of `evaluate` with this standard output."""
        self.data_files(1)
        streams = {"stdout": stdout, "stderr": subprocess.PIPE}
        with self.process("evaluate", ".", "--one-pass", **streams) as process:
            if process.stdout:
                process.stdout.close()
            return process.wait(), process.stderr.read()

    @unittest.skipUnless(Path("/dev/full").exists(), "no device that is full")
    def test_results_that_are_lost_give_status_1_and_a_line(self):
        with open("/dev/full", "w") as full:
            status, message = self.outcome(full)
        self.assertEqual(status, 1)
        self.assertIn("error: the results cannot be written: No space", message)

    def test_a_pipe_whose_reader_has_seen_enough_is_no_error_to_speak_of(self):
        outcome = self.outcome(subprocess.PIPE)
        self.assertEqual(outcome, (1, "denoising 1 images, one pass\n"))
