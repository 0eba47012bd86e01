#!/usr/bin/env python3
"""An attention shard whose queue is full, and services that have no memory left, by clients."""

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
    """A service that gets 1 MiB more: less than its jobs and its cache leave to the rest."""

    LONG = [5] * 2000

    def setUp(self):
        super().setUp()
        if program.has_sanitizer():
            self.skipTest("an allocator of theirs that finds no memory ends the process")
        self.serve()

    def limit(self, service):
        """Linux counts private writable mappings against it."""
        pid = service.pid
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            (held,) = (int(line.split()[1]) for line in file if line.startswith("VmData:"))
        self.unlimited = resource.prlimit(pid, resource.RLIMIT_DATA)
        resource.prlimit(pid, resource.RLIMIT_DATA, ((held + 1024) << 10, self.unlimited[1]))

    def lift(self, service):
        resource.prlimit(service.pid, resource.RLIMIT_DATA, self.unlimited)

    def all_hear(self, what, prompt=tuple(LONG)):
        body = {"prompt": list(prompt), "max_tokens": 4}
        asked = request(ids=prompt, max_tokens=4)
        for _ in range(2):
            for streams in (False, True):
                told = self.over_http("memory_exhausted", TEXT, {**body, "stream": streams})
                self.assertIn(what, told.error["message"])
            whole = pb.GenerateUnaryRequest(request=asked)
            for failed in (self.over_grpc("memory_exhausted", asked),
                           self.over_grpc("memory_exhausted", whole,
                                          self.served.inference.GenerateUnary)):
                self.assertIn(what, failed.message)

    def answer(self):
        body = {"prompt": self.LONG, "max_tokens": 4, "temperature": 0}
        answer = oai.ask(self.served.url, TEXT, body)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json["choices"]

    def is_alive(self, service):
        self.assertIsNone(service.process.poll())
        self.assertEqual(service.events("link_lost"), [])

    def test_an_attention_shard_says_so_and_serves_again(self):
        shard = self.cluster.attention
        self.assertTrue(self.answers())
        self.limit(shard)
        self.all_hear("no memory for another step")  # of more rows than it has computed at once
        self.assertTrue(self.answers(), "what needs no more is answered")
        self.lift(shard)
        self.assertEqual(oai.ask(self.served.url, TEXT, {"prompt": [4] * 600}).status, 200)
        self.limit(shard)
        self.all_hear("no memory for another page of the latent cache")
        self.assertTrue(self.answers(), "what needs no more is answered")
        self.lift(shard)
        self.answer()
        self.is_alive(shard)

    def does_what_it_can(self, service, says):
        """Where rows pass through: it answers for each frame, and fewer rows take less."""
        self.limit(service)
        self.all_hear(says, prompt=(5,))  # the first row ever
        self.lift(service)
        self.assertTrue(self.answers())
        self.limit(service)
        in_parts = self.answer()  # each of no more rows than it has had at once
        self.lift(service)
        self.assertEqual(self.answer(), in_parts)
        self.is_alive(service)

    def test_an_expert_shard_says_so_or_computes_in_parts(self):
        self.does_what_it_can(self.cluster.experts[0], "expert 0: no memory for another batch")

    def test_a_router_says_so_or_gates_in_parts(self):
        self.does_what_it_can(self.cluster.router, "router 0: no memory for another gate")


if __name__ == "__main__":
    unittest.main()
