#!/usr/bin/env python3
"""A stream whose gateway was killed goes on through another gateway of the cluster."""

import itertools
import tempfile
import unittest

import grpc

from tests.support import grpc_client as client
from tests.support.grpc_client import request
from tests.support.services import Cluster

PROMPT = "naïve 🦔 In the beginning God created"
ASKED = {"text": PROMPT, "temperature": 1, "max_tokens": 600, "ignore_eos": True, "logprobs": 1}
EVENTS = 5  # that come before the gateway is killed


class Door:
    """One gateway, as client.Served for the calls of grpc_client."""

    def __init__(self, gateway):
        self.channel = grpc.insecure_channel(gateway.wait_for("started")["grpc"])
        self.inference = client.inference_pb2_grpc.InferenceServiceStub(self.channel)


class ResumeTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="troupe-resume-")
        self.addCleanup(folder.cleanup)
        self.cluster = Cluster(folder.name)
        self.addCleanup(self.cluster.close)
        other = self.cluster.start("gateway", "--gateway-index", 1)
        self.cluster.wait_until_ready()
        other.wait_for("ready")
        self.first, self.second = self.door(self.cluster.gateway), self.door(other)

    def door(self, gateway):
        door = Door(gateway)
        self.addCleanup(door.channel.close)
        return door

    def killed_midway(self):
        """What came of a stream before its gateway was killed, as a Joined."""
        call = self.first.inference.Generate(request(**ASKED, request_id="broken-1"))
        events = list(itertools.islice(call, EVENTS))
        self.cluster.gateway.kill()
        with self.assertRaises(grpc.RpcError) as failed:
            for event in call:  # what was under way
                events.append(event)
        self.assertEqual(failed.exception.code(), grpc.StatusCode.UNAVAILABLE)
        return client.Joined(events)

    def test_it_goes_on_through_another_gateway_with_the_same_bits(self):
        had = self.killed_midway()
        self.assertIsNone(had.finished)
        self.assertTrue(had.ids)
        asked = {**ASKED, "seed": had.started.drawn_seed}
        rest = client.stream(self.second, request(**asked, request_id="broken-1",
                                                  resume_position=len(had.ids)))
        whole = client.stream(self.second, request(**asked))
        self.assertLess(len(had.ids), len(whole.ids))
        self.assertEqual(had.ids + rest.ids, whole.ids)
        self.assertEqual(had.text + rest.text, whole.text)
        self.assertEqual(had.logprobs + rest.logprobs, whole.logprobs)
        self.assertEqual(rest.finished.usage.completion_tokens, len(whole.ids))
        self.assertEqual(rest.finished.finish_reason, whole.finished.finish_reason)
        self.assertEqual(rest.started.system_fingerprint, had.started.system_fingerprint)


if __name__ == "__main__":
    unittest.main(verbosity=2)
