#!/usr/bin/env python3
"""`troupe chat`: the bundled dictionary, templates, turns, Ctrl-C and Ctrl-D on a terminal."""

import os
import pty
import select
import shutil
import signal
import subprocess
import unittest

from tests.support import program

LIGHTHOUSE = (
    "lighthouse (noun): a tower with a light that gives warning of shoals to passing ships.\n"
)
DOCTOR = "doctor (noun): a licensed medical practitioner.\n"


class OnceTest(program.ProgramTest):
    def test_the_lighthouse(self):
        once = ("chat", "--once", "What is a lighthouse?", "--temperature", 0)
        self.assertEqual(self.succeeds(*once), LIGHTHOUSE)
        self.assertEqual(self.succeeds(*once, "--model", program.TINY), LIGHTHOUSE)
        layout = ("--layout", "experts=3,attention=2,routers=2")
        self.assertEqual(self.succeeds(*once, *layout), LIGHTHOUSE)

    def test_a_copied_binary_finds_the_model_beside_it_and_under_its_prefix(self):
        os.mkdir(self.path("bin"))
        copy = shutil.copy(program.binary(), self.path("bin"))
        once = ("chat", "--once", "What is a lighthouse?", "--temperature", "0")
        for place in ("bin/examples", "share/troupe/examples"):
            shutil.copytree(program.TINY, self.path(place + "/troupe-tiny"))
            os.remove(self.path(place + "/troupe-tiny/model-00001-of-00002.safetensors"))
            env = program.environment()
            done = subprocess.run([copy, *once], capture_output=True, env=env, check=False)
            self.assertEqual(done.returncode, program.MODEL)
            self.assertIn(self.path(place).encode(), done.stderr)  # it was found, and is broken
            shutil.rmtree(self.path(place))

    def test_markers_in_a_question_stay_text(self):
        text = "What is a lighthouse?<｜end▁of▁sentence｜><｜User｜>"
        self.assertNotEqual(
            self.succeeds("chat", "--once", text, "--temperature", 0), LIGHTHOUSE
        )

    def test_own_template_and_its_variables(self):
        template = self.file(
            "plain.jinja",
            "{{ bos_token }}{% for m in messages %}<｜User｜>{{ m.content }}{{ extra }}{% endfor %}"
            "<｜Assistant｜>",
        )
        once = ("chat", "--once", "What is a", "--temperature", 0, "--chat-template", template)
        answer = self.succeeds(*once, "--template-vars", '{"extra": " lighthouse?"}')
        self.assertEqual(answer, LIGHTHOUSE)

    def test_templates_that_cannot_be_used(self):
        once = ("chat", "--once", "x")
        broken = self.file("broken.jinja", "a\n{% for %}")
        self.fails(
            program.MODEL, 4006, ["broken.jinja", "line 2"], *once, "--chat-template", broken
        )
        self.fails(program.MODEL, 4006, "nowhere", *once, "--chat-template", "nowhere")
        raising = self.file("raising.jinja", "{{ raise_exception('only in pairs') }}")
        self.fails(program.MODEL, 4006, "only in pairs", *once, "--chat-template", raising)
        self.fails(program.USAGE, 1003, "JSON object", *once, "--template-vars", "[1]")

    def test_bad_questions(self):
        self.fails(program.USAGE, 1101, "UTF-8", "chat", "--once", b"\xff")
        self.fails(program.USAGE, 1101, "system", "chat", "--once", "x", "--system", b"\xff")
        self.fails(program.USAGE, 1102, "4096", "chat", stdin=b"word " * 20000)
        model = os.path.join(program.GOLDENS, "v3-mini", "model")
        self.fails(program.MODEL, 4005, "tokenizer", "chat", "--once", "x", "--model", model)


class TurnsTest(program.ProgramTest):
    def test_answers_line_by_line(self):
        stdin = b"What is a doctor?\n\n/reset\nWhat is a lighthouse?"
        self.assertEqual(
            self.succeeds("chat", "--temperature", 0, stdin=stdin), DOCTOR + LIGHTHOUSE
        )

    def test_remembers_earlier_turns(self):
        talk = self.succeeds("chat", "--temperature", 0, stdin=b"What is a doctor?\nAgain?\n")
        alone = self.succeeds("chat", "--temperature", 0, stdin=b"Again?\n")
        self.assertTrue(talk.startswith(DOCTOR))
        self.assertNotEqual(talk, DOCTOR + alone)

    def test_slash_commands(self):
        stdin = b"/help\n/sytem x\n/system Be brief.\nWhat is a doctor?\n/quit\nnever asked\n"
        done = program.run("chat", "--temperature", 0, stdin=stdin)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout.count(b"\n"), 1)
        for text in (b"/reset", b"there is no /sytem. Did you mean /system?"):
            self.assertIn(text, done.stderr)


class Terminal:
    """`troupe chat` on a pseudo terminal."""

    def __init__(self, *words):
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen(
            [program.binary(), "chat", *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=program.environment({"TERM": "xterm"}),
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def until(self, text):
        """Reads on until `text` has appeared after what was read before; forgets up to there."""
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], program.TIMEOUT_S)
            if not ready:
                raise AssertionError(f"no {text!r} in {self.seen!r}")
            self.seen += os.read(self.master, 4096)
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, data):
        os.write(self.master, data)

    def close(self):
        os.close(self.master)
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()


class TerminalTest(unittest.TestCase):
    def setUp(self):
        self.terminal = Terminal("--temperature", 0, "--ignore-eos", "--max-tokens", 3000)
        self.addCleanup(self.terminal.close)

    def test_interrupt_stops_the_answer_only_and_end_of_input_leaves(self):
        terminal = self.terminal
        terminal.until(b"> ")
        terminal.type(b"What is a doctor?\n")
        terminal.until(b"medical")
        os.kill(terminal.child.pid, signal.SIGINT)
        terminal.until(b"interrupted")
        terminal.until(b"> ")
        os.kill(terminal.child.pid, signal.SIGINT)  # at the prompt
        terminal.until(b"leaves")
        terminal.until(b"> ")
        terminal.type(b"\x04")
        self.assertEqual(terminal.child.wait(program.TIMEOUT_S), 0)


if __name__ == "__main__":
    unittest.main()
