"""Tool calls and reasoning: prompts, answers and streams, over HTTP and gRPC."""

import concurrent.futures
import json
import os
import tempfile
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import openai_case, program, requirement
from tests.support.grpc_client import pb

try:
    import jsonschema
except ImportError:
    requirement.lacking("Python's jsonschema")

TEMPLATES = os.path.join(program.GOLDENS, "chat")
MODEL = os.path.join(program.SOURCE, "examples", "troupe-tiny")
QUESTION = [{"role": "user", "content": "What is the weather?"}]
TOOLS = [
    {"type": "function", "function": {
        "name": name, "description": "of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "time")
]
CALL = (r"<｜tool▁call▁begin｜>function<｜tool▁sep｜>%s" "\n```json\n"
        r'\{"city": "[A-Z][a-z]{3}"\}' "\n```<｜tool▁call▁end｜>")
CALLS = ("[a-z]{2,5}\\.<｜tool▁calls▁begin｜>" + CALL % "weather" + "\n" + CALL % "time"
         + "<｜tool▁calls▁end｜>")


def model_that_spells_its_markers(folder):
    """The bundled model, whose tokenizer has no tokens for tool calls: it writes them as text, so
    that a pattern can have it write some."""
    for name in os.listdir(MODEL):
        if name != "tokenizer.json":
            os.symlink(os.path.join(MODEL, name), os.path.join(folder, name))
    with open(os.path.join(MODEL, "tokenizer.json"), encoding="utf-8") as file:
        tokenizer = json.load(file)
    for token in tokenizer["added_tokens"]:
        if token["content"].startswith("<｜tool"):
            token["content"] = token["content"].replace("tool", "other")
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump(tokenizer, file)


class Joined:
    """The only choice of a stream put together, as a client does it."""

    def __init__(self, chunks):
        self.content, self.reasoning, self.calls, self.reason = "", "", [], None
        for chunk in chunks:
            (choice,) = chunk.choices
            self.content += choice.delta.content or ""
            self.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            for piece in choice.delta.tool_calls or ():
                if piece.index == len(self.calls):
                    self.calls.append([piece.id, piece.type, piece.function.name, ""])
                self.calls[piece.index][3] += piece.function.arguments
            self.reason = choice.finish_reason or self.reason


class TemplateTest(openai_case.ServedTest):
    TEMPLATE = "v3-0324"

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="troupe-tools-")
        model = cls.folder.name
        cls.prepare(model)
        template = os.path.join(TEMPLATES, cls.TEMPLATE + ".jinja")
        cls.FLAGS = (model, "--chat-template", template, "--served-name", "troupe-tiny")
        cls.addClassCleanup(cls.folder.cleanup)
        super().setUpClass()

    prepare = staticmethod(model_that_spells_its_markers)

    def chat(self, **options):
        options = {"messages": QUESTION, "temperature": 1, "seed": 3, "max_tokens": 400, **options}
        return super().chat(**options)

    def prompt(self, messages, **more):
        return oai.ask(self.url, "/apply-template", {"messages": messages, **more}).json["prompt"]


class ToolCallTest(TemplateTest):
    OPTIONS = {"tools": TOOLS, "extra_body": {"guided_regex": CALLS}}

    def test_an_answer_with_calls_whole_and_streamed(self):
        headers = {"X-Request-Id": "tools-1"}
        whole = self.chat(**self.OPTIONS, extra_headers=headers).choices[0]
        self.assertEqual(whole.finish_reason, "tool_calls")
        self.assertRegex(whole.message.content, r"\A[a-z]{2,5}\.\Z")
        self.assertEqual([call.function.name for call in whole.message.tool_calls],
                         ["weather", "time"])
        for call in whole.message.tool_calls:
            self.assertRegex(json.loads(call.function.arguments)["city"], r"\A[A-Z][a-z]{3}\Z")
            self.assertRegex(call.id, r"\Acall_[0-9a-f]{24}\Z")
        joined = Joined(self.chat(**self.OPTIONS, extra_headers=headers, stream=True))
        self.assertEqual(joined.content, whole.message.content)
        self.assertEqual(joined.reason, "tool_calls")
        self.assertEqual(joined.calls, [[call.id, "function", call.function.name,
                                         call.function.arguments]
                                        for call in whole.message.tool_calls])
        self.assertEqual(len({call.id for call in whole.message.tool_calls}), 2)

    def test_one_call_at_a_time(self):
        options = {**self.OPTIONS, "parallel_tool_calls": False}
        whole = self.chat(**options).choices[0]
        self.assertEqual([call.function.name for call in whole.message.tool_calls], ["weather"])
        self.assertEqual(whole.finish_reason, "tool_calls")
        joined = Joined(self.chat(**options, stream=True))
        self.assertEqual([call[3] for call in joined.calls],
                         [whole.message.tool_calls[0].function.arguments])
        self.assertEqual(joined.reason, "tool_calls")

    def test_calls_that_are_cut_are_no_end(self):
        whole = self.chat(**{**self.OPTIONS, "max_tokens": 60}).choices[0]
        self.assertEqual(whole.finish_reason, "length")
        joined = Joined(self.chat(**{**self.OPTIONS, "max_tokens": 60}, stream=True))
        self.assertEqual([call[3] for call in joined.calls],
                         [call.function.arguments for call in whole.message.tool_calls or ()])

    def test_without_tools_or_with_none_to_call_it_is_all_text(self):
        for options in ({}, {"tools": TOOLS, "tool_choice": "none"}):
            answer = self.chat(extra_body={"guided_regex": CALLS}, **options).choices[0]
            self.assertIn("<｜tool▁sep｜>weather", answer.message.content)
            self.assertIsNone(answer.message.tool_calls)
            self.assertEqual(answer.finish_reason, "stop")

    def test_grpc_gives_the_same(self):
        asked = client.request(messages=[("user", QUESTION[0]["content"])], temperature=1, seed=3,
                               max_tokens=400, request_id="tools-2")
        asked.chat.tools.extend(json.dumps(tool) for tool in TOOLS)
        asked.response_format.regex = CALLS
        choice, _ = client.unary(self.served, asked)
        self.assertEqual(choice.finish_reason, pb.FINISH_REASON_TOOL_CALLS)
        told = self.chat(**self.OPTIONS, extra_headers={"X-Request-Id": "tools-2"}).choices[0]
        self.assertEqual([(call.id, call.name, call.arguments_json) for call in choice.tool_calls],
                         [(call.id, call.function.name, call.function.arguments)
                          for call in told.message.tool_calls])
        self.assertEqual(choice.text, told.message.content)
        text, calls, ids = "", {}, []
        for event in self.served.inference.Generate(asked, timeout=program.TIMEOUT_S):
            if event.WhichOneof("event") != "delta":
                continue
            text += event.delta.text
            ids += event.delta.token_ids
            if event.delta.HasField("tool_call_delta"):
                piece = event.delta.tool_call_delta
                made = calls.setdefault(piece.index, pb.ToolCall())
                made.id += piece.id
                made.name += piece.name
                made.arguments_json += piece.arguments_json
        self.assertEqual(text, choice.text)
        self.assertEqual(ids, list(choice.token_ids))
        self.assertEqual([calls[i] for i in sorted(calls)], list(choice.tool_calls))

    def test_calls_and_results_are_part_of_the_prompt(self):
        answer = self.chat(**self.OPTIONS).choices[0].message
        messages = [*QUESTION, answer.model_dump(exclude_none=True)]
        messages += [{"role": "tool", "tool_call_id": call.id, "content": f"{i} degrees"}
                     for i, call in enumerate(answer.tool_calls)]
        prompt = self.prompt(messages, tools=TOOLS)
        arguments = [call.function.arguments for call in answer.tool_calls]
        self.assertIn(
            f"{answer.content}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n"
            f"```json\n{arguments[0]}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>", prompt)
        self.assertTrue(prompt.endswith(
            "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>0 degrees<｜tool▁output▁end｜>\n"
            "<｜tool▁output▁begin｜>1 degrees<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"), prompt)
        for tool in TOOLS:
            self.assertIn(tool["function"]["name"], prompt.rsplit("</tools>", 1)[0])
        self.assertNotIn("</tools>", self.prompt(messages, tools=TOOLS, tool_choice="none"))
        self.assertTrue(self.chat(messages=messages, tools=TOOLS, max_tokens=4).choices)

    def test_what_is_wrong_with_tools_is_named(self):
        for extra, code, param in (
            ({"tools": [{"type": "x"}]}, "invalid_value", "tools[0]"),
            ({"tools": [TOOLS[0], 5]}, "invalid_value", "tools[1]"),
            ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "invalid_value",
             "tools[0].function.name"),
            ({"tools": TOOLS * 65}, "invalid_value", "tools"),
            ({"tools": [{"type": "function", "function": {"name": "f", "description": 5}}]},
             "invalid_value", "tools[0].function.description"),
            ({"tools": [{"type": "function", "function": {"name": "f", "parameters": "{}"}}]},
             "invalid_value", "tools[0].function.parameters"),
            ({"tools": TOOLS, "tool_choice": "maybe"}, "invalid_value", "tool_choice"),
            ({"tools": TOOLS, "tool_choice": 5}, "invalid_value", "tool_choice"),
            ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "invalid_value",
             "tool_choice.type"),
            ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "invalid_value",
             "tool_choice.function"),
            ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "fly"}}},
             "invalid_value", "tool_choice"),
            ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
            # This model spells its markers, so arguments could spell them, too.
            ({"tools": TOOLS, "tool_choice": "required"}, "invalid_value", "tool_choice"),
            ({"messages": [*QUESTION, {"role": "assistant", "tool_calls": [{"id": "1"}]}]},
             "invalid_value", "messages[1].tool_calls[0].function"),
        ):
            answer = oai.ask(self.url, "/v1/chat/completions", {"messages": QUESTION, **extra})
            self.assertEqual((answer.status, answer.error["code"], answer.error["param"]),
                             (400, code, param), answer.body)


def bundled_model(folder):
    """The bundled model as it is: it has tokens for all markers."""
    for name in os.listdir(MODEL):
        os.symlink(os.path.join(MODEL, name), os.path.join(folder, name))


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
    prepare = staticmethod(bundled_model)

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
        answer.message.tool_calls, answer.finish_reason = whole, "tool_calls"
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


class ReasoningTest(TemplateTest):
    """R1's prompts end in <think>; a bias makes the bundled model end its thoughts at some time."""

    TEMPLATE = "r1"
    BIAS = {"4095": 9}  # </think>
    SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
              "additionalProperties": False}

    prepare = staticmethod(bundled_model)

    def ask(self, seed, **options):
        return self.chat(seed=seed, temperature=1.5, max_tokens=200, logit_bias=self.BIAS,
                         **options)

    def test_thoughts_come_apart_and_the_form_begins_behind_them(self):
        options = {"extra_body": {"guided_json": self.SCHEMA}}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda seed: self.ask(seed, **options).choices[0], range(12)))
        done = [one for one in answers if one.finish_reason == "stop"]
        self.assertTrue(done, answers)
        for answer in done:
            self.assertIsInstance(json.loads(answer.message.content)["a"], int)
        self.assertTrue([one for one in done if getattr(one.message, "reasoning_content", "")],
                        "none has thought")
        for seed, whole in list(enumerate(answers))[:4]:
            joined = Joined(self.ask(seed, stream=True, **options))
            self.assertEqual(joined.content, whole.message.content)
            self.assertEqual(joined.reasoning,
                             getattr(whole.message, "reasoning_content", None) or "")
            self.assertEqual(joined.reason, whole.finish_reason)

    def test_thoughts_that_never_end_are_all_there_is(self):
        told = self.chat(max_tokens=12, logit_bias={"4095": -100}).choices[0]
        self.assertEqual(told.message.content, "")
        self.assertTrue(told.message.reasoning_content)
        hidden = self.chat(max_tokens=12, logit_bias={"4095": -100},
                           extra_body={"include_reasoning": False}).choices[0]
        self.assertFalse(hasattr(hidden.message, "reasoning_content"))
        self.assertEqual(hidden.message.content, "")

    def test_stop_strings_are_looked_for_behind_the_thoughts(self):
        options = {"max_tokens": 30, "logit_bias": {"4095": -100}}
        thoughts = self.chat(**options).choices[0].message.reasoning_content
        stopped = self.chat(**options, stop=thoughts[2:6]).choices[0]
        self.assertEqual(stopped.message.reasoning_content, thoughts)

    def test_grpc_gives_thoughts_apart(self):
        asked = client.request(messages=[("user", QUESTION[0]["content"])], temperature=1.5,
                               seed=1, max_tokens=60, logit_bias={4095: 9})
        choice, _ = client.unary(self.served, asked)
        joined = ["", ""]
        for event in self.served.inference.Generate(asked, timeout=program.TIMEOUT_S):
            joined[0] += event.delta.reasoning_text
            joined[1] += event.delta.text
        self.assertEqual(joined, [choice.reasoning_text, choice.text])
        told = self.chat(seed=1, temperature=1.5, max_tokens=60, logit_bias=self.BIAS)
        message = told.choices[0].message
        self.assertEqual(joined, [getattr(message, "reasoning_content", None) or "",
                                  message.content])


if __name__ == "__main__":
    unittest.main(verbosity=2)
