"""`troupe` on a pseudo terminal: what is typed, and what is seen."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios

from tests.support import program

# What moves the cursor, colours or clears; and saving, restoring, going down.
_CONTROLS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[78D]")
# A whole showing of the line at the bottom: saved, drawn, restored.
_LIVE = re.compile(rb"\x1b7\x1b\[(\d+);1H\x1b\[2K\x1b\[2m([^\x1b]*)\x1b\[0m\x1b8")


class Terminal:
    """A running `troupe WORDS` whose three streams are one terminal of `rows` rows."""

    def __init__(self, *words, rows=24, columns=100, env=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.child = subprocess.Popen(
            [program.binary(), *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=program.environment({"TERM": "xterm", **(env or {})}),
            start_new_session=True,
        )
        os.close(slave)
        self.raw = b""  # everything
        self._read_up_to = 0

    def _text(self):
        """What stands on the terminal, without the line at the bottom and without controls."""
        shown = self.raw
        if shown.rfind(b"\x1b7") > shown.rfind(b"\x1b8"):  # half of a showing
            shown = shown[: shown.rfind(b"\x1b7")]
        return _CONTROLS.sub(b"", _LIVE.sub(b"", shown))

    def live_lines(self):
        """(row, words) of every showing of the line at the bottom."""
        return [(int(row), words.decode()) for row, words in _LIVE.findall(self.raw)]

    def until(self, text):
        """Reads on until `text` has appeared after what was read before; gives what was between."""
        while text not in self._text()[self._read_up_to :]:
            ready, _, _ = select.select([self.master], [], [], program.TIMEOUT_S)
            if not ready:
                raise AssertionError(f"no {text!r} in {self._text()[self._read_up_to :]!r}")
            self.raw += os.read(self.master, 4096)
        seen = self._text()
        begin, end = self._read_up_to, seen.index(text, self._read_up_to)
        self._read_up_to = end + len(text)
        return seen[begin:end]

    def type(self, data):
        os.write(self.master, data)

    def close(self):
        os.close(self.master)
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
