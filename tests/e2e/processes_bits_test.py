#!/usr/bin/env python3
"""Separate processes over UCX give the bits of one process, whatever their number and lanes.

Compares SHA-256 digests over token ids and the raw bits of log-probabilities and logits.
"""

import re
import unittest

from tests.support import requirement

requirement.require_numpy()

from tests.e2e import bits_test  # noqa: E402
from tests.support import eval_logits  # noqa: E402


class ProcessesBitsTest(bits_test.BitsCase):
    def processes(self, layout, transport, *options):
        self.check("--layout", f"processes:{layout}", "--transport", transport, *options)

    def test_one_process_for_each_role(self):
        self.processes("", "auto")

    def test_do_not_depend_on_the_number_of_expert_processes(self):
        for experts, transport in ((2, "shm"), (4, "tcp"), (8, "shm")):
            self.processes(f"experts={experts}", transport)

    def test_do_not_depend_on_attention_and_router_processes(self):
        self.processes("experts=2,attention=2,routers=2", "shm", "--chunk", 64)
        self.processes("experts=2,attention=2,routers=2", "tcp", "--threads", 1)

    def test_do_not_depend_on_where_the_router_is(self):
        self.check("--layout", "experts=2,attention=2,placement=colocated")
        self.processes("experts=2,attention=2,placement=colocated", "shm")

    def test_a_mode_changes_the_bits_and_processes_do_not(self):
        f32 = self.digests(requests=[3], mode="f32")
        self.assertNotEqual(f32[3], self.expected[3])
        layout = ("--layout", "processes:experts=2", "--transport", "tcp")
        self.assertEqual(self.digests(*layout, requests=[3], mode="f32"), f32)

    def test_the_cache_changes_the_bits_and_processes_do_not(self):
        fp8 = self.digests("--kv-cache", "fp8", requests=[3, 13])
        self.assertNotEqual(fp8[13], self.expected[13])
        for layout in ("experts=2", "experts=2,attention=2,routers=2"):
            options = ("--kv-cache", "fp8", "--layout", f"processes:{layout}", "--chunk", 7)
            self.assertEqual(self.digests(*options, requests=[3, 13]), fp8)

    def test_more_expert_processes_than_experts_are_refused(self):
        with self.assertRaises(eval_logits.EvalFailed) as refused:
            self.processes("experts=1000", "auto")
        self.assertEqual(refused.exception.code, 2)
        self.assertRegex(refused.exception.output, re.escape("1000 expert shards"))


class TilesBitsTest(bits_test.BitsCase):
    """Sums in the order of AMX's tiles, in processes of any level."""

    mode = "bf16-tiles"

    def test_of_two_expert_processes_are_those_of_one_process(self):
        layout = ("--layout", "processes:experts=2", "--transport", "shm", "--chunk", 64)
        self.check(*layout)
        self.check(*layout, "--level", "avx2")

    def test_are_not_those_of_lanes(self):
        self.assertNotEqual(self.digests(requests=[3], mode="bf16")[3], self.expected[3])


class Int8RowsBitsTest(bits_test.BitsCase):
    """Rows travel as BF16 and the expert processes quantise them."""

    mode, weights = "int8-act", "int8"

    def test_of_two_expert_processes_are_those_of_one_process(self):
        self.check("--layout", "processes:experts=2", "--transport", "shm", "--chunk", 64)

    def test_are_not_those_of_rows_that_are_not_quantised(self):
        self.assertNotEqual(self.digests(requests=[3], mode="bf16")[3], self.expected[3])


class Int8ChannelRowsBitsTest(Int8RowsBitsTest):
    weights = "int8-channel"


class Int4RowsBitsTest(Int8RowsBitsTest):
    weights = "int4"


if __name__ == "__main__":
    unittest.main(verbosity=2)
