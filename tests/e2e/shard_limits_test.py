#!/usr/bin/env python3
"""An attention shard whose queue is full, or that has no memory left, over HTTP and gRPC."""

import resource
import signal
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import program
from tests.support.error_row_case import CHAT, MESSAGES, TEXT, RowTest
from tests.support.grpc_client import pb, request
from tests.support.poll_until import eventually
from tests.support.services import Cluster


class ShardTest(RowTest):
    def serve(self, more=""):
        self.cluster = Cluster(self.folder, experts=1, settings=more, lost_after_ms=600_000)
        self.addCleanup(self.cluster.close)
        self.cluster.wait_until_ready()
        self.served = self.cluster
        channel = client.grpc.insecure_channel(self.cluster.address)
        self.addCleanup(channel.close)
        self.cluster.inference = client.inference_pb2_grpc.InferenceServiceStub(channel)


class FullQueueTest(ShardTest):
    """A shard whose queue holds one request."""

    HOLD = {"max_tokens": 1900, "ignore_eos": True}
    HOLDERS = [4] * 2100, [5] * 2100  # prompts of 33 pages of 64 each, none of which they share

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


class NoMemoryTest(ShardTest):
    """A shard that gets 1 MiB more: less than its steps and its cache leave to the rest."""

    LONG = [5] * 2000

    def setUp(self):
        super().setUp()
        if program.has_sanitizer():
            self.skipTest("an allocator of theirs that finds no memory ends the process")
        self.serve()
        self.assertTrue(self.answers())

    def limit(self):
        """Linux counts private writable mappings against it."""
        pid = self.cluster.attention.pid
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            (held,) = (int(line.split()[1]) for line in file if line.startswith("VmData:"))
        self.unlimited = resource.prlimit(pid, resource.RLIMIT_DATA)
        resource.prlimit(pid, resource.RLIMIT_DATA, ((held + 1024) << 10, self.unlimited[1]))

    def lift(self):
        resource.prlimit(self.cluster.attention.pid, resource.RLIMIT_DATA, self.unlimited)

    def all_hear(self, what):
        body = {"prompt": self.LONG, "max_tokens": 4}
        asked = request(ids=self.LONG, max_tokens=4)
        for _ in range(2):
            for streams in (False, True):
                told = self.over_http("memory_exhausted", TEXT, {**body, "stream": streams})
                self.assertIn(what, told.error["message"])
            whole = pb.GenerateUnaryRequest(request=asked)
            for failed in (self.over_grpc("memory_exhausted", asked),
                           self.over_grpc("memory_exhausted", whole,
                                          self.served.inference.GenerateUnary)):
                self.assertIn(what, failed.message)
            self.assertTrue(self.answers(), "what needs no more is answered")

    def test_a_shard_without_memory_says_so_and_serves_again(self):
        self.limit()
        self.all_hear("no memory for another step")  # of more rows than it has computed at once
        self.lift()
        self.assertEqual(oai.ask(self.served.url, TEXT, {"prompt": [4] * 300}).status, 200)
        self.limit()
        self.all_hear("no memory for another page of the latent cache")
        self.lift()
        body = {"prompt": self.LONG, "max_tokens": 4}
        self.assertEqual(oai.ask(self.served.url, TEXT, body).status, 200)
        self.assertIsNone(self.cluster.attention.process.poll())


if __name__ == "__main__":
    unittest.main()
