"""Runs `troupe` as a user would and keeps what it says."""

import os
import re
import subprocess
import tempfile
import unittest

from tests.support.patience import patient

SOURCE = os.environ["TROUPE_SOURCE_DIR"]
TINY = os.path.join(SOURCE, "examples", "troupe-tiny")
GOLDENS = os.path.join(SOURCE, "tests", "goldens")
TIMEOUT_S = patient(300)

OK, FAILURE, USAGE, CONFIG, MODEL, CONNECTION, RESOURCE = 0, 1, 2, 3, 4, 5, 6
TIMED_OUT, TEMPORARY, INTERRUPTED, TERMINATED = 7, 75, 130, 143
FAULT = re.compile(r"\[TROUPE-(\d{4})\]\n\Z")


def binary():
    """The program under test."""
    return os.environ["TROUPE_BIN"]


def has_sanitizer():
    """Whether the program was built with one; these reserve terabytes of address space."""
    with open(binary(), "rb") as file:
        content = file.read()
    return b"__asan_" in content or b"__tsan_" in content


def environment(extra=None):
    """The environment without anybody's TROUPE_ variables, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TROUPE_") and k != "NO_COLOR"}
    return {**kept, **(extra or {})}


def run(*words, stdin=b"", env=None, timeout=TIMEOUT_S, **options):
    """A finished `troupe WORDS`; `stdout` and `stderr` are bytes."""
    command = [binary(), *(w if isinstance(w, bytes) else str(w) for w in words)]
    if "stdin" not in options and not hasattr(stdin, "fileno"):
        options["input"] = stdin
    return subprocess.run(
        command,
        env=environment(env),
        timeout=timeout,
        check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def start(*words, env=None, within=(), **options):
    """A running `troupe WORDS` with pipes; `within`: words in front of it."""
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    command = [*within, binary(), *map(str, words)]
    return subprocess.Popen(command, env=environment(env), **{**pipes, **options})


class ProgramTest(unittest.TestCase):
    """Assertions about runs, and a folder that goes away."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="troupe-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, content):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def succeeds(self, *words, **options):
        """stdout as text of a run that ends with 0."""
        done = run(*words, **options)
        self.assertEqual(done.returncode, OK, done.stderr.decode(errors="replace"))
        return done.stdout.decode()

    def fails(self, code, fault, says, *words, **options):
        """Checks exit code, error number and words of the message; gives back the message."""
        done = run(*words, **options)
        message = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, f"{words}: {message}")
        self.assertIn("error: ", message)
        number = FAULT.search(message)
        self.assertIsNotNone(number, message)
        self.assertEqual(int(number.group(1)), fault, message)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, message)
        return message
