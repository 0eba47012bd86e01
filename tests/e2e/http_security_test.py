"""API keys and TLS, on HTTP and gRPC alike."""

import os
import re
import socket
import ssl
import unittest
import urllib.request

import grpc

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import listeners, program
from tests.support.openai_client import openai
from tests.support.poll_until import eventually

CHAT, TOKENIZE, CLUSTER = "/v1/chat/completions", "/tokenize", "/cluster/status"
HELLO = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
TLS = os.path.join(program.SOURCE, "tests", "support", "tls")
CODE = grpc.StatusCode


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class KeysTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.keys = self.path("keys.txt")

    def add(self, name, *flags):
        return self.succeeds("keys", "add", self.keys, name, *flags).strip()

    def serve(self, *flags):
        served = client.Served("--set", f"gateway.api_keys_file={self.keys}", *flags)
        self.addCleanup(served.stop)
        return served

    def refused(self, served, status, code, path, body, key=None):
        answer = oai.ask(served.url, path, body, headers=bearer(key) if key else {})
        self.assertEqual((answer.status, answer.error["code"]), (status, code), answer.body)
        self.assertIn(answer.error["request_id"], answer.headers["x-request-id"])
        return answer

    def test_the_file_keeps_no_keys(self):
        key = self.add("alice", "--rights", "generate", "--concurrent", "3")
        self.assertRegex(key, "^sk-troupe-[0-9a-f]{64}$")
        self.assertEqual(os.stat(self.keys).st_mode & 0o777, 0o600)
        with open(self.keys, encoding="ascii") as file:
            self.assertNotIn(key[10:], file.read())
        listed = self.succeeds("keys", "list", self.keys)
        self.assertRegex(listed, r"(?m)^alice +generate +- +3 +-$")
        self.fails(program.USAGE, 1003, "already", "keys", "add", self.keys, "alice")
        self.fails(program.USAGE, 1003, "letters", "keys", "add", self.keys, "a b")
        self.fails(program.USAGE, 1003, "generate,tokenize,cluster", "keys", "add", self.keys, "b",
                   "--rights", "fly")

    def test_a_file_that_cannot_be_used_ends_the_start(self):
        bad = self.file("bad.txt", "alice nothing\n")
        ports = [word for port in client.PORTS for word in (f"--{port}-listen", "127.0.0.1:0")]
        for file, says in ((bad, "line 1"), (self.path("none.txt"), "cannot read")):
            self.fails(program.CONFIG, 3003, ["gateway.api_keys_file", file, says], "serve", *ports,
                       "--set", f"gateway.api_keys_file={file}")

    def test_keys_rights_and_limits_over_http(self):
        alice = self.add("alice")
        reader = self.add("reader", "--rights", "tokenize")
        slow = self.add("slow", "--requests-per-minute", "2")
        served = self.serve()
        self.refused(served, 401, "invalid_api_key", CHAT, HELLO)
        for bad in ("x", alice[:-1], alice + "0", ""):
            answer = self.refused(served, 401, "invalid_api_key", CHAT, HELLO, bad)
            self.assertEqual(answer.headers["www-authenticate"], "Bearer")
        self.refused(served, 401, "invalid_api_key", "/v1/models", None)
        self.refused(served, 401, "invalid_api_key", "/props", None)
        self.refused(served, 403, "insufficient_permissions", CHAT, HELLO, reader)
        self.refused(served, 401, "invalid_api_key", CLUSTER, None)
        self.refused(served, 403, "insufficient_permissions", CLUSTER, None, alice)
        watcher = self.add("watcher", "--rights", "cluster")
        seen = lambda: oai.ask(served.url, CLUSTER, headers=bearer(watcher)).status == 200
        eventually(seen, "the new key sees the cluster", 20)
        self.refused(served, 403, "insufficient_permissions", CHAT, HELLO, watcher)
        for key, path, body in ((alice, CHAT, HELLO), (reader, TOKENIZE, {"prompt": "a"}),
                                (reader, "/v1/models", None), (alice, TOKENIZE, {"prompt": "a"})):
            answer = oai.ask(served.url, path, body, headers=bearer(key))
            self.assertEqual(answer.status, 200, answer.body)
        for path in ("/livez", "/readyz", "/version", "/openapi.json"):
            self.assertEqual(oai.ask(served.url, path).status, 200)
        for _ in range(2):
            self.assertEqual(oai.ask(served.url, CHAT, HELLO, headers=bearer(slow)).status, 200)
        limited = self.refused(served, 429, "rate_limit_exceeded", CHAT, HELLO, slow)
        self.assertLessEqual(1, int(limited.headers["retry-after"]))
        self.assertLessEqual(int(limited.headers["retry-after"]), 30)

    def test_keys_share_no_computed_prompts_unless_told_to(self):
        alice, bob = self.add("alice"), self.add("bob")
        for flags, shared in ((), False), (("--set", "gateway.share_prompts=true"), True):
            served = self.serve(*flags)
            words = "In the beginning God created the heaven and the earth. " * 12
            cached = []
            for key in (alice, alice, bob, bob):
                answer = oai.ask(served.url, "/v1/completions",
                                 {"prompt": words, "max_tokens": 1}, headers=bearer(key))
                self.assertEqual(answer.status, 200, answer.body)
                usage = answer.json["usage"]["prompt_tokens_details"]
                cached.append(usage["cached_tokens"] > 0)
            self.assertEqual(cached, [False, True, shared, True])

    def test_exception_classes_of_the_client(self):
        alice = self.add("alice", "--concurrent", "1")
        reader = self.add("reader", "--rights", "tokenize")
        served = self.serve()
        options = {"model": "troupe-tiny", "messages": HELLO["messages"]}
        for key, kind in (("wrong", openai.AuthenticationError),
                          (reader, openai.PermissionDeniedError)):
            with self.assertRaises(kind):
                oai.connect(served.url, key).chat.completions.create(**options)
        api = oai.connect(served.url, alice)
        stream = api.chat.completions.create(**options, max_tokens=3000, stream=True,
                                             extra_body={"ignore_eos": True})
        next(iter(stream))
        with self.assertRaises(openai.RateLimitError) as caught:
            api.chat.completions.create(**options)
        self.assertIn("retry-after", caught.exception.response.headers)
        stream.close()
        eventually(lambda: oai.ask(served.url, CHAT, HELLO, headers=bearer(alice)).status == 200,
                   "the dropped stream counts no more")

    def test_the_same_keys_over_grpc(self):
        alice = self.add("alice")
        reader = self.add("reader", "--rights", "tokenize")
        served = self.serve()
        asked = client.request(text="a", max_tokens=1)
        tokenize = client.pb.TokenizeRequest(text="a")
        for key, call, request, code, reason in (
            (None, "Generate", asked, CODE.UNAUTHENTICATED, "INVALID_API_KEY"),
            ("x", "Generate", asked, CODE.UNAUTHENTICATED, "INVALID_API_KEY"),
            (reader, "Generate", asked, CODE.PERMISSION_DENIED, "INSUFFICIENT_PERMISSIONS"),
            (None, "Tokenize", tokenize, CODE.UNAUTHENTICATED, "INVALID_API_KEY"),
            (None, "ListModels", client.pb.ListModelsRequest(), CODE.UNAUTHENTICATED,
             "INVALID_API_KEY"),
        ):
            metadata = [("authorization", f"Bearer {key}")] if key else None
            failed = client.failure_of(getattr(served.inference, call), request, metadata=metadata)
            self.assertEqual((failed.code, failed.reason), (code, reason), failed.message)
        for call in ("Generate", "GenerateUnary", "Tokenize"):  # of a stranger nothing is parsed
            raw = served.channel.unary_unary(f"/{client.INFERENCE}/{call}")
            self.assertEqual(client.failure_of(raw, b"\xff").code, CODE.UNAUTHENTICATED, call)
        metadata = [("authorization", f"Bearer {alice}")]
        self.assertTrue(client.stream(served, asked, metadata=metadata).ids)
        metadata = [("authorization", f"Bearer {reader}")]
        ids = served.inference.Tokenize(tokenize, metadata=metadata).token_ids
        self.assertTrue(ids)
        self.assertEqual(served.health(), "SERVING")

    def test_a_changed_file_counts_and_a_broken_one_does_not(self):
        alice = self.add("alice")
        served = self.serve()
        bob = self.add("bob")
        eventually(lambda: self.status(served, bob) == 200, "bob is let in")
        with open(self.keys, "a", encoding="ascii") as file:
            file.write("broken\n")
        self.assertEqual(self.status(served, alice), 200)
        with open(self.keys, encoding="ascii") as file:
            lines = [line for line in file if line.startswith("bob ")]
        with open(self.keys, "w", encoding="ascii") as file:
            file.writelines(lines)
        eventually(lambda: self.status(served, alice) == 401, "alice is let in no more")
        self.assertEqual(self.status(served, bob), 200)

    def test_commands_give_a_key_over_both_faces(self):
        alice = self.add("alice")
        reader = self.add("reader", "--rights", "tokenize")
        served = self.serve()
        words = ("run", "In the beginning", "--max-tokens", 8, "--temperature", 0)
        here = self.succeeds(*words)
        for url in (served.address, f"grpc://{served.address}", served.url, served.url + "/v1/"):
            self.assertEqual(self.succeeds(*words, "--url", url, "--api-key", alice), here)
            env = {"TROUPE_API_KEY": alice}
            self.assertEqual(self.succeeds(*words, "--url", url, env=env), here)
            said = self.succeeds("chat", "--url", url, stdin=b"Hello\n", env=env)
            self.assertTrue(said.strip())
            for flags in ((), ("--api-key", "wrong"), ("--api-key", reader)):
                for command in (words, ("run", "--ids", "5,6"), ("chat", "--once", "Hello")):
                    self.fails(program.CONNECTION, 5004, [url, "--api-key", "TROUPE_API_KEY"],
                               *command, "--url", url, *flags)
        for api, url in (("grpc", served.address), ("openai", served.url)):
            bench = ("bench", "serve", "--url", url, "--api", api, "--requests", 2, "-o", "json")
            self.succeeds(*bench, "--api-key", alice)
            self.fails(program.CONNECTION, 5004, "--api-key", *bench)
        self.fails(program.USAGE, 1003, "--api-key", *words, "--url", served.url,
                   "--api-key", "a\r\nb")

    @staticmethod
    def status(served, key):
        return oai.ask(served.url, "/v1/models", headers=bearer(key)).status


class TlsTest(program.ProgramTest):
    CERT, KEY = (os.path.join(TLS, name) for name in ("cert.pem", "key.pem"))

    def test_both_ports_speak_tls(self):
        served = client.Served("--tls-cert-file", self.CERT, "--tls-key-file", self.KEY)
        self.addCleanup(served.stop)
        self.assertTrue(served.url.startswith("https://"))
        context = ssl.create_default_context(cafile=self.CERT)
        options = {"model": "troupe-tiny", "prompt": "In the beginning", "max_tokens": 8}
        with oai.connect(served.url, http_client=oai.httpx_client(context)) as api:
            whole = api.completions.create(**options, temperature=0)
            chunks = api.completions.create(**options, temperature=0, stream=True)
            self.assertEqual("".join(c.choices[0].text for c in chunks), whole.choices[0].text)
        with open(self.CERT, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(served.address, credentials) as channel:
            stub = client.inference_pb2_grpc.InferenceServiceStub(channel)
            asked = client.request(text="In the beginning", max_tokens=8, temperature=0)
            self.assertEqual(client.Joined(stub.Generate(asked)).text, whole.choices[0].text)
        plain = served.url.replace("https", "http")
        with self.assertRaises(OSError):  # no TLS: closed without a word
            oai.ask(plain, "/livez", timeout=60)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(self.CERT)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(OSError):
            urllib.request.urlopen(served.url + "/livez", context=old, timeout=60)
        answer = urllib.request.urlopen(served.url + "/livez", context=context, timeout=60)
        with answer:
            self.assertEqual(answer.read(), b"ok\n")

    def test_strangers_to_tls_are_told(self):
        served = client.Served("--tls-cert-file", self.CERT, "--tls-key-file", self.KEY)
        self.addCleanup(served.stop)
        http = tuple(served.url.removeprefix("https://").split(":"))
        grpc_port = tuple(served.address.split(":"))
        plain = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        own, _ = listeners.say(http, plain)
        self.told(served, f"reason=tls port=http address={own} ", "http request")
        own, answer = listeners.say(grpc_port, plain)
        self.assertIn(b"gRPC only here, over TLS", answer)
        self.told(served, f"reason=foreign port=grpc address={own} ", "an HTTP request", "over TLS")
        context = ssl.create_default_context()  # that does not trust this certificate
        for port in (http, grpc_port):
            with self.assertRaises(ssl.SSLError), socket.create_connection(port) as peer:
                context.wrap_socket(peer, server_hostname="localhost")
        self.told(served, "reason=tls port=http", "unknown ca")
        # Here gRPC itself has shaken hands: the line has its words.
        self.told(served, " grpc: ", "Handshake failed", "source=ssl_transport_security")
        for _ in range(100):
            with self.assertRaises(ssl.SSLError), socket.create_connection(grpc_port) as peer:
                context.wrap_socket(peer, server_hostname="localhost")
        failed = [line for line in served.log if "Handshake failed" in line]
        self.assertLess(len(failed), 20)
        trusting = ssl.create_default_context(cafile=self.CERT)
        with urllib.request.urlopen(served.url + "/livez", context=trusting, timeout=60) as answer:
            self.assertEqual(answer.read(), b"ok\n")

    def told(self, served, *parts):
        """A line of its log with all of that."""
        said = lambda: [line for line in served.log if all(part in line for part in parts)]
        return eventually(said, f"a line with {parts}")[0]

    def test_commands_speak_tls_to_both_ports(self):
        served = client.Served("--tls-cert-file", self.CERT, "--tls-key-file", self.KEY)
        self.addCleanup(served.stop)
        words = ("run", "In the beginning", "--max-tokens", 8, "--temperature", 0)
        here = self.succeeds(*words)
        urls = (served.url, f"grpcs://{served.address}")
        for url in urls:
            trusting = ("--url", url, "--tls-ca", self.CERT)
            self.assertEqual(self.succeeds(*words, *trusting), here)
            said = self.succeeds("chat", *trusting, stdin=b"Hello\n")
            self.assertTrue(said.strip())
            message = self.fails(program.CONNECTION, 5002, [url, "--tls-ca", "certificate"],
                                 *words, "--url", url)
            self.assertNotIn("`troupe serve` starts one", message)
            self.fails(program.CONNECTION, 5002, [url, "--tls-ca"], "run", "--ids", "5", "--url",
                       url)
            plain = url.replace("https", "http").replace("grpcs", "grpc")
            self.fails(program.CONNECTION, 5002, plain, *words, "--url", plain)
            self.fails(program.USAGE, 1003, ["--tls-ca", "TLS"], *words, "--url", plain,
                       "--tls-ca", self.CERT)
            self.fails(program.USAGE, 1103, ["--tls-ca", "none.pem"], *words, "--url", url,
                       "--tls-ca", self.path("none.pem"))
            self.fails(program.USAGE, 1003, ["--tls-ca", "PEM"], *words, "--url", url,
                       "--tls-ca", self.file("bad.pem", "no certificate\n"))
        line = '{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": '
        requests = self.file("in.jsonl", line + '{"prompt": "Hi", "max_tokens": 2}}\n')
        batch = ("batch", requests, self.path("out.jsonl"), "--url", served.url)
        self.fails(program.CONNECTION, 5002, "--tls-ca", *batch, "--retries", 0)
        self.succeeds(*batch, "--tls-ca", self.CERT)
        self.fails(program.USAGE, 1003, "grpcs", *words, "--url", f"ftp://{served.address}")

    def test_files_that_cannot_be_used_are_named(self):
        bad = self.file("bad.pem", "no certificate\n")
        other = os.path.join(TLS, "other_key.pem")
        ports = [word for port in client.PORTS for word in (f"--{port}-listen", "127.0.0.1:0")]
        for cert, key, says in (
            (self.path("none.pem"), self.KEY, ["tls.cert_file", "cannot read"]),
            (bad, self.KEY, ["tls.cert_file", bad]),
            (self.CERT, bad, ["tls.key_file", bad]),
            (self.CERT, other, ["tls.key_file", other]),
            (self.CERT, "", ["tls.key_file"]),
        ):
            flags = ("--tls-cert-file", cert, "--tls-key-file", key)
            message = self.fails(program.CONFIG, 3003, says, "serve", *ports, *flags)
            self.assertFalse(re.search("(?i)error:[0-9a-f]{8}", message))


if __name__ == "__main__":
    unittest.main(verbosity=2)
