#!/usr/bin/env python3
"""Wrong members and strangers: said on both sides, and nobody who belongs there notices."""

import contextlib
import os
import re
import signal
import socket
import time
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


class StrangersAreToldTest(ClusterCase):
    """Each port has a line for whoever comes by mistake, and no more lines than somebody reads."""

    # Lines are bounded by address: what one test says leaves another's budget alone.
    HOSTS = iter(f"127.0.0.{i}" for i in range(10, 100))

    def ports(self, service):
        """Name in the log -> (host, port)."""
        started = service.wait_for("started")
        said = {name: started[name] for name in ("control", "grpc", "admin", "http")
                if name in started}
        said["ops"] = service.ops
        ports = {}
        for name, text in said.items():
            host, port = text.removeprefix("http://").rsplit(":", 1)
            ports[name] = (host, int(port))
        rest = [at for at in listeners.of(service.pid) if at not in ports.values()]
        ports["ucx"] = next(at for at in rest if at[0].startswith("127."))
        return ports

    def every_port(self):
        for service in self.cluster.services:
            for name, at in self.ports(service).items():
                yield service, name, at

    def test_every_port_tells_of_a_stranger(self):
        seen = set()
        for service, name, at in self.every_port():
            with self.subTest(service=service.role, port=name):
                host = next(self.HOSTS)
                own, _ = listeners.say(at, b"EHLO somebody\r\n\r\n", host)
                told = service.wait_for("stranger_refused", lambda line: line["address"] == own)
                self.assertEqual((told["level"], told["reason"]), ("warning", "foreign"))
                self.assertEqual(told["port"], name)
                self.assertIn("bytes 45484c4f20736f6d", told["detail"])
                seen.add(name)
        self.assertEqual(seen, {"control", "grpc", "admin", "http", "ops", "ucx"})
        self.served()

    def test_a_flood_of_strangers_is_a_few_lines(self):
        floods = {name: (service, at) for service, name, at in self.every_port()}
        for name, (service, at) in floods.items():
            with self.subTest(port=name):
                host, lines, began = next(self.HOSTS), len(service.lines), time.monotonic()
                for _ in range(200):
                    own, _ = listeners.say(at, b"\xff\xfe no protocol\r\n\r\n", host)
                other = next(self.HOSTS)  # somebody else is still told of, and the flood with it
                last, _ = listeners.say(at, b"\xff\xfe no protocol\r\n\r\n", other)
                told = service.wait_for("stranger_refused", lambda line: line["address"] == last)
                most = 6 + (time.monotonic() - began) / 60  # five, and one a minute
                flood = [line for line in service.events("stranger_refused")
                         if line["address"].startswith(f"{host}:")]
                self.assertGreaterEqual(len(flood), 5)
                self.assertLessEqual(len(flood), most)
                self.assertEqual(told["refusals_not_told"] + len(flood), 200)
                self.assertLessEqual(len(service.lines) - lines, most + 5)
                self.served()

    def test_probes_of_a_port_are_not_told(self):
        for service, name, at in self.every_port():
            host = next(self.HOSTS)
            for _ in range(3):
                socket.create_connection(at, source_address=(host, 0)).close()
            listeners.say(at, b"\xff\xfe no protocol\r\n\r\n", host)
            service.wait_for("stranger_refused", lambda l: l["address"].startswith(f"{host}:"))
            told = [line for line in service.events("stranger_refused")
                    if line["address"].startswith(f"{host}:")]
            self.assertEqual(len(told), 1, (name, told))

    def test_http_at_a_grpc_port_hears_where_to_go(self):
        ports = self.ports(self.cluster.gateway)
        for name in ("grpc", "admin"):
            request = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
            own, answer = listeners.say(ports[name], request, next(self.HOSTS))
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
            self.assertIn(b"gateway.http_listen", answer)
            told = self.cluster.gateway.wait_for(
                "stranger_refused", lambda line: line["address"] == own
            )
            self.assertIn("an HTTP request", told["detail"])

    def test_grpc_at_the_http_port_is_refused_and_told(self):
        host, port = self.ports(self.cluster.gateway)["http"]
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            inference = client.inference_pb2_grpc.InferenceServiceStub(channel)
            asked = client.pb.ListModelsRequest()
            failed = client.failure_of(inference.ListModels, asked, timeout=patient(60))
            self.assertEqual(failed.code, grpc.StatusCode.UNAVAILABLE, failed.message)
        told = self.cluster.gateway.wait_for(
            "stranger_refused", lambda line: "the hello of HTTP/2" in line["detail"]
        )
        self.assertEqual((told["port"], told["reason"]), ("http", "foreign"))
        self.assertIn("gateway.grpc_listen", told["detail"])
        done = program.run("chat", "--url", f"{host}:{port}", stdin=b"hi\n")
        self.assertEqual(done.returncode, program.CONNECTION)
        self.assertIn(b"gRPC port", done.stderr)


class StrangersOverTcpTest(StrangersTest):
    SETTINGS = "transport:\n  lanes: tcp\n"


if __name__ == "__main__":
    unittest.main(verbosity=2)
