"""The OpenAPI document against a live server: every path, every field, every reply."""

import glob
import json
import os
import re
import unittest
import urllib.parse

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import program, requirement

try:
    import jsonschema
except ImportError:
    requirement.lacking("Python's jsonschema")

TOOL = {"type": "function", "function": {"name": "look", "description": "at it", "parameters": {}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
# A value that is served, for fields whose first fitting value would not be.
# Fields that say something of messages only.
OF_CONVERSATIONS = ("chat_template_kwargs", "thinking", "reasoning_effort",
                    "add_generation_prompt", "tools", "tool_choice", "parallel_tool_calls")
FINE = {
    "model": "troupe-tiny",
    "messages": [{"role": "user", "content": "Hi"}],
    "prompt": "In the beginning",
    "content": "In the beginning",
    "tokens": [5, 6],
    "n": 1,
    "top_p": 0.5,
    "repetition_penalty": 1.5,
    "max_tokens": 2,
    "max_completion_tokens": 2,
    "min_tokens": 1,
    "priority": 0,
    "response_format": {"type": "text"},
    "top_logprobs": 0,
    "stop": ["x"],
    "stop_token_ids": [9],
    "include_stop_str_in_output": True,
    "allowed_token_ids": list(range(2, 600)),
    "bad_words": ["evil"],
    "logit_bias": {"5": 1},
    "stream": False,
    "stream_options": {"include_usage": True},
    "chat_template_kwargs": {"thinking": False},
    "thinking": False,
    "reasoning_effort": "low",
    "tool_choice": "none",
    "tools": [TOOL],
    "modalities": ["text"],
    "best_of": 1,
    "cache_salt": "mine",
    "guided_json": {"type": "null"},
    "guided_regex": "a",
    "guided_choice": ["a", "b"],
    "structured_outputs": {"regex": "a"},
    "suffix": "",
    "temperature": 0,
}
NUMBERS = ("top_k", "min_p", "frequency_penalty", "presence_penalty", "seed", "logprobs",
           "prompt_logprobs")
# Of the members that a server does not read it tells at most so many.
TOLD_MAX = 16


def within_completion(**field):
    """A request of /v1/completions that has one field more."""
    return "/v1/completions", {"prompt": "a", "max_tokens": 1, **field}


def within_template(**fields):
    """A request of /apply-template."""
    return "/apply-template", {"messages": FINE["messages"], **fields}


def objects(schemas):
    """Objects within requests: name -> (their schema, path and body that has these members)."""
    message, form = schemas["Message"], schemas["ResponseFormat"]["anyOf"]
    part = message["properties"]["content"]["anyOf"][1]["items"]
    thinking = schemas["TemplateRequest"]["properties"]["thinking"]["anyOf"][1]
    options = schemas["CompletionRequest"]["properties"]["stream_options"]["anyOf"][0]
    choice = schemas["ChatRequest"]["properties"]["tool_choice"]["anyOf"][1]
    structured = schemas["CompletionRequest"]["properties"]["structured_outputs"]["anyOf"][0]
    call = schemas["GivenToolCall"]
    user = lambda content, **more: [{"role": "user", "content": content, **more}]
    called = lambda call: within_template(
        messages=[*user("Hi"), {"role": "assistant", "tool_calls": [call]}])
    chosen = lambda choice: within_template(tools=[TOOL], tool_choice=choice)
    of_function = {"name": "look"}
    named = lambda **more: {"type": "json_schema", "json_schema": {"schema": {}, **more}}
    formed = lambda **response_format: within_completion(response_format=response_format)
    return {
        "messages[]": (message, lambda more: within_template(messages=user("Hi", **more))),
        "messages[].content[]": (part, lambda more: within_template(
            messages=user([{"type": "text", "text": "Hi", **more}]))),
        "thinking": (thinking, lambda more: within_template(
            thinking={"type": "enabled", **more})),
        "stream_options": (options, lambda more: within_completion(stream_options=more)),
        "response_format: text": (form[0], lambda more: formed(type="text", **more)),
        "response_format: json_object": (form[1], lambda more: formed(type="json_object", **more)),
        "response_format: json_schema": (form[2], lambda more: formed(**named(), **more)),
        "response_format.json_schema": (form[2]["properties"]["json_schema"],
                                        lambda more: formed(**named(**more))),
        "response_format: regex": (form[3], lambda more: formed(
            **{"type": "regex", "pattern": "a", **more})),
        "structured_outputs": (structured, lambda more: within_completion(
            structured_outputs=more)),
        "messages[].tool_calls[]": (call, lambda more: called({**CALL, **more})),
        "messages[].tool_calls[].function": (
            call["properties"]["function"],
            lambda more: called({**CALL, "function": {**CALL["function"], **more}})),
        "tool_choice": (choice, lambda more: chosen(
            {"type": "function", "function": of_function, **more})),
        "tool_choice.function": (choice["properties"]["function"], lambda more: chosen(
            {"type": "function", "function": {**of_function, **more}})),
    }


def names_in_source():
    """Every text of the HTTP gateway's source that could be the name of a field."""
    folder = os.path.join(program.SOURCE, "services", "gateway")
    names = set()
    for path in (*glob.glob(os.path.join(folder, "http", "*.cpp")),
                 os.path.join(folder, "tool_calls.cpp")):
        with open(path, encoding="utf-8") as file:
            names |= set(re.findall(r'"([A-Za-z_]\w*)"', file.read()))
    assert "guided_json" in names and len(names) > 150, names
    return names


class OpenApiTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        template = os.path.join(program.GOLDENS, "chat", "v31.jinja")  # it has a form for calls
        cls.served = client.Served(program.TINY, "--chat-template", template)
        cls.url = cls.served.url
        cls.document = oai.ask(cls.url, "/openapi.json").json
        cls.schemas = cls.document["components"]["schemas"]

    @classmethod
    def tearDownClass(cls):
        assert cls.served.stop() == 0

    def schema(self, reference):
        return self.schemas[reference["$ref"].rsplit("/", 1)[1]]

    def check(self, value, schema):
        whole = {**schema, "components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)

    def fine(self, name, schema):
        """A served value of a field."""
        if name in NUMBERS:
            return 0
        if name in FINE:
            return FINE[name]
        self.assertIn("boolean", schema.get("type", ()), f"no value for {name}")
        return True

    def posts(self):
        for path, methods in self.document["paths"].items():
            if "post" in methods:
                content = methods["post"]["requestBody"]["content"]["application/json"]
                yield path, methods["post"], self.schema(content["schema"])

    def body(self, schema):
        """The least that a request needs, and answers quickly."""
        names = [*schema.get("required", ()), *({"max_tokens"} & schema["properties"].keys())]
        return {name: self.fine(name, schema["properties"][name]) for name in names}

    def test_it_is_the_one_in_the_source_tree(self):
        path = os.path.join(program.SOURCE, "services", "gateway", "http", "openapi.json")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(self.document, json.load(file))
        for schema in self.schemas.values():
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_every_get_answers_as_it_says(self):
        for path, methods in self.document["paths"].items():
            if "get" not in methods:
                continue
            answer = oai.ask(self.url, path.replace("{id}", "troupe-tiny"))
            self.assertEqual(answer.status, 200, path)
            replies = methods["get"]["responses"]["200"]["content"]
            kind = answer.headers["content-type"].split(";")[0]
            self.assertIn(kind, replies, path)
            if kind == "application/json":
                self.check(answer.json, replies[kind]["schema"])

    def test_every_field_is_known_and_its_replies_fit(self):
        for path, post, schema in self.posts():
            reply = post["responses"]["200"]["content"]["application/json"]["schema"]
            least = self.body(schema)
            for name, field in schema["properties"].items():
                body = {**least, name: self.fine(name, field)}
                if name == "content":
                    body.pop("prompt", None)
                if not least and name not in ("prompt", "content", "messages"):
                    body["prompt"] = FINE["prompt"]
                if name in OF_CONVERSATIONS and "messages" in schema["properties"]:
                    body.pop("prompt", None)
                    body["messages"] = FINE["messages"]
                if name == "top_logprobs":
                    body["logprobs"] = True
                if path == "/v1/chat/completions" and name == "logprobs":
                    body[name] = True
                with self.subTest(path=path, field=name):
                    self.check(body, schema)
                    answer = oai.ask(self.url, path, body)
                    self.assertEqual(answer.status, 200, (body, answer.body))
                    self.assertNotIn("x-troupe-ignored-fields", answer.headers)
                    self.check(answer.json, reply)
                    wrong = oai.ask(self.url, path, {**body, name: {"no": ["such", "value"]}})
                    open_objects = ("chat_template_kwargs", "stream_options")
                    if name not in open_objects:
                        self.assertEqual(wrong.status, 400, (name, wrong.body))
                        self.check(wrong.json, {"$ref": "#/components/schemas/Error"})

    def read(self, request_with, candidates):
        """Those candidates that the server reads; null counts as absent, unless nobody reads it."""
        read = set()
        for begin in range(0, len(candidates), TOLD_MAX):
            some = candidates[begin : begin + TOLD_MAX]
            answer = oai.ask(self.url, *request_with(dict.fromkeys(some)))
            self.assertEqual(answer.status, 200, (some, answer.body))
            told = answer.headers.get("x-troupe-ignored-fields", "").split(", ")
            ignored = {urllib.parse.unquote(one).rsplit(".", 1)[-1] for one in told}
            read |= set(some) - ignored
        return read

    def check_documented(self, request_with, properties):
        """What is read is documented, or refused for not being served; and the other way."""
        given = json.dumps(request_with({}))
        names = sorted({*names_in_source(), *properties})
        candidates = [name for name in names if f'"{name}"' not in given]
        read = self.read(request_with, candidates)
        self.assertLessEqual(properties.keys() & set(candidates), read, "documented, not read")
        for name in sorted(read - properties.keys()):
            answer = oai.ask(self.url, *request_with({name: True}))
            self.assertEqual(answer.status, 400, f"{name} is read and not documented")
            self.assertEqual(answer.error["code"], "unsupported_parameter", name)
            self.assertEqual(answer.error["param"].rsplit(".", 1)[-1], name)

    def test_every_field_that_is_read_is_documented(self):
        for path, _, schema in self.posts():
            least = self.body(schema) or {"prompt": FINE["prompt"]}
            with self.subTest(path=path):
                self.check_documented(lambda more, path=path, least=least:
                                      (path, {**least, **more}), schema["properties"])

    def test_every_member_of_an_object_that_is_read_is_documented(self):
        for name, (schema, request_with) in objects(self.schemas).items():
            with self.subTest(object=name):
                self.check_documented(request_with, schema.get("properties", {}))
                given = json.dumps(request_with({}))
                members = schema.get("properties", {})
                for member in (one for one in members if f'"{one}"' not in given):
                    answer = oai.ask(self.url, *request_with({member: True}))
                    if answer.status != 200:
                        self.assertEqual(answer.error["code"], "invalid_value", member)

    def test_every_member_of_a_tool_that_is_read_is_documented(self):
        """Others are the template's, which gets a tool as it is. None takes a number."""
        tool = self.schemas["Tool"]
        function = tool["properties"]["function"]
        within = lambda more: {**TOOL, "function": {**TOOL["function"], **more}}
        for place, schema, made in (("tool", tool, lambda more: {**TOOL, **more}),
                                    ("function", function, within)):
            read = {name for name in names_in_source() | schema["properties"].keys()
                    if oai.ask(self.url, *within_template(tools=[made({name: 5})])).status == 400}
            self.assertEqual(read, schema["properties"].keys(), place)

    def test_chunks_fit(self):
        for path, post, schema in self.posts():
            chunk = post["responses"]["200"]["content"].get("text/event-stream")
            if chunk is None:
                continue
            chat = "messages" in schema["required"]
            extra = {"logprobs": True if chat else 0, "return_token_ids": True, "timings": True,
                     "include_prompt_progress": True}
            extra["stream_options"] = {"include_usage": True}
            extra["prompt_logprobs"] = 1
            answer = oai.ask(self.url, path, {**self.body(schema), **extra, "stream": True})
            done, data = chunk["schema"]["properties"]["data"]["anyOf"]
            self.assertEqual(answer.events[-1], done["const"])
            for event in answer.events[:-1]:
                self.check(event, data["contentSchema"])
            # An answer that fails in its middle ends with an event of this form.
            self.check(oai.ask(self.url, path, b"{").json, data["contentSchema"])

    def test_errors_have_a_status_that_is_told(self):
        for path, post, _ in self.posts():
            for answer in (
                oai.ask(self.url, path, b"{"),
                oai.ask(self.url, path, {"model": "gpt", "prompt": "a", "tokens": [1],
                                         "messages": FINE["messages"]}),
                oai.ask(self.url, path),
                oai.ask(self.url, path, b" " * ((16 << 20) + 1)),
                oai.ask(self.url, path, b"x", headers={"Content-Encoding": "gzip"}),
            ):
                self.assertIn(str(answer.status), post["responses"], path)
                self.check(answer.json, {"$ref": "#/components/schemas/Error"})
                for header in post["responses"][str(answer.status)]["headers"]:
                    self.assertIn(header.lower(), answer.headers)


if __name__ == "__main__":
    unittest.main(verbosity=2)
