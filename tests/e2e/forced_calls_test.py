"""Forced tool calls: what they are for every seed, streamed and whole, over HTTP and gRPC."""

import json
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import requirement
from tests.support.grpc_client import pb
from tests.support.tool_case import QUESTION, Joined, TemplateTest

try:
    import jsonschema
except ImportError:
    requirement.lacking("Python's jsonschema")


class ForcedCallTest(TemplateTest):
    """tool_choice "required" and by name: whatever the model would say, it makes valid calls."""

    SCHEMAS = {
        "weather": {"type": "object", "required": ["city", "days"], "properties": {
            "city": {"type": "string", "maxLength": 6}, "days": {"type": "integer", "minimum": 1,
                                                                 "maximum": 14}}},
        "turn": {"type": "object", "required": ["to"],
                 "properties": {"to": {"enum": ["left", "right"]}}},
        "now": None,
    }
    TOOLS = [{"type": "function",
              "function": {"name": name, "description": "of a test", "parameters": schema}}
             for name, schema in SCHEMAS.items()]
    ENDS = {"4086": 30}  # the marker behind the last call: this model would go on and on
    SEEDS = range(10)

    def ask(self, seed, choice="required", **options):
        options = {"tools": self.TOOLS, "logit_bias": self.ENDS, **options}
        return self.chat(seed=seed, temperature=2, tool_choice=choice,
                         extra_headers={"X-Request-Id": f"forced-{seed}"}, **options)

    def check_calls(self, choice):
        self.assertEqual(choice.finish_reason, "tool_calls", choice)
        self.assertIsNone(choice.message.content)
        for call in choice.message.tool_calls:
            arguments = json.loads(call.function.arguments)
            schema = self.SCHEMAS[call.function.name] or {"type": "object", "maxProperties": 0}
            jsonschema.Draft202012Validator(schema).validate(arguments)
        return [call.function.name for call in choice.message.tool_calls]

    @staticmethod
    def named(name):
        return {"type": "function", "function": {"name": name}}

    def test_required_gives_valid_calls_of_any_tool(self):
        called = set()
        for seed in self.SEEDS:
            called.update(self.check_calls(self.ask(seed).choices[0]))
        self.assertGreater(len(called), 1, "one tool is called only")

    def test_several_calls_one_after_the_other(self):
        answer = self.ask(1, logit_bias={"4086": -100}).choices[0]
        self.assertEqual(answer.finish_reason, "length")  # it may not end
        whole = answer.message.tool_calls[:-1]
        self.assertGreater(len(whole), 1)
        left = answer.message.content  # of a call that was cut before its name
        self.assertTrue(left is None or "<｜tool▁call▁begin｜>" in left, left)
        answer.message.tool_calls, answer.finish_reason = whole, "tool_calls"
        answer.message.content = None
        self.check_calls(answer)

    def test_streams_give_the_same_calls(self):
        pieces = 0
        for seed in self.SEEDS:
            whole = self.ask(seed).choices[0].message.tool_calls
            chunks = list(self.ask(seed, stream=True))
            joined = Joined(chunks)
            self.assertEqual(joined.calls, [[call.id, "function", call.function.name,
                                             call.function.arguments] for call in whole])
            self.assertEqual((joined.content, joined.reason), ("", "tool_calls"))
            pieces += len(chunks) - len(whole) - 2
        # One stream may come late and joined, as a busy machine sends it; not all of them.
        self.assertGreater(pieces, 0, "arguments come piece by piece")

    def test_one_call_where_calls_are_not_parallel_or_one_is_named(self):
        for seed in self.SEEDS:
            names = self.check_calls(self.ask(seed, parallel_tool_calls=False).choices[0])
            self.assertEqual(len(names), 1)
            for name in self.SCHEMAS:
                answer = self.ask(seed, self.named(name), logit_bias={}).choices[0]
                self.assertEqual(self.check_calls(answer), [name])

    def test_choices_and_a_form_for_the_text_that_is_not_there(self):
        answer = self.ask(1, n=3, response_format={"type": "json_object"})
        for choice in answer.choices:
            self.check_calls(choice)

    def test_grpc_gives_the_same(self):
        for seed in list(self.SEEDS)[:3]:
            for choice in ("required", "turn"):
                asked = client.request(
                    messages=[("user", QUESTION[0]["content"])], temperature=2, seed=seed,
                    max_tokens=400, request_id=f"forced-{seed}", logit_bias={4086: 30})
                asked.chat.tools.extend(json.dumps(tool) for tool in self.TOOLS)
                asked.chat.tool_choice = choice
                answer, _ = client.unary(self.served, asked)
                self.assertEqual(answer.finish_reason, pb.FINISH_REASON_TOOL_CALLS)
                told = self.ask(seed, choice if choice == "required" else self.named(choice))
                self.assertEqual(
                    [(call.id, call.name, call.arguments_json) for call in answer.tool_calls],
                    [(call.id, call.function.name, call.function.arguments)
                     for call in told.choices[0].message.tool_calls])
        asked.chat.tool_choice = "fly"
        failed = client.failure_of(self.served.inference.Generate, asked)
        self.assertEqual(failed.fields, ["chat.tool_choice"])

    def test_a_call_that_is_cut_is_no_end(self):
        answer = self.ask(1, max_tokens=4).choices[0]
        self.assertEqual(answer.finish_reason, "length")

    def test_parameters_that_cannot_be_kept_to_are_named(self):
        schema = {"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 5}}}
        tool = {"type": "function", "function": {"name": "count", "description": "numbers",
                                               "parameters": schema}}
        body = {"messages": QUESTION, "tools": [*self.TOOLS, tool], "max_tokens": 4}
        self.assertEqual(oai.ask(self.url, "/v1/chat/completions", body).status, 200)
        for choice in ("required", self.named("count")):
            answer = oai.ask(self.url, "/v1/chat/completions", {**body, "tool_choice": choice})
            self.assertEqual((answer.status, answer.error["param"]), (400, "tool_choice"))
            for part in ("count", "$.properties.n", "multipleOf"):
                self.assertIn(part, answer.error["message"])
        body["tool_choice"] = self.named("now")  # nobody asks for the other one
        self.assertEqual(oai.ask(self.url, "/v1/chat/completions", body).status, 200)


class NewerForcedCallTest(ForcedCallTest):
    """V3.1's form of calls, which has no fence around arguments; and calls behind thoughts."""

    TEMPLATE = "v31"

    def test_thoughts_come_first_and_never_call(self):
        done = 0
        for seed in self.SEEDS:
            answer = self.ask(seed, logit_bias={**self.ENDS, "4095": 9},
                              extra_body={"chat_template_kwargs": {"thinking": True}})
            choice = answer.choices[0]
            if choice.finish_reason == "length":
                self.assertIsNone(choice.message.tool_calls)  # it is still thinking
                continue
            self.check_calls(choice)
            done += 1
        self.assertTrue(done, "none has ended its thoughts")


if __name__ == "__main__":
    unittest.main(verbosity=2)
