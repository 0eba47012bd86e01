#!/usr/bin/env python3
"""Random answers within a grammar are judged by others: jsonschema for schemas, re for patterns.

grammar_walks picks tokens of the DeepSeek vocabulary at random among those that a mask allows.
Schemas and patterns: a fixed list and random ones from a printed seed."""

import json
import os
import random
import re
import subprocess
import sys

from tests.support import patience, requirement

try:
    import jsonschema
except ImportError:
    requirement.lacking("Python's jsonschema")

SOURCE = os.environ["TROUPE_SOURCE_DIR"]
WALKS_PROGRAM = os.path.join(os.environ["TROUPE_BUILD_DIR"], "tests/e2e/grammar_walks")
TOKENIZER = os.path.join(SOURCE, "tests/goldens/tokenizer")
WALKS = 8

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
    },
    "required": ["value", "next"],
    "additionalProperties": False,
}
SCHEMAS = [
    {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
    {"type": "object", "additionalProperties": {"type": ["integer", "null"]}},
    {"prefixItems": [{"type": "null"}], "items": {"type": "string"}, "minItems": 6},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "time"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "email"},
    {"type": "string", "minLength": 70, "maxLength": 75},
    {"type": "string", "pattern": "\\d{2}|^[^\\w]+$"},
    {"type": "number", "exclusiveMinimum": -1, "maximum": 1},
    {"type": "number", "minimum": 100},
    {
        "oneOf": [
            {"type": "object", "properties": {"k": {"const": 1}}, "required": ["k"]},
            {
                "type": "object",
                "properties": {"k": {"enum": [2, "x"]}, "v": True},
                "required": ["k"],
            },
        ]
    },
    {},
]
PATTERNS = [
    "(\\d{3}-){2}\\d{4}",
    "[^a-z\\s]{1,12}(é|中+|😀)?",
    "(yes|no|maybe)( (yes|no))*",
    "\\w+@\\w+\\.(com|org)",
    ".*x.*",
    "[A-Z][a-z]{2,8}( [A-Z]\\.)? [A-Z][a-z]{2,8}",
    "(a|ab)(c|bcd)(d*)",
    "\\x41\\u00e9[\\]\\-\\\\^]+",
]


def random_schema(rng, depth):
    """A schema of the supported kind that some value satisfies."""
    kinds = ["integer", "number", "string", "boolean", "null", "enum"]
    if depth > 0:
        kinds += ["object", "array", "anyOf", "object"]
    kind = rng.choice(kinds)
    low = rng.randint(-2000, 2000)
    if kind == "integer" or kind == "number":
        bounds = {"minimum": low, "maximum": low + rng.choice([0, 1, 7, 4321])}
        return {"type": kind} | {k: v for k, v in bounds.items() if rng.random() < 0.6}
    if kind == "string":
        size = rng.randint(0, 6)
        return {"type": "string"} | rng.choice(
            [{}, {"minLength": size}, {"minLength": size, "maxLength": size + rng.randint(0, 4)}]
        )
    if kind == "enum":
        values = [1, -2.5, "é\n\"", None, True, [1, {"a": []}], {"k": "v"}, "", "ab", "abc"]
        return {"enum": rng.sample(values, rng.randint(1, 5))}
    if kind == "object":
        names = rng.sample(["a", "ab", "b", "é", 'q"', "name", "", "nam"], rng.randint(0, 5))
        schema = {
            "type": "object",
            "properties": {name: random_schema(rng, depth - 1) for name in names},
            "required": [name for name in names if rng.random() < 0.5],
        }
        more = rng.choice([None, False, True, {"type": "integer"}])
        return schema if more is None else schema | {"additionalProperties": more}
    if kind == "array":
        size = rng.randint(0, 3)
        schema = {"type": "array", "items": random_schema(rng, depth - 1), "minItems": size}
        return schema | rng.choice([{}, {"maxItems": size + rng.randint(0, 6)}])
    if kind == "anyOf":
        return {"anyOf": [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
    return {"type": kind}


def random_pattern(rng, depth):
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(["a", "b", "\\d", "[a-c]", "[^ab]", ".", "é", "\\.", "[中文]", " "])
    parts = [random_pattern(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    kind = rng.random()
    if kind < 0.4:
        return "".join(parts)
    if kind < 0.6:
        return "(" + "|".join(parts) + ")"
    return "(?:" + parts[0] + ")" + rng.choice(["?", "*", "+", "{2}", "{1,3}", "{0,2}", "+?"])


def walks_of(specs, seed):
    lines = "".join(json.dumps(spec) + "\n" for spec in specs)
    done = subprocess.run(
        [WALKS_PROGRAM, TOKENIZER, str(WALKS), str(seed)],
        input=lines.encode(),
        stdout=subprocess.PIPE,
        timeout=patience.patient(600),
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(results) == len(specs), (len(results), len(specs))
    return results


def check_schema(schema, result):
    assert "error" not in result, f"{json.dumps(schema)}: {result}"
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for text in result["walks"]:
        try:
            validator.validate(json.loads(text))
        except (ValueError, jsonschema.ValidationError) as error:
            raise AssertionError(f"{json.dumps(schema)}\nallowed {text!r}: {error}") from error


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 20261127
    print(f"seed {seed}")
    rng = random.Random(seed)
    more = round(60 / patience.FACTOR)  # one thread and no shared memory: fewer under sanitizers
    schemas = SCHEMAS + [random_schema(rng, 3) for _ in range(more)]
    patterns = PATTERNS + [random_pattern(rng, 3) for _ in range(more)]
    specs = [{"kind": "json_schema", "text": json.dumps(schema)} for schema in schemas]
    specs += [{"kind": "regex", "text": pattern} for pattern in patterns]
    specs.append({"kind": "json_object"})
    results = walks_of(specs, seed)
    for schema, result in zip(schemas, results):
        check_schema(schema, result)
    for pattern, result in zip(patterns, results[len(schemas) :]):
        assert "error" not in result, f"{pattern}: {result}"
        for text in result["walks"]:
            matched = re.fullmatch(pattern, text, re.ASCII)
            assert matched, f"{pattern!r} allowed {text!r}"
    for text in results[-1]["walks"]:
        assert isinstance(json.loads(text), dict), text
    judged = sum(len(result["walks"]) for result in results)
    cut = sum(result["cut"] for result in results)
    print(f"{judged} answers to {len(specs)} grammars are right, {cut} were given up")
    assert judged > 0.9 * WALKS * len(specs)


main()
