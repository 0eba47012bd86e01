#!/usr/bin/env python3
"""An attention shard whose queue is full, over HTTP and gRPC, and when it says to come back."""

import signal
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support.error_row_case import CHAT, MESSAGES, TEXT, RowTest
from tests.support.grpc_client import request
from tests.support.poll_until import eventually
from tests.support.services import Cluster


class ShardLimitTest(RowTest):
    """A shard whose queue holds one request."""

    HOLD = {"max_tokens": 1900, "ignore_eos": True}
    HOLDERS = [4] * 2100, [5] * 2100  # prompts of 33 pages of 64 each, none of which they share

    def serve(self, more):
        self.cluster = Cluster(self.folder, experts=1, settings=more, lost_after_ms=600_000)
        self.addCleanup(self.cluster.close)
        self.cluster.wait_until_ready()
        self.served = self.cluster
        channel = client.grpc.insecure_channel(self.cluster.address)
        self.addCleanup(channel.close)
        self.cluster.inference = client.inference_pb2_grpc.InferenceServiceStub(channel)

    def waiting(self):
        return self.cluster.attention.total("troupe_attention_sequences_waiting")

    def fill(self):
        """Two long requests: one runs, held up, and leaves no pages for the other."""
        runs, waits = (request(ids=ids, **self.HOLD) for ids in self.HOLDERS)
        runs = self.served.inference.Generate(runs)
        self.addCleanup(runs.cancel)
        while next(runs).WhichOneof("event") != "delta":
            pass
        self.signal_expert(signal.SIGSTOP)  # now it does not end, however fast the machine
        waits = self.served.inference.Generate(waits)
        self.addCleanup(waits.cancel)
        eventually(lambda: self.waiting() == 1, "the queue is full")
        return runs, waits

    def signal_expert(self, how):
        self.cluster.experts[0].process.send_signal(how)

    def told_over_grpc(self):
        """Seconds after which to come back."""
        failed = self.over_grpc("queue_full")
        return failed.details["RetryInfo"].retry_delay.ToTimedelta().total_seconds()

    def test_a_shard_whose_queue_is_full(self):
        self.serve("attention:\n  waiting_max: 1\n  kv_tokens_max: 4096\n")
        calls = self.fill()
        self.assertIn("waiting_max", self.over_http("queue_full").error["message"])
        self.over_http("queue_full", CHAT, {"messages": MESSAGES, "stream": True})
        self.assertEqual(self.told_over_grpc(), 1, "nothing is known yet")
        self.signal_expert(signal.SIGCONT)
        for call in calls:
            call.cancel()
        eventually(self.answers, "there is room: now it is known how long that took")
        self.fill()
        # One more refused is told a later time, whichever face it asks.
        later = lambda: [told for told in [self.told_over_grpc()] if told > 1]
        (first,) = eventually(later, "the refused are told apart")
        second = self.told_over_grpc()
        self.assertGreater(second, first)
        self.assertLessEqual(second, 60)
        told = self.over_http("queue_full")
        self.assertGreaterEqual(int(told.headers["retry-after"]), second)


if __name__ == "__main__":
    unittest.main()
