"""Answers that keep to a schema or a pattern, through the official OpenAI client."""

import concurrent.futures
import json
import typing
import unittest

from tests.support import requirement
from tests.support.openai_case import QUESTION, ServedTest

try:
    import jsonschema
    import pydantic  # openai has it
except ImportError:
    requirement.lacking("Python's jsonschema")

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["sea", "ship"]}, "maxItems": 3},
        "size": {"anyOf": [{"type": "null"}, {"const": "tall"}]},
    },
    "required": ["name", "age", "tags", "size"],
    "additionalProperties": False,
}
WORD = {"type": "string", "maxLength": 8}


def closed(**properties):
    """The schema of an object that has exactly these members."""
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False}


NESTED = closed(
    ship=closed(name=WORD, hull=closed(length=SCHEMA["properties"]["age"], steel={
        "type": "boolean"})),
    port=closed(name=WORD, depth={"anyOf": [{"type": "null"}, closed(low={"type": "boolean"})]}),
)
LIST = {"type": "array", "minItems": 1, "maxItems": 4, "items": closed(
    kind={"enum": ["buoy", "light", 3, None]}, name=WORD)}
REFERRED = {
    **closed(begin={"$ref": "#/$defs/place"}, end={"$ref": "#/$defs/place"},
             via={"type": "array", "items": {"$ref": "#/$defs/place"}, "maxItems": 2}),
    "$defs": {
        "place": closed(name=WORD, side={"$ref": "#/$defs/side"}),
        "side": {"enum": ["port", "starboard"]},
    },
}


class Lamp(pydantic.BaseModel):
    colour: typing.Literal["red", "white"]
    seconds: int = pydantic.Field(ge=1, le=60)


class Lighthouse(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=8)
    lamps: list[Lamp] = pydantic.Field(min_length=1, max_length=3)
    main: Lamp
    keeper: str | None = pydantic.Field(max_length=8)


def format_of(schema):
    return {"type": "json_schema",
            "json_schema": {"name": "form", "schema": schema, "strict": True}}


class FormTest(ServedTest):
    FORMAT = format_of(SCHEMA)

    def test_a_hundred_answers_of_a_hundred_are_valid(self):
        schemas = (NESTED, LIST, REFERRED)

        def ask(seed):
            schema = schemas[seed % len(schemas)]
            answer = self.chat(response_format=format_of(schema), temperature=1, seed=seed, n=5,
                               max_tokens=800)
            return [(schema, choice.finish_reason, choice.message.content)
                    for choice in answer.choices]

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = [one for five in pool.map(ask, range(20)) for one in five]
        self.assertEqual(len(answers), 100)
        self.assertGreater(len({text for *_, text in answers}), 50)
        for schema, reason, text in answers:
            self.assertEqual(reason, "stop", text)
            jsonschema.Draft202012Validator(schema).validate(json.loads(text))

    def test_parse_gives_objects_of_a_pydantic_model(self):
        for seed in range(3):
            parsed = self.openai.chat.completions.parse(
                model="troupe-tiny", messages=QUESTION, response_format=Lighthouse, seed=seed,
                max_tokens=800)
            message = parsed.choices[0].message
            self.assertIsInstance(message.parsed, Lighthouse)
            self.assertEqual(message.parsed, Lighthouse.model_validate_json(message.content))

    def test_the_stream_helper_gives_what_parse_gives(self):
        asked = {"model": "troupe-tiny", "messages": QUESTION, "response_format": Lighthouse,
                 "seed": 5, "max_tokens": 800}
        whole = self.openai.chat.completions.parse(**asked)
        with self.openai.chat.completions.stream(
                **asked, stream_options={"include_usage": True}) as stream:
            events = list(stream)
            final = stream.get_final_completion()
        deltas = [event for event in events if event.type == "content.delta"]
        done = [event for event in events if event.type == "content.done"]
        text = whole.choices[0].message.content
        self.assertGreater(len(deltas), 1)
        self.assertEqual("".join(event.delta for event in deltas), text)
        self.assertEqual(deltas[-1].snapshot, text)
        self.assertEqual([event.parsed for event in done], [whole.choices[0].message.parsed])
        self.assertEqual(final.choices[0].message.parsed, whole.choices[0].message.parsed)
        self.assertEqual(final.choices[0].finish_reason, "stop")
        self.assertEqual(final.usage, whole.usage)

    def test_streamed_joined_it_is_the_whole(self):
        options = {"response_format": self.FORMAT, "temperature": 1, "seed": 2, "max_tokens": 300}
        whole = self.chat(**options).choices[0]
        chunks = list(self.chat(stream=True, **options))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks),
                         whole.message.content)
        self.assertEqual(chunks[-1].choices[0].finish_reason, whole.finish_reason)

    def test_every_way_to_ask(self):
        person = json.loads(self.chat(response_format=self.FORMAT, max_tokens=300).choices[0]
                            .message.content)
        for extra in ({"guided_json": SCHEMA}, {"structured_outputs": {"json": SCHEMA}}):
            answer = self.chat(extra_body=extra, max_tokens=300)
            self.assertEqual(json.loads(answer.choices[0].message.content), person)
        for extra in ({"response_format": {"type": "regex", "pattern": "a{3}|b{3}"}},
                      {"guided_regex": "a{3}|b{3}"}):
            self.assertIn(self.complete(extra_body=extra).choices[0].text, ("aaa", "bbb"))
        nothing = self.complete(extra_body={"guided_regex": ""}).choices[0]
        self.assertEqual((nothing.text, nothing.finish_reason), ("", "stop"))
        texts = ["yes (1+1)", "no.", "a|b\\", "中\n"]
        for extra in ({"guided_choice": texts}, {"structured_outputs": {"choice": texts}}):
            for seed in range(6):
                answer = self.complete(extra_body=extra, temperature=2, seed=seed).choices[0]
                self.assertIn(answer.text, texts)
                self.assertEqual(answer.finish_reason, "stop")
        some = self.chat(response_format={"type": "json_object"}, max_tokens=8)
        self.assertTrue(some.choices[0].message.content.startswith("{"))

    def test_stop_strings_of_characters_that_tokens_split(self):
        text = "naïve 中文 丮 😀 end"
        asked = {"max_tokens": 200, "extra_body": {"guided_choice": [text]}}
        pieces = [entry.token for entry in
                  self.chat(**asked, logprobs=True).choices[0].logprobs.content]
        self.assertGreater("".join(pieces).count("\ufffd"), 6, "characters that are split")
        # Others begin or end with bytes of the text's characters, but are none of them.
        cases = {"中": 6, "文 丮": 7, "丮": 9, "😀": 11, "ï": 2, "ve 中文": 3, "\u4e2f": None,
                 "😁": None, "ð": None, " 丮 😀 e": 8}
        for stop, at in cases.items():
            self.assertEqual(text.find(stop), -1 if at is None else at)
            whole = self.chat(**asked, stop=stop).choices[0]
            self.assertEqual(whole.message.content, text[:at], stop)
            self.assertEqual(whole.finish_reason, "stop")
            deltas = [c.choices[0].delta.content or "" for c in
                      self.chat(**asked, stop=["never", stop], stream=True)]
            self.assertEqual("".join(deltas), text[:at], stop)
            self.assertNotIn("\ufffd", "".join(deltas))


if __name__ == "__main__":
    unittest.main(verbosity=2)
