#!/usr/bin/env python3
"""Metrics of a cluster of processes: docs/metrics.md and a scrape agree; the counts are exact."""

import json
import os
import signal
import tempfile
import threading
import unittest

from tests.support import grpc_client as client
from tests.support import program
from tests.support.metrics_page import documented, scraped
from tests.support.services import Cluster

SECRET_PROMPT = "zebra umbrella lighthouse"
SECTIONS = {
    "gateway": ("Gateway", "Every service"),
    "attention": ("Attention shard", "Every service"),
    "router": ("Router", "Every service"),
    "expert": ("Expert service", "Every service"),
}


class ClusterMetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="troupe-metrics-")
        cls.addClassCleanup(cls.folder.cleanup)
        settings = "log:\n  level: debug\n"
        cls.cluster = Cluster(cls.folder.name, experts=2, settings=settings)
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.wait_until_ready()
        cls.channel = client.grpc.insecure_channel(cls.cluster.address)
        cls.addClassCleanup(cls.channel.close)
        cls.inference = client.inference_pb2_grpc.InferenceServiceStub(cls.channel)

    def total(self, services, name, **labels):
        return sum(service.total(name, **labels) for service in services)

    def test_docs_and_scrape_agree_in_both_directions(self):
        pages = documented()
        for role, titles in SECTIONS.items():
            service = next(s for s in self.cluster.services if s.role == role)
            expected = {name: row for title in titles for name, row in pages[title].items()}
            if role != "router":
                del expected["troupe_placement_ranks"]  # the routers', as its meaning says
            with self.subTest(role=role):
                self.assertEqual(scraped(service.get("/metrics")[1]), expected)

    def test_pairs_are_counted_exactly_on_both_sides(self):
        with open(os.path.join(program.TINY, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        layers = config["num_hidden_layers"] - config["first_k_dense_replace"]
        routers, experts = [self.cluster.router], self.cluster.experts
        sides = ((routers, "troupe_router_dispatched_tokens_total"),
                 (experts, "troupe_expert_rank_tokens_total"))
        before = [self.total(*side) for side in sides]
        rows_before = self.cluster.attention.total("troupe_attention_rows_total")
        rows = sampled = 0  # the last layer goes on with the rows that a token is drawn from
        for length, tokens in ((1, 1), (7, 12), (40, 5)):
            asked = client.request(ids=list(range(5, 5 + length)), max_tokens=tokens,
                                   ignore_eos=True)
            joined = client.stream(self, asked)
            self.assertEqual(len(joined.ids), tokens)
            rows += length + tokens - 1
            sampled += tokens
        pairs = (rows * (layers - 1) + sampled) * config["num_experts_per_tok"]
        self.assertEqual(
            self.cluster.attention.total("troupe_attention_rows_total") - rows_before, rows
        )
        for side, old in zip(sides, before):
            self.assertEqual(self.total(*side) - old, pairs, side[1])
        for layer in range(config["first_k_dense_replace"], config["num_hidden_layers"]):
            self.assertGreater(
                self.total(experts, "troupe_expert_rank_tokens_total", layer=str(layer)), 0
            )
        for name in ("troupe_router_dropped_tokens_total", "troupe_router_retries_total",
                     "troupe_transport_frames_dropped_total", "troupe_expert_uncovered",
                     "troupe_expert_overloaded_total", "troupe_gateway_replay_mismatch_total"):
            self.assertEqual(self.total(self.cluster.services, name), 0, name)

    def test_calls_are_counted_and_logged_without_their_text(self):
        gateway = self.cluster.gateway
        ok = {"api": "grpc_generate", "code": "OK"}
        bad = {"api": "grpc_generate", "code": "NOT_FOUND"}
        name = "troupe_gateway_requests_total"
        before = gateway.total(name, **ok), gateway.total(name, **bad)
        asked = client.request(SECRET_PROMPT, max_tokens=8, request_id="call-of-this-test")
        joined = client.stream(self, asked)
        client.failure_of(self.inference.Generate, client.request("x", model="other"))
        line = gateway.wait_for("call_ended", lambda l: l["request_id"] == "call-of-this-test")
        self.assertEqual(line["code"], "OK")
        self.assertEqual(line["generated_tokens"], len(joined.ids))
        gateway.wait_for("call_ended", lambda l: l["code"] == "NOT_FOUND")
        after = gateway.total(name, **ok), gateway.total(name, **bad)
        self.assertEqual(after, (before[0] + 1, before[1] + 1))
        for service in self.cluster.services:
            for word in SECRET_PROMPT.split():
                self.assertNotIn(word, service.text)

    def test_lanes_are_named(self):
        endpoints = self.cluster.router.total("troupe_transport_endpoints")
        self.assertEqual(endpoints, 3)  # two experts, one attention shard
        lanes = {line["lanes"] for line in self.cluster.router.events("link_joined")}
        shm = self.cluster.router.total("troupe_transport_endpoints", transport="ucx_shm")
        self.assertEqual(shm == 3, all("posix" in lane or "sysv" in lane for lane in lanes))


class DrainTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.cluster = Cluster(self.folder, experts=1)
        self.addCleanup(self.cluster.close)
        self.cluster.wait_until_ready()
        self.channel = client.grpc.insecure_channel(self.cluster.address)
        self.addCleanup(self.channel.close)
        self.inference = client.inference_pb2_grpc.InferenceServiceStub(self.channel)

    def begin(self):
        """An answer whose first token is there and whose end is not."""
        asked = client.request(ids=[5, 6], max_tokens=400, ignore_eos=True)
        events = self.inference.Generate(asked)
        while next(events).WhichOneof("event") != "delta":
            pass
        return events

    def test_an_open_answer_is_finished_and_new_ones_are_refused(self):
        gateway, events = self.cluster.gateway, self.begin()
        answer = {}
        reader = threading.Thread(target=lambda: answer.update(all=client.Joined(events)))
        reader.start()
        gateway.process.send_signal(signal.SIGTERM)
        gateway.wait_for("draining")
        self.assertEqual(gateway.ended(), 0)
        reader.join(program.TIMEOUT_S)
        self.assertEqual(answer["all"].finished.usage.completion_tokens, 400)
        self.assertEqual(len(gateway.events("drained")), 1)

    def test_a_second_signal_ends_at_once(self):
        gateway = self.cluster.gateway
        self.cluster.attention.process.send_signal(signal.SIGSTOP)
        try:
            events = self.inference.Generate(client.request(ids=[5], max_tokens=4))
            next(events)  # started
            gateway.process.send_signal(signal.SIGTERM)
            gateway.wait_for("draining")
            gateway.process.send_signal(signal.SIGTERM)
            self.assertEqual(gateway.ended(), program.TERMINATED)
            self.assertEqual(len(gateway.events("stopped")), 1)
        finally:
            self.cluster.attention.process.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    unittest.main()
