#!/usr/bin/env python3
"""What `troupe bench serve` sends, counted by a stand-in: how many at once, when by the seed."""

import json
import math
import time
import unittest

from tests.support import completion_server, program

_BITS = (1 << 64) - 1


def mix64(x):
    """SplitMix64, as core/mix64.hpp has it."""
    x = (x + 0x9E3779B97F4A7C15) & _BITS
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _BITS
    return x ^ (x >> 31)


def arrivals(seed, rate, count):
    """Seconds at which the requests of an open loop are due: exponential gaps of the seed."""
    state = mix64(mix64(seed) ^ (_BITS - 1))  # the stream of arrivals
    now = 0.0
    for i in range(count):
        unit = (mix64((state + i) & _BITS) >> 11) * 2.0**-53
        now -= math.log1p(-unit) / rate
        yield now


class BenchLoadTest(program.ProgramTest):
    def serve(self, **options):
        server = completion_server.CompletionServer(**options)
        self.addCleanup(server.close)
        return server

    def bench(self, server, *flags):
        words = ("bench", "serve", "--api", "openai", "--url", server.url, "-o", "json")
        shape = ("--prompt-tokens", "4:9", "--max-tokens", 3)
        return json.loads(self.succeeds(*words, *shape, *flags))

    def test_a_closed_loop_has_as_many_requests_open_as_clients(self):
        server = self.serve(round_size=4)  # with fewer than four at once nothing is answered
        found = self.bench(server, "--clients", 4, "--requests", 20, "--warmup", 8)
        self.assertEqual(server.open_most, 4)
        self.assertEqual(len(server.prompts), 28)
        self.assertEqual((found["completed"], found["failed"]), (20, 0))
        self.assertEqual(found["generated_tokens"], 20 * 3)
        tokens = [len(prompt) for prompt in server.prompts]
        self.assertEqual(found["prompt_tokens"], sum(tokens[8:]))
        self.assertTrue(set(tokens) <= set(range(4, 10)), tokens)
        ids = {one for prompt in server.prompts for one in prompt}
        self.assertTrue(ids <= set(range(completion_server.VOCABULARY)), ids)

    def test_an_open_loop_sends_what_is_due_whatever_is_open(self):
        count = 30
        server = self.serve(round_size=count)  # nothing is answered before all have come
        found = self.bench(server, "--rate", 500, "--requests", count, "--warmup", 0)
        self.assertEqual((found["completed"], found["not_sent"]), (count, 0))
        self.assertEqual((len(server.prompts), server.open_most), (count, count))

    def test_arrivals_keep_to_the_schedule_of_the_seed(self):
        count, rate, seed = 30, 60, 17
        server = self.serve()
        begin = time.monotonic()
        self.bench(server, "--rate", rate, "--requests", count, "--warmup", 0, "--seed", seed)
        self.assertEqual(len(server.times), count)
        for number, (came, due) in enumerate(zip(sorted(server.times),
                                                 arrivals(seed, rate, count))):
            self.assertGreaterEqual(came - begin, due, f"request {number} is early, seed {seed}")

    def test_a_seed_gives_the_same_prompts_at_any_rate(self):
        sent = []
        for seed, rate in ((1, 1000), (1, 3000), (2, 1000)):
            server = self.serve()
            self.bench(server, "--rate", rate, "--requests", 12, "--seed", seed)
            sent.append(sorted(server.prompts))
        self.assertEqual(sent[0], sent[1])
        self.assertNotEqual(sent[0], sent[2])


if __name__ == "__main__":
    unittest.main()
