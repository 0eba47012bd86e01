#!/usr/bin/env python3
"""Four attention shards press one expert shard through credits of one row: nothing locks up.

Argument: [--seconds N].
"""

import sys
import time
import unittest

from tests.support import grpc_client as client
from tests.support import ops, up_cluster
from tests.support.grpc_client import request
from tests.support.poll_until import eventually

CLIENTS = 8
TOKENS = 12
PROMPT = "In the beginning God created the heaven and the earth."
ASKED = {"text": PROMPT, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": True}
STANDSTILL_S = 60  # generous: one answer takes well under a second


class FloodTest(unittest.TestCase):
    seconds = 8

    @classmethod
    def setUpClass(cls):
        credits = ("transport.credit_decode_rows=0", "transport.credit_prefill_rows=1")
        flags = ["--experts", 1, "--attention", 4, "--set", "budget.hop_ms=60000"]
        for setting in credits:
            flags += ["--set", setting]
        cls.up = up_cluster.Up(*flags)
        cls.addClassCleanup(cls.up.stop)
        cls.expected = client.stream(cls.up, request(**ASKED)).ids
        assert len(cls.expected) == TOKENS

    @classmethod
    def tearDownClass(cls):
        assert cls.up.stop() == 0, cls.up.text

    def ops_ports(self, role):
        members = self.up.status().members
        return [m.ops_address for m in members if m.role == up_cluster.ROLES[role]]

    def test_credits_of_one_row_never_lock_up(self):
        started = self.up.children()
        load = up_cluster.Load(self.up, request(**ASKED), threads=CLIENTS)
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            have = len(load.answers)
            more = lambda: len(load.answers) >= have + CLIENTS
            eventually(more, f"{CLIENTS} more answers after {have}", STANDSTILL_S)
        answers = load.stop()
        for answer in answers:
            self.assertIsNone(answer.failure, answer.failure and answer.failure.message)
            self.assertEqual(answer.ids, self.expected)
        attention = self.ops_ports("attention")
        rows = [ops.total([one], "troupe_attention_rows_total") for one in attention]
        self.assertEqual(len(rows), 4)
        self.assertTrue(all(rows), f"a shard had nothing to do: {rows}")
        self.assertEqual(ops.total(attention, "troupe_attention_work_resent_total"), 0)
        used = lambda: ops.total(attention, "troupe_attention_kv_pages", state="used")
        eventually(lambda: used() == 0, "no page used", 30)
        self.assertEqual(self.up.children(), started)
        print(f"{len(answers)} answers, {int(sum(rows))} rows, in {self.seconds} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seconds"]:
        FloodTest.seconds = int(sys.argv[2])
        del sys.argv[1:3]
    unittest.main(verbosity=2)
