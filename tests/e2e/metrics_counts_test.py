#!/usr/bin/env python3
"""What the metrics of gateway and attention count follows from the requests; times are not seen."""

import concurrent.futures
import os
import signal
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import ops, up_cluster
from tests.support.grpc_client import request
from tests.support.poll_until import eventually

GATEWAY, ATTENTION = "troupe_gateway_", "troupe_attention_"
CHOICES, TOKENS = 16, 300
SHORT, LONG = list(range(5, 15)), list(range(5, 75))  # less than a page of 64; more than one
PHASES = ("prefill", "decode")


class BurstTest(unittest.TestCase):
    """16 choices that need 80 pages of a cache that has eight, and requests beside and behind."""

    @classmethod
    def setUpClass(cls):
        cls.served = client.Served("--kv-tokens", 512, "--micro-batches", 2)
        cls.addClassCleanup(cls.served.stop)
        burst = {"prompt": SHORT, "n": CHOICES, "max_tokens": TOKENS, "ignore_eos": True}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            whole = pool.submit(oai.ask, cls.served.url, "/v1/completions", burst)
            # Most of them do not fit: they wait for hundreds of steps.
            cls.waiting = eventually(lambda: cls.total(ATTENTION + "sequences_waiting"), "a queue")
            cls.queued = eventually(lambda: cls.total(GATEWAY + "requests_queued"), "a queue")
            cls.usages = [whole.result().json["usage"]]
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "min_tokens": 5}
        cls.usages.append(oai.ask(cls.served.url, "/v1/chat/completions", body).json["usage"])
        for _ in range(2):  # the second finds the first page of its prompt
            asked = request(ids=LONG, max_tokens=20, ignore_eos=True)
            usage = client.stream(cls.served, asked).finished.usage
            cls.usages.append({
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            })
        calls = lambda: cls.total(GATEWAY + "requests_total")
        eventually(lambda: calls() == len(cls.usages), "all calls have ended")

    @classmethod
    def total(cls, name, **labels):
        return ops.total([cls.served.addresses["ops"]], name, **labels)

    def gateway(self, name, **labels):
        return self.total(GATEWAY + name, **labels)

    def attention(self, name, **labels):
        return self.total(ATTENTION + name, **labels)

    def sum(self, name):
        return sum(usage[name] for usage in self.usages)

    def test_tokens_are_those_of_the_usages(self):
        self.assertEqual(self.sum("completion_tokens"), CHOICES * TOKENS + 5 + 2 * 20)
        cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in self.usages)
        self.assertEqual(cached, 64)
        self.assertEqual(self.gateway("prompt_tokens_total"), self.sum("prompt_tokens"))
        self.assertEqual(self.gateway("generated_tokens_total"), self.sum("completion_tokens"))
        self.assertEqual(self.gateway("cached_prompt_tokens_total"), cached)

    def test_every_call_is_observed_once(self):
        for name in ("time_to_first_token", "queue_time"):
            self.assertEqual(self.gateway(f"{name}_seconds_count"), 4, name)
        for api, calls in (("completions", 1), ("chat", 1), ("grpc_generate", 2), ("tokenize", 0)):
            counted = self.gateway("request_duration_seconds_count", api=api)
            self.assertEqual(counted, calls, api)
        gaps = self.gateway("inter_token_latency_seconds_count")
        self.assertEqual(gaps, self.sum("completion_tokens") - (CHOICES + 3))

    def test_every_choice_counts_with_its_reason(self):
        self.assertEqual(self.gateway("finish_total", reason="length"), CHOICES + 3)
        self.assertEqual(self.gateway("finish_total"), CHOICES + 3)

    def test_queues_were_there_and_are_empty(self):
        self.assertGreater(self.waiting, 0)
        self.assertGreater(self.queued, 0)
        self.assertLessEqual(self.queued, CHOICES)
        eventually(lambda: self.attention("sequences_waiting") == 0, "nobody waits")
        eventually(lambda: self.gateway("requests_queued") == 0, "nobody waits")

    def test_a_cache_that_is_too_small_preempts(self):
        self.assertGreater(self.attention("preemptions_total"), 0)

    def test_steps_and_their_rows_agree(self):
        rows = self.attention("rows_total")
        # Every choice computes the short prompt, and every token but its last.
        prompts = (CHOICES - 1) * len(SHORT) + self.sum("prompt_tokens") - 64
        self.assertGreaterEqual(rows, prompts + self.sum("completion_tokens") - (CHOICES + 3))
        self.assertEqual(self.attention("batch_tokens_sum"), rows)
        for phase in PHASES:
            steps = self.attention("batch_tokens_count", phase=phase)
            self.assertGreater(steps, 0, phase)
            self.assertEqual(self.attention("step_duration_seconds_count", phase=phase), steps)
        steps, cut = self.attention("batch_tokens_count"), self.attention("cut_steps_total")
        self.assertGreater(cut, 0)  # of several sequences
        self.assertLess(cut, steps)  # those of one are whole
        for stage in ("attention", "shared_expert", "head", "sample"):
            self.assertGreater(self.attention("stage_seconds_total", stage=stage), 0, stage)


class ReplayTest(unittest.TestCase):
    def test_an_answer_whose_shard_is_lost_counts_one_replay(self):
        up = up_cluster.Up("--experts", 1, "--attention", 2)
        self.addCleanup(up.stop)
        members = up.status().members
        of = lambda role: [one for one in members if one.role == up_cluster.ROLES[role]]
        (gateway,) = [one.ops_address for one in of("gateway")]
        self.assertEqual(ops.total([gateway], GATEWAY + "replays_total"), 0)
        tokens = 1000
        call = up.inference.Generate(request(ids=SHORT, max_tokens=tokens, ignore_eos=True))
        self.addCleanup(call.cancel)
        got = 0
        while not got:
            got += len(next(call).delta.token_ids)
        running = ATTENTION + "sequences_running"
        (shard,) = [one for one in of("attention") if ops.total([one.ops_address], running)]
        os.kill(shard.pid, signal.SIGKILL)
        got += len(client.Joined(call).ids)
        self.assertEqual(got, tokens)
        replays = lambda: ops.total([gateway], GATEWAY + "replays_total")
        self.assertEqual(eventually(replays, "it is counted"), 1)
        self.assertEqual(ops.total([gateway], GATEWAY + "replay_mismatch_total"), 0)
        ended = lambda: ops.total([gateway], GATEWAY + "finish_total", reason="length")
        self.assertEqual(eventually(ended, "it has ended"), 1)


if __name__ == "__main__":
    unittest.main()
