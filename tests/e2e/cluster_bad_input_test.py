#!/usr/bin/env python3
"""Wrong members and strangers: said on both sides, and nobody who belongs there notices."""

import contextlib
import os
import re
import signal
import unittest
from concurrent import futures

import grpc

from tests.support import grpc_client as client
from tests.support import listeners, program, up_cluster
from tests.support.cluster_case import ASKED, ClusterCase
from tests.support.grpc_client import request
from tests.support.patience import patient
from tests.support.poll_until import eventually

SEED = 20241226
V3_MINI = os.path.join(program.GOLDENS, "v3-mini", "model")


class WrongInputTest(ClusterCase):
    def refused(self, reason, says, role, *flags):
        """The newcomer ends with TROUPE-5003; both sides have said why."""
        service = self.cluster.start(role, *flags)
        self.assertEqual(service.ended(), program.CONNECTION, service.text)
        own = service.wait_for("failed")
        self.assertEqual(own["code"], "TROUPE-5003")
        (told,) = service.events("member_refused")
        ours = self.cluster.router.wait_for(
            "member_refused", lambda line: re.match(rf"{service.pid}\b", str(line.get("pid", "")))
        )
        self.assertEqual((told["level"], ours["level"]), ("error", "warning"))
        self.assertEqual((told["reason"], ours["reason"]), (reason, reason))
        for part in says:
            self.assertIn(part, own["msg"])
            self.assertIn(part, str(ours))

    def test_another_model(self):
        says = ("expert 0", "numerics id", "same model")
        self.refused("numerics", says, "expert", "--model-path", V3_MINI)

    def test_another_mode(self):
        says = ("attention 1", "numerics id", "mode")
        flags = ("--attention-index", 1, "--engine-mode", "f32")
        self.refused("numerics", says, "attention", *flags)

    def test_another_number_of_ranks(self):
        says = ("expert 2", "3 expert ranks", "expert.ranks")
        self.refused("ranks", says, "expert", "--expert-ranks", 3, "--expert-rank", 2)

    def test_another_cluster(self):
        says = ("gateway 1", "cluster.name")
        self.refused("cluster", says, "gateway", "--gateway-index", 1, "--cluster-name", "other")

    def test_without_the_join_token(self):
        flags = ("--expert-rank", 1, "--cluster-join-token-file", "")
        self.refused("token", ("join token",), "expert", *flags)

    def test_a_second_live_rank_waits_and_takes_over(self):
        first = self.cluster.experts[0]
        second = self.cluster.start("expert", "--expert-rank", 0)
        told = second.wait_for("member_refused")
        self.assertEqual((told["reason"], told["level"]), ("rank_taken", "warning"))
        self.assertIn(str(first.pid), told["detail"])
        ours = self.cluster.router.wait_for("member_refused", lambda l: f"{second.pid}" in str(l))
        self.assertEqual(ours["reason"], "rank_taken")
        self.served()  # by the first
        first.process.send_signal(signal.SIGKILL)
        second.wait_for("ready")
        self.cluster.experts[0] = second
        eventually(self.again, "service by the second", 60)

    def test_an_oversize_message_is_refused_by_its_size(self):
        options = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(self.cluster.address, options=options) as channel:
            inference = client.inference_pb2_grpc.InferenceServiceStub(channel)
            large = request(text="x" * (64 << 20))
            for call, asked in (
                (inference.Tokenize, client.pb.TokenizeRequest(text=large.text)),
                (inference.GenerateUnary, client.pb.GenerateUnaryRequest(request=large)),
                (inference.Generate, large),
            ):
                failed = client.failure_of(call, asked, timeout=patient(60))
                self.assertEqual(failed.code, grpc.StatusCode.RESOURCE_EXHAUSTED, failed.message)
                self.assertEqual(failed.reason, "REQUEST_TOO_LARGE", failed.message)

    def again(self):
        try:
            self.served()
            return True
        except grpc.RpcError:
            return False

    def tearDown(self):
        self.served()


class StrangersTest(ClusterCase):
    def run_with_strangers(self):
        """Ports of each service, and what became of requests meanwhile."""
        load = up_cluster.Load(self, request(**ASKED))
        before = {service: listeners.of(service.pid) for service in self.cluster.services}
        with contextlib.ExitStack() as quiet:
            ports = sum(before.values(), [])
            with futures.ThreadPoolExecutor(len(ports)) as pool:
                for connections in pool.map(lambda at: listeners.annoy(at, SEED), ports):
                    for connection in connections:
                        quiet.enter_context(connection)
            have = len(load.answers)
            more = lambda: len(load.answers) >= have + 3
            eventually(more, "answers while strangers are silent")
            for service in self.cluster.services:
                self.assertEqual(service.get("/livez")[0], 200)
        return before, load.stop()

    def test_strangers_on_every_port_change_nothing(self):
        before, answers = self.run_with_strangers()
        for answer in answers:
            self.assertIsNone(answer.failure, answer.failure and answer.failure.message)
            self.assertEqual(answer.ids, self.expected)
        named = {"router": 2, "attention": 1, "expert": 1, "gateway": 4}  # ops, control, gRPC, ...
        for service, ports in before.items():
            self.assertIsNone(service.process.poll(), service.text)
            self.assertGreater(len(ports), named[service.role], "UCX listens over tcp")
            self.assertEqual(service.get("/readyz")[0], 200)
            self.assertFalse(service.events("link_lost"), service.text)
        self.served()
        names = ("gateway-grpc", "gateway-http", "admin")
        ports = [word for name in names for word in (f"--{name}-listen", "127.0.0.1:0")]
        one_more = self.cluster.start("gateway", "--gateway-index", 1, *ports)
        one_more.wait_for("ready")  # control and data ports still let in who belongs there
        self.assertEqual(one_more.stop(), 0)


class StrangersOverTcpTest(StrangersTest):
    SETTINGS = "transport:\n  lanes: tcp\n"


if __name__ == "__main__":
    unittest.main(verbosity=2)
