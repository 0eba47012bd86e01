#!/usr/bin/env python3
"""`troupe bench serve`: closed and open loop against a running gateway, over gRPC and over HTTP."""

import json
import signal
import unittest

from tests.support import grpc_client, poll_until, program

FIGURES = (
    "time_to_first_token_s",
    "inter_token_latency_s",
    "time_per_output_token_s",
    "request_s",
)


class BenchServeTest(program.ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.served = grpc_client.Served()
        cls.addClassCleanup(cls.served.stop)

    def bench(self, *flags, url=None):
        return ("bench", "serve", "--url", url or self.served.address, *flags)

    def measured(self, *flags, url=None):
        """The JSON of a run that went well."""
        return json.loads(self.succeeds(*self.bench(*flags, "-o", "json", url=url)))

    def check(self, found, requests, tokens):
        self.assertEqual((found["completed"], found["failed"], found["not_sent"]), (requests, 0, 0))
        self.assertEqual(found["generated_tokens"], requests * tokens)
        self.assertGreater(found["generated_tokens_per_s"], 0)
        for name in FIGURES:
            one = found[name]
            self.assertGreater(one["p50"], 0, name)
            self.assertTrue(one["p50"] <= one["p90"] <= one["p99"] <= one["max"], found)
        self.assertEqual(found["request_s"]["count"], requests)

    def test_closed_loop(self):
        found = self.measured(
            *("--clients", 3, "--requests", 7, "--warmup", 1),
            *("--prompt-tokens", "4:9", "--max-tokens", 5),
        )
        self.check(found, 7, 5)
        self.assertTrue(7 * 4 <= found["prompt_tokens"] <= 7 * 9, found)
        self.assertEqual(found["settings"]["closed loop, clients"], "3")

    def test_open_loop_sends_all_arrivals(self):
        found = self.measured("--rate", 200, "--requests", 9, "--max-tokens", 4)
        self.check(found, 9, 4)
        self.assertEqual(found["prompt_tokens"], 9 * 128)

    def test_open_loop_counts_what_it_did_not_send(self):
        flags = ("--rate", 100000, "--requests", 40, "--max-tokens", 64, "--in-flight-max", 1)
        found = self.measured(*flags)
        self.assertGreater(found["not_sent"], 0)
        self.assertEqual(found["completed"] + found["not_sent"], 40)

    def test_the_same_seed_gives_the_same_prompts(self):
        flags = ("--requests", 5, "--warmup", 0, "--prompt-tokens", "1:200", "--max-tokens", 1)
        first, again = self.measured(*flags, "--seed", 7), self.measured(*flags, "--seed", 7)
        self.assertEqual(first["prompt_tokens"], again["prompt_tokens"])
        other = self.measured(*flags, "--seed", 8)
        self.assertNotEqual(first["prompt_tokens"], other["prompt_tokens"])

    def test_table(self):
        table = self.succeeds(*self.bench("--requests", 3, "--max-tokens", 2))
        for words in ("3 completed", "time to first token", "p99", "tok/s"):
            self.assertIn(words, table)

    def test_over_http(self):
        flags = ("--api", "openai", "--clients", 2, "--requests", 4, "--max-tokens", 5)
        self.check(self.measured(*flags, url=self.served.url), 4, 5)
        self.fails(
            *(program.MODEL, 4001, "troupe-tiny"),
            *self.bench("--api", "openai", "--model", "other", url=self.served.url),
        )

    def test_what_cannot_be_measured(self):
        self.fails(program.USAGE, 1004, "--url", "bench", "serve")
        self.fails(program.USAGE, 1005, "--rate", *self.bench("--rate", 1, "--clients", 1))
        self.fails(program.USAGE, 1003, "MIN:MAX", *self.bench("--prompt-tokens", "9:4"))
        self.fails(program.USAGE, 1102, "4096", *self.bench("--prompt-tokens", 5000))
        self.fails(program.MODEL, 4001, "other", *self.bench("--model", "other"))
        for api in "grpc", "openai":
            nobody = self.bench("--api", api, url="127.0.0.1:1")
            self.fails(program.CONNECTION, 5002, "127.0.0.1:1", *nobody)

    def test_failed_requests_are_told_and_counted(self):
        served = grpc_client.Served()
        self.addCleanup(served.stop)
        flags = ("--requests", 300, "--clients", 2, "--max-tokens", 50, "-o", "json")
        bench = program.start(*self.bench(*flags, url=served.address))
        self.addCleanup(bench.communicate)
        self.addCleanup(bench.kill)
        poll_until.eventually(lambda: b"load" in bench.stderr.readline(), "progress is shown")
        served.process.kill()
        out, err = bench.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(bench.returncode, program.FAILURE, err)
        found = json.loads(out)
        self.assertGreater(found["failed"], 0)
        self.assertEqual(sum(found["failures"].values()), found["failed"])

    def test_interrupt_ends_it_with_what_it_has(self):
        flags = ("--requests", 300, "--warmup", 0, "--max-tokens", 50, "-o", "json")
        bench = program.start(*self.bench(*flags))
        self.addCleanup(bench.kill)
        poll_until.eventually(lambda: b"load" in bench.stderr.readline(), "progress is shown")
        bench.send_signal(signal.SIGINT)
        out, _ = bench.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(bench.returncode, program.INTERRUPTED)
        self.assertEqual(json.loads(out)["failed"], 0)


if __name__ == "__main__":
    unittest.main()
