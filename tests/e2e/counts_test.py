#!/usr/bin/env python3
"""Without failures every (row, expert) pair is sent once, and rows go over the lane asked for."""

import concurrent.futures
import json
import os
import unittest

from tests.support import grpc_client as client
from tests.support import ops, program, up_cluster
from tests.support.grpc_client import request
from tests.support.poll_until import eventually

PROMPT = "In the beginning God created the heaven and the earth. And the earth was without form."
# Attention to router, router to expert, gateway to attention; both sides tell.
LINKS = 2 * (2 * 2 + 2 * 3 + 2)


def moe_of(folder):
    """(MoE layers, experts per token) of a model."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    layers = config["num_hidden_layers"] - config["first_k_dense_replace"]
    return layers, config["num_experts_per_tok"]


def events(up, name):
    """The lines of an event in the common log of the services."""
    lines = [line for line in up.text.splitlines() if f'"event":"{name}"' in line]
    return [json.loads(line) for line in lines]


class CountsTest(unittest.TestCase):
    def setUp(self):
        self.up = None

    def tearDown(self):
        if self.up:
            self.assertEqual(self.up.stop(), 0, self.up.text)

    def start(self, transport, *flags, env=None):
        shape = ("--experts", 3, "--attention", 2, "--routers", 2)
        patience = ("--set", "budget.hop_ms=60000")  # a busy machine is no failure
        self.up = up_cluster.Up(
            *shape, *patience, "--transport", transport, "--log-level", "info", *flags, env=env
        )

    def ops_ports(self, role):
        members = self.up.status().members
        return [m.ops_address for m in members if m.role == up_cluster.ROLES[role]]

    def generate(self, count):
        """Runs requests at once: the rows that attention had, and those of the last layer."""
        asked = [request(text=PROMPT[i:], temperature=0, max_tokens=3 + i) for i in range(count)]
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(lambda one: client.unary(self.up, one), asked))
        usages = [whole.usage for _, whole in answers]
        rows = sum(usage.prompt_tokens + usage.completion_tokens - 1 for usage in usages)
        return rows, sum(usage.completion_tokens for usage in usages)

    def check_counts(self):
        rows, sampled = self.generate(6)
        layers, experts_per_token = moe_of(program.TINY)
        pairs = (rows * (layers - 1) + sampled) * experts_per_token
        routers, experts = self.ops_ports("router"), self.ops_ports("expert")
        self.assertEqual((len(routers), len(experts)), (2, 3))
        sent = [ops.total([one], "troupe_router_dispatched_tokens_total") for one in routers]
        self.assertEqual(sum(sent), pairs)
        self.assertTrue(all(sent), f"one router did everything: {sent}")
        self.assertEqual(ops.total(experts, "troupe_expert_rank_tokens_total"), pairs)
        shown = json.loads(ops.get(self.up.http_address, "/cluster/status")[1])["loads"]
        self.assertEqual(sum(sum(map(sum, rank["pairs"])) for rank in shown), pairs)
        self.assertEqual([rank["rank"] for rank in shown], [0, 1, 2])
        attention = self.ops_ports("attention")
        self.assertEqual(ops.total(attention, "troupe_attention_rows_total"), rows)
        self.assertEqual(ops.total(attention, "troupe_attention_work_resent_total"), 0)

    def check_lanes(self, pattern):
        def complete():
            links = {(event["role"], event["peer"]) for event in events(self.up, "link_joined")}
            return len(links) == LINKS

        eventually(complete, f"{LINKS} ends of links: {self.up.text}", 60)
        for event in events(self.up, "link_joined"):
            self.assertRegex(event["lanes"], pattern, event)

    def test_shared_memory(self):
        self.start("shm")
        self.check_counts()
        self.check_lanes(r"\bposix\b")
        self.assertFalse(events(self.up, "link_fell_back"))

    def test_tcp(self):
        self.start("tcp")
        self.check_counts()
        self.check_lanes(r"^tcp$")
        self.assertFalse(events(self.up, "link_fell_back"))

    def test_a_fallback_is_a_warning_with_its_cause(self):
        self.start("shm", env={"UCX_TLS": "tcp"})
        self.check_lanes(r"^tcp$")
        kept = {event["name"] for event in events(self.up, "ucx_variable_kept")}
        self.assertIn("UCX_TLS", kept)
        self.assertLessEqual(kept, {"UCX_TLS"} | set(os.environ))  # those of sanitizers
        fallen = eventually(
            lambda: [e for e in [events(self.up, "link_fell_back")] if len(e) >= LINKS],
            f"{LINKS} warnings: {self.up.text}",
            60,
        )[0]
        for event in fallen:
            self.assertEqual((event["level"], event["asked"]), ("warning", "shm"))
            self.assertIn("UCX_TLS", event["cause"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
