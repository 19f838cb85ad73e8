"""The commands, as a user calls them."""

import contextlib
import io
import os

import torch

from ...commands import main
from ...data.files import SAMPLE, load_pairs
from .. import TestCase


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

    def data_files(self, num_pairs=8):
        """Write a small train_data.pkl and val_data.pkl of the sample."""
        noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
        noisy_1, noisy_2 = load_pairs(SAMPLE, "train_data.pkl")
        torch.save([noisy[:8].clone(), clean[:8].clone()], self.folder / "val_data.pkl")
        pairs = [noisy_1[:num_pairs].clone(), noisy_2[:num_pairs].clone()]
        torch.save(pairs, self.folder / "train_data.pkl")

    def load(self, name):
        return torch.load(self.folder / name)
