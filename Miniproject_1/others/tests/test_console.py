"""Messages and progress: they say how it goes, and never stop the work."""

import contextlib
import io
import itertools
import os
import subprocess
import sys
import warnings
from unittest import mock

from .. import console
from . import PROJECT, TestCase

TELL_MUCH = """
import sys
from Miniproject_1.others.console import progress, say, tell
for item in progress(range(3), 3, "item"):
    say("about the work")
    tell("a result " * 10_000)
open("done", "w").close()
sys.exit(3)
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(items, total, stream, clock, **options):
    """What `progress` writes to a stream, with a clock that is asked for the time."""
    with contextlib.redirect_stderr(stream):
        with mock.patch.object(console.time, "monotonic", clock):
            for _ in console.progress(items, total, "step", **options):
                pass
    return stream.getvalue()


class TestMessages(TestCase):
    def run_with(self, redirection):
        """Run the code above in a shell: it does its work and ends with a status of its own."""
        command = f'"{sys.executable}" -c "$CODE" {redirection}; echo status $? >&3'
        environment = {**os.environ, "CODE": TELL_MUCH, "PYTHONPATH": str(PROJECT)}
        with open(self.folder / "status", "w") as status:
            subprocess.run(
                ["bash", "-c", f"exec 3>&{status.fileno()}; {command}"],
                cwd=self.folder,
                env=environment,
                pass_fds=[status.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self.assertEqual((self.folder / "status").read_text(), "status 3\n", redirection)
        (self.folder / "done").unlink()

    def test_streams_that_take_nothing_change_neither_work_nor_status(self):
        for redirection in (">&-", "2>&-", ">&- 2>&-", "> >(head -1)", "2> >(head -1 >&2)"):
            self.run_with(redirection)
        if os.path.exists("/dev/full"):
            self.run_with("> /dev/full")
            self.run_with("> /dev/full 2> /dev/full")

    def test_letters_that_the_console_does_not_know_are_spelled_out(self):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with contextlib.redirect_stdout(stream):
            console.tell("写.png")
        self.assertEqual(stream.buffer.getvalue(), b"\\u5199.png\n")

    def test_warnings_are_one_line_without_code(self):
        with contextlib.redirect_stderr(io.StringIO()) as stream, console.one_line_warnings():
            warnings.simplefilter("always")  # whatever other tests have left
            warnings.warn("first line\nsecond line", stacklevel=1)
        self.assertEqual(stream.getvalue(), "warning: first line second line\n")


class TestProgress(TestCase):
    def test_a_file_is_given_a_line_every_half_minute_and_a_last_one(self):
        clock = itertools.count(0, 1)
        text = shown(range(100), 100, io.StringIO(), lambda: next(clock))
        lines = text.splitlines()
        self.assertLess(len(lines), 20)
        self.assertEqual(lines[-1], "step 100 of 100")

    def test_a_terminal_has_a_line_at_once_that_is_written_over(self):
        clock = itertools.count(0, 1)
        stream = Terminal()
        steps = console.progress("ab", 2, "step", describe="loss {}".format)
        with contextlib.redirect_stderr(stream):
            with mock.patch.object(console.time, "monotonic", lambda: next(clock)):
                next(steps)
                self.assertIn("step 0 of 2", stream.getvalue())
                self.assertEqual(list(steps), ["b"])
        self.assertIn("step 1 of 2", stream.getvalue())
        self.assertIn("step 2 of 2, loss b", stream.getvalue())
        self.assertEqual(stream.getvalue().count("\n"), 1)

    def test_the_time_left_is_right_where_the_first_steps_are_slow(self):
        now = [0.0]

        def steps():
            for step in range(1000):
                yield step
                now[0] += 1 if step >= 5 else 46

        text = shown(steps(), 1000, io.StringIO(), lambda: now[0])
        after_500 = [line for line in text.splitlines() if line.startswith("step 5")][1]
        done = int(after_500.split()[1])
        self.assertIn(f"{(1000 - done) / 60:.1f} minutes left", after_500)

    def test_a_message_does_not_stand_in_the_bar(self):
        stream = Terminal()
        with contextlib.redirect_stderr(stream):
            for _ in console.progress(range(1), 1, "step"):
                console.say("a message")
        self.assertIn("\ra message\n\rstep 0 of 1", stream.getvalue())

    def test_an_error_in_the_work_is_not_hidden(self):
        with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(ZeroDivisionError):
            list(console.progress(range(3), 3, "item", describe=lambda item: 1 // item))
