#!/usr/bin/env python3
"""The ops port of `troupe serve`: probes, and the metrics of all roles of the process."""

import json
import os
import signal
import socket
import unittest

from tests.support import grpc_client as client
from tests.support import ops, program
from tests.support.metrics_page import documented, scraped
from tests.support.poll_until import eventually

LAYOUT = "experts=3,attention=2,routers=2"


class ServeOpsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = client.Served("--layout", LAYOUT)
        cls.addClassCleanup(cls.served.stop)
        cls.ops = cls.served.addresses["ops"]

    def test_probes_say_that_all_is_well(self):
        for path in ("/livez", "/readyz", "/startupz"):
            self.assertEqual(ops.get(self.ops, path), (200, "ok\n"), path)
        self.assertIn("[+]weights ok\n", ops.get(self.ops, "/readyz?verbose")[1])
        self.assertEqual(ops.get(self.ops, "/health"), (200, '{"status":"ok"}\n'))

    def test_it_has_the_metrics_of_every_role(self):
        expected = {name: row for rows in documented().values() for name, row in rows.items()}
        self.assertEqual(scraped(ops.get(self.ops, "/metrics")[1]), expected)

    def test_counts_add_up_over_shards(self):
        with open(os.path.join(program.TINY, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        layers = config["num_hidden_layers"] - config["first_k_dense_replace"]

        def counts():
            names = ("troupe_attention_rows_total", "troupe_router_dispatched_tokens_total",
                     "troupe_expert_rank_tokens_total", "troupe_gateway_generated_tokens_total")
            return [ops.total([self.ops], name) for name in names]

        before = counts()
        for length in (3, 9):
            asked = client.request(ids=list(range(5, 5 + length)), max_tokens=4, ignore_eos=True)
            self.assertEqual(len(client.stream(self.served, asked).ids), 4)
        eventually(lambda: counts()[3] == before[3] + 8, "both calls are counted")
        rows, sent, computed, _ = (now - old for now, old in zip(counts(), before))
        self.assertEqual(rows, 3 + 9 + 2 * 3)
        sampled = 8  # the last layer goes on with these alone
        self.assertEqual(
            sent, (rows * (layers - 1) + sampled) * config["num_experts_per_tok"]
        )
        self.assertEqual(computed, sent)

    def test_every_rank_says_that_its_weights_are_there(self):
        for rank in "012":
            ratio = ops.total([self.ops], "troupe_expert_weights_load_progress_ratio", rank=rank)
            self.assertEqual(ratio, 1)
            name = "troupe_expert_weights_bytes"
            self.assertGreater(ops.total([self.ops], name, rank=rank, state="resident"), 0)
            self.assertEqual(ops.total([self.ops], name, rank=rank, state="loading"), 0)

    def test_status_names_the_port(self):
        status = self.served.admin.GetClusterStatus(client.admin_pb.GetClusterStatusRequest())
        self.assertEqual({member.ops_address for member in status.members}, {self.ops})

    def test_peers_that_dawdle_block_nobody(self):
        host, port = self.ops.rsplit(":", 1)
        peers = []
        for i in range(70):
            peer = socket.create_connection((host, int(port)), timeout=program.TIMEOUT_S)
            self.addCleanup(peer.close)
            if i < 20:
                peer.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")  # and never read
            peers.append(peer)
        self.assertEqual(ops.get(self.ops, "/livez"), (200, "ok\n"))
        self.assertEqual(ops.get(self.ops, "/metrics")[0], 200)


class DrainTest(unittest.TestCase):
    def test_readiness_ends_with_the_signal_and_life_does_not(self):
        served = client.Served()
        self.addCleanup(served.stop)
        address = served.addresses["ops"]
        events = served.inference.Generate(
            client.request(ids=[5, 6], max_tokens=1500, ignore_eos=True)
        )
        next(events)
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: ops.get(address, "/readyz")[0] == 503, "not ready")
        self.assertIn("SIGTERM", ops.get(address, "/readyz")[1])
        self.assertEqual(ops.get(address, "/livez")[0], 200)
        events.cancel()
        self.assertEqual(served.process.wait(program.TIMEOUT_S), 0)


class FirstLinesTest(program.ProgramTest):
    def lines(self, *flags):
        served = client.Served(*flags)
        self.addCleanup(served.stop)
        return "".join(served.log)

    def test_name_the_mode_who_chose_it_and_its_cost(self):
        int8 = self.path("int8")
        self.succeeds("model", "quantize", "--to", "int8", program.TINY, int8)
        costs = "; costs a mean KL of about"
        unused = "mode int8-act computes as bf16 does with fp8 weights; it is for int8, "
        for flags, mode, says in (
            ((), "bf16", "BF16 (mode bf16, the default for fp8 weights)"),
            ((int8,), "int8-act",
             f"INT8, 1x128 (mode int8-act, the default for int8 weights{costs} 0.0017 nats"),
            ((int8, "--mode", "bf16"), "bf16", "BF16 (mode bf16, as asked)"),
            ((int8, "--mode", "int8-act"), "int8-act",
             f"INT8, 1x128 (mode int8-act, as asked{costs} 0.0017 nats"),
            (("--mode", "int8-act"), "int8-act", f"BF16 ({unused}"),
            (("--mode", "fp8-act"), "fp8-act",
             f"FP8, 1x128 (mode fp8-act, as asked{costs} 0.0033 nats"),
            ((int8, "--mode", "fp8-act"), "fp8-act",
             "BF16 (mode fp8-act computes as bf16 does with int8 weights; it is for fp8)"),
            (("--mode", "f32"), "f32", "F32 (mode f32, as asked)"),
        ):
            with self.subTest(flags):
                said = self.lines(*flags)
                self.assertRegex(said, rf"(?m)^serving \S+ \(.+, mode {mode}, fp_[0-9a-f]{{16}}\)$")
                self.assertEqual(said.count("activations: "), 1, said)
                self.assertIn(f"\nactivations: {says}", said)
                self.assertRegex(said, r"(?m)^copies made at load: [1-9][0-9.]* [KM]iB beside ")


class PortTest(program.ProgramTest):
    def test_a_port_in_use_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            ports = ("--grpc-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
            says = ["--ops-listen", address, "in use"]
            self.fails(program.CONNECTION, 5001, says, "serve", *ports, "--ops-listen", address)


if __name__ == "__main__":
    unittest.main()
