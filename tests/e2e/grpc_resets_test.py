#!/usr/bin/env python3
"""A client that begins calls and takes them back at once, again and again, as HTTP/2 lets it."""

import re
import socket
import struct
import unittest

from tests.support import grpc_client as client
from tests.support import http2_garbage as http2
from tests.support import program
from tests.support.grpc_client import request
from tests.support.patience import patient
from tests.support.poll_until import eventually

CALLS = 100_000  # 2.4 GB while all of them wait for their turn
MEMORY_BYTES = 768 << 20
TAKEN_BACK = struct.pack(">I", 8)  # CANCEL
AT_ONCE = 1000  # calls that are sent together
ORDINARY = 600


def indexed(name, value):
    """A header that the connection's table has from now on."""
    return b"\x40" + bytes([len(name)]) + name + bytes([len(value)]) + value


def calls_taken_back(path):
    """The bytes of a connection, without end."""
    headers = {b":method": b"POST", b":scheme": b"http", b":path": path.encode(),
               b":authority": b"x", b"te": b"trailers", b"content-type": b"application/grpc"}
    yield http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0)
    written = b"".join(indexed(*pair) for pair in headers.items())
    again = bytes(0x80 | (62 + i) for i in reversed(range(len(headers))))
    empty = struct.pack(">BI", 0, 0)
    for stream in range(1, 2**31, 2):
        yield (http2.block(stream, again if stream > 1 else written)
               + http2.frame(http2.DATA, http2.END_STREAM, stream, empty)
               + http2.frame(http2.RST_STREAM, 0, stream, TAKEN_BACK))


def flood(address, path, count):
    """Sends so many calls; returns when the server has ended the connection."""
    host, port = address.rsplit(":", 1)
    said = calls_taken_back(path)
    with socket.create_connection((host, int(port)), timeout=patient(60)) as peer:
        try:
            for _ in range(0, count, AT_ONCE):
                peer.sendall(b"".join(next(said) for _ in range(AT_ONCE)))
            while peer.recv(65536):
                pass
        except ConnectionError:
            pass


class ResetsTest(unittest.TestCase):
    def setUp(self):
        self.served = client.Served()
        self.addCleanup(self.served.stop)
        stub = client.health_pb2_grpc.HealthStub(self.served.channel)
        self.watch = stub.Watch(client.health_pb2.HealthCheckRequest())
        next(self.watch)  # another client's stream, open from here on

    def peak_bytes(self):
        """Most that the server has held."""
        with open(f"/proc/{self.served.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) << 10

    def told(self):
        """Lines of connections that were ended."""
        return [line for line in self.served.log if "reason=resets" in line]

    def answer(self):
        return client.stream(self.served, request(text="In the", temperature=0, max_tokens=8)).ids

    def test_a_connection_that_takes_all_its_calls_back_is_ended_and_others_go_on(self):
        expected, before = self.answer(), self.peak_bytes()
        flood(self.served.address, f"/{client.INFERENCE}/Generate", CALLS)
        self.assertEqual(self.answer(), expected)
        self.assertTrue(self.watch.is_active())
        if not program.has_sanitizer():  # these keep what is freed
            self.assertLess(self.peak_bytes() - before, MEMORY_BYTES)
        (line,) = eventually(self.told, "the log tells of it")
        self.assertIn("port=grpc address=127.0.0.1", line)

    def test_it_is_ended_whatever_it_calls(self):
        for path in ("/grpc.health.v1.Health/Check", "/nobody.has.This/Method",
                     "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
            with self.subTest(path):
                told = len(self.told())
                flood(self.served.address, path, 10 * AT_ONCE)
                eventually(lambda told=told: len(self.told()) > told, "the log tells of it")
        self.assertTrue(self.watch.is_active())

    def test_a_client_that_takes_every_other_call_back_keeps_its_connection(self):
        asked = request(text="In the", max_tokens=2)
        for _ in range(ORDINARY // 2):
            self.served.inference.Generate(asked).cancel()
            self.served.inference.ListModels(client.pb.ListModelsRequest())
        self.assertTrue(self.watch.is_active())
        self.assertEqual(self.served.health(), "SERVING")


if __name__ == "__main__":
    unittest.main()
