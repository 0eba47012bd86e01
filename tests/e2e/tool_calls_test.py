"""Tool calls and reasoning: prompts, answers and streams, over HTTP and gRPC."""

import concurrent.futures
import json
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import program, requirement
from tests.support.grpc_client import pb
from tests.support.tool_case import QUESTION, TOOLS, Joined, TemplateTest
from tests.support.tool_case import model_that_spells_its_markers, thoughts_of

try:
    import openai
except ImportError:
    requirement.lacking("Python's openai")

ARGUMENTS = r'\{"city": "[A-Z][a-z]{3}"\}'
V3_CALL = ("<｜tool▁call▁begin｜>function<｜tool▁sep｜>%s\n```json\n" + ARGUMENTS
           + "\n```<｜tool▁call▁end｜>")
V31_CALL = "<｜tool▁call▁begin｜>%s<｜tool▁sep｜>" + ARGUMENTS + "<｜tool▁call▁end｜>"


class ToolCallCases:
    """tool_choice "auto": a pattern has the model write calls, in the form of its template."""

    CALL = V3_CALL
    BETWEEN = "\n"  # two calls
    WRITTEN = "<｜tool▁sep｜>weather"  # of a call
    HEARD = True  # the prompt tells of the tools
    THINKS = False
    VARIABLES = {}
    prepare = staticmethod(model_that_spells_its_markers)

    @property
    def pattern(self):
        return ("[a-z]{2,5}\\.<｜tool▁calls▁begin｜>" + self.CALL % "weather" + self.BETWEEN
                + self.CALL % "time" + "<｜tool▁calls▁end｜>")

    @property
    def bias(self):
        return {4095: 9} if self.THINKS else {}  # </think> comes at some time

    def ask(self, tools=TOOLS, extra_body=None, **options):
        body = {"guided_regex": self.pattern, **(extra_body or {})}
        if self.VARIABLES:
            body["chat_template_kwargs"] = self.VARIABLES
        bias = {str(token): value for token, value in self.bias.items()}
        return self.chat(tools=tools, extra_body=body, logit_bias=bias, **options)

    def test_an_answer_with_calls_whole_and_streamed(self):
        headers = {"X-Request-Id": "tools-1"}
        whole = self.ask(extra_headers=headers).choices[0]
        self.assertEqual(whole.finish_reason, "tool_calls")
        self.assertRegex(whole.message.content, r"\A[a-z]{2,5}\.\Z")
        self.assertEqual([call.function.name for call in whole.message.tool_calls],
                         ["weather", "time"])
        for call in whole.message.tool_calls:
            self.assertRegex(json.loads(call.function.arguments)["city"], r"\A[A-Z][a-z]{3}\Z")
            self.assertRegex(call.id, r"\Acall_[0-9a-f]{24}\Z")
        joined = Joined(self.ask(extra_headers=headers, stream=True))
        self.assertEqual(joined.content, whole.message.content)
        self.assertEqual(joined.reasoning, thoughts_of(whole.message))
        self.assertEqual(bool(joined.reasoning), self.THINKS)
        self.assertEqual(joined.reason, "tool_calls")
        self.assertEqual(joined.calls, [[call.id, "function", call.function.name,
                                         call.function.arguments]
                                        for call in whole.message.tool_calls])
        self.assertEqual(len({call.id for call in whole.message.tool_calls}), 2)

    def test_one_call_at_a_time(self):
        options = {"parallel_tool_calls": False}
        whole = self.ask(**options).choices[0]
        self.assertEqual([call.function.name for call in whole.message.tool_calls], ["weather"])
        self.assertEqual(whole.finish_reason, "tool_calls")
        joined = Joined(self.ask(**options, stream=True))
        self.assertEqual([call[3] for call in joined.calls],
                         [whole.message.tool_calls[0].function.arguments])
        self.assertEqual(joined.reason, "tool_calls")

    def test_calls_that_are_cut_are_no_end(self):
        used = self.ask().usage.completion_tokens
        whole = self.ask(max_tokens=used - 20).choices[0]
        self.assertEqual(whole.finish_reason, "length")
        self.assertEqual(whole.message.tool_calls[0].function.name, "weather")
        joined = Joined(self.ask(max_tokens=used - 20, stream=True))
        self.assertEqual([call[3] for call in joined.calls],
                         [call.function.arguments for call in whole.message.tool_calls])
        self.assertEqual(joined.reason, "length")

    def test_without_tools_or_with_none_to_call_it_is_all_text(self):
        for options in ({"tools": openai.NOT_GIVEN}, {"tool_choice": "none"}):
            answer = self.ask(**options).choices[0]
            self.assertIn(self.WRITTEN, answer.message.content)
            self.assertIsNone(answer.message.tool_calls)
            self.assertEqual(answer.finish_reason, "stop")

    def grpc_request(self):
        asked = client.request(messages=[("user", QUESTION[0]["content"])], temperature=1, seed=3,
                               max_tokens=400, request_id="tools-2", logit_bias=self.bias)
        asked.chat.tools.extend(json.dumps(tool) for tool in TOOLS)
        asked.chat.template_variables_json = json.dumps(self.VARIABLES)
        asked.response_format.regex = self.pattern
        return asked

    def test_grpc_gives_the_same(self):
        asked = self.grpc_request()
        choice, _ = client.unary(self.served, asked)
        self.assertEqual(choice.finish_reason, pb.FINISH_REASON_TOOL_CALLS)
        told = self.ask(extra_headers={"X-Request-Id": "tools-2"}).choices[0]
        self.assertEqual([(call.id, call.name, call.arguments_json) for call in choice.tool_calls],
                         [(call.id, call.function.name, call.function.arguments)
                          for call in told.message.tool_calls])
        self.assertEqual(choice.text, told.message.content)
        self.assertEqual(choice.reasoning_text, thoughts_of(told.message))
        text, thoughts, calls, ids = "", "", {}, []
        for event in self.served.inference.Generate(asked, timeout=program.TIMEOUT_S):
            if event.WhichOneof("event") != "delta":
                continue
            text += event.delta.text
            thoughts += event.delta.reasoning_text
            ids += event.delta.token_ids
            if event.delta.HasField("tool_call_delta"):
                piece = event.delta.tool_call_delta
                made = calls.setdefault(piece.index, pb.ToolCall())
                made.id += piece.id
                made.name += piece.name
                made.arguments_json += piece.arguments_json
        self.assertEqual(text, choice.text)
        self.assertEqual(thoughts, choice.reasoning_text)
        self.assertEqual(ids, list(choice.token_ids))
        self.assertEqual([calls[i] for i in sorted(calls)], list(choice.tool_calls))

    def test_tools_that_the_prompt_leaves_out_are_told_to_be_ignored(self):
        kwargs = {"chat_template_kwargs": self.VARIABLES}
        body = {"messages": QUESTION, "tools": TOOLS, "max_tokens": 1, **kwargs}
        expected = None if self.HEARD else "tools"
        for path, more in (("/v1/chat/completions", {}),
                           ("/v1/chat/completions", {"stream": True}),
                           ("/apply-template", {}), ("/tokenize", {})):
            with self.subTest(path=path, **more):
                asked = {**body, **more}
                if not path.startswith("/v1"):
                    del asked["max_tokens"]
                answer = oai.ask(self.url, path, asked)
                self.assertEqual(answer.status, 200, answer.body)
                self.assertEqual(answer.headers.get("x-troupe-ignored-fields"), expected)
        answer = oai.ask(self.url, "/v1/chat/completions", {**body, "tool_choice": "none"})
        self.assertNotIn("x-troupe-ignored-fields", answer.headers)
        asked = self.grpc_request()
        asked.response_format.Clear()
        asked.sampling.max_tokens = 1
        call = self.served.inference.Generate(asked, timeout=program.TIMEOUT_S)
        list(call)
        _, unary = self.served.inference.GenerateUnary.with_call(
            pb.GenerateUnaryRequest(request=asked), timeout=program.TIMEOUT_S)
        for one in (call, unary):
            trailers = dict(one.trailing_metadata())
            self.assertEqual(trailers.get("x-troupe-ignored-fields"),
                             None if self.HEARD else "chat.tools")


class FirstToolCallTest(ToolCallCases, TemplateTest):
    """V3 of December 2024, whose template shows no tools."""

    TEMPLATE = "v3"
    HEARD = False


class ReasoningToolCallTest(ToolCallCases, TemplateTest):
    """R1: thoughts in front of calls, and no tools in its template."""

    TEMPLATE = "r1"
    HEARD = False
    THINKS = True


class NewerToolCallTest(ToolCallCases, TemplateTest):
    """V3.1 without thoughts."""

    TEMPLATE = "v31"
    CALL = V31_CALL
    BETWEEN = ""
    WRITTEN = "weather<｜tool▁sep｜>"


class NewerThinkingToolCallTest(NewerToolCallTest):
    """V3.1 with thoughts, for which its template leaves the tools out."""

    VARIABLES = {"thinking": True}
    HEARD = False
    THINKS = True

    def test_an_effort_makes_it_think_and_leaves_the_tools_out(self):
        body = {"messages": QUESTION, "tools": TOOLS, "max_tokens": 1}
        for effort, ignored in (("low", "tools"), ("none", None)):
            answer = oai.ask(self.url, "/v1/chat/completions", {**body, "reasoning_effort": effort})
            self.assertEqual(answer.headers.get("x-troupe-ignored-fields"), ignored, effort)

    def test_a_tool_of_a_name_alone_is_shown(self):
        prompt = self.prompt(QUESTION, tools=[{"type": "function", "function": {"name": "now"}}])
        self.assertIn("### now\nDescription: \n\nParameters: "
                      '{"type": "object", "properties": {}}\n', prompt)


class ToolCallTest(ToolCallCases, TemplateTest):
    """V3 of March 2025, whose template shows tools."""

    def test_calls_and_results_are_part_of_the_prompt(self):
        answer = self.ask().choices[0].message
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


class StrictToolsTest(TemplateTest):
    """--strict-api refuses tools that the model never hears of, over both ports."""

    TEMPLATE = "v3"
    MORE_FLAGS = ("--strict-api", "true")
    DEFINITIONS = {"role": "system", "content": "Call weather(city) or time(city)."}

    def test_they_are_refused_with_what_to_do(self):
        body = {"messages": QUESTION, "tools": TOOLS, "max_tokens": 1}
        for path in ("/v1/chat/completions", "/apply-template", "/tokenize"):
            asked = body if path.startswith("/v1") else {"messages": QUESTION, "tools": TOOLS}
            answer = oai.ask(self.url, path, asked)
            self.assertEqual((answer.status, answer.error["code"], answer.error["param"]),
                             (400, "invalid_value", "tools"), answer.body)
            self.assertIn("system message", answer.error["message"])
        for more in ({"tool_choice": "none"}, {"tool_choice": "required"},
                     {"messages": [self.DEFINITIONS, *QUESTION]}):
            answer = oai.ask(self.url, "/v1/chat/completions", {**body, **more})
            self.assertEqual(answer.status, 200, answer.body)
        asked = client.request(messages=[("user", "x")], max_tokens=1)
        asked.chat.tools.extend(json.dumps(tool) for tool in TOOLS)
        failed = client.failure_of(self.served.inference.Generate, asked)
        self.assertEqual(failed.fields, ["chat.tools"])


class ReasoningTest(TemplateTest):
    """R1's prompts end in <think>; a bias makes the bundled model end its thoughts at some time."""

    TEMPLATE = "r1"
    BIAS = {"4095": 9}  # </think>
    SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
              "additionalProperties": False}

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
