#!/usr/bin/env python3
"""Requests with an idempotency key, over HTTP and gRPC: who is refused, and until when."""

import http.client
import json
import socket
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import program
from tests.support.error_row_case import CHAT, ENDLESS, MESSAGES, TEXT, RowTest, bearer, settings
from tests.support.grpc_client import pb, request
from tests.support.poll_until import eventually


def idempotent(key):
    """What a call over HTTP and one over gRPC take to give this key."""
    return {"headers": {"Idempotency-Key": key}}, {"metadata": [("idempotency-key", key)]}


class IdempotencyKeyTest(RowTest):
    """A key is another request's while that one runs, and no longer."""

    ASKED = {"prompt": "a", "max_tokens": 1}

    def http_stream(self, **options):
        """A stream over HTTP that has begun, and its connection."""
        place = self.served.url.removeprefix("http://")
        connection = http.client.HTTPConnection(place, timeout=program.TIMEOUT_S)
        self.addCleanup(connection.close)
        body = json.dumps({"prompt": "a", "stream": True, **ENDLESS})
        connection.request("POST", TEXT, body, **options)
        stream = connection.getresponse()
        self.assertEqual(stream.status, 200)
        self.assertTrue(stream.readline())
        return connection, stream

    def is_refused(self, key):
        http_options, grpc_options = idempotent(key)
        for path, body in (
            (TEXT, self.ASKED), (TEXT, {**self.ASKED, "stream": True}),
            (CHAT, {"messages": MESSAGES, "max_tokens": 1}),
        ):
            told = self.over_http("operation_in_progress", path, body, **http_options)
            self.assertIn("idempotency key", told.error["message"])
        asked = request(text="a", max_tokens=1)
        whole = pb.GenerateUnaryRequest(request=asked)
        self.over_grpc("operation_in_progress", asked, **grpc_options)
        self.over_grpc("operation_in_progress", whole, self.served.inference.GenerateUnary,
                       **grpc_options)

    def is_taken(self, **options):
        return oai.ask(self.served.url, TEXT, self.ASKED, **options).status == 200

    def test_a_key_is_taken_until_its_client_goes(self):
        self.serve()
        http_options, grpc_options = idempotent("8e03978e-40d5")
        for over_grpc in (True, False):
            if over_grpc:
                leave = self.stream(**grpc_options).cancel
            else:
                connection, stream = self.http_stream(**http_options)
                leave = lambda: (stream.close(), connection.close())
            self.is_refused("8e03978e-40d5")
            self.assertTrue(self.is_taken(**idempotent("8e03978e-40d6")[0]))
            self.assertTrue(self.is_taken(), "without a key")
            leave()
            eventually(lambda: self.is_taken(**http_options), "its client has gone")
            # And for gRPC: the key of what was just answered is free at once.
            client.unary(self.served, request(text="a", max_tokens=1), **grpc_options)
        self.assertGreaterEqual(self.calls(code="409"), 6)  # and whoever came while it went
        self.assertEqual(self.calls(code="ABORTED"), 4)

    def test_who_has_the_whole_answer_can_use_the_key_again(self):
        self.serve()
        http_options, grpc_options = idempotent("k")
        for _ in range(8):
            for body in (self.ASKED, {**self.ASKED, "stream": True}, {"prompt": 1}):
                status = 400 if body["prompt"] == 1 else 200
                answer = oai.ask(self.served.url, TEXT, body, **http_options)
                self.assertEqual(answer.status, status, answer.body)
            asked = request(text="a", max_tokens=1)
            client.unary(self.served, asked, **grpc_options)
            self.assertTrue(client.stream(self.served, asked, **grpc_options).finished)
            self.over_grpc("invalid_value", request(text="a", temperature=9), **grpc_options)

    def test_who_reads_slowly_keeps_the_key(self):
        self.serve()
        http_options, grpc_options = idempotent("k")
        # More than the kernel and the library take for a client that does not read.
        body = {"messages": MESSAGES, "n": 8, "max_tokens": 800, "ignore_eos": True,
                "logprobs": True, "top_logprobs": 20}
        peer = socket.socket()
        self.addCleanup(peer.close)
        peer.settimeout(program.TIMEOUT_S)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = self.served.url.removeprefix("http://").split(":")
        peer.connect((host, int(port)))
        text = json.dumps(body)
        peer.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n"
                     f"Idempotency-Key: k\r\n\r\n{text}".encode())
        response = http.client.HTTPResponse(peer)
        response.begin()  # all is computed
        self.is_refused("k")
        answer = oai.Answer(response, response.read())
        self.assertEqual(len(answer.json["choices"]), 8)
        self.assertTrue(self.is_taken(**http_options), "at once")

        whole = pb.GenerateUnaryRequest(request=request(
            text="a", n=8, max_tokens=800, ignore_eos=True, logprobs=20,
        ))
        with self.served.connect(grpc__http2__bdp_probe=0) as channel:  # 64 KiB may be under way
            # As a stream of one message: it is read when it is asked for.
            call = channel.unary_stream(f"/{client.INFERENCE}/GenerateUnary",
                                        pb.GenerateUnaryRequest.SerializeToString,
                                        pb.GenerateUnaryResponse.FromString)(whole, **grpc_options)
            call.initial_metadata()
            self.is_refused("k")
            (answer,) = call
            self.assertEqual(len(answer.choices), 8)
        client.unary(self.served, request(text="a", max_tokens=1), **grpc_options)

    def test_a_key_of_another_form(self):
        self.serve()
        for key in ("", "a b", "a" * 257):
            http_options, grpc_options = idempotent(key)
            told = self.over_http("invalid_value", **http_options)
            self.assertEqual(told.error["param"], "Idempotency-Key")
            failed = self.over_grpc("invalid_value", **grpc_options)
            self.assertEqual(failed.fields, ["idempotency-key"])
        self.over_grpc("invalid_value", metadata=[("idempotency-key", key) for key in "ab"])
        connection = http.client.HTTPConnection(self.served.url.removeprefix("http://"),
                                                timeout=program.TIMEOUT_S)
        self.addCleanup(connection.close)
        connection.putrequest("POST", TEXT)
        body = json.dumps(self.ASKED).encode()
        for name, value in (("Content-Length", len(body)), ("Idempotency-Key", "a"),
                            ("Idempotency-Key", "b")):
            connection.putheader(name, value)
        connection.endheaders(body)
        self.assertEqual(connection.getresponse().status, 400, "two keys")
        self.assertTrue(self.is_taken(**idempotent("a" * 256)[0]))

    def test_clients_do_not_share_keys(self):
        file = self.path("keys.txt")
        secrets = [self.succeeds("keys", "add", file, name).strip() for name in ("alice", "bob")]
        self.serve(*settings(f"gateway.api_keys_file={file}"))
        (alice_http, alice_grpc), (bob_http, _) = (
            [{name: [*dict(value).items(), *dict(given[name]).items()]
              for name, value in whose.items()}
             for whose, given in zip(bearer(secret), idempotent("k"))]
            for secret in secrets
        )
        running = self.stream(**alice_grpc)
        self.over_http("operation_in_progress", **alice_http)
        self.assertTrue(self.is_taken(**bob_http))
        running.cancel()


if __name__ == "__main__":
    unittest.main()
