"""What all commands have in common."""

import signal
import subprocess
import sys
from functools import partial
from unittest import mock

from ...commands import demo, evaluate
from ...data.files import SAMPLE
from .. import PROJECT, needs_pillow
from . import CommandCase


class TestMain(CommandCase):
    def test_errors_are_one_line_with_status_2(self):
        (self.folder / "broken.pth").write_bytes(b"no weights")
        self.refuse("nowhere.pkl does not exist", "evaluate", "nowhere.pkl")
        self.refuse("broken.pth is damaged", "evaluate", SAMPLE, "--weights", "broken.pth")
        self.refuse("unrecognized arguments: --nonsense", "train", SAMPLE, "--nonsense")
        self.refuse("invalid choice: 'paint'", "paint")

    def test_a_device_that_cannot_do_it_is_one_line(self):
        self.refuse("the device cannot do it", "evaluate", SAMPLE, "--device", "no device")
        full = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 TB")
        for error in (MemoryError(), full):
            with mock.patch.object(evaluate, "load_model", side_effect=error):
                self.refuse("the device cannot do it.*smaller pictures", "evaluate", SAMPLE)

    def test_a_fault_of_the_program_is_not_hidden(self):
        self.patch(mock.patch.object(evaluate, "load_model", side_effect=RuntimeError("a bug")))
        with self.assertRaisesRegex(RuntimeError, "a bug"):
            self.run_command("evaluate", SAMPLE)

    @needs_pillow
    def test_requests_to_end_are_tidy(self):
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name)
            before = signal.getsignal(number)
            request = partial(signal.raise_signal, number)
            with mock.patch.object(
                demo, "Model", side_effect=lambda request=request, **_: request()
            ):
                status, out, _ = self.run_command("--output", "shown.png")
            self.assertEqual((status, out, self.files()), (130, "", {}))
            self.assertEqual(signal.getsignal(number), before)

    def test_an_option_of_the_demonstration_before_a_command_is_refused(self):
        self.refuse("unrecognized arguments: evaluate", "--overwrite", "evaluate", SAMPLE)

    def test_help_explains_every_command_from_any_folder(self):
        for folder, call in (
            (PROJECT, ["-m", "Miniproject_1"]),
            (self.folder, [PROJECT / "Miniproject_1"]),
        ):
            command = [sys.executable, *call, "--help"]
            shown = subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
            for name in ("denoise", "evaluate", "make-data", "make-pairs", "train", "reproduce"):
                self.assertIn(name, shown)
