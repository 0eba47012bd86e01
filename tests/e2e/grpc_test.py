#!/usr/bin/env python3
"""The gateway's gRPC: answers, streams, cancelling, deadlines, health, reflection, drain."""

import itertools
import json
import re
import signal
import socket
import unittest

import grpc
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.support import grpc_client as client
from tests.support import program
from tests.support.grpc_client import pb, request

PROMPT = "In the beginning God created the heaven and the"
GREEDY = {"temperature": 0, "max_tokens": 24}


class ServedTest(unittest.TestCase):
    """One `troupe serve` for the class."""

    FLAGS = ("--layout", "experts=2,attention=2,routers=2")

    @classmethod
    def setUpClass(cls):
        cls.served = client.Served(*cls.FLAGS)

    @classmethod
    def tearDownClass(cls):
        assert cls.served.stop() == 0, "".join(cls.served.log)


class AnswerTest(ServedTest):
    def test_unary_equals_the_joined_stream_and_the_command_line(self):
        told = program.run("run", *("--temperature", 0, "--max-tokens", 24), PROMPT).stdout.decode()
        for sampling in (GREEDY, {"seed": 7, "max_tokens": 40}, {"seed": 8, "max_tokens": 1}):
            asked = request(text=PROMPT, logprobs=0, **sampling)
            choice, whole = client.unary(self.served, asked)
            joined = client.stream(self.served, asked)
            self.assertEqual(joined.text, choice.text)
            self.assertEqual(joined.ids, list(choice.token_ids))
            self.assertEqual(joined.logprobs, [entry.logprob for entry in choice.logprobs])
            self.assertEqual(joined.finished.finish_reason, choice.finish_reason)
            self.assertEqual(joined.finished.usage, whole.usage)
            self.assertEqual(len(joined.ids), whole.usage.completion_tokens)
            if sampling is GREEDY:
                self.assertEqual(choice.text + "\n", told)

    def test_choices_are_those_of_their_seed_and_of_the_stream(self):
        asked = request(text=PROMPT, n=4, seed=5, temperature=1, max_tokens=16)
        _, whole = client.unary(self.served, asked)
        texts = [choice.text for choice in whole.choices]
        self.assertEqual([choice.index for choice in whole.choices], [0, 1, 2, 3])
        self.assertEqual(len(set(texts)), 4, texts)
        again = client.unary(self.served, asked)[1]
        self.assertEqual(again.choices, whole.choices)
        joined = client.stream(self.served, asked)
        self.assertEqual([joined.choices[i].text for i in range(4)], texts)
        self.assertEqual(joined.kinds.count("finished"), 4)
        self.assertEqual(joined.finished.usage, again.usage)
        self.assertEqual(whole.usage.completion_tokens,
                         sum(len(choice.token_ids) for choice in whole.choices))
        alone = client.unary(self.served, request(text=PROMPT, seed=5, temperature=1,
                                                  max_tokens=16))[1]
        self.assertEqual(alone.choices[0], whole.choices[0])
        self.assertEqual(alone.usage.prompt_tokens, whole.usage.prompt_tokens)

    def test_logprobs_of_prompt_and_answer_with_their_alternatives(self):
        asked = request(text=PROMPT, logprobs=3, prompt_logprobs=2, n=2, **GREEDY)
        choice, whole = client.unary(self.served, asked)
        joined = client.stream(self.served, asked)
        self.assertEqual(joined.prompt_logprobs, list(whole.prompt_logprobs))
        self.assertEqual(len(whole.prompt_logprobs), whole.usage.prompt_tokens - 1)
        for entry in whole.prompt_logprobs:
            self.assertEqual(len(entry.top), 2)
            self.assertGreaterEqual(entry.top[0].logprob, entry.logprob)
        for entry in choice.logprobs:
            self.assertEqual(len(entry.top), 3)
            self.assertEqual((entry.top[0].token_id, entry.top[0].logprob),
                             (entry.token_id, entry.logprob))  # greedy
        only = client.unary(self.served, request(text=PROMPT, prompt_logprobs=2, max_tokens=0))
        self.assertEqual(only[1].prompt_logprobs, whole.prompt_logprobs)
        self.assertEqual((only[0].text, only[0].finish_reason), ("", pb.FINISH_REASON_LENGTH))

    def test_a_prompt_is_computed_once_for_equal_salts(self):
        text = "a prompt of its own, " * 20
        first, second = (
            client.unary(self.served, request(text=text, cache_salt="a", priority=2, **GREEDY))[1]
            for _ in range(2)
        )
        self.assertEqual(first.usage.cached_tokens, 0)
        self.assertGreater(second.usage.cached_tokens, 0)
        self.assertEqual(second.started.cached_tokens, second.usage.cached_tokens)
        self.assertEqual(second.choices, first.choices)
        joined = client.stream(self.served, request(text=text, cache_salt="a", **GREEDY))
        self.assertEqual(joined.finished.usage, second.usage)
        told = [event.prompt_progress.cached_tokens for event in self.served.inference.Generate(
            request(text=text, cache_salt="a", include_prompt_progress=True, **GREEDY))
            if event.HasField("prompt_progress")]
        self.assertEqual(set(told), {second.usage.cached_tokens})
        other = client.unary(self.served, request(text=text, cache_salt="b", **GREEDY))[1]
        self.assertEqual(other.usage.cached_tokens, 0)
        self.assertEqual(other.choices, first.choices)

    def test_events_come_in_their_order(self):
        asked = request(text=PROMPT, include_prompt_progress=True, **GREEDY)
        joined = client.stream(self.served, asked)
        self.assertEqual(joined.kinds[0], "started")
        self.assertEqual(joined.kinds[-1], "finished")
        self.assertEqual(joined.progress[-1], (joined.started.prompt_tokens,) * 2)
        self.assertEqual(joined.finished.finish_reason, pb.FINISH_REASON_LENGTH)
        self.assertRegex(joined.started.system_fingerprint, "^fp_[0-9a-f]{16}$")

    def test_an_answer_keeps_to_its_form(self):
        asked = request(text=PROMPT, temperature=1, seed=4, max_tokens=200)
        schema = {"type": "array", "items": {"enum": [1, "a"]}, "maxItems": 5}
        asked.response_format.json_schema = json.dumps(schema)
        choice, _ = client.unary(self.served, asked)
        self.assertTrue(set(json.loads(choice.text)) <= {1, "a"})
        self.assertEqual(client.stream(self.served, asked).text, choice.text)
        asked.response_format.regex = "(yes|no), [0-9]{3}"
        self.assertRegex(client.unary(self.served, asked)[0].text, r"\A(yes|no), [0-9]{3}\Z")
        asked.response_format.json_object = True
        asked.sampling.max_tokens = 1000
        choice, _ = client.unary(self.served, asked)
        if choice.finish_reason == pb.FINISH_REASON_STOP:
            self.assertIsInstance(json.loads(choice.text), dict)
        self.assertTrue(choice.text.startswith("{"))

    def test_many_forms_at_once_are_kept_to_each_by_its_own_answer(self):
        forms = {}
        for number in range(40):  # more than are compiled at once
            asked = request(text=PROMPT, temperature=1, seed=4, max_tokens=20)
            asked.response_format.regex = f"{number}, [0-9]{{{number % 5 + 1}}}"
            whole = pb.GenerateUnaryRequest(request=asked)
            call = self.served.inference.GenerateUnary.future(whole, timeout=program.TIMEOUT_S)
            forms[asked.response_format.regex] = call
        for form, call in forms.items():
            self.assertRegex(call.result().choices[0].text, rf"\A{form}\Z")

    def test_a_stream_that_broke_goes_on_where_it_was(self):
        text = "naïve 🦔 " + PROMPT
        fields = {"text": text, "temperature": 1, "max_tokens": 40, "logprobs": 1, "stop": ["zqx"]}
        call = self.served.inference.Generate(request(**fields, request_id="broken-1"))
        had, seed = ["", [], []], next(call).started.drawn_seed
        for event in itertools.islice(call, 5):
            had[0] += event.delta.text
            had[1] += event.delta.token_ids
            had[2] += [entry.logprob for entry in event.delta.logprobs]
        call.cancel()
        rest = client.stream(self.served, request(**fields, request_id="broken-1", seed=seed,
                                                  resume_position=len(had[1])))
        whole = client.stream(self.served, request(**fields, seed=seed))
        self.assertEqual([had[0] + rest.text, had[1] + rest.ids, had[2] + rest.logprobs],
                         [whole.text, whole.ids, whole.logprobs])
        self.assertEqual(rest.finished.usage.completion_tokens, len(whole.ids))
        for position in range(0, len(whole.ids) + 2, 3):
            again = client.stream(self.served, request(**fields, seed=seed,
                                                       resume_position=position))
            self.assertEqual(again.ids, whole.ids[position:])
            self.assertTrue(whole.text.endswith(again.text))
            self.assertEqual(again.finished.finish_reason, whole.finished.finish_reason)

    def test_a_drawn_seed_is_told_and_reproduces(self):
        first = client.stream(self.served, request(text=PROMPT, max_tokens=24))
        again = request(text=PROMPT, max_tokens=24, seed=first.started.drawn_seed)
        self.assertEqual(client.stream(self.served, again).text, first.text)
        greedy = client.stream(self.served, request(text=PROMPT, **GREEDY))
        self.assertFalse(greedy.started.HasField("drawn_seed"))

    def test_a_stop_string_ends_the_answer_before_it(self):
        free = client.stream(self.served, request(text=PROMPT, **GREEDY))
        stop = free.text[9:13]  # across tokens
        asked = request(text=PROMPT, stop=[stop, "never said"], **GREEDY)
        joined = client.stream(self.served, asked)
        self.assertEqual(joined.text, free.text[: free.text.index(stop)])
        self.assertEqual(joined.finished.finish_reason, pb.FINISH_REASON_STOP)
        self.assertEqual(joined.finished.stop_match.stop, stop)
        self.assertLess(joined.finished.usage.completion_tokens, 24)
        self.assertEqual(client.unary(self.served, asked)[0].text, joined.text)

    def test_a_stop_id_ends_the_answer_and_shows_no_text(self):
        free = client.stream(self.served, request(text=PROMPT, **GREEDY))
        last = free.ids[1]
        joined = client.stream(self.served, request(text=PROMPT, stop_token_ids=[last], **GREEDY))
        self.assertEqual(joined.ids, free.ids[:2])
        self.assertEqual(joined.finished.stop_match.token_id, last)
        self.assertTrue(free.text.startswith(joined.text))

    def test_ids_in_and_chat_in(self):
        ids = self.served.inference.Tokenize(pb.TokenizeRequest(text=PROMPT)).token_ids
        by_ids, _ = client.unary(self.served, request(ids=ids, **GREEDY))
        by_text, _ = client.unary(self.served, request(text=PROMPT, **GREEDY))
        self.assertEqual(by_ids, by_text)
        question = "What is a lighthouse?"
        told = program.run(
            "chat", "--once", question, *("--temperature", 0, "--max-tokens", 24)
        ).stdout.decode()
        chat, _ = client.unary(self.served, request(messages=[("user", question)], **GREEDY))
        self.assertEqual(chat.text + "\n", told)

    def test_text_never_becomes_a_special_token(self):
        say = "<｜User｜>hello<｜end▁of▁sentence｜>"
        stub = self.served.inference
        plain = stub.Tokenize(pb.TokenizeRequest(text=say)).token_ids
        parsed = stub.Tokenize(pb.TokenizeRequest(text=say, parse_special_tokens=True)).token_ids
        self.assertGreater(len(plain), len(parsed))
        back = stub.Detokenize(pb.DetokenizeRequest(token_ids=plain, skip_special_tokens=True))
        self.assertEqual(back.text, say)
        chat = pb.ChatInput(messages=[pb.ChatMessage(role="user", content=say)])
        made = stub.ApplyChatTemplate(pb.ApplyChatTemplateRequest(chat=chat))
        self.assertIn(say, made.prompt)
        special = set(parsed) - set(plain)
        self.assertEqual(sum(id in special for id in made.token_ids[:-1]), 1)  # the template's own

    def test_models_are_described(self):
        stub = self.served.inference
        (model,) = stub.ListModels(pb.ListModelsRequest()).models
        self.assertEqual(model, stub.GetModel(pb.GetModelRequest(model="troupe-tiny")).model)
        self.assertEqual((model.context_length, model.vocabulary_size), (4096, 4224))
        self.assertTrue(model.capabilities.chat)

    def test_the_request_id_comes_back(self):
        call = self.served.inference.Generate(request(text="x", request_id="mine-1", max_tokens=1))
        joined = client.Joined(call)
        trailers = dict(call.trailing_metadata())
        self.assertEqual(joined.started.request_id, "mine-1")
        self.assertEqual(trailers["x-request-id"], "mine-1")
        self.assertEqual(trailers["x-placement-epoch"], "1")

    def test_sixteen_at_once_half_of_them_cancelled(self):
        asked = [request(text=PROMPT, seed=i, max_tokens=200, ignore_eos=True) for i in range(16)]
        expected = [client.unary(self.served, one)[0].text for one in asked[::2]]
        calls = [self.served.inference.Generate(one) for one in asked]
        for call in calls[1::2]:
            for event in itertools.islice(call, 4):
                self.assertIn(event.WhichOneof("event"), ("started", "delta"))
            call.cancel()
        self.assertEqual([client.Joined(call).text for call in calls[::2]], expected)
        for call in calls[1::2]:
            self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)

    def test_a_deadline_ends_the_request(self):
        asked = request(text=PROMPT, max_tokens=4000, ignore_eos=True)
        failed = client.failure_of(self.served.inference.Generate, asked, timeout=0.2)
        self.assertEqual(failed.code, grpc.StatusCode.DEADLINE_EXCEEDED)
        _, whole = client.unary(self.served, request(ids=[5], **GREEDY))
        self.assertEqual(whole.usage.prompt_tokens, 1)


class CommandLineTest(ServedTest, program.ProgramTest):
    """`troupe run|chat --url` say what they say with the model opened here."""

    def both(self, *words, **options):
        here = program.run(*words, **options)
        there = program.run(*words, "--url", self.served.address, **options)
        self.assertEqual(there.returncode, here.returncode, there.stderr)
        self.assertEqual(there.stdout, here.stdout)
        return there

    def test_the_same_words_and_the_same_lines(self):
        greedy = ("--temperature", 0, "--max-tokens", 24)
        done = self.both("run", *greedy, PROMPT)
        self.assertRegex(done.stderr.decode(), r"\A24 tokens, TTFT \d+\.\d\d s, [\d.]+ tok/s\n\Z")
        self.both("run", "--seed", 3, "--max-tokens", 40, "--output-ids", PROMPT)
        self.both("run", *greedy, "--ids", "5,6,7", "--ignore-eos", "--logit-bias", "14=-100")
        self.both("chat", *greedy, "--once", "What is a lighthouse?", "--system", "Be brief.")
        turns = b"What is a lighthouse?\nWhat else?\n/reset\nWhat is a ship?\n"
        self.both("chat", *greedy, stdin=turns)

    def test_a_drawn_seed_is_printed_and_reproduces(self):
        url = ("--url", self.served.address)
        first = program.run("run", "--max-tokens", 12, PROMPT, *url)
        seed = re.search(rb"^seed (\d+)$", first.stderr, re.M).group(1).decode()
        self.both("run", "--max-tokens", 12, "--seed", seed, PROMPT)
        again = program.run("run", "--max-tokens", 12, "--seed", seed, PROMPT, *url)
        self.assertEqual(again.stdout, first.stdout)

    def test_what_the_context_has_room_for_will_do(self):
        self.both("run", "--temperature", 0, "-", stdin=b" word" * 3990)

    def test_failures_are_faults(self):
        url = ("--url", self.served.address)
        self.fails(5, 5002, ["127.0.0.1:1", "refused"], "run", "x", "--url", "127.0.0.1:1")
        self.fails(4, 4001, ["other", "troupe-tiny"], "run", "x", "--model", "other", *url)
        self.fails(2, 1104, "4223", "run", "--ids", "0,4224", *url)
        self.fails(2, 1102, "4096", "run", "x", "--max-tokens", 4096, *url)
        self.fails(2, 1101, "UTF-8", "run", "-", *url, stdin=b"\xff")
        self.fails(2, 1005, "--chat-template", "chat", "--chat-template", "f", *url)

    def test_interrupt_stops_and_says_130(self):
        words = ("--max-tokens", 3000, "--ignore-eos", PROMPT, "--url", self.served.address)
        child = program.start("run", *words)
        self.assertNotEqual(child.stdout.read(1), b"")
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(child.returncode, program.INTERRUPTED, stderr)
        self.assertIn(b"interrupted", stderr)


class PortTest(ServedTest):
    def test_reflection_describes_every_service(self):
        listed = {
            client.INFERENCE: "GenerateUnary",
            "grpc.health.v1.Health": "Check",
            "grpc.reflection.v1alpha.ServerReflection": "ServerReflectionInfo",
        }
        database = ProtoReflectionDescriptorDatabase(self.served.channel)
        self.assertEqual(sorted(database.get_services()), sorted(listed))
        pool = descriptor_pool.DescriptorPool(database)
        for service, method in listed.items():
            self.assertIn(method, pool.FindServiceByName(service).methods_by_name)

    def test_reflection_can_be_switched_off(self):
        served = client.Served("--grpc-reflection", "off")
        try:
            for channel in (served.channel, grpc.insecure_channel(served.addresses["admin"])):
                with self.assertRaises(grpc.RpcError) as refused:
                    ProtoReflectionDescriptorDatabase(channel).get_services()
                self.assertEqual(refused.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        finally:
            self.assertEqual(served.stop(), 0)

    def test_a_start_and_an_end_warn_of_nothing(self):
        served = client.Served()
        self.assertEqual(served.stop(), 0)
        warnings = [line for line in served.log if re.search("warning", line, re.I)]
        self.assertEqual(warnings, [])

    def test_the_admin_port_has_the_cluster_and_not_the_inference(self):
        channel = grpc.insecure_channel(self.served.addresses["admin"])
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        self.assertIn(client.ADMIN, services)
        self.assertNotIn(client.INFERENCE, services)
        report = self.served.admin.GetClusterStatus(client.admin_pb.GetClusterStatusRequest())
        self.assertTrue(report.serving)
        self.assertEqual((report.expert_ranks, len(report.members)), (2, 7))
        ask = channel.unary_unary(f"/{client.ADMIN}/GetClusterStatus")
        refused = client.failure_of(ask, b"\x02\0", timeout=program.TIMEOUT_S)
        self.assertEqual(refused.code, grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(refused.fields, ["message"])

    def test_foreign_bytes_do_not_hurt(self):
        host, port = self.served.address.split(":")
        noise = bytes(range(256)) * 40
        for say in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" * 64, noise):
            with socket.create_connection((host, int(port)), timeout=program.TIMEOUT_S) as peer:
                try:
                    peer.sendall(say)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(4096):
                        pass
                except OSError:
                    pass  # it need not listen to the end
        self.assertEqual(self.served.health(), "SERVING")

    def test_a_port_in_use_is_said(self):
        port = self.served.address
        free = [word for name in client.PORTS for word in (f"--{name}-listen", "127.0.0.1:0")]
        done = program.run("serve", *free, "--grpc-listen", port)
        self.assertEqual(done.returncode, 5, done.stderr)
        for part in (port, "Address already in use", "gateway.grpc_listen", "[TROUPE-5001]"):
            self.assertIn(part, done.stderr.decode())


class DrainTest(unittest.TestCase):
    def test_sigterm_lets_open_requests_end(self):
        served = client.Served()
        self.assertEqual((served.health(), served.health("")), ("SERVING", "SERVING"))
        asked = request(text=PROMPT, seed=1, max_tokens=1500, ignore_eos=True)
        call = served.inference.Generate(asked)
        first = next(call)
        self.assertEqual(first.WhichOneof("event"), "started")
        watch = client.health_pb2_grpc.HealthStub(served.channel).Watch(
            client.health_pb2.HealthCheckRequest(service=client.INFERENCE)
        )
        self.assertEqual(next(watch).status, client.health_pb2.HealthCheckResponse.SERVING)
        served.process.send_signal(signal.SIGTERM)
        self.assertEqual(next(watch).status, client.health_pb2.HealthCheckResponse.NOT_SERVING)
        failed = client.failure_of(served.inference.Generate, request(text="x"))
        self.assertEqual((failed.code, failed.reason), (grpc.StatusCode.UNAVAILABLE, "DRAINING"))
        self.assertGreater(failed.details["RetryInfo"].retry_delay.ToTimedelta().total_seconds(), 0)
        joined = client.Joined(call)
        self.assertEqual(joined.finished.usage.completion_tokens, 1500)
        self.assertEqual(served.process.wait(program.TIMEOUT_S), 0)
        # The drain took many times as long as health is looked at: watchers hear of changes only.
        with self.assertRaises(grpc.RpcError):
            self.assertIsNone(next(watch))
        self.assertEqual(served.stop(), 0)

    def test_the_drain_is_bounded(self):
        served = client.Served("--drain-timeout", 0)
        call = served.inference.Generate(request(text=PROMPT, max_tokens=4000, ignore_eos=True))
        next(call)
        served.process.send_signal(signal.SIGTERM)
        self.assertEqual(served.process.wait(program.TIMEOUT_S), 0)
        failed = client.failure_of(lambda: call)
        self.assertEqual((failed.code, failed.reason), (grpc.StatusCode.UNAVAILABLE, "DRAINING"))
        served.stop()


if __name__ == "__main__":
    unittest.main()
