#!/usr/bin/env python3
"""Limits of the gateway's connections, with settings so small that each is met in seconds."""

import http.client
import json
import os
import resource
import socket
import struct
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import ops, program, services
from tests.support.error_rows import ErrorRows
from tests.support.patience import patient
from tests.support.free_ports import free_port
from tests.support.poll_until import eventually

TEXT = "/v1/completions"
ENDLESS = {"prompt": "a", "max_tokens": 4000, "ignore_eos": True, "stream": True}
EMPTY_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"  # a frame of HTTP/2
GET = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


class LimitTest(ErrorRows, unittest.TestCase):
    def serve(self, *limits):
        flags = [word for limit in limits for word in ("--set", f"gateway.{limit}")]
        self.served = client.Served(*flags)
        self.addCleanup(self.served.stop)
        self.url = self.served.url
        self.place = tuple(self.url.removeprefix("http://").split(":"))

    def connect(self, receive_bytes=None, timeout=program.TIMEOUT_S):
        """A connection; `receive_bytes`: what the kernel takes for a client that does not read."""
        peer = socket.socket()
        self.addCleanup(peer.close)
        peer.settimeout(timeout)
        if receive_bytes is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        peer.connect((self.place[0], int(self.place[1])))
        return peer

    def post(self, peer, body, path=TEXT):
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        peer.sendall(head.encode() + data)

    def answers_on(self, peer):
        """Whether a request on this connection goes well."""
        peer.sendall(GET)
        response = http.client.HTTPResponse(peer)
        response.begin()
        response.read()
        return response.status == 200

    def streaming(self):
        """A connection on which an answer is under way."""
        peer = self.connect()
        self.post(peer, ENDLESS)
        got = b""
        while b"data: " not in got:
            got += peer.recv(4096)
        return peer

    def total(self, name, **labels):
        return sum(ops.values(self.served.addresses["ops"], name, labels))

    def calls(self, **labels):
        return self.total("troupe_gateway_requests_total", **labels)

    def busy(self, answer):
        self.is_row_over_http("queue_full", answer)
        self.assertEqual(answer.headers["connection"], "close")


class RefusalLogTest(program.ProgramTest):
    def test_connections_that_are_refused_share_their_lines(self):
        routers = f"127.0.0.1:{free_port()}"  # nobody is there, nor needed
        file = self.file("gateway.yaml", (
            f"cluster:\n  routers: ['{routers}']\n"
            "gateway:\n  grpc_listen: '127.0.0.1:0'\n  http_listen: '127.0.0.1:0'\n"
            "  http_connections_max: 1\nadmin:\n  listen: '127.0.0.1:0'\n"
        ))
        gateway = services.Service("gateway", "--config", file)
        self.addCleanup(gateway.close)
        url = gateway.wait_for("started")["http"]
        place = tuple(url.removeprefix("http://").split(":"))
        asked = 0

        def is_refused():
            nonlocal asked
            refused = oai.ask(url, "/version").status == 429
            asked += refused
            return refused

        def has_the_only_place():
            peer = socket.create_connection(place)
            self.addCleanup(peer.close)
            peer.sendall(GET[:-2])  # a request that goes on
            return is_refused()  # else it was still idle, and had to go

        eventually(has_the_only_place, "one connection is served")
        shared = lambda: [line for line in gateway.events("call_ended")
                          if "refusals_not_told" in line]
        eventually(lambda: is_refused() and shared(), "a line tells of those that have none")
        lines = [line for line in gateway.events("call_ended") if line["code"] == "429"]
        self.assertEqual({line["reason"] for line in lines}, {"queue_full"})
        self.assertLess(len(lines), asked)


class HttpLimitTest(LimitTest):
    def test_a_client_that_takes_nothing_of_its_reply_is_cut_off(self):
        # All that may wait behind the kernel's buffers: it is not the answer's own bound that ends.
        self.serve("http_write_ms=200", "stream_pending_kib=262144")
        peer = self.connect(receive_bytes=4096)
        self.post(peer, {**ENDLESS, "n": 16})
        eventually(lambda: self.calls(api="completions"), "its request has ended")
        self.assertEqual(self.calls(api="completions", code="499"), 1)
        running = "troupe_attention_sequences_running"
        eventually(lambda: self.total(running) == 0, "and is withdrawn")
        got = b""
        try:
            while part := peer.recv(1 << 16):
                got += part
        except ConnectionResetError:
            pass
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got[:100])
        self.assertNotIn(b"[DONE]", got)
        self.assertEqual(oai.ask(self.url, "/livez").status, 200)

    def test_a_client_that_reads_too_slowly_hears_why_its_stream_ends(self):
        self.serve("stream_pending_kib=1")
        peer = self.connect(receive_bytes=4096)
        self.post(peer, {**ENDLESS, "n": 16})
        # The kernel's buffers are full, and then the answer's own.
        eventually(lambda: self.total("troupe_attention_rows_total")
                   and self.total("troupe_attention_sequences_running") == 0, "it is withdrawn")
        response = http.client.HTTPResponse(peer)
        response.begin()
        answer = self.is_last_event("slow_reader", oai.Answer(response, response.read()))
        self.assertIn("choices", answer.events[0])
        finish = "troupe_gateway_finish_total"
        eventually(lambda: self.total(finish, reason="error") == 16, "every choice counts")
        self.assertEqual(self.calls(api="completions", code="408"), 1)
        waited = "troupe_gateway_stream_backpressure_seconds_total"
        self.assertGreater(self.total(waited, api="completions"), 0)
        self.assertEqual(self.total(waited, api="chat"), 0)

    def test_a_server_without_descriptors_says_so_and_serves_again(self):
        self.serve()
        place = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(place, timeout=program.TIMEOUT_S)
        self.addCleanup(connection.close)

        def ask():
            connection.request("POST", TEXT, json.dumps({"prompt": "a", "max_tokens": 1}))
            response = connection.getresponse()
            return oai.Answer(response, response.read())

        self.assertEqual(ask().status, 200)
        pid = self.served.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        answers = []

        def is_refused():
            # The descriptors of the request before may go only now: then there was one for this.
            taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
            free = min(set(range(len(taken) + 1)) - taken)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))
            answers.append(ask())
            return answers[-1].status != 200

        eventually(is_refused, "a request finds no descriptor")
        self.is_row_over_http("memory_exhausted", answers[-1])
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(ask().status, 200)

    def test_a_connection_that_is_idle_is_closed(self):
        self.serve("http_idle_ms=200")
        # Longer than it takes, and shorter than the 75 s there are without the setting.
        timeout = min(patient(30), 60)
        fresh, used = (self.connect(timeout=timeout) for _ in range(2))
        self.assertTrue(self.answers_on(used))
        self.assertEqual((fresh.recv(1), used.recv(1)), (b"", b""))
        # One whose answer takes longer is not idle.
        answer = oai.ask(self.url, TEXT, {**ENDLESS, "max_tokens": 1500})
        self.assertEqual(answer.events[-1], "[DONE]")

    def test_one_connection_more_takes_the_place_of_the_longest_idle_one(self):
        self.serve("http_connections_max=2")
        first, second = self.connect(), self.connect()
        self.assertTrue(self.answers_on(self.connect()))
        self.assertEqual(first.recv(1), b"")
        self.assertTrue(self.answers_on(second))

    def test_where_none_is_idle_one_connection_more_is_refused(self):
        self.serve("http_connections_max=2")
        streams = [self.streaming() for _ in range(2)]
        self.busy(oai.ask(self.url, "/version"))
        streams.pop().close()
        eventually(lambda: oai.ask(self.url, "/version").status == 200, "a place is free")

    def test_one_request_more_than_there_may_be_threads_is_refused(self):
        self.serve("http_requests_max=1")
        stream = self.streaming()
        for path, body in (("/version", None), (TEXT, {"prompt": "a"})):
            self.busy(oai.ask(self.url, path, body))
        self.assertEqual(self.calls(api="unknown", code="429"), 2)
        stream.close()
        eventually(lambda: oai.ask(self.url, "/version").status == 200, "the thread is free")

    def test_bodies_of_too_many_at_once_are_refused(self):
        self.serve("http_body_mib=1")
        head = b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"
        peers = [self.connect() for _ in range(16)]
        for peer in peers:
            peer.sendall(head)  # and its body stays away
        asked = lambda: oai.ask(self.url, "/tokenize", {"prompt": "a" * 1000})
        eventually(lambda: asked().status == 503, "all memory for bodies is taken")
        self.is_row_over_http("overloaded", asked())
        peers.pop().close()
        eventually(lambda: asked().status == 200, "there is some again")


class GrpcLimitTest(LimitTest):
    def test_a_connection_is_told_how_many_streams_it_may_have(self):
        self.serve()
        host, port = self.served.address.split(":")
        with socket.create_connection((host, int(port)), timeout=program.TIMEOUT_S) as peer:
            peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EMPTY_SETTINGS)
            stream = peer.makefile("rb")
            head = stream.read(9)
            told = stream.read(int.from_bytes(head[:3], "big"))
        self.assertEqual(head[3], 4)  # SETTINGS
        pairs = dict(struct.iter_unpack(">HI", told))
        self.assertEqual(pairs[3], 1024)  # SETTINGS_MAX_CONCURRENT_STREAMS


if __name__ == "__main__":
    unittest.main()
