#!/usr/bin/env python3
"""Rows of docs/http_api.md's table of errors, by real requests over HTTP and gRPC.

All that a request that generates can hear on both faces: the rows of tests/support/error_rows.py.
Elsewhere: a shard's full queue and `memory_exhausted` in shard_limits_test.py; `slow_reader`, a
gateway without descriptors, `overloaded` and full connections in gateway_limits_test.py;
`operation_in_progress` in idempotency_key_test.py; what is no such request (paths, methods,
headers) in http_errors_test.py.
"""

import http.client
import json
import os
import shutil
import tempfile
import threading
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import ops, program, safetensors
from tests.support.error_row_case import (
    CHAT, ENDLESS, MESSAGES, QUESTION, TEXT, RowTest, bearer, settings,
)
from tests.support.error_rows import CODE
from tests.support.free_ports import free_port
from tests.support.grpc_client import pb, request
from tests.support.poll_until import eventually
from tests.support.services import Cluster

# On a busy machine a call may be under way for longer than the server allows for.
CALLS_MAX = 8


def linked_model(folder, but=""):
    """The bundled model in the new `folder`, but for one of its files."""
    os.mkdir(folder)
    for file in set(os.listdir(program.TINY)) - {but}:
        os.symlink(os.path.join(program.TINY, file), os.path.join(folder, file))
    return folder


class RequestRowTest(RowTest):
    """What only the request itself is to blame for, and what comes of being one of many."""

    def setUp(self):
        super().setUp()
        limits = ("requests_max=1", "http_body_mib=1", "http_request_s=1")
        self.serve(*settings(*(f"gateway.{limit}" for limit in limits)))

    def test_a_request_to_be_changed(self):
        with_grammar = request(text="a")
        with_grammar.response_format.grammar = "root ::= x"
        raw = self.served.channel.unary_stream(f"/{client.INFERENCE}/Generate")
        for code, body, asked, call in (
            ("invalid_json", b"{", b"\xff\xff", raw),
            ("invalid_value", {"prompt": "a", "temperature": 9},
             request(text="a", temperature=9), None),
            ("unsupported_parameter", {"prompt": "a", "suffix": "b"}, with_grammar, None),
            ("context_length_exceeded", {"prompt": [5] * 4000, "max_tokens": 97},
             request(ids=[5] * 4000, max_tokens=97), None),
            ("model_not_found", {"prompt": "a", "model": "b"}, request(text="a", model="b"), None),
            ("request_too_large", b" " * ((1 << 20) + 1), request(text="a" * (64 << 20)), None),
        ):
            with self.subTest(code):
                self.over_http(code, TEXT, body)
                self.over_grpc(code, asked, call)

    def test_one_more_than_are_answered_at_once(self):
        running = self.stream()
        self.over_http("queue_full")
        self.over_grpc("queue_full")
        running.cancel()
        eventually(self.answers, "the place is free")

    def test_a_deadline_is_kept_by_the_server(self):
        self.over_http("deadline_exceeded", TEXT, {"prompt": ["a"] * 48, **ENDLESS})
        eventually(lambda: self.calls(api="completions", code="504") == 1, "it counts as 504")
        # The client's library ends its call by itself, and a little early: what it has told the
        # server is rounded up to 1.01 s. The server must still know it from one that goes away.
        for kind, api in (("Generate", "grpc_generate"), ("GenerateUnary", "grpc_generate_unary")):
            asked = request(text="a", n=48, **ENDLESS)
            if kind == "GenerateUnary":
                asked = pb.GenerateUnaryRequest(request=asked)
            call = getattr(self.served.inference, kind)
            told = lambda api=api: self.calls(api=api, code="DEADLINE_EXCEEDED")  # noqa: E731
            for calls in range(1, CALLS_MAX + 1):
                eventually(self.answers, "the call before has gone")
                failed = client.failure_of(call, asked, timeout=1.001)
                self.assertEqual(failed.code, client.grpc.StatusCode.DEADLINE_EXCEEDED)
                eventually(lambda api=api, n=calls: self.calls(api=api) == n, "it has ended")
                if told() == 2:
                    break
            self.assertEqual(told(), 2, api)

    def in_flight(self, api):
        name = "troupe_gateway_requests_in_flight"
        return sum(ops.values(self.served.addresses["ops"], name, {"api": api}))

    def test_a_client_that_goes_is_counted_as_that(self):
        self.stream().cancel()
        eventually(lambda: self.calls(api="grpc_generate"), "the call has ended")
        self.assertEqual(self.calls(api="grpc_generate", code="CANCELLED"), 1)
        whole = pb.GenerateUnaryRequest(request=request(text="a", n=48, **ENDLESS))
        eventually(self.answers, "the place is free")
        call = self.served.inference.GenerateUnary.future(whole, timeout=program.TIMEOUT_S)
        eventually(lambda: self.in_flight("grpc_generate_unary"), "it is being answered")
        call.cancel()
        eventually(lambda: self.calls(api="grpc_generate_unary"), "the call has ended")
        self.assertEqual(self.calls(api="grpc_generate_unary", code="CANCELLED"), 1)
        place = self.served.url.removeprefix("http://")
        for count, streams in enumerate((True, False), start=1):
            eventually(self.answers, "the place is free")
            connection = http.client.HTTPConnection(place, timeout=program.TIMEOUT_S)
            body = {"prompt": ["a"] * 48, "stream": streams, **ENDLESS}
            connection.request("POST", TEXT, json.dumps(body))
            eventually(lambda: self.in_flight("completions"), "it is being answered")
            connection.close()
            gone = lambda count=count: self.calls(api="completions", code="499") == count
            eventually(gone, "it counts as 499")

    def stop_over_grpc(self):
        """Steps after a client went: of a stream, with its first token."""
        ended = lambda: self.calls(api="grpc_generate", code="CANCELLED")
        before, call = ended(), self.stream()
        call.cancel()
        return self.steps_after(lambda: ended() > before)

    def stop_over_http(self, streams):
        ended = lambda: self.calls(api="completions", code="499")
        before, place = ended(), self.served.url.removeprefix("http://")
        connection = http.client.HTTPConnection(place, timeout=program.TIMEOUT_S)
        connection.request("POST", TEXT, json.dumps({"prompt": "a", "stream": streams, **ENDLESS}))
        eventually(lambda: self.attention("sequences_running"), "it is being computed")
        connection.close()
        return self.steps_after(lambda: ended() > before)

    def test_nothing_is_computed_for_a_client_that_has_gone(self):
        # Without the drop there would be thousands of steps. A machine that is busy can hold the
        # word of it up: the best of a few counts.
        for name, stop in (("grpc", self.stop_over_grpc),
                           ("http stream", lambda: self.stop_over_http(True)),
                           ("http", lambda: self.stop_over_http(False))):
            steps = []
            while not steps or (min(steps) > 2 and len(steps) < 5):
                eventually(self.answers, "the place is free")
                eventually(lambda: self.attention("sequences_running") == 0, "nothing runs")
                steps.append(stop())
            self.assertLessEqual(min(steps), 2, (name, steps))

    def test_a_server_that_goes(self):
        running = self.stream()
        self.served.process.terminate()
        eventually(lambda: oai.ask(self.served.url, "/readyz").status == 503, "it drains")
        self.over_http("draining")
        self.over_grpc("draining")
        running.cancel()


class KeyRowTest(RowTest):
    def test_keys_rights_and_limits(self):
        file = self.path("keys.txt")
        keys = {
            name: self.succeeds("keys", "add", file, name, *flags).strip()
            for name, *flags in (
                ("reader", "--rights", "tokenize"), ("slow", "--requests-per-minute", "1"),
                ("single", "--concurrent", "1"),
            )
        }
        self.serve(*settings(f"gateway.api_keys_file={file}"))
        for code, key in (("invalid_api_key", "x"), ("insufficient_permissions", keys["reader"])):
            http_options, grpc_options = bearer(key)
            self.over_http(code, **http_options)
            self.over_grpc(code, **grpc_options)
        self.over_http("invalid_api_key")
        self.over_grpc("invalid_api_key")

        http_options, grpc_options = bearer(keys["slow"])
        self.assertEqual(client.unary(self.served, request(text="a", max_tokens=1),
                                      **grpc_options)[1].usage.completion_tokens, 1)
        # The minute is one for both faces.
        told = self.over_http("rate_limit_exceeded", **http_options)
        self.assertLessEqual(int(told.headers["retry-after"]), 60)
        self.assertIn("1 requests a minute", told.error["message"])
        failed = self.over_grpc("rate_limit_exceeded", **grpc_options)
        self.assertLessEqual(failed.details["RetryInfo"].retry_delay.seconds, 60)

        http_options, grpc_options = bearer(keys["single"])
        running = self.stream(**grpc_options)
        self.over_http("rate_limit_exceeded", **http_options)
        failed = self.over_grpc("rate_limit_exceeded", **grpc_options)
        self.assertIn("1 requests at once", failed.message)
        running.cancel()
        asked = {"prompt": "a", "max_tokens": 1}
        again = lambda: oai.ask(self.served.url, TEXT, asked, **http_options).status == 200
        eventually(again, "the stream that was cancelled counts no more")


class ModelRowTest(RowTest):
    """Models that lack something, and one whose cache is too small."""

    def model_without(self, name, config=None):
        """A copy of the bundled model; `config` changes its tokenizer_config.json."""
        folder = linked_model(self.path("model"), but=name)
        if config is not None:
            with open(os.path.join(program.TINY, name), encoding="utf-8") as file:
                whole = json.load(file)
            self.file(f"model/{name}", json.dumps(config(whole)))
        return folder

    def test_a_model_without_a_tokenizer(self):
        self.serve(self.model_without("tokenizer.json"))
        for path, body in (
            (TEXT, {"prompt": "a"}), (CHAT, {"messages": MESSAGES}),
            ("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [5]}),
            ("/apply-template", {"messages": MESSAGES}),
        ):
            self.over_http("tokenizer_missing", path, body)
        stub = self.served.inference
        for asked, call in (
            (request(text="a"), stub.Generate), (request(messages=QUESTION), stub.Generate),
            (pb.TokenizeRequest(text="a"), stub.Tokenize),
            (pb.DetokenizeRequest(token_ids=[5]), stub.Detokenize),
            (pb.ApplyChatTemplateRequest(), stub.ApplyChatTemplate),
        ):
            self.over_grpc("tokenizer_missing", asked, call)
        body = {"prompt": [5, 6], "max_tokens": 2, "return_token_ids": True, "ignore_eos": True}
        answer = oai.ask(self.served.url, TEXT, body)
        self.assertEqual(len(answer.json["choices"][0]["token_ids"]), 2)

    def test_a_model_without_a_chat_template(self):
        drop = lambda whole: {key: whole[key] for key in whole if key != "chat_template"}
        self.serve(self.model_without("tokenizer_config.json", drop))
        for path in (CHAT, "/apply-template", "/tokenize"):
            self.over_http("chat_template_missing", path, {"messages": MESSAGES})
        chat = pb.ApplyChatTemplateRequest()
        chat.chat.messages.add(role="user", content="x")
        self.over_grpc("chat_template_missing", request(messages=QUESTION))
        self.over_grpc("chat_template_missing", chat, self.served.inference.ApplyChatTemplate)
        self.assertTrue(self.answers())

    def test_a_request_that_the_cache_cannot_hold(self):
        self.serve("--kv-tokens", 256)
        more = {"max_tokens": 400, "ignore_eos": True}
        told = self.over_http("invalid_value", TEXT, {"prompt": "a", **more})
        failed = client.failure_of(self.served.inference.Generate, request(text="a", **more))
        self.assertEqual((failed.code, failed.reason), (CODE.INVALID_ARGUMENT, "INVALID_VALUE"))
        self.assertNotIn("RetryInfo", failed.details, "another time it fits no better")
        for message in (told.error["message"], failed.message):
            self.assertIn("max_tokens 400", message)
            self.assertIn("lower max_tokens", message)
        self.assertTrue(self.answers())


class DamagedModelRowTest(RowTest):
    """Behind one token a logit is infinite, so that none can be drawn.

    The loader refuses NaN. So the embedding of DAMAGED is 2^13 in the first place of the vector and
    else 0: what comes out of the last norm has 16 times its first weight there (a root mean square
    over 256 places), which is 29, where it has a few otherwise. The weight of LOUD for this place
    is 2^124, so its logit passes the largest F32 from 16 on, and is finite behind other tokens.
    """

    DAMAGED, LOUD = 3006, 3005  # " ced", " hurt"
    BF16_2_13, BF16_2_124 = 0x4600, 0x7D80
    WORDS = "logits|NaN|weights|position|checksum"  # of the engine's own text

    def setUp(self):
        super().setUp()
        folder = linked_model(self.path("model"))
        for shard, tensor, row, first in (
            (1, "model.embed_tokens.weight", self.DAMAGED, self.BF16_2_13),
            (2, "lm_head.weight", self.LOUD, self.BF16_2_124),
        ):
            path = os.path.join(folder, f"model-0000{shard}-of-00002.safetensors")
            whole = os.path.realpath(path)
            os.remove(path)
            shutil.copy(whole, path)
            safetensors.overwrite_row(path, tensor, row, first)
        self.serve(folder)

    def says_why_in_the_log(self, request_id):
        def lines():
            return [line for line in self.served.log if f"request_id={request_id} " in line]

        eventually(lines, "the call is in the log")
        (line,) = lines()
        self.assertRegex(line, r" error .* call_ended .*code=(500|INTERNAL) ")
        self.assertRegex(line, 'cause="no token can be drawn for position .* NaN or infinite')

    def test_a_bug_is_told_by_its_request_id_alone(self):
        other = self.stream()
        asked = {"prompt": [5, self.DAMAGED], "max_tokens": 4}
        for path, body in (
            (TEXT, asked), (TEXT, {**asked, "stream": True}),
            # The token is drawn first, and then read.
            (CHAT, {"messages": MESSAGES, "allowed_token_ids": [self.DAMAGED], "max_tokens": 4}),
        ):
            told = self.over_http("internal", path, body)
            self.assertNotRegex(told.body.decode(), self.WORDS)
            self.says_why_in_the_log(told.error["request_id"])

        ids = request(ids=[5, self.DAMAGED], max_tokens=4)
        for whole in (False, True):
            call = self.served.inference.GenerateUnary if whole else self.served.inference.Generate
            message = pb.GenerateUnaryRequest(request=ids) if whole else ids
            failed = self.over_grpc("internal", message, call)
            self.assertNotRegex(f"{failed.message}{failed.metadata}", self.WORDS)
            self.says_why_in_the_log(failed.metadata["request_id"])

        self.assertEqual(next(other).WhichOneof("event"), "delta", "it is still being answered")
        self.assertTrue(self.answers())

    def test_a_stream_that_has_begun_ends_with_it(self):
        body = {"prompt": "a", "allowed_token_ids": [self.DAMAGED], "max_tokens": 4}
        answer = oai.ask(self.served.url, TEXT, {**body, "stream": True})
        self.assertEqual(answer.status, 200)
        *chunks, last = answer.events  # and no [DONE]
        self.assertEqual("".join(chunk["choices"][0]["text"] for chunk in chunks), " ced")
        error = last["error"]
        self.assertEqual((error["type"], error["code"]), ("server_error", "internal"))
        self.assertEqual(error["request_id"], answer.headers["x-request-id"])
        self.assertNotRegex(answer.body.decode(), self.WORDS)
        self.says_why_in_the_log(error["request_id"])

        events = []
        call = self.served.inference.Generate(
            request(text="a", allowed_token_ids=[self.DAMAGED], max_tokens=4)
        )
        failed = client.failure_of(lambda: (events.append(event) for event in call))
        self.is_row_over_grpc("internal", failed)
        self.assertEqual(client.Joined(events).ids, [self.DAMAGED])
        self.assertTrue(self.answers())


class ClusterRowTest(RowTest):
    """One expert service comes late, goes and comes again; then the attention shard goes."""

    def setUp(self):
        super().setUp()
        more = "  uncovered_ms: 100\n"
        self.cluster = Cluster(self.folder, experts=2, settings=more, absent=(1,))
        self.addCleanup(self.cluster.close)
        self.served = self.cluster
        channel = client.grpc.insecure_channel(self.cluster.address)
        self.addCleanup(channel.close)
        self.cluster.inference = client.inference_pb2_grpc.InferenceServiceStub(channel)

    def probe(self, path):
        answer = oai.ask(self.cluster.url, path)
        return answer.status, answer.body

    def sequences(self):
        return self.cluster.attention.total("troupe_attention_sequences_running")

    def test_what_requests_hear_while_services_come_and_go(self):
        self.over_http("model_loading")
        self.over_http("model_loading", CHAT, {"messages": MESSAGES, "stream": True})
        self.over_grpc("model_loading")
        self.assertEqual(self.probe("/health")[0], 503)
        status, text = self.probe("/readyz?verbose")
        self.assertEqual(status, 503)
        self.assertIn(b"[-]", text)
        expert = self.cluster.start_expert(1)
        eventually(self.answers, "the model is loaded")
        self.assertEqual(self.probe("/health"), (200, b'{"status":"ok"}'))

        self.lose_in_mid_answer(expert)
        told = self.over_http("expert_uncovered")
        self.assertIn("expert 1", told.error["message"])
        self.over_grpc("expert_uncovered")
        self.assertEqual(self.probe("/health")[0], 503)
        self.cluster.start_expert(1)
        eventually(self.answers, "the expert is back")

        self.cluster.attention.kill()
        eventually(lambda: self.probe("/readyz")[0] == 503, "the loss is noticed")
        self.over_http("service_lost")
        self.over_grpc("service_lost")

    def lose_in_mid_answer(self, expert):
        """Kills it under a stream and a whole answer over HTTP, and a stream over gRPC."""
        url, answers = self.cluster.url, {}

        def ask(streams):
            body = {"prompt": "a", "stream": streams, **ENDLESS}
            answers[streams] = oai.ask(url, TEXT, body)

        threads = [threading.Thread(target=ask, args=(streams,)) for streams in (True, False)]
        for thread in threads:
            thread.start()
        call = self.stream()
        eventually(lambda: self.sequences() == 3, "all are being answered")
        expert.kill()
        for thread in threads:
            thread.join(program.TIMEOUT_S)
        failed = self.is_row_over_grpc("expert_uncovered", client.failure_of(lambda: call))
        self.assertGreaterEqual(int(failed.metadata["expert"]), 16)  # those of rank 1
        told = self.is_row_over_http("expert_uncovered", answers[False])
        self.assertRegex(told.error["message"], r"layer \d+, experts \d+")
        events = answers[True].events
        self.assertTrue(events[0]["choices"])
        self.is_last_event("expert_uncovered", answers[True])


class ServeLoadingTest(unittest.TestCase):
    """What `troupe serve` answers between the moment its ports open and the last weight."""

    def start_and_watch(self):
        """(what /health says, what /startupz said before) of a start until all is well."""
        url = f"http://127.0.0.1:{free_port()}"
        ports = [word for port in client.PORTS for word in (f"--{port}-listen", "127.0.0.1:0")]
        log = tempfile.TemporaryFile()
        self.addCleanup(log.close)
        process = program.start(
            "serve", *ports, "--http-listen", url.removeprefix("http://"), stderr=log
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        seen = []

        def is_well():
            self.assertIsNone(process.poll(), "it has ended")
            try:
                startup, health = oai.ask(url, "/startupz"), oai.ask(url, "/health")
            except ConnectionRefusedError:
                return False
            if health.status != 200:
                seen.append((health, startup))
            return health.status == 200

        eventually(is_well, "it serves")
        process.terminate()
        self.assertEqual(process.wait(program.TIMEOUT_S), 0)
        return seen

    def test_health_says_loading_until_it_says_ok(self):
        seen = eventually(self.start_and_watch, "/health was asked while the model was loading")
        for health, startup in seen:
            self.assertEqual(set(health.json), {"status", "progress"}, health.body)
            self.assertEqual((health.status, health.json["status"]), (503, "loading"))
            self.assertLessEqual(0, health.json["progress"])
            self.assertLessEqual(health.json["progress"], 1)
            self.assertEqual(startup.status, 503, startup.body)
            self.assertRegex(startup.body.decode(), "^weights: (reading|loading)")


if __name__ == "__main__":
    unittest.main()
