#!/usr/bin/env python3
"""`troupe batch`: answers, errors of lines, going on after kills without repeating or losing."""

import fcntl
import json
import os
import re
import signal
import threading
import unittest

from tests.support import grpc_client, openai_client, poll_until, program, pty_program
from tests.support.http_stand_in import Server

QUESTIONS = {"lighthouse": "shoals", "doctor": "medical"}
EVERY_PARAMETER = {
    "temperature": 1.1, "top_p": 0.9, "top_k": 30, "min_p": 0.01, "frequency_penalty": 0.3,
    "presence_penalty": -0.7, "repetition_penalty": 1.05, "seed": 2**64 - 3, "n": 2,
    "max_tokens": 20, "min_tokens": 5, "ignore_eos": True, "stop": ["qq"], "stop_token_ids": [9],
    "logit_bias": {"77": 4.5, "5": -100}, "logprobs": True, "top_logprobs": 3,
    "prompt_logprobs": 2, "return_token_ids": True,
}


def line(custom_id, body=None, **members):
    """One line of a batch file."""
    body = {"messages": [{"role": "user", "content": "What is a doctor?"}], "max_tokens": 4} | (
        body or {}
    )
    url = "/v1/chat/completions"
    whole = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
    return json.dumps(whole | members)


def completion(number, body):
    """A server's answer that says what it was asked."""
    usage = {"completion_tokens": 2}
    return 200, {"X-Request-Id": f"req-{number}"}, {"echo": body["messages"], "usage": usage}


class BatchTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.out = self.path("out.jsonl")

    def input(self, *lines):
        return self.file("in.jsonl", "".join(f"{one}\n" for one in lines))

    def server(self, answers=completion):
        server = Server(answers)
        self.addCleanup(server.close)
        return server

    def answers(self):
        """Output lines by custom_id (or id)."""
        with open(self.out, encoding="utf-8") as file:
            lines = [json.loads(one) for one in file]
        found = {one["custom_id"] or one["id"]: one for one in lines}
        self.assertEqual(len(found), len(lines), "no line is answered twice")
        return found

    def test_a_model_here_answers_as_over_http(self):
        bodies = {
            name: {
                "messages": [{"role": "user", "content": f"What is a {name}?"}],
                "temperature": 0,
            }
            for name in QUESTIONS
        }
        lines = [line(name, {"max_tokens": 40, **body}) for name, body in bodies.items()]
        text = {"prompt": "In the beginning", "max_tokens": 3, "temperature": 0}
        lines.append(json.dumps({"custom_id": "text", "method": "POST", "url": "/v1/completions",
                                 "body": text}))
        lines.append(line("every", EVERY_PARAMETER))
        source = self.input(*lines)
        self.succeeds("batch", source, self.out)
        here = self.answers()
        self.assertEqual(set(here), {*QUESTIONS, "text", "every"})
        for name, word in QUESTIONS.items():
            response = here[name]["response"]
            self.assertEqual((response["status_code"], here[name]["error"]), (200, None))
            self.assertIn(word, response["body"]["choices"][0]["message"]["content"])
            self.assertRegex(response["request_id"], r"^req-")
        served = grpc_client.Served()
        self.addCleanup(served.stop)
        os.remove(self.out)
        self.succeeds("batch", source, self.out, "--url", served.url, "--parallel", 2)
        there = self.answers()
        for name in here:
            choices = [one[name]["response"]["body"]["choices"] for one in (here, there)]
            self.assertEqual(choices[0], choices[1])
        body = json.loads(lines[-1])["body"]
        asked = openai_client.ask(served.url, "/v1/chat/completions", body).json
        self.assertEqual(here["every"]["response"]["body"]["choices"], asked["choices"])

    def test_the_server_gets_the_body_as_it_stands(self):
        server = self.server()
        source = self.input(line("every", EVERY_PARAMETER))
        self.succeeds("batch", source, self.out, "--url", server.url)
        (_, body, _), = server.asked
        with open(source, encoding="utf-8") as file:
            self.assertEqual(body, json.load(file)["body"])

    def test_bad_lines_become_errors_and_the_rest_is_answered(self):
        server = self.server()
        bad = {
            2: ("{broken", "line 2"),
            3: (json.dumps({"method": "POST"}), "custom_id"),
            4: (line("get", method="GET"), "method"),
            5: (line("path", url="/v1/nothing"), "url"),
            7: (line("stream", {"stream": True}), "stream"),
            8: (line("text").replace('"body": {', '"bod": {'), "body"),
        }
        lines = [bad[i][0] if i in bad else line(f"ok-{i}") for i in range(1, 10)]
        lines[5] = ""  # line 6: blank lines count and are left out
        message = self.fails(program.FAILURE, 9003, "6 of 8", "batch", self.input(*lines), self.out,
                             "--url", server.url)
        self.assertIn("out.jsonl", message)
        found = {one["id"]: one for one in self.answers().values()}
        self.assertEqual(sorted(found), [f"batch_req_{i}" for i in (1, 2, 3, 4, 5, 7, 8, 9)])
        for number, (_, word) in bad.items():
            one = found[f"batch_req_{number}"]
            self.assertIsNone(one["response"])
            self.assertEqual(one["error"]["code"], "invalid_line")
            self.assertIn(word, one["error"]["message"])
        self.assertEqual(len(server.asked), 2)

    def test_a_refusal_is_an_answer_that_counts_as_failed(self):
        refusal = {"error": {"message": "no", "code": "invalid_value"}}
        server = self.server(lambda number, body: (400, {"X-Request-Id": "req-7"}, refusal))
        words = ("batch", self.input(line("a")), self.out, "--url", server.url)
        self.fails(program.FAILURE, 9003, "1 of 1", *words)
        response = self.answers()["a"]["response"]
        self.assertEqual(response, {"status_code": 400, "request_id": "req-7", "body": refusal})
        self.fails(program.FAILURE, 9003, "1 of 1", *words)  # still failed, not asked again
        self.assertEqual(len(server.asked), 1)

    def test_an_answer_that_is_no_json(self):
        server = self.server(lambda number, body: (200, {}, b"<html>"))
        words = ("batch", self.input(line("a")), self.out, "--url", server.url)
        self.fails(program.FAILURE, 9003, "1 of 1", *words)
        self.assertEqual(self.answers()["a"]["error"]["code"], "invalid_response")

    def test_the_same_custom_id_twice_is_refused_before_anything_is_asked(self):
        server = self.server()
        source = self.input(line("a"), line("b"), line("a"))
        self.fails(program.USAGE, 1103, ["line 3", "line 1"], "batch", source, self.out,
                   "--url", server.url)
        self.assertEqual(server.asked, [])
        self.assertFalse(os.path.exists(self.out))

    def test_goes_on_after_kills_without_repeating_or_losing_a_line(self):
        gate, opened = threading.Semaphore(0), threading.Event()

        def answers(number, body):
            if not opened.is_set():
                gate.acquire()
            return completion(number, body)

        def open_for_all():
            opened.set()
            gate.release(1000)

        server = self.server(answers)
        self.addCleanup(open_for_all)
        names = [f"line-{i}" for i in range(200)]
        source = self.input(*(line(name) for name in names))
        words = ("batch", source, self.out, "--url", server.url, "--parallel", 3)
        for _ in range(3):
            wanted = self.count() + 5  # so that this run has mended what the last one left
            run = program.start(*words)
            self.addCleanup(run.communicate)

            def five_more(wanted=wanted):
                gate.release()  # one answer; requests of killed runs take some, too
                return self.count() >= wanted

            poll_until.eventually(five_more, "five more lines")
            run.send_signal(signal.SIGKILL)
            run.wait()
            before = self.answers()
            with open(self.out, "a", encoding="utf-8") as file:
                file.write('{"id":"batch_req_2')  # what a torn write leaves
            self.assertLess(len(before), len(names))
        open_for_all()
        done = program.run(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"torn line", done.stderr)
        self.assertIn(b"200 of 200 lines answered", done.stderr)
        after = self.answers()
        self.assertEqual(set(after), set(names))
        for name, one in before.items():
            self.assertEqual(after[name], one)
        asked = len(server.asked)
        self.succeeds(*words)
        self.assertEqual(len(server.asked), asked, "nothing is left to ask")

    def count(self):
        if not os.path.exists(self.out):
            return 0
        with open(self.out, "rb") as file:
            return file.read().count(b"\n")

    def test_no_more_than_parallel_are_in_flight(self):
        state = {"now": 0, "most": 0}
        lock, full = threading.Lock(), threading.Barrier(3)

        def answers(number, body):
            with lock:
                state["now"] += 1
                state["most"] = max(state["most"], state["now"])
            full.wait(program.TIMEOUT_S)  # three are there at once, or it never goes on
            with lock:
                state["now"] -= 1
            return completion(number, body)

        server = self.server(answers)
        source = self.input(*(line(str(i)) for i in range(12)))
        self.succeeds("batch", source, self.out, "--url", server.url, "--parallel", 3)
        self.assertEqual(state["most"], 3)

    def test_asks_again_what_may_go_well_later(self):
        def answers(number, body):
            if number <= 2:
                return (429, 503)[number - 1], {"Retry-After": "1"}, {"error": {"message": "wait"}}
            return completion(number, body)

        server = self.server(answers)
        words = ("batch", self.input(line("a")), self.out, "--url", server.url)
        self.succeeds(*words, "--retries", 2, "--api-key", "secret")
        self.assertEqual(self.answers()["a"]["response"]["status_code"], 200)
        self.assertEqual({key for _, _, key in server.asked}, {"Bearer secret"})

    def test_stops_rather_than_write_a_failure_that_is_not_the_lines(self):
        busy = self.server(lambda number, body: (503, {}, {"error": {"message": "loading"}}))
        words = ("batch", self.input(line("a")), self.out, "--retries", 0)
        self.fails(program.TEMPORARY, 8001, "goes on", *words, "--url", busy.url)
        self.fails(program.CONNECTION, 5002, "goes on", *words, "--url", "127.0.0.1:1")
        self.assertEqual(self.count(), 0)
        self.succeeds(*words, "--url", self.server().url)
        self.assertEqual(set(self.answers()), {"a"})

    def test_interrupt_waits_for_what_is_in_flight(self):
        gate = threading.Event()

        def answers(number, body):
            gate.wait(program.TIMEOUT_S)
            return completion(number, body)

        server = self.server(answers)
        source = self.input(*(line(str(i)) for i in range(9)))
        run = program.start("batch", source, self.out, "--url", server.url, "--parallel", 2)
        poll_until.eventually(lambda: len(server.asked) == 2, "two are asked")
        run.send_signal(signal.SIGINT)
        poll_until.eventually(lambda: self.has_taken_signals(run.pid), "the signal is taken")
        gate.set()
        _, said = run.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(run.returncode, program.INTERRUPTED, said)
        self.assertIn(b"goes on where it stopped", said)
        self.assertEqual((self.count(), len(server.asked)), (2, 2))

    def test_a_terminal_shows_a_bar_with_the_tokens_a_second(self):
        lines = 50_000  # nobody answers so many before there is a bar
        source = self.input(*(line(str(i)) for i in range(lines)))
        words = ("batch", source, self.out, "--url", self.server().url)
        terminal = pty_program.Terminal(*words, columns=200)
        self.addCleanup(terminal.close)
        terminal.until(b" tok/s")
        terminal.until(b" ETA ")
        os.kill(terminal.child.pid, signal.SIGINT)
        terminal.until(b"goes on where it stopped")
        self.assertEqual(terminal.child.wait(program.TIMEOUT_S), program.INTERRUPTED)
        bar = r"\[[#.]{24}\] batch  (\d+) tok/s  (\d+)/50000 requests  ([\d.]+) requests/s  ETA "
        tokens, done, requests = map(float, re.search(bar, terminal.raw.decode()).groups())
        self.assertGreater(done, 0)
        # Each answer has two tokens; both speeds are of the same seconds, but for their start.
        self.assertAlmostEqual(tokens, 2 * requests, delta=2 + tokens / 5)

    @staticmethod
    def has_taken_signals(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            pending = [row.split()[1] for row in file if row.startswith(("SigPnd", "ShdPnd"))]
        return all(int(mask, 16) == 0 for mask in pending)

    def test_files_that_cannot_be_used(self):
        source = self.input(line("a"))
        self.fails(program.USAGE, 1103, "nowhere", "batch", "nowhere.jsonl", self.out)
        self.fails(program.USAGE, 1004, "OUT", "batch", source)
        for other in ('{"id":"batch_req_9","custom_id":"a","response":null}',
                      '{"id":"batch_req_1","custom_id":"b","response":null}', "no answer"):
            with open(self.out, "w", encoding="utf-8") as file:
                file.write(other + "\n")
            self.fails(program.USAGE, 1103, "line 1 is no answer of this batch",
                       "batch", source, self.out)
        os.remove(self.out)
        with open(self.out, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.fails(program.FAILURE, 9001, "another batch", "batch", source, self.out)
        self.fails(program.FAILURE, 9001, "no/where", "batch", source, "no/where.jsonl")


if __name__ == "__main__":
    unittest.main()
