#!/usr/bin/env python3
"""`troupe chat`: the bundled dictionary, templates, turns, Ctrl-C and Ctrl-D on a terminal."""

import json
import os
import shutil
import signal
import subprocess
import unittest

from tests.support import grpc_client, program, pty_program

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

    def talk(self, *lines, flags=("--temperature", 0)):
        """(answers, what stderr says) of a chat that goes well."""
        done = program.run("chat", *flags, stdin="\n".join(lines).encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode(), done.stderr.decode()

    def test_slash_commands(self):
        answers, said = self.talk(
            *("/help", "/sytem x", "/quit now", "/system Be brief."),
            *("What is a doctor?", "/quit", "never asked"),
        )
        self.assertEqual(answers.count("\n"), 1)
        words = ("/reset", "/set", "there is no /sytem. Did you mean /system?", "takes nothing")
        for text in words:
            self.assertIn(text, said)

    def test_set_changes_sampling_from_the_next_answer_on(self):
        ask = "What is a lighthouse?"
        answers, said = self.talk("/set max_tokens 2", ask, "/set", "/set max_tokens", ask)
        short, whole = answers.splitlines(keepends=True)
        self.assertEqual(whole, LIGHTHOUSE)
        self.assertTrue(whole.startswith(short.strip()) and len(short) < len(whole), answers)
        self.assertIn("\nmax_tokens 2\n", said)
        self.assertIn("keys: max_tokens, temperature, top_p", said)

    def test_set_refuses_and_changes_nothing(self):
        lines = ("/set temprature 1", "/set temperature 9", "/set nothing", "What is a doctor?")
        answers, said = self.talk(*lines)
        self.assertEqual(answers, DOCTOR)
        self.assertIn("temprature is nothing that can be set. Did you mean temperature?", said)
        self.assertIn("temperature takes", said)

    def test_retry_and_undo(self):
        lines = ("/retry", "/undo", "What is a doctor?", "/retry", "/undo", "What is a lighthouse?")
        answers, said = self.talk(*lines)
        self.assertEqual(answers, DOCTOR + DOCTOR + LIGHTHOUSE)  # as if nothing had been asked
        self.assertIn("there is no question yet", said)
        self.assertIn("there is nothing to take back", said)
        self.assertIn("took back: What is a doctor?", said)

    def test_a_retry_that_fails_leaves_the_answer_there(self):
        lines = ("What is a doctor?", "/set logit_bias 100000=1", "/retry")
        lines += ("/save " + self.path("c"),)
        done = program.run("chat", "--temperature", 0, stdin="\n".join(lines[:3]).encode())
        self.assertEqual(done.returncode, program.USAGE, done.stderr)
        terminal = pty_program.Terminal("chat", "--temperature", 0)
        self.addCleanup(terminal.close)
        for line, answer in zip(lines, (b"tok/s", b"> ", b"TROUPE-1104", b"saved")):
            terminal.until(b"> ") if answer != b"> " else None
            terminal.type(line.encode() + b"\n")
            terminal.until(answer)
        with open(self.path("c"), encoding="utf-8") as file:
            self.assertEqual(len(json.load(file)["messages"]), 2)

    def test_save_and_load(self):
        path = self.path("talk.json")
        lines = ("/system Be brief.", "What is a doctor?", f"/save {path}")
        _, said = self.talk(*lines)
        self.assertIn(f"saved 3 messages to {path}", said)
        with open(path, encoding="utf-8") as file:
            saved = json.load(file)["messages"]
        self.assertEqual([one["role"] for one in saved], ["system", "user", "assistant"])
        self.assertEqual(saved[2]["content"] + "\n", self.talk(*lines[:2])[0])
        went_on, said = self.talk(f"/load {path}", "Again?")
        self.assertIn("loaded 3 messages", said)
        both, _ = self.talk(*lines[:2], "Again?")
        self.assertEqual(went_on, both.splitlines(keepends=True)[-1])

    def test_files_that_cannot_be_used(self):
        broken = self.file("broken.json", '{"messages": [{"role": "user"}]}')
        lines = ("/save", "/load", "/load nowhere.json", f"/load {broken}", "/save no/where.json")
        answers, said = self.talk(*lines, "What is a doctor?")
        self.assertEqual(answers, DOCTOR)
        for words in ("needs a file", "nowhere.json", "messages[0]: content", "no/where.json"):
            self.assertIn(words, said)

    def test_stats(self):
        _, said = self.talk("/stats", "What is a doctor?", "/undo", "/stats")
        self.assertIn("0 messages; 0 answers of 0 tokens", said)
        self.assertRegex(said, r"0 messages; 1 answers of \d+ tokens to \d+ prompt tokens")


class TerminalTest(unittest.TestCase):
    def test_interrupt_stops_the_answer_only_and_end_of_input_leaves(self):
        self.talk()

    def test_an_answer_from_a_gateway_has_the_same_live_line(self):
        served = grpc_client.Served()
        self.addCleanup(served.stop)
        for url in (served.url, served.address):
            with self.subTest(url=url):
                self.talk("--url", url)

    def talk(self, *flags):
        """Interrupts an answer once its speed is shown, and leaves."""
        endless = ("--temperature", 0, "--ignore-eos", "--max-tokens", 3000)
        terminal = pty_program.Terminal("chat", *endless, *flags)
        self.addCleanup(terminal.close)
        terminal.until(b"> ")
        terminal.type(b"What is a doctor?\n")
        terminal.until(b"medical")
        while not terminal.live_lines():
            terminal.until(b" ")
        os.kill(terminal.child.pid, signal.SIGINT)
        terminal.until(b"interrupted")
        terminal.until(b"> ")
        os.kill(terminal.child.pid, signal.SIGINT)  # at the prompt
        terminal.until(b"leaves")
        terminal.until(b"> ")
        terminal.type(b"\x04")
        self.assertEqual(terminal.child.wait(program.TIMEOUT_S), 0)
        for row, words in terminal.live_lines():
            self.assertEqual(row, 24)
            self.assertRegex(words, r"^\d+ tokens, [\d.]+ tok/s; Ctrl-C stops the answer$")
        # The row that was taken was given back, and only while an answer runs it is taken.
        taken, given = terminal.raw.count(b"\x1b[1;23r"), terminal.raw.count(b"\x1b[r")
        self.assertEqual((taken, given), (1, 1))

    def test_no_live_line_where_it_is_not_wanted(self):
        for flags, env in ((("--no-progress",), {}), ((), {"NO_COLOR": "1"})):
            words = ("chat", "--temperature", 0, *flags)
            terminal = pty_program.Terminal(*words, env=env)
            self.addCleanup(terminal.close)
            terminal.until(b"> ")
            terminal.type(b"What is a doctor?\n")
            terminal.until(b"tok/s")
            self.assertNotIn(b"\x1b", terminal.raw)


if __name__ == "__main__":
    unittest.main()
