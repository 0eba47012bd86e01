#!/usr/bin/env python3
"""One service as a process: probes, signals, ports, refusals and what it says about them."""

import os
import signal
import socket
import subprocess
import unittest

from tests.support import program
from tests.support.free_ports import free_port
from tests.support.poll_until import eventually
from tests.support.services import Cluster, Service


class ServiceTest(program.ProgramTest):
    def service(self, *words, **options):
        """A service that is stopped at the end, whatever happens."""
        service = Service(*words, **options)
        self.addCleanup(service.close)
        return service

    def cluster(self, **options):
        cluster = Cluster(self.folder, **options)
        self.addCleanup(cluster.close)
        return cluster

    def refused(self, service, exit_code, fault, says):
        """The service ends by itself and says why."""
        self.assertEqual(service.ended(), exit_code, service.text)
        line = service.events("failed")[-1]
        self.assertEqual(line["code"], f"TROUPE-{fault}", line)
        self.assertEqual(line["exit_code"], exit_code)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, line["msg"])
        return line["msg"]


class ProbeTest(ServiceTest):
    def test_a_service_alone_lives_has_started_and_is_not_ready(self):
        expert = self.service("expert", "--cluster-routers", f"127.0.0.1:{free_port()}")
        expert.wait_for("started")
        self.assertEqual(expert.get("/livez"), (200, "ok\n"))
        self.assertEqual(expert.get("/startupz"), (200, "ok\n"))
        alone = lambda: "[-]cluster no director" in expert.get("/readyz?verbose")[1]
        eventually(alone, "it has looked for a director")
        status, body = expert.get("/readyz?verbose")
        self.assertEqual(status, 503)
        self.assertIn("[+]weights ok\n", body)
        self.assertIn("[-]cluster no director", body)
        self.assertIn("[+]not_draining ok\n", body)
        self.assertEqual(expert.get("/health")[0], 503)
        self.assertEqual(expert.get("/nothing")[0], 404)
        self.assertEqual(expert.stop(), 0)
        self.assertEqual(len(expert.events("drained")), 1)

    def test_all_are_ready_once_the_cluster_is_complete(self):
        cluster = self.cluster().wait_until_ready()
        for service in cluster.services:
            self.assertEqual(service.get("/readyz"), (200, "ok\n"))
        self.assertEqual(cluster.stop(), [0] * 5)

    def test_a_probe_names_the_link_that_is_missing(self):
        cluster = self.cluster().wait_until_ready()
        verbose = "/readyz?verbose"
        for service in cluster.services:
            self.assertIn("[+]links ok\n", service.get(verbose)[1])
            self.assertIn("[+]placement ok\n", service.get(verbose)[1])
        cluster.experts[1].kill()
        router, gateway = cluster.router, cluster.gateway
        eventually(lambda: "[-]link to expert 1 it is LOST" in router.get(verbose)[1], "the router")
        eventually(lambda: "[-]expert 1 is LOST since" in gateway.get(verbose)[1], "the gateway")
        self.assertEqual((router.get("/readyz")[0], gateway.get("/readyz")[0]), (503, 503))
        self.assertIn("expert 1", gateway.wait_for("not_ready")["msg"])
        cluster.start("expert", "--expert-rank", 1).wait_for("ready")
        eventually(lambda: gateway.get("/readyz")[0] == 200, "service again")
        router.kill()
        attention = cluster.attention
        eventually(lambda: "[-]link to router 0 " in attention.get(verbose)[1], "attention 0")
        self.assertEqual(attention.get("/readyz")[0], 503)

    def test_summary_has_the_facts_and_no_secret(self):
        token = self.file("token", "very-secret-words\n")
        expert = self.service("expert", "--cluster-join-token-file", token, "--log-level", "debug")
        line = expert.wait_for("started")
        self.assertIn("expert 0 of 1", line["process"])
        self.assertIn("troupe-tiny", line["model"])
        self.assertRegex(line["numerics"], "^fp_[0-9a-f]{16}, bf16 by default for fp8 weights")
        expert.stop(signal.SIGINT)
        self.assertNotIn("very-secret-words", expert.text)

    def test_people_get_lines_for_people(self):
        done = program.start("expert", "--ops-listen", "127.0.0.1:0", "--log-format", "human")
        seen = b""
        while b"up_in" not in seen:
            seen += done.stderr.readline()
        done.send_signal(signal.SIGTERM)
        seen += done.communicate(timeout=program.TIMEOUT_S)[1]
        self.assertEqual(done.returncode, 0)
        self.assertRegex(seen.decode(), r"(?m)^\d\d:\d\d:\d\d\.\d{3} info expert 0  drained: ")


class LimitTest(ServiceTest):
    def test_the_limit_on_descriptors_is_raised_as_far_as_it_goes(self):
        words = ("sh", "-c", 'ulimit -Sn 256 && ulimit -Hn 1000 && exec "$@"', "sh")
        expert = self.service("expert", within=words)
        expert.wait_for("ops_listening")
        with open(f"/proc/{expert.pid}/limits", encoding="ascii") as file:
            limits = {line[:25].strip(): line[25:].split() for line in file}
        self.assertEqual(limits["Max open files"][:2], ["1000", "1000"])
        self.assertEqual(expert.stop(), 0)


class SignalTest(ServiceTest):
    def test_it_ends_with_whoever_started_it(self):
        words = [program.binary(), "expert", "--exit-with-parent", "--ops-listen", "127.0.0.1:0"]
        shell = '"$@" & echo $!; wait'
        parent = subprocess.Popen(
            ["sh", "-c", shell, "sh", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=program.environment(),
        )
        pid = int(parent.stdout.readline())
        watched = os.pidfd_open(pid)
        line = b""
        while b'"event":"started"' not in line:
            line = parent.stderr.readline()
        parent.kill()
        parent.wait(program.TIMEOUT_S)
        rest = parent.stderr.read().decode()  # ends when the service has ended
        self.assertIn('"event":"drained"', rest)
        os.close(watched)
        parent.stdout.close()
        parent.stderr.close()


class PortTest(ServiceTest):
    def test_a_port_in_use_is_named_with_its_key(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            ops = self.service("expert", "--ops-listen", address)
            self.refused(ops, program.CONNECTION, 5001, ["ops.listen", address, "in use"])
            flags = ("--control-listen", address, "--cluster-routers", address)
            control = self.service("router", *flags)
            self.refused(control, program.CONNECTION, 5001, ["control", address])
            flags = {
                "gateway.grpc_listen": "--gateway-grpc-listen",
                "gateway.http_listen": "--gateway-http-listen",
                "admin.listen": "--admin-listen",
            }
            for key, flag in flags.items():
                ports = {name: "127.0.0.1:0" for name in flags.values()} | {flag: address}
                words = [word for pair in ports.items() for word in pair]
                gateway = self.service("gateway", *words)
                self.refused(gateway, program.CONNECTION, 5001, [key, address])

    def test_strangers_do_not_disturb_a_router(self):
        cluster = self.cluster(experts=1, gateway=False).wait_until_ready()
        ops_port = int(cluster.router.ops.rsplit(":", 1)[1])
        for port in (cluster.control, ops_port):
            for stuff in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", os.urandom(4096),
                          b"\0" * 65536, b""):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
                    try:
                        peer.sendall(stuff)
                        peer.shutdown(socket.SHUT_WR)
                        while peer.recv(4096):
                            pass
                    except OSError:
                        pass  # cut off
        late = cluster.start("expert", "--expert-rank", 0, "--ops-listen", "127.0.0.1:0")
        self.assertNotEqual(late.ended(), 0)  # the rank is taken, and the router still says so
        self.assertEqual(cluster.router.get("/readyz"), (200, "ok\n"))
        self.assertEqual(set(cluster.stop()), {0})


class RefusalTest(ServiceTest):
    def test_bad_configurations(self):
        path = self.file("c.yaml", "expert:\n  rnak: 1\n")
        self.fails(program.CONFIG, 3002, ["c.yaml:2", "expert.rank"], "expert", "--config", path)
        self.fails(program.CONFIG, 3005, "expert.ranks", "expert", "--expert-rank", "5")
        self.fails(program.CONFIG, 3001, "nowhere", "router", "--config", "nowhere.yaml")
        self.fails(program.USAGE, 1001, "--expert-rank?", "expert", "--expert-rnk", "1")
        token = self.service("expert", "--cluster-join-token-file", self.path("none"))
        self.refused(token, program.CONFIG, 3005, ["cluster.join_token_file", "No such file"])

    def test_a_model_that_is_not_there(self):
        service = self.service("expert", "--model-path", self.path("none"))
        self.refused(service, program.MODEL, 4001, self.path("none"))

    def test_more_ranks_than_experts(self):
        flags = ("--expert-rank", "99", "--expert-ranks", "100")
        self.refused(self.service("expert", *flags), program.CONFIG, 3005, "32")

    def test_another_token_mode_name_or_rank_is_refused_by_the_cluster(self):
        cluster = self.cluster(experts=1, gateway=False).wait_until_ready()
        token = self.file("token", "another")
        for flags, says in (
            (("--cluster-join-token-file", token), "token"),
            (("--engine-mode", "f32"), "numerics"),
            (("--engine-kv-cache", "fp8"), "numerics"),
            (("--cluster-name", "elsewhere"), "cluster"),
        ):
            with self.subTest(flags=flags):
                service = cluster.start("expert", *flags)
                message = self.refused(service, program.CONNECTION, 5003, "")
                self.assertIn(says, message.lower())
        taken = cluster.start("expert", "--expert-rank", "0")
        self.refused(taken, program.TEMPORARY, 8001, ["rank taken", "alive"])
        refusals = cluster.router.events("member_refused")
        self.assertGreaterEqual(len(refusals), 4)  # said on both sides
        self.assertEqual({line["level"] for line in refusals}, {"warning"})
        self.assertEqual(cluster.router.get("/readyz"), (200, "ok\n"))
        self.assertEqual(set(cluster.stop()), {0})


if __name__ == "__main__":
    unittest.main()
