"""Errors over HTTP: exception classes, bodies, strangers on the socket, clients that go."""

import json
import os
import re
import socket
import ssl
import tempfile
import threading
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import patience, program
from tests.support.openai_client import openai
from tests.support.poll_until import eventually
from tests.support.services import Cluster

QUESTION = [{"role": "user", "content": "What is a lighthouse?"}]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
LONG = {"prompt": "In the beginning", "max_tokens": 3000, "ignore_eos": True, "stream": True}


class HttpTest(unittest.TestCase):
    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.served = client.Served(*cls.FLAGS)
        cls.url = cls.served.url
        cls.address = tuple(cls.url.removeprefix("http://").split(":"))

    @classmethod
    def tearDownClass(cls):
        assert cls.served.stop() == 0, "".join(cls.served.log)

    def refused(self, status, code, path, body=None, param=None, says=(), **options):
        """Checks an error in full; gives back its message."""
        answer = oai.ask(self.url, path, body, **options)
        shown = (path, body, answer.body)
        self.assertEqual(answer.status, status, shown)
        error = answer.error
        members = {"message", "type", "param", "code", "request_id"}
        if code == "context_length_exceeded":
            members |= {"prompt_tokens", "context_length"}
        self.assertEqual(set(error), members)
        self.assertEqual((error["code"], error["param"]), (code, param), shown)
        self.assertEqual(answer.headers["x-request-id"], error["request_id"])
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, error["message"])
        return answer

    def raw(self, *pieces, until_closed=True):
        """What comes back for bytes on a socket."""
        with socket.create_connection(self.address, timeout=program.TIMEOUT_S) as peer:
            for piece in pieces:
                peer.sendall(piece)
            got = b""
            while until_closed or b"\r\n\r\n" not in got:
                part = peer.recv(65536)
                if not part:
                    break
                got += part
            return got


class RefusalTest(HttpTest):
    def test_json_that_is_none(self):
        for body in (b"", b"{", b'{"a":1,}', b"[]", b'"x"', b'{"a": NaN}', b"\xff{}",
                     b'{"prompt": "\xff"}', b'{"a":1,"a":2}', b"[" * 100_000,
                     b'{"prompt":' + b"[" * 100 + b"]" * 100 + b"}",
                     b'{"prompt":[' + b"1," * (1 << 20) + b"1]}"):
            answer = self.refused(400, "invalid_json", TEXT, body)
            self.assertIn("body is not the JSON", answer.error["message"])
        message = self.refused(400, "invalid_json", CHAT, b'{"model": "x" 3}').error["message"]
        self.assertRegex(message, "[0-9]")  # where

    def test_fields_of_the_wrong_type_by_their_path(self):
        for body, param in (
            ({"messages": "hi"}, "messages"),
            ({}, "messages"),
            ({"messages": []}, "messages"),
            ({"messages": ["hi"]}, "messages[0]"),
            ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
             "messages[0].content[0].type"),
            ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
            ({"messages": QUESTION, "temperature": "hot"}, "temperature"),
            ({"messages": QUESTION, "temperature": 3}, "temperature"),
            ({"messages": QUESTION, "max_tokens": 0}, "max_tokens"),
            ({"messages": QUESTION, "max_completion_tokens": -1}, "max_completion_tokens"),
            ({"messages": QUESTION, "max_tokens": 1e30}, "max_tokens"),
            ({"messages": QUESTION, "top_p": 0}, "top_p"),
            ({"messages": QUESTION, "seed": 1.5}, "seed"),
            ({"messages": QUESTION, "stop": [1]}, "stop[0]"),
            ({"messages": QUESTION, "stop": ["a"] * 17}, "stop"),
            ({"messages": QUESTION, "logit_bias": {"x": 1}}, "logit_bias"),
            ({"messages": QUESTION, "logit_bias": {"1": 101}}, "logit_bias[1]"),
            ({"messages": QUESTION, "top_logprobs": 2}, "top_logprobs"),
            ({"messages": QUESTION, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
            ({"messages": QUESTION, "n": 0}, "n"), ({"messages": QUESTION, "n": 129}, "n"),
            ({"messages": QUESTION, "tool_choice": "required"}, "tool_choice"),
            ({"messages": QUESTION, "guided_choice": []}, "guided_choice"),
            ({"messages": QUESTION, "guided_choice": "a"}, "guided_choice"),
            ({"messages": QUESTION, "guided_choice": ["a", 1]}, "guided_choice[1]"),
            ({"messages": [{"role": "assistant", "tool_calls": [
                {"type": "x", "function": {"name": "f"}}]}]}, "messages[0].tool_calls[0].type"),
            ({"messages": QUESTION, "priority": 1.5}, "priority"),
            ({"messages": QUESTION, "priority": 10**7}, "priority"),
            ({"messages": QUESTION, "cache_salt": 5}, "cache_salt"),
            ({"messages": QUESTION, "stream": "yes"}, "stream"),
            ({"messages": QUESTION, "stream_options": {"include_usage": 1}},
             "stream_options.include_usage"),
            ({"messages": QUESTION, "response_format": {"type": "xml"}}, "response_format.type"),
            ({"messages": QUESTION, "reasoning_effort": "huge"}, "reasoning_effort"),
        ):
            self.refused(400, "invalid_value", CHAT, body, param)
        for body, param in (
            ({}, "prompt"), ({"prompt": 5}, "prompt"), ({"prompt": []}, "prompt"),
            ({"prompt": ""}, "prompt"), ({"prompt": ["a", 5]}, "prompt[1]"),
            ({"prompt": [1, "a"]}, "prompt[1]"), ({"prompt": [[1], [2.5]]}, "prompt[1][0]"),
            ({"prompt": [10**6]}, "prompt[0]"), ({"prompt": ["a"] * 257}, "prompt"),
            ({"prompt": "a", "logprobs": True}, "logprobs"),
            ({"prompt": "a", "logprobs": 21, "echo": True}, "logprobs"),
            ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
            ({"prompt": ["a", "b", "c"], "n": 100}, "n"),
        ):
            self.refused(400, "invalid_value", TEXT, body, param)
        for path in ("/tokenize", "/apply-template", "/detokenize"):
            self.assertEqual(oai.ask(self.url, path, {}).status, 400)
        self.refused(400, "invalid_value", "/detokenize", {"tokens": [-1]}, "tokens[0]")
        # What says something of conversations only has its type beside a text, too.
        for field, value in (("add_generation_prompt", "yes"), ("messages", [5]),
                             ("parallel_tool_calls", {}), ("tools", [5])):
            self.assertEqual(oai.ask(self.url, "/tokenize", {"prompt": "a", field: value}).status,
                             400, field)
        ignored = oai.ask(self.url, "/tokenize", {"prompt": "a", "add_generation_prompt": True})
        self.assertEqual((ignored.status, ignored.headers["x-troupe-ignored-fields"]),
                         (200, "add_generation_prompt"))

    def test_a_form_that_cannot_be_kept_to_names_the_keyword_and_the_place(self):
        schema = {"type": "object", "properties": {"age": {"type": "number", "multipleOf": 5}}}
        for form, param, says in (
            ({"response_format": {"type": "json_schema",
                                  "json_schema": {"name": "n", "schema": schema}}},
             "response_format.json_schema.schema", ("$.properties.age", "multipleOf")),
            ({"guided_json": "{"}, "guided_json", "JSON"),
            ({"guided_json": {"type": "string", "format": "ipv4"}}, "guided_json", "ipv4"),
            ({"guided_regex": "(?=a)b"}, "guided_regex", "byte"),
            ({"guided_regex": "(("}, "guided_regex", "byte"),
            ({"guided_json": {"type": "integer", "minimum": 2, "maximum": 1}}, "guided_json", ""),
        ):
            for path, extra in ((CHAT, {"messages": QUESTION}), (TEXT, {"prompt": "a"})):
                for stream in (False, True):
                    self.refused(400, "invalid_value", path, {**form, **extra, "stream": stream},
                                 param, says=says)

    def test_several_wrong_fields_are_all_named(self):
        body = {"messages": QUESTION, "temperature": "hot", "seed": [], "stop": 7}
        self.refused(400, "invalid_value", CHAT, body, "temperature",
                     says=("temperature takes a number", "seed takes", "stop takes"))

    def test_what_is_not_served_yet_is_never_ignored(self):
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        for extra, param in (
            ({"tools": tools}, "tools"), ({"guided_grammar": "root ::= x"}, "guided_grammar"),
            ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
            ({"grammar": "root ::= x"}, "grammar"),
            ({"audio": {}}, "audio"), ({"modalities": ["audio"]}, "modalities"),
            ({"functions": [{}]}, "functions"),
        ):
            body = {"messages": QUESTION, "max_tokens": 1, **extra}
            self.refused(400, "unsupported_parameter", CHAT, body, param, says="not served yet")
        for extra, param in (({"suffix": "x"}, "suffix"), ({"best_of": 2}, "best_of")):
            body = {"prompt": "a", "max_tokens": 1, **extra}
            self.refused(400, "unsupported_parameter", TEXT, body, param)

    def test_exception_classes_of_the_client(self):
        api = oai.connect(self.url)
        options = {"model": "troupe-tiny", "messages": QUESTION}
        with self.assertRaises(openai.BadRequestError) as caught:
            api.chat.completions.create(**options, temperature=9)
        self.assertEqual(caught.exception.param, "temperature")
        self.assertEqual(caught.exception.type, "invalid_request_error")
        self.assertTrue(caught.exception.request_id)
        with self.assertRaises(openai.BadRequestError) as caught:
            api.chat.completions.create(**options, max_tokens=5000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertIn("4096", caught.exception.message)
        self.assertIn("max_tokens", caught.exception.message)
        with self.assertRaises(openai.NotFoundError) as caught:
            api.chat.completions.create(model="gpt", messages=QUESTION)
        self.assertEqual((caught.exception.code, caught.exception.param),
                         ("model_not_found", "model"))
        with self.assertRaises(openai.BadRequestError):  # before a stream begins: as without one
            api.chat.completions.create(**options, max_tokens=5000, stream=True)
        api.close()

    def test_paths_and_methods(self):
        self.refused(404, "not_found", "/v1/nothing", says="/openapi.json")
        self.refused(404, "not_found", "/metrics")  # the ops port has them
        self.refused(404, "not_found", "/v1/embeddings", {"input": "x"})
        for method, path, allow in (("GET", CHAT, "POST"), ("POST", "/livez", "GET, HEAD"),
                                    ("DELETE", "/v1/models", "GET, HEAD"), ("PUT", CHAT, "POST")):
            answer = self.refused(405, "method_not_allowed", path, method=method)
            self.assertEqual(answer.headers["allow"], allow)
        # Methods that no library of ours knows.
        for method, path, allow in (
            ("QUERY", CHAT, "POST"), ("QUERY", "/livez?verbose", "GET, HEAD"),
            ("BREW", "/v1/models/x", "GET, HEAD"), ("QUERY", "/", "GET, HEAD"),
        ):
            answer = self.refused(405, "method_not_allowed", path, method=method)
            self.assertEqual(answer.headers["allow"], allow)
        self.refused(404, "not_found", "/v1/nothing", method="QUERY")
        self.assertEqual(oai.ask(self.url, "/v1/models", method="HEAD").body, b"")

    def test_what_is_quoted_leaves_the_reply_utf8(self):
        for path, says in (
            (b"/\xff\xfeab", "/%FF%FEab"), (b"/%ff%feab", "/%FF%FEab"),
            (b"/v1/models/\xff", '"%FF"'),
        ):
            rest = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            reply = self.raw(b"GET " + path + rest)
            error = json.loads(reply.split(b"\r\n\r\n", 1)[1])["error"]
            self.assertIn(says, error["message"])
        for before in range(4):  # the cut is at each byte of a character once
            name = "x" * before + "\U0001f3ad" * 40
            body = {"model": name, "prompt": "a"}
            self.refused(404, "model_not_found", TEXT, body, param="model", says="\U0001f3ad")
            body = {"messages": [{"role": name, "content": "a"}]}
            role = "messages[0].role"
            self.refused(400, "invalid_value", CHAT, body, param=role, says="\U0001f3ad")

    def test_bodies_that_are_too_large_or_compressed(self):
        self.refused(413, "request_too_large", TEXT, b" " * ((16 << 20) + 1))
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertIn(b" 413 ", self.raw(head, *[chunk] * 17, b"0\r\n\r\n"))
        headers = {"Content-Encoding": "gzip"}
        self.refused(415, "unsupported_media_type", TEXT, b"\x1f\x8b", headers=headers)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        self.refused(415, "unsupported_media_type", TEXT, b"--x--", headers=headers)


class StrangerTest(HttpTest):
    """Bytes that no client library would send."""

    def test_what_is_no_http_is_refused_and_closed(self):
        request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
        for status, data in (
            (400, b"\r\n\r\n"), (400, b"\x16\x03\x01\x02\x00\x01\r\n\r\n"), (400, b"GET\r\n\r\n"),
            (400, b"GET / HTTP/9.9\r\n\r\n"), (405, b"BREW / HTTP/1.1\r\n\r\n"),
            (400, request + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x"),
            (400, request + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
            (400, request + b"Content-Length: -1\r\n\r\n"),
            (400, request + b"Content-Length: 2x\r\n\r\n{}"),
            (400, request + b"Content-Length : 2\r\n\r\n{}"),
            (400, request + b"Transfer-Encoding: chunked\nContent-Length: 2\r\n\r\n{}"),
            (400, request + b"Transfer-Encoding: gzip\r\n\r\n{}"),
            (400, request + b"Content-Length: %32\r\n\r\n{}"),
            (400, request + b"Content-Length:\r\n 2\r\n\r\n{}"),
            (400, request + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
            (400, request + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n"),
            (400, request + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n"),
            (413, request + b"Content-Length: 99999999999\r\n\r\n"),
            (413, request + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"),
            (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"),
            (431, b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(9000))),
        ):
            with self.subTest(data=data[:90]):
                got = self.raw(data)
                self.assertTrue(got.startswith(b"HTTP/1.1 %d " % status), got[:300])
                error = json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]
                self.assertTrue(error["request_id"])
                if status == 400:  # not what the API says to a body that it has read
                    self.assertEqual(error["code"], "malformed_request")

    def test_bytes_that_begin_no_request_are_refused_at_once(self):
        """Not when a newline comes, or time is up."""
        for data in (b"\x16\x03\x01\x02\x00\x01", b"\0", b"\xff", b" GET", b"hello\n"):
            with self.subTest(data=data):
                got = self.raw(data)
                self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got[:300])
                error = json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]
                self.assertTrue(error["request_id"])

    def test_a_tls_client_hears_that_there_is_none(self):
        context = ssl.create_default_context()
        with self.assertRaises(ssl.SSLError) as caught, \
                socket.create_connection(self.address, timeout=program.TIMEOUT_S) as peer:
            context.wrap_socket(peer, server_hostname="localhost")
        self.assertIn("WRONG_VERSION_NUMBER", str(caught.exception))
        said = lambda: [line for line in self.served.log if "a TLS hello" in line]
        line = eventually(said, "its line")[0]
        self.assertIn("stranger_refused reason=foreign port=http address=127.0.0.1:", line)

    def test_random_bytes_hurt_nobody(self):
        for size in (1, 100, 65536):
            with socket.create_connection(self.address, timeout=program.TIMEOUT_S) as peer:
                peer.sendall(os.urandom(size))
                peer.shutdown(socket.SHUT_WR)
                try:
                    while peer.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
        self.assertEqual(oai.ask(self.url, "/livez").status, 200)

    def test_one_connection_carries_many_requests(self):
        body = b'{"prompt":"a","max_tokens":1}'
        post = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        get = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        got = self.raw((post + body + get) * 3 + last)
        self.assertEqual(got.count(b"HTTP/1.1 200 OK"), 7, got)

    def test_an_unread_body_never_becomes_a_request(self):
        inner = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        head = b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner)
        self.assertEqual(self.raw(head + inner).count(b"HTTP/1.1 "), 1)

    def test_a_client_that_says_http_1_0_gets_a_stream_without_chunks(self):
        body = b'{"prompt":"a","max_tokens":2,"stream":true}'
        got = self.raw(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body),
                       body)
        head, text = got.split(b"\r\n\r\n", 1)
        self.assertNotIn(b"chunked", head)
        self.assertTrue(text.endswith(b"data: [DONE]\n\n"), text)


class PatienceTest(HttpTest):
    """What a slow or absent client costs, with short times."""

    SET = ("http_read_ms=300", "http_request_s=4")
    FLAGS = [word for one in SET for word in ("--set", f"gateway.{one}")]

    def test_a_request_that_does_not_come_whole(self):
        head = b"POST /v1/completions HTTP/1.1\r\nContent-Length: 9\r\n\r\n"
        self.assertIn(b" 408 ", self.raw(head + b"{"))
        # Without a whole first line there is no request to answer: the connection ends.
        self.assertEqual(self.raw(b"GET / HT"), b"")

    def test_a_deadline_is_a_gateway_timeout(self):
        prompts = ["a"] * 48
        body = {**LONG, "prompt": prompts, "stream": False, "max_tokens": 4000}
        self.refused(504, "deadline_exceeded", TEXT, body)
        events = oai.ask(self.url, TEXT, {**body, "stream": True}).events
        self.assertEqual(events[-1]["error"]["code"], "deadline_exceeded")
        self.assertNotIn("[DONE]", events)
        api = oai.connect(self.url)
        with self.assertRaises(openai.APIError):
            list(api.completions.create(model="troupe-tiny", prompt=prompts, max_tokens=4000,
                                        stream=True, extra_body={"ignore_eos": True}))
        with self.assertRaises(openai.InternalServerError) as caught:
            api.completions.create(model="troupe-tiny", prompt=prompts, max_tokens=4000,
                                   extra_body={"ignore_eos": True})
        self.assertEqual(caught.exception.status_code, 504)
        api.close()


class ClientsThatGoTest(unittest.TestCase):
    """In a cluster whose cache holds one request of full length."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="troupe-http-")
        settings = "attention:\n  kv_tokens_max: 4096\n"
        cls.cluster = Cluster(cls.folder.name, experts=1, settings=settings).wait_until_ready()
        cls.url = cls.cluster.url
        cls.address = tuple(cls.url.removeprefix("http://").split(":"))

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()
        cls.folder.cleanup()

    def drop(self, body, after=b"data: "):
        data = json.dumps(body).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
        with socket.create_connection(self.address, timeout=program.TIMEOUT_S) as peer:
            peer.sendall(head + data)
            got = b""
            while after and after not in got:
                part = peer.recv(4096)
                self.assertTrue(part, got)
                got += part

    def sequences(self):
        return sum(
            self.cluster.attention.total(f"troupe_attention_sequences_{state}")
            for state in ("running", "waiting")
        )

    def gateway(self, path):
        return f"/proc/{self.cluster.gateway.pid}/{path}"

    def resident_kib(self):
        with open(self.gateway("status"), encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

    def total(self, **labels):
        return self.cluster.gateway.total("troupe_gateway_requests_total", **labels)

    def test_pages_are_free_as_soon_as_a_client_has_gone(self):
        """Each needs the whole cache: if one stayed, the next would wait for 4000 tokens."""
        gone = self.total(api="completions", code="499")
        for _ in range(3):
            self.drop({**LONG, "max_tokens": 4000})
        self.drop({**LONG, "max_tokens": 4000, "stream": False}, after=None)
        eventually(lambda: self.sequences() == 0, "their sequences are gone")
        eventually(lambda: self.total(api="completions", code="499") == gone + 4, "they count")
        answer = oai.ask(self.url, TEXT, {"prompt": "a", "max_tokens": 4})
        self.assertEqual(answer.status, 200)
        self.assertGreaterEqual(self.total(api="completions", code="200"), 1)

    def test_a_thousand_that_drop_leave_nothing_behind(self):
        def drop_many(count):
            for _ in range(count):
                self.drop({"prompt": "a", "max_tokens": 100, "ignore_eos": True, "stream": True})

        def in_threads(each):
            threads = [threading.Thread(target=drop_many, args=(each,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        in_threads(25)
        before = self.resident_kib()
        in_threads(250)
        most = (16 << 10) if patience.FACTOR == 1 else (272 << 10)  # sanitizers keep what is freed
        self.assertLess(self.resident_kib() - before, most, "KiB for a thousand streams")
        eventually(lambda: self.sequences() == 0, "no sequence is left")
        eventually(lambda: len(os.listdir(self.gateway("fd"))) < 100, "descriptors are closed")
        answer = oai.ask(self.url, TEXT, {"prompt": "a", "max_tokens": 4})
        self.assertEqual(answer.status, 200)

    def test_calls_are_logged_with_the_clients_ids(self):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        headers = {"X-Request-Id": "logged-1", "traceparent": trace}
        oai.ask(self.url, TEXT, {"prompt": "a", "max_tokens": 2}, headers=headers)
        line = self.cluster.gateway.wait_for(
            "call_ended", lambda line: line.get("request_id") == "logged-1"
        )
        self.assertEqual((line["api"], line["code"]), ("completions", "200"))
        self.assertEqual(line["trace_id"], trace[3:35])


class DrainTest(HttpTest):
    def test_open_streams_end_and_new_requests_are_told_to_come_back(self):
        served = client.Served()
        api = oai.connect(served.url)
        stream = api.completions.create(model="troupe-tiny", prompt="a", max_tokens=600,
                                        stream=True, extra_body={"ignore_eos": True})
        first = next(iter(stream))
        waiting = oai.ask(served.url, "/version")
        self.assertEqual(waiting.status, 200)
        served.process.terminate()
        refused = eventually(lambda: self.refusal_of(served.url), "it drains")
        self.assertEqual(refused.error["code"], "draining")
        self.assertEqual(refused.error["type"], "service_unavailable")
        self.assertGreaterEqual(int(refused.headers["retry-after"]), 1)
        self.assertEqual(oai.ask(served.url, "/readyz").status, 503)
        self.assertEqual(oai.ask(served.url, "/livez").status, 200)
        texts = [first, *stream]
        self.assertEqual(texts[-1].choices[0].finish_reason, "length")
        self.assertEqual(served.process.wait(program.TIMEOUT_S), 0)
        served.stop()
        api.close()

    @staticmethod
    def refusal_of(url):
        answer = oai.ask(url, TEXT, {"prompt": "a", "max_tokens": 1})
        return answer if answer.status == 503 else None

    def test_a_second_signal_stops_at_once(self):
        served = client.Served()
        with socket.create_connection(served.url.removeprefix("http://").split(":")) as peer:
            data = json.dumps({**LONG, "max_tokens": 4000}).encode()
            peer.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(data))
            peer.sendall(data)
            self.assertIn(b"200", peer.recv(4096))
            served.process.terminate()
            eventually(lambda: self.refusal_of(served.url), "it drains")
            served.process.terminate()
            self.assertEqual(served.process.wait(program.TIMEOUT_S), program.TERMINATED)
        served.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
