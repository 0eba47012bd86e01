#!/usr/bin/env python3
"""`troupe run`: streaming, seeds, layouts, prompts good and bad, closed pipes and Ctrl-C."""

import os
import re
import signal
import unittest

from tests.support import program

PROMPT = "In the beginning God created the heaven and the"
USAGE_LINE = re.compile(rb"^(\d+) tokens?, TTFT \d+\.\d\d s, \d+(\.\d)? tok/s$", re.M)
GREEDY = ("--temperature", 0, "--max-tokens", 12)


class AnswerTest(program.ProgramTest):
    def test_prints_text_and_a_usage_line(self):
        done = program.run("run", *GREEDY, PROMPT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout.decode(), r"^ earth[\s\S]*\n\Z")
        lines = done.stderr.splitlines()
        self.assertEqual(USAGE_LINE.match(lines[-1]).group(1), b"12")
        self.assertNotIn(b"seed", done.stderr)  # greedy draws nothing

    def test_a_drawn_seed_is_printed_and_reproduces(self):
        first = program.run("run", "--max-tokens", 12, PROMPT)
        seed = re.search(rb"^seed (\d+)$", first.stderr, re.M).group(1).decode()
        again = program.run("run", "--max-tokens", 12, "--seed", seed, PROMPT)
        self.assertEqual(first.stdout, again.stdout)
        self.assertNotIn(b"seed", again.stderr)
        texts = {self.succeeds("run", "--max-tokens", 12, "--seed", s, PROMPT) for s in range(4)}
        self.assertGreater(len(texts), 1)

    def test_layouts_threads_and_chunks_give_the_same_text(self):
        plain = ("run", "--seed", 5, "--max-tokens", 10, PROMPT)
        expected = self.succeeds(*plain)
        for flags in (
            ("--layout", "experts=3,attention=2,routers=2"),
            ("--layout", "experts=8"),
            ("--threads", 1, "--chunk", 3),
            ("--weights", "copied"),
            ("--weights", "copied", "--layout", "processes:experts=2"),
        ):
            self.assertEqual(self.succeeds(*plain, *flags), expected, flags)

    def test_prompt_by_file_and_standard_input(self):
        expected = self.succeeds("run", *GREEDY, PROMPT)
        file = self.file("prompt.txt", PROMPT)
        self.assertEqual(self.succeeds("run", *GREEDY, "--prompt-file", file), expected)
        self.assertEqual(self.succeeds("run", *GREEDY, "-", stdin=PROMPT.encode()), expected)
        self.assertEqual(self.succeeds("run", *GREEDY, stdin=PROMPT.encode()), expected)

    def test_runs_from_any_directory(self):
        done = program.run("run", *GREEDY, PROMPT, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_logit_bias_bans_and_ignore_eos_goes_on(self):
        command = ("run", *GREEDY, "--output-ids", PROMPT)
        free = self.succeeds(*command).split()
        self.assertEqual(len(free), 12)
        banned = self.succeeds(*command, f"--logit-bias={free[0]}=-100").split()
        self.assertNotEqual(banned[0], free[0])
        ids = self.succeeds(*command, "--max-tokens", 60, "--ignore-eos").split()
        self.assertEqual(len(ids), 60)

    def test_ids_without_a_tokenizer(self):
        model = os.path.join(program.GOLDENS, "v3-mini", "model")
        ids = self.succeeds("run", "--model", model, "--ids", "0,5,6", *GREEDY).split()
        self.assertEqual(len(ids), 12)
        self.assertTrue(all(0 <= int(i) < 320 for i in ids), ids)
        self.fails(program.MODEL, 4005, ["tokenizer", "--ids"], "run", "--model", model, "text")


class BadPromptTest(program.ProgramTest):
    def test_no_prompt(self):
        self.fails(program.USAGE, 1004, "no prompt", "run")
        self.fails(program.USAGE, 1004, "Leave one out", "run", "text", "--prompt-file", "f")
        self.fails(program.USAGE, 1005, "--ids", "run", "text", "--ids", "1")

    def test_not_utf8(self):
        for bad in (b"abc\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ab\xe2\x82"):
            at = f"byte {max(i for i in range(len(bad)) if all(b < 128 for b in bad[:i]))}"
            self.fails(program.USAGE, 1101, ["UTF-8", at], "run", "-", stdin=bad)
        self.fails(program.USAGE, 1101, "UTF-8", "run", b"caf\xe9")

    def test_ten_megabytes_are_refused_at_once(self):
        file = self.file("long.txt", b"In the beginning. " * (10_000_000 // 18))
        self.fails(
            program.USAGE, 1102, ["context is 4096", "Shorten"], "run", "--prompt-file", file
        )

    def test_a_little_too_long(self):
        text = " word" * 5000
        self.fails(program.USAGE, 1102, "context is 4096", "run", "-", stdin=text.encode())
        self.fails(
            program.USAGE, 1102, ["4096", "--max-tokens can be"], "run", "x", "--max-tokens", 4096
        )

    def test_prompt_file_missing(self):
        self.fails(program.USAGE, 1103, "nowhere.txt", "run", "--prompt-file", "nowhere.txt")
        self.fails(program.USAGE, 1103, self.folder, "run", "--prompt-file", self.folder)

    def test_ids_out_of_range(self):
        self.fails(program.USAGE, 1104, ["4224", "4223"], "run", "--ids", "0,4224")
        self.fails(program.USAGE, 1104, "4223", "run", "x", "--logit-bias", "9999=1")

    def test_more_shards_than_experts(self):
        self.fails(program.USAGE, 1105, ["33", "32"], "run", "x", "--layout", "experts=33")


class PipeTest(program.ProgramTest):
    LONG = ("run", "--seed", 1, "--max-tokens", 3000, "--ignore-eos", PROMPT)

    def test_streams_before_the_end(self):
        child = program.start(*self.LONG)
        try:
            self.assertNotEqual(os.read(child.stdout.fileno(), 1), b"")
            self.assertIsNone(child.poll())  # far from its 3000 tokens
        finally:
            child.kill()
            child.communicate()

    def test_a_reader_that_leaves_ends_it_quietly(self):
        child = program.start(*self.LONG)
        os.read(child.stdout.fileno(), 1)
        child.stdout.close()
        child.stdout = None
        _, stderr = child.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(child.returncode, 0, stderr)
        said = [line for line in stderr.splitlines() if not line.startswith(b"loading layer")]
        self.assertEqual(said, [])  # a slow machine is told how far loading is

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = program.run("run", *GREEDY, PROMPT, stdout=full)
        self.assertEqual(done.returncode, program.FAILURE, done.stderr)
        self.assertIn(b"[TROUPE-9001]", done.stderr)

    def test_a_full_disk_is_an_error_for_help_too(self):
        for words in (["--help"], ["version"], ["model", "inspect", program.TINY]):
            with open("/dev/full", "wb") as full:
                done = program.run(*words, stdout=full)
            self.assertEqual(done.returncode, program.FAILURE, done.stderr)
            self.assertIn(b"[TROUPE-9001]", done.stderr)

    def test_a_closed_stdout_is_not_mistaken_for_a_file_of_ours(self):
        done = program.run("run", *GREEDY, PROMPT, stdout=None, preexec_fn=lambda: os.close(1))
        self.assertEqual(done.returncode, program.FAILURE, done.stderr)
        self.assertIn(b"Bad file descriptor", done.stderr)

    def test_a_closed_stdin_is_an_error(self):
        # The constructor of a library opens a descriptor, which must not become our input.
        done = program.run("run", stdin=None, preexec_fn=lambda: os.close(0))
        self.assertEqual(done.returncode, program.USAGE, done.stderr)
        self.assertIn(b"standard input: Bad file descriptor", done.stderr)

    def test_interrupt_stops_and_says_130(self):
        child = program.start(*self.LONG)
        os.read(child.stdout.fileno(), 1)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(child.returncode, program.INTERRUPTED, stderr)
        self.assertTrue(stdout.endswith(b"\n"))
        self.assertIn(b"interrupted", stderr)


if __name__ == "__main__":
    unittest.main()
