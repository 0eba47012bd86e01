"""Answers that keep to a schema or a pattern, through the official OpenAI client."""

import concurrent.futures
import json
import unittest

from tests.support import requirement
from tests.support.openai_case import ServedTest

try:
    import jsonschema
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


class FormTest(ServedTest):
    FORMAT = {"type": "json_schema",
              "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}

    def test_a_hundred_answers_of_a_hundred_are_valid(self):
        judge = jsonschema.Draft202012Validator(SCHEMA)

        def ask(seed):
            answer = self.chat(response_format=self.FORMAT, temperature=1, seed=seed, n=10,
                               max_tokens=300)
            return [(choice.finish_reason, choice.message.content) for choice in answer.choices]

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = [one for ten in pool.map(ask, range(10)) for one in ten]
        self.assertEqual(len(answers), 100)
        self.assertGreater(len(set(answers)), 50)
        for reason, text in answers:
            self.assertEqual(reason, "stop", text)
            judge.validate(json.loads(text))

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
