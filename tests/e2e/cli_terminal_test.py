#!/usr/bin/env python3
"""What is drawn on a terminal, and only there: the progress of a long prompt."""

import os
import pty
import threading
import unittest

from tests.support import program

# One token per step of the slowest level: long enough for a bar wherever it runs.
SLOW = ("--level", "reference", "--threads", 1, "--chunk", 1, "--max-tokens", 1)
PROMPT = "In the beginning God created the heaven and the earth. " * 15
BAR = b"\r\x1b[K["


def on_terminal(*words, env=None):
    """Exit code and everything that `troupe WORDS` wrote to a terminal as stderr."""
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
    done = program.run(*words, stderr=theirs, env=env)
    os.close(theirs)
    reader.join()
    os.close(ours)
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


if __name__ == "__main__":
    unittest.main()
