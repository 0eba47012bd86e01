#!/usr/bin/env python3
"""What is drawn on a terminal, and only there: the progress of loading and of a long prompt."""

import contextlib
import os
import pty
import signal
import tempfile
import threading
import time
import unittest

from tests.support import openai_client as oai
from tests.support import program
from tests.support.free_ports import free_port
from tests.support.poll_until import eventually

# One token per step of the slowest level: long enough for a bar wherever it runs.
SLOW = ("--level", "reference", "--threads", 1, "--chunk", 1, "--max-tokens", 1)
PROMPT = "In the beginning God created the heaven and the earth. " * 15
PORT_FLAGS = ("--http-listen", "--grpc-listen", "--admin-listen", "--ops-listen")
AMOUNTS = rb"[\d.]+/[\d.]+ [KM]iB"  # the router of the bundled model has 64 KiB
CLEARED = b"\r\x1b[K"
BAR = CLEARED + b"["


@contextlib.contextmanager
def terminal():
    """(a terminal to give as stderr, what has been written to it, all of it at the end)."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read():
        while True:
            try:
                block = os.read(ours, 4096)
            except OSError:  # EIO: the last writer has gone
                return
            if not block:
                return
            shown.extend(block)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


def on_terminal(*words, env=None):
    """Exit code and everything that `troupe WORDS` wrote to a terminal as stderr."""
    with terminal() as (stderr, shown):
        done = program.run(*words, stderr=stderr, env=env)
    return done.returncode, bytes(shown)


class PromptProgressTest(program.ProgramTest):
    def test_a_long_prompt_shows_a_bar_that_goes_away(self):
        for command in ("run", PROMPT), ("chat", "--once", PROMPT):
            code, shown = on_terminal(*command, *SLOW)
            self.assertEqual(code, 0, shown)
            self.assertIn(BAR, shown)
            self.assertRegex(shown, rb"\] prompt  \d+/\d+ tokens  [\d.]+ tok/s  ETA ")
            # The last bar is erased before anything else is said.
            behind = shown.rpartition(b"\r\x1b[K")[2]
            self.assertRegex(behind, rb"^(seed \d+\r\n)?1 token, TTFT ")

    def test_no_bar_where_it_is_not_wanted(self):
        for flags, env in ((("--no-progress",), None), ((), {"NO_COLOR": "1"})):
            code, shown = on_terminal("run", PROMPT, *SLOW, *flags, env=env)
            self.assertEqual(code, 0, shown)
            self.assertNotIn(b"\x1b", shown)
        piped = program.run("run", PROMPT, *SLOW)
        self.assertEqual(piped.returncode, 0, piped.stderr)
        self.assertNotIn(b"\x1b", piped.stderr)


class LoadingProgressTest(program.ProgramTest):
    """`serve` is halted while it loads: loading of a second or less is not told of."""

    QUIET_S = 1

    def halted(self, process, url):
        """Whether `process` was halted before its weights were there."""
        deadline = time.monotonic() + program.TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                answer = oai.ask(url, "/startupz")
            except OSError:  # its port is not open yet
                continue
            if answer.status == 200:
                return False
            if answer.body.startswith(b"weights: loading"):
                process.send_signal(signal.SIGSTOP)
                return True
        self.fail("it neither loads nor serves")

    def serve_halted(self, stderr, *flags):
        """Serves after a halt; false if that came too late."""
        listen = [f"127.0.0.1:{free_port()}"] + ["127.0.0.1:0"] * 3
        words = [word for pair in zip(PORT_FLAGS, listen) for word in pair]
        process = program.start("serve", *words, *flags, stderr=stderr)
        try:
            url = f"http://{listen[0]}"
            if not self.halted(process, url):
                return False
            over = time.monotonic() + 1.5 * self.QUIET_S
            eventually(lambda: time.monotonic() > over, "the time without progress is over")
            process.send_signal(signal.SIGCONT)
            return eventually(lambda: oai.ask(url, "/startupz").status == 200, "it serves")
        finally:
            process.kill()
            process.communicate()

    def shown(self, *flags):
        """What a start that was halted in time wrote to a terminal."""

        def attempt():
            with terminal() as (stderr, shown):
                in_time = self.serve_halted(stderr, *flags)
            return in_time and bytes(shown)

        return eventually(attempt, "a start is halted while it loads")

    def test_a_terminal_has_a_bar_that_goes_away(self):
        shown = self.shown()
        self.assertRegex(shown, rb"\r\x1b\[K\[[#.]{24}\] loading layer \d+/\d+  " + AMOUNTS)
        self.assertRegex(shown.rpartition(CLEARED)[2], rb"^serving ")
        self.assertNotIn(b"loading", self.shown("--no-progress"))

    def test_elsewhere_there_are_lines(self):
        def attempt():
            with tempfile.TemporaryFile() as stderr:
                in_time = self.serve_halted(stderr)
                stderr.seek(0)
                return in_time and stderr.read()

        said = eventually(attempt, "a start is halted while it loads")
        self.assertRegex(said, rb"(?m)^loading layer \d+/\d+  " + AMOUNTS)
        self.assertNotIn(b"\x1b", said)


if __name__ == "__main__":
    unittest.main()
