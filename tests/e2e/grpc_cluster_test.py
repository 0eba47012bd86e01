#!/usr/bin/env python3
"""Sixteen streams at once through separate processes, half of them cancelled midway.

Argument: [--seconds N]. Tokens are those of one process, no page is leaked, no process grows.
"""

import random
import statistics
import sys
import threading
import time
import unittest

import grpc

from tests.support import grpc_client as client
from tests.support import ops, up_cluster
from tests.support.grpc_client import request
from tests.support.patience import patient
from tests.support.poll_until import eventually

STREAMS = 16
TOKENS = 96
SETTLED_S = 20  # what a process holds then is its level
GROWTH = 1.05
SAMPLES = 5  # around that moment, and at the end
SEED = 20241226


def asked(stream):
    """Each stream has a prompt of its own; odd ones sample."""
    sampling = {"seed": stream} if stream % 2 else {"temperature": 0}
    prompt = f"Chapter {stream}. In the beginning " + "God created the heaven. " * (stream % 5)
    return request(text=prompt, max_tokens=TOKENS, ignore_eos=True, **sampling)


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


class Stream(threading.Thread):
    """One client: the same request again and again, cancelled midway in every other stream."""

    def __init__(self, up, number, expected, until):
        super().__init__()
        self.up, self.number, self.expected, self.until = up, number, expected, until
        self.cancels = number // 2 % 2 == 1
        self.random = random.Random(SEED + number)
        self.finished = self.cancelled = 0
        self.fault = None

    def run(self):
        try:
            while self.fault is None and time.monotonic() < self.until:
                self.once()
        except grpc.RpcError as error:
            self.fault = str(error)

    def once(self):
        call = self.up.inference.Generate(asked(self.number), timeout=patient(120))
        stop_at = self.random.randrange(1, TOKENS) if self.cancels else TOKENS
        ids = []
        for event in call:
            ids += event.delta.token_ids
            if self.cancels and len(ids) >= stop_at:
                call.cancel()
                break
        self.cancelled += self.cancels
        self.finished += not self.cancels
        if ids != self.expected[: len(ids)] or (not self.cancels and len(ids) != TOKENS):
            self.fault = f"stream {self.number}: {ids}, not {self.expected}"


class ClusterTest(unittest.TestCase):
    seconds = 8

    @classmethod
    def setUpClass(cls):
        served = client.Served()
        try:
            cls.expected = [client.stream(served, asked(i)).ids for i in range(STREAMS)]
        finally:
            served.stop()
        cls.up = up_cluster.Up("--experts", 2, "--attention", 2)

    @classmethod
    def tearDownClass(cls):
        assert cls.up.stop() == 0, cls.up.text

    def used_pages(self):
        members = self.up.status().members
        attention = [m.ops_address for m in members if m.role == up_cluster.ROLES["attention"]]
        self.assertEqual(len(attention), 2)
        return ops.total(attention, "troupe_attention_kv_pages", state="used")

    def watch(self, streams):
        """{(role, index, pid): resident bytes, once a second}, while the streams run."""
        levels = {(*name, pid): [] for name, pid in self.up.active().items()}
        for second in range(self.seconds):
            streams[0].join(max(0, streams[0].until - self.seconds + second + 1 - time.monotonic()))
            for (*_, pid), values in levels.items():
                values.append(resident_bytes(pid))
        return levels

    def test_sixteen_streams_half_of_them_cancelled(self):
        until = time.monotonic() + self.seconds
        streams = [Stream(self.up, i, self.expected[i], until) for i in range(STREAMS)]
        for stream in streams:
            stream.start()
        levels = self.watch(streams)
        for stream in streams:
            stream.join(patient(150))
            self.assertFalse(stream.is_alive(), f"stream {stream.number} hangs")
        self.assertEqual([s.fault for s in streams if s.fault], [])
        self.assertTrue(all(s.finished + s.cancelled for s in streams))
        eventually(lambda: self.used_pages() == 0, "no page used", 30)
        flying = lambda: ops.total([self.up.ops_address], "troupe_gateway_requests_in_flight")
        eventually(lambda: flying() == 0, "no call under way", 30)
        self.assertEqual(set(self.up.children()), {pid for *_, pid in levels}, "one was restarted")
        done = sum(s.finished for s in streams), sum(s.cancelled for s in streams)
        print(f"{done[0]} answers, {done[1]} cancelled, in {self.seconds} s")
        self.check_growth(levels)

    def check_growth(self, levels):
        if self.seconds < 3 * SETTLED_S:
            return
        grown = []
        for (role, index, _), values in levels.items():
            settled = max(values[SETTLED_S - SAMPLES : SETTLED_S])
            at_the_end = statistics.median(values[-SAMPLES:])
            kib = f"{settled >> 10} KiB after {SETTLED_S} s, {int(at_the_end) >> 10} at the end"
            print(f"{role} {index}: {kib}")
            if at_the_end > GROWTH * settled:
                grown.append(f"{role} {index}: {values}")
        self.assertEqual(grown, [])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seconds"]:
        ClusterTest.seconds = int(sys.argv[2])
        del sys.argv[1:3]
    unittest.main(verbosity=2)
