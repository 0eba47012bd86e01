#!/usr/bin/env python3
"""Every error of the gateway's gRPC: status, reason, details, trailers, and life goes on."""

import json
import os
import signal
import threading
import unittest
import urllib.parse

import grpc

from tests.support import grpc_client as client
from tests.support import program
from tests.support.grpc_client import pb, request
from tests.support.protobuf_garbage import GROUP, GROUP_END, counted, tag
from tests.support.up_cluster import Up, eventually

CODE = grpc.StatusCode
GENERATE = f"/{client.INFERENCE}/Generate"
LONG = {"max_tokens": 4000, "ignore_eos": True, "seed": 1}


class ErrorTest(unittest.TestCase):
    """Assertions about failures; `served` is what they come from."""

    served = None

    def fails(self, code, reason, asked, names=(), call=None):
        """The failure of Generate and GenerateUnary, which is the same."""
        if call is not None:
            return self.check(client.failure_of(call, asked), code, reason, names)
        stub = self.served.inference
        whole = pb.GenerateUnaryRequest(request=asked)
        self.check(client.failure_of(stub.GenerateUnary, whole), code, reason, names)
        return self.check(client.failure_of(stub.Generate, asked), code, reason, names)

    def check(self, failed, code, reason, names):
        self.assertEqual((failed.code, failed.reason), (code, reason), failed.message)
        self.assertEqual(failed.details["ErrorInfo"].domain, "troupe")
        self.assertEqual(failed.status.code, code.value[0])
        self.assertEqual(failed.status.message, failed.message)
        self.assertEqual(failed.metadata["request_id"], failed.trailers["x-request-id"])
        self.assertIn("x-placement-epoch", failed.trailers)
        for name in [names] if isinstance(names, str) else names:
            self.assertIn(name, failed.message)
        return failed

    def retry_seconds(self, failed):
        return failed.details["RetryInfo"].retry_delay.ToTimedelta().total_seconds()


class RequestErrorTest(ErrorTest):
    @classmethod
    def setUpClass(cls):
        cls.served = client.Served("--stream-pending-kib", 1)

    @classmethod
    def tearDownClass(cls):
        assert cls.served.stop() == 0

    def test_bad_fields_are_named_by_their_paths(self):
        for asked, field in (
            (request(text="x", temperature=2.5), "sampling.temperature"),
            (request(text="x", top_p=float("nan")), "sampling.top_p"),
            (request(text="x", max_tokens=0), "sampling.max_tokens"),
            (request(text="x", n=129), "sampling.n"),
            (request(text="x", resume_position=1, temperature=1), "resume_position"),
            (request(text="x", resume_position=1, n=2, seed=1), "resume_position"),
            (request(text="x", prompt_logprobs=21), "sampling.prompt_logprobs"),
            (request(text="x", priority=-10**7), "priority"),
            (request(text="x", cache_salt="a" * 1025), "cache_salt"),
            (request(text="x", stop=["ok", ""]), "sampling.stop[1]"),
            (request(text="x", logit_bias={9999: 1}), "sampling.logit_bias[9999]"),
            (request(text="x", request_id="a b"), "request_id"),
            (request(), "input"),
            (request(text=""), "text"),
            (request(ids=[]), "token_ids.ids"),
            (request(ids=[1, 4224]), "token_ids.ids[1]"),
            (request(messages=[("", "x")]), "chat.messages[0].role"),
        ):
            failed = self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", asked, field)
            self.assertEqual(failed.fields, [field])

    def test_what_comes_later_is_refused_by_name(self):
        cases, asked = [], request(text="x")
        asked.response_format.grammar = "root ::= x"
        cases.append((asked, "response_format.grammar"))
        tool = '{"type": "function", "function": {"name": "f"}}'  # the template has no calls
        asked = request(messages=[("user", "x")])
        asked.chat.tools.append(tool)
        cases.append((asked, "chat.tools"))
        asked = request(messages=[("user", "x")])
        asked.chat.messages[0].tool_call_id = "1"
        cases.append((asked, "chat.messages[0].tool_call_id"))
        for asked, field in cases:
            self.fails(CODE.UNIMPLEMENTED, "FIELD_NOT_SERVED", asked, field)

    def test_a_form_that_cannot_be_kept_to(self):
        asked = request(text="x")
        asked.response_format.json_schema = '{"type": "number", "multipleOf": 2}'
        failed = self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", asked, "multipleOf")
        self.assertEqual(failed.fields, ["response_format.json_schema"])
        asked.response_format.regex = "(a"
        failed = self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", asked)
        self.assertEqual(failed.fields, ["response_format.regex"])

    def test_the_context_in_numbers(self):
        asked = request(ids=[5] * 4000, max_tokens=97)
        failed = self.fails(CODE.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED", asked, "96")
        numbers = {key: failed.metadata[key] for key in ("prompt_tokens", "max_tokens")}
        self.assertEqual(numbers, {"prompt_tokens": "4000", "max_tokens": "97"})
        self.assertEqual(failed.metadata["context_length"], "4096")
        huge = request(text="a" * (60 << 20))
        self.fails(CODE.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED", huge)

    def test_an_unknown_model_lists_the_served_ones(self):
        asked = request(text="x", model="other")
        self.fails(CODE.NOT_FOUND, "MODEL_NOT_FOUND", asked, ["other", "troupe-tiny"])
        stub = self.served.inference
        for call, message in (
            (stub.Tokenize, pb.TokenizeRequest(model="other")),
            (stub.Detokenize, pb.DetokenizeRequest(model="other")),
            (stub.ApplyChatTemplate, pb.ApplyChatTemplateRequest(model="other")),
            (stub.GetModel, pb.GetModelRequest(model="other")),
        ):
            self.fails(CODE.NOT_FOUND, "MODEL_NOT_FOUND", message, "troupe-tiny", call=call)
        for before in range(4):  # what is quoted is cut at each byte of a character once
            asked = request(text="x", model="x" * before + "\U0001f3ad" * 40)
            self.fails(CODE.NOT_FOUND, "MODEL_NOT_FOUND", asked, "\U0001f3ad")

    def test_text_that_is_not_utf8(self):
        raw = self.served.channel.unary_stream(GENERATE)
        text = b"\x1a\x02\xff\xff"  # field 3, text
        failed = self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", text, "UTF-8", call=raw)
        self.assertEqual(failed.fields, ["GenerateRequest.text"])
        content = b"\x2a\x09\x0a\x07\x0a\x01u\x12\x02\xc3\x28"  # chat.messages[0].content
        failed = self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", content, "UTF-8", call=raw)
        self.assertEqual(failed.fields, ["ChatMessage.content"])

    def test_bytes_that_are_no_message(self):
        raw = self.served.channel.unary_stream(GENERATE)
        for noise in (b"\xff\xff", b"\x1a\x7fshort", bytes(range(256))):
            self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", noise, "GenerateRequest", call=raw)

    def test_a_message_over_the_limit(self):
        asked, says = request(text="a" * (64 << 20)), [str(64 << 20), "Send less"]
        failed = self.fails(CODE.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", asked, says)
        self.assertEqual(failed.metadata["bytes_max"], str(64 << 20))
        self.assertEqual(int(failed.metadata["bytes"]), asked.ByteSize())
        tokenize = pb.TokenizeRequest(text=asked.text)
        self.fails(
            CODE.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", tokenize, says,
            call=self.served.inference.Tokenize,
        )
        # So long that gRPC does not even let us see it.
        failed = client.failure_of(self.served.inference.Generate, request(text="a" * (66 << 20)))
        self.assertEqual(failed.code, CODE.RESOURCE_EXHAUSTED)
        self.assertEqual(self.served.health(), "SERVING")

    def test_a_refusal_is_no_longer_than_the_trailers_that_clients_take(self):
        """Else the client hears RESOURCE_EXHAUSTED of its own library, and no reason."""
        wide = "\N{EURO SIGN}" * 7000
        empty = pb.ChatInput(messages=[pb.ChatMessage()] * 2000)
        tool = '{"type": "function", "function": {"name": "%s"}}'
        tools = [tool % f"{'n' * 60}{number}" for number in range(128)]
        chosen = pb.ChatInput(messages=[pb.ChatMessage(role="user", content="x")], tools=tools,
                              tool_choice="another")
        formed = request(text="x", max_tokens=1)
        formed.response_format.json_schema = json.dumps({"type": wide}, ensure_ascii=False)
        for asked, says in (
            (pb.GenerateRequest(chat=empty), "chat.messages[15].role is empty"),
            (pb.GenerateRequest(chat=chosen), "chat.tool_choice takes one of"),
            (formed, "response_format.json_schema cannot be kept to"),
        ):
            failed = self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", asked, says)
            trailers = sum(len(name) + len(value) for name, value in failed.trailers.items())
            encoded = len(urllib.parse.quote(failed.message))
            self.assertLess(trailers + encoded, 8192)
            self.assertTrue(failed.fields)

    def test_a_message_has_a_bound_of_values(self):
        """Two bytes of a message can take hundreds in memory."""
        values_max = 1 << 20
        detokenize = self.served.inference.Detokenize
        most = pb.DetokenizeRequest(token_ids=[0] * (values_max - 1))  # the list is one itself
        self.assertTrue(detokenize(most, timeout=program.TIMEOUT_S).text)
        messages = b"\x0a\x00" * values_max
        group = tag(99, GROUP) + counted(5, b"\xff") + tag(99, GROUP_END)  # is skipped whole
        for asked, call in (
            (pb.DetokenizeRequest(token_ids=[0] * values_max).SerializeToString(), "Detokenize"),
            (counted(2, messages), "ApplyChatTemplate"),
            (counted(5, messages), "Generate"),
            (group + counted(5, messages), "Generate"),
            (b"\xa0\x06\x01" * (values_max + 1), "ListModels"),  # no field of it is known
        ):
            kinds = self.served.channel.unary_unary, self.served.channel.unary_stream
            raw = kinds[call == "Generate"](f"/{client.INFERENCE}/{call}")
            says = f"more than {values_max} values"
            self.fails(CODE.INVALID_ARGUMENT, "INVALID_FIELD", asked, says, call=raw)

    def test_unknown_methods(self):
        raw = self.served.channel.unary_unary(f"/{client.INFERENCE}/Sing")
        self.assertEqual(client.failure_of(raw, b"").code, CODE.UNIMPLEMENTED)

    def test_a_client_that_does_not_read_ends_its_own_stream(self):
        idle = self.served.connect(grpc__http2__bdp_probe=0)  # 64 KiB may be under way
        stub = client.inference_pb2_grpc.InferenceServiceStub(idle)
        call = stub.Generate(request(text="x", logprobs=0, **LONG))
        # Another is served meanwhile, for longer than the idle one's tokens take to come.
        whole = client.unary(self.served, request(text="x", **LONG))[1]
        self.assertEqual(whole.usage.completion_tokens, 4000)
        failed = client.failure_of(lambda: call)
        self.check(failed, CODE.RESOURCE_EXHAUSTED, "SLOW_READER", "reads too slowly")
        idle.close()


class WordlessModelTest(ErrorTest):
    @classmethod
    def setUpClass(cls):
        cls.served = client.Served(os.path.join(program.GOLDENS, "v3-mini", "model"))

    @classmethod
    def tearDownClass(cls):
        assert cls.served.stop() == 0

    def test_text_needs_a_tokenizer(self):
        for asked in (request(text="x"), request(messages=[("user", "x")])):
            self.fails(CODE.FAILED_PRECONDITION, "TOKENIZER_MISSING", asked, "token_ids")
        stub = self.served.inference
        for call, message in (
            (stub.Tokenize, pb.TokenizeRequest(text="x")),
            (stub.Detokenize, pb.DetokenizeRequest(token_ids=[1])),
            (stub.ApplyChatTemplate, pb.ApplyChatTemplateRequest()),
        ):
            self.fails(CODE.FAILED_PRECONDITION, "TOKENIZER_MISSING", message, call=call)

    def test_ids_are_answered_with_ids(self):
        choice, _ = client.unary(self.served, request(ids=[0, 5, 6], temperature=0, max_tokens=12))
        self.assertEqual((choice.text, len(choice.token_ids)), ("", 12))
        url = ("--url", self.served.address)
        done = program.run("run", "--ids", "0,5,6", "--temperature", 0, "--max-tokens", 12, *url)
        self.assertEqual(done.stdout.decode().split(), [str(id) for id in choice.token_ids])
        done = program.run("run", "text", *url)
        self.assertEqual((done.returncode, b"[TROUPE-4005]" in done.stderr), (4, True))


class ClusterErrorTest(ErrorTest):
    """Processes of their own, small queues, short budgets."""

    @classmethod
    def setUpClass(cls):
        settings = ("attention.waiting_max=1", "engine.chunk_tokens=1", "engine.step_rows_max=1")
        settings += ("budget.uncovered_ms=100",)
        flags = [word for setting in settings for word in ("--set", setting)]
        cls.served = Up("--experts", "2", *flags)

    @classmethod
    def tearDownClass(cls):
        assert cls.served.stop() == 0

    def test_a_full_queue_asks_to_come_back(self):
        generate, long = self.served.inference.Generate, request(text="x", **LONG)
        running = generate(long)
        next(running)
        self.assertEqual(next(running).WhichOneof("event"), "delta")
        waiting = generate(long)
        self.assertEqual(next(waiting).WhichOneof("event"), "started")
        asked = request(text="x", max_tokens=1)
        failed = self.fails(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", asked)
        self.assertGreater(self.retry_seconds(failed), 0)
        running.cancel(), waiting.cancel()
        eventually(self.answers, "the cancelled requests have gone")

    def answers(self):
        """Whether a request goes well now."""
        try:
            return client.unary(self.served, request(text="x", max_tokens=1))
        except grpc.RpcError:
            return None

    def test_a_lost_expert_is_named_and_comes_back(self):
        call = self.served.inference.Generate(request(text="x", **LONG))
        next(call), next(call)
        os.kill(self.served.pid("expert", 1), signal.SIGKILL)
        failed = client.failure_of(lambda: call)
        self.check(failed, CODE.UNAVAILABLE, "EXPERT_UNCOVERED", "no live expert shard")
        self.assertGreaterEqual(int(failed.metadata["expert"]), 16)  # those of rank 1
        self.assertLess(int(failed.metadata["layer"]), 5)
        self.assertGreater(self.retry_seconds(failed), 0)
        eventually(self.answers, "the expert service is back")


class LonelyGatewayTest(ErrorTest):
    """A gateway whose cluster is not there."""

    @classmethod
    def setUpClass(cls):
        ports = ("--gateway-grpc-listen", "--gateway-http-listen", "--admin-listen", "--ops-listen")
        listen = [word for port in ports for word in (port, "127.0.0.1:0")]
        cls.process = program.start("gateway", *listen, "--cluster-routers", "127.0.0.1:1")
        cls.log, started = [], threading.Event()

        def read():
            for line in cls.process.stderr:
                cls.log.append(json.loads(line))
                if cls.log[-1].get("event") == "started":
                    started.set()

        cls.reader = threading.Thread(target=read, daemon=True)
        cls.reader.start()
        assert started.wait(program.TIMEOUT_S), cls.log
        cls.up = next(line for line in cls.log if line.get("event") == "started")
        cls.channel = grpc.insecure_channel(cls.up["grpc"])

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.process.terminate()
        assert cls.process.wait(program.TIMEOUT_S) == 0
        cls.reader.join(program.TIMEOUT_S)
        for pipe in (cls.process.stdin, cls.process.stdout, cls.process.stderr):
            pipe.close()

    @property
    def inference(self):
        return client.inference_pb2_grpc.InferenceServiceStub(self.channel)

    health = client.Served.health

    def setUp(self):
        self.served = self

    def test_it_is_not_ready_and_says_when_to_come_back(self):
        failed = self.fails(CODE.UNAVAILABLE, "MODEL_LOADING", request(text="x"))
        self.assertGreater(self.retry_seconds(failed), 0)
        self.assertEqual((self.health(), self.health("")), ("NOT_SERVING",) * 2)
        done = program.run("run", "x", "--url", self.up["grpc"])
        self.assertEqual((done.returncode, b"[TROUPE-8001]" in done.stderr), (75, True))

    def test_what_needs_no_cluster_is_answered(self):
        tokenized = self.inference.Tokenize(pb.TokenizeRequest(text="x"))
        self.assertEqual(len(tokenized.token_ids), 2)

    def test_it_has_no_status_of_a_cluster(self):
        done = program.run("status", "--url", self.up["admin"])
        self.assertEqual((done.returncode, b"[TROUPE-5002]" in done.stderr), (5, True))


class StatusCommandTest(program.ProgramTest):
    def test_healthy_degraded_and_unreachable(self):
        cluster = Up("--experts", "2")
        self.addCleanup(cluster.stop)
        url = ("--url", cluster.admin_address)
        table = self.succeeds("status", *url)
        self.assertIn("serving, epoch 1", table)
        self.assertEqual(table.count("ACTIVE"), 5)
        report = json.loads(self.succeeds("status", *url, "-o", "json"))
        self.assertTrue(report["healthy"])
        ranges = [m["experts"] for m in report["members"] if m["role"] == "expert"]
        for member in report["members"]:  # `up` has printed where each says how it is
            where = f"http://{member['ops_address']}/metrics"
            line = f"ops   {member['role']} {member['index']}  {where}\n"
            eventually(lambda line=line: line in cluster.text, line)
        self.assertEqual(ranges, [{"begin": 0, "end": 16}, {"begin": 16, "end": 32}])
        pid = cluster.pid("expert", 1)
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: program.run("status", *url).returncode == 1, "degraded")
        finally:
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: program.run("status", *url).returncode == 0, "healthy again")
        self.fails(5, 5002, ["127.0.0.1:1", "--url"], "status", "--url", "127.0.0.1:1")
        self.fails(5, 5002, "--url", "status", "--url", cluster.address)
        self.fails(2, 1003, "table, json", "status", "-o", "xml")


if __name__ == "__main__":
    unittest.main()
