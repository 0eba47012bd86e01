#!/usr/bin/env python3
"""The control port of a serving cluster: what strangers say to it, and that it serves on."""

import itertools
import random
import unittest

from tests.support import control_port, listeners, up_cluster
from tests.support.cluster_case import ASKED, TOKEN, ClusterCase
from tests.support.free_ports import free_port
from tests.support.grpc_client import request
from tests.support.poll_until import eventually
from tests.support.services import Service

IDLE_STRANGERS = 200
HTTP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
TLS = bytes.fromhex("1603010200010001fc0303") + bytes(64)
PAYLOAD_BYTES_MAX = 16 << 20
SEED = 20251130


class ControlPortTest(ClusterCase):
    _sources = itertools.count(1)

    def setUp(self):
        # The log tells five refusals of an address at once; each test has one of its own.
        self.source = f"127.0.1.{next(self._sources)}"

    def connect(self):
        connection = control_port.Connection(self.cluster.control, self.source)
        self.addCleanup(connection.close)
        return connection

    @property
    def name(self):
        return f"test-{self.cluster.control}"

    def told(self, event, connection):
        """The router's line about that connection."""
        address = connection.address
        return self.cluster.router.wait_for(event, lambda line: line.get("address") == address)

    def test_foreign_programs_are_named(self):
        for said, name in (
            (HTTP, "an HTTP request"),
            (TLS, "a TLS hello"),
            (b"\x01\0\0\0" + bytes(40), "CAF's own protocol"),
            (b"\xff" + random.Random(SEED).randbytes(3000), "bytes ff"),
        ):
            connection = self.connect()
            address = connection.address
            try:
                connection.say(said)
            except OSError:
                pass  # hung up on before all of it was taken
            self.assertTrue(connection.hung_up_on())
            line = self.cluster.router.wait_for(
                "stranger_refused", lambda line: line["address"] == address
            )
            self.assertEqual((line["level"], line["reason"]), ("warning", "foreign"))
            self.assertIn(name, line["detail"])

    def test_silence_ends(self):
        silent, half = self.connect(), self.connect()
        half.say(control_port.greeting(self.name)[:100])
        for connection, says in ((silent, "said nothing"), (half, "after 100 bytes")):
            self.assertTrue(connection.hung_up_on())
            line = self.told("stranger_refused", connection)
            self.assertEqual(line["reason"], "silent")
            self.assertIn(says, line["detail"])

    def test_a_wrong_token_a_wrong_cluster_and_a_wrong_version(self):
        for words, refusal, reason, says in (
            (("guess", self.name), control_port.TOKEN, "token", "join token"),
            ((TOKEN, "other"), control_port.CLUSTER, "cluster", "'other'"),
        ):
            connection = self.connect()
            self.assertEqual(connection.join(*words)[0], refusal)
            line = self.told("member_refused", connection)
            self.assertEqual((line["reason"], line["pid"]), (reason, 4242))
            self.assertIn(says, line["detail"])
            self.assertTrue(connection.hung_up_on())
        later = self.connect()
        self.assertEqual(
            later.join(TOKEN, self.name, versions=(7, 9))[0], control_port.VERSION
        )
        self.assertIn("7 to 9", self.told("member_refused", later)["detail"])

    def test_an_oversized_message_ends_its_connection_only(self):
        member = self.connect()
        self.assertEqual(member.join(TOKEN, self.name)[0], control_port.WELCOME)
        self.assertTrue(member.hear(32), "CAF greets who has proved itself")
        before = self.cluster.router.total("process_virtual_memory_bytes")
        member.say(control_port.basp_header(0xFFFFFFFF))
        self.assertTrue(member.hung_up_on())
        line = self.told("control_message_oversized", member)
        self.assertEqual(
            (line["bytes"], line["bytes_max"]), (0xFFFFFFFF, PAYLOAD_BYTES_MAX)
        )
        after = self.cluster.router.total("process_virtual_memory_bytes")
        self.assertLess(after - before, 1 << 30, "nothing near 4 GiB was allocated")

    def test_a_recording_opens_nothing(self):
        member = self.connect()
        self.assertEqual(member.join(TOKEN, self.name)[0], control_port.WELCOME)
        again = self.connect()
        again.say(member.sent[0])
        self.assertEqual(len(again.hear(control_port.CHALLENGE.size)), 48)
        again.say(member.sent[1])
        verdict = control_port.VERDICT.unpack(again.hear(control_port.VERDICT.size))
        self.assertEqual(verdict[0], control_port.TOKEN)
        self.assertTrue(again.hung_up_on())

    def test_what_comes_before_the_proof_reaches_nobody(self):
        """CAF's own messages in place of a proof: an exit message would be one of them."""
        stranger = self.connect()
        stranger.say(control_port.greeting(self.name))
        self.assertEqual(len(stranger.hear(control_port.CHALLENGE.size)), 48)
        stranger.say(control_port.basp_header(100) + bytes(100))
        self.assertEqual(stranger.hear(1)[0], control_port.TOKEN)
        self.assertTrue(stranger.hung_up_on())

    def test_idle_strangers_keep_nobody_out(self):
        load = up_cluster.Load(self, request(**ASKED))
        ports = ("--gateway-grpc-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
        crowd = [self.connect() for _ in range(IDLE_STRANGERS)]
        one_more = self.cluster.start("gateway", "--gateway-index", 1, *ports)
        one_more.wait_for("ready")
        have = len(load.answers)
        eventually(lambda: len(load.answers) >= have + 3, "answers beside a crowd")
        self.assertEqual(one_more.stop(), 0)
        for answer in load.stop():
            self.assertIsNone(answer.failure, answer.failure and answer.failure.message)
            self.assertEqual(answer.ids, self.expected)
        for stranger in crowd:
            self.assertTrue(stranger.hung_up_on())
        told = self.cluster.router.events("stranger_refused")
        from_here = [line for line in told if line["address"].startswith(self.source + ":")]
        self.assertTrue(from_here)
        self.assertLessEqual(len(from_here), 10, "a crowd does not fill the log")

    def test_nothing_else_of_the_control_plane_listens(self):
        """No second way in, for nobody: a router without links has its two ports only."""
        control = f"127.0.0.1:{free_port()}"
        alone = Service("router", "--cluster-routers", control, "--control-listen", control)
        self.addCleanup(alone.close)
        alone.wait_for("started")
        ports = {f"{host}:{port}" for host, port in listeners.of(alone.pid)}
        self.assertEqual(ports, {control, alone.ops})

    def tearDown(self):
        self.served()
        self.assertIsNone(self.cluster.router.process.poll(), self.cluster.router.text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
