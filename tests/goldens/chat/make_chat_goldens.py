#!/usr/bin/env python3
"""Renders chat templates and snippets.json with Jinja2, set up as transformers does.

Writes chat_goldens.jsonl and snippet_goldens.jsonl, one case a line: {"name", "template" or "file",
"variables", "expected" or "error"}. "error" is Jinja2's message, for the reader: the test asks only
that there is one. `--check` compares with the files instead of writing them."""

import json
import os
import sys
from datetime import datetime, timezone

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
NOW = 1736431507  # 2025-01-09 14:05:07 UTC; the C++ test supplies the same


class Generation(jinja2.ext.Extension):
    """{% generation %}: transformers marks the assistant's text with it; it renders as its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("render"), [], [], body).set_lineno(line)

    def render(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.fromtimestamp(NOW, timezone.utc).strftime(
        form
    )
    return env


def render(env, source, variables):
    try:
        return {"expected": env.from_string(source).render(**variables)}
    except Exception as error:  # whatever Python raises, the interpreter must fail as well
        return {"error": f"{type(error).__name__}: {error}"}


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments):
    return {"id": "call_0", "type": "function", "function": {"name": name, "arguments": arguments}}


WEATHER = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather of a city, 城市",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
ASK = [message("user", "Weather in Paris and 北京?")]
CALLED = ASK + [
    message(
        "assistant",
        None,
        tool_calls=[
            call("get_weather", '{"city": "Paris"}'),
            call("get_weather", '{"city":\n "北京"}'),
        ],
    )
]
ANSWERED = CALLED + [message("tool", '{"t": 21}'), message("tool", '{"t": 9}')]
CHATS = {
    "specification 7.5": [
        message("system", "You are a helpful assistant"),
        message("user", "Who are you?"),
        message("assistant", "<think>Hmm</think>I am DeepSeek"),
        message("user", "1+1=?"),
    ],
    "one user": [message("user", "Hello!")],
    "user and answer": [message("user", "Hello!"), message("assistant", "Hi")],
    "systems anywhere": [
        message("system", "A"),
        message("user", "q"),
        message("system", "B"),
        message("assistant", "r"),
    ],
    "only system": [message("system", "S")],
    "no messages": [],
    "empty contents": [message("user", ""), message("assistant", ""), message("user", "")],
    "markers in text": [
        message("user", "<｜User｜>x<｜Assistant｜></think>"),
        message("assistant", "a</think>b</think>c"),
    ],
    "prefix": [message("user", "q"), message("assistant", "<think>so", prefix=True)],
    "asked for tools": ASK,
    "called": CALLED,
    "answered": ANSWERED,
    "answered and told": ANSWERED
    + [message("assistant", "21 and 9 degrees.</think>"), message("user", "Thanks")],
    "called with text": [
        message("user", "q"),
        message("assistant", "Let me look.", tool_calls=[call("f", "{}")]),
    ],
    "called twice": ANSWERED
    + [message("assistant", "ok"), message("user", "again")]
    + CALLED[1:]
    + [message("tool", "3")],
}


def chat_cases(env):
    cases = []
    sources = {
        name: open(os.path.join(HERE, name), encoding="utf-8").read()
        for name in ("v3.jinja", "v3-0324.jinja", "r1.jinja", "v31.jinja")
    }
    for folder in ("tests/goldens/tokenizer", "examples/troupe-tiny"):
        config = json.load(
            open(os.path.join(SOURCE, folder, "tokenizer_config.json"), encoding="utf-8")
        )
        sources[folder + "/tokenizer_config.json"] = config["chat_template"]
    for file, source in sources.items():
        for name, messages in CHATS.items():
            for extra in (
                {},
                {"add_generation_prompt": True},
                {"add_generation_prompt": True, "thinking": True},
                {"add_generation_prompt": True, "tools": WEATHER},
            ):
                variables = {
                    "messages": messages,
                    "tools": None,
                    "documents": None,
                    "add_generation_prompt": False,
                    "bos_token": BOS,
                    "eos_token": EOS,
                    **extra,
                }
                cases.append(
                    {
                        "name": name,
                        "file": file,
                        "variables": variables,
                        **render(env, source, variables),
                    }
                )
    return cases


def snippet_cases(env):
    topics = json.load(open(os.path.join(HERE, "snippets.json"), encoding="utf-8"))
    variables = topics.pop("variables")
    cases = [{"name": "variables", "variables": variables}]
    for topic, templates in topics.items():
        for index, template in enumerate(templates):
            case = {"name": f"{topic} {index}", "template": template}
            cases.append({**case, **render(env, template, variables)})
    return cases


def outcomes(cases):
    """The cases with errors reduced to the fact; their wording differs between Pythons."""
    return [{**case, "error": True} if "error" in case else case for case in cases]


def check(path, cases):
    with open(path, encoding="utf-8") as file:
        committed = [json.loads(line) for line in file]
    if outcomes(committed) != outcomes(cases):
        sys.exit(f"{path} is not what Jinja2 {jinja2.__version__} gives; run make_chat_goldens.py")


def main():
    env = environment()
    for name, cases in (
        ("chat_goldens.jsonl", chat_cases(env)),
        ("snippet_goldens.jsonl", snippet_cases(env)),
    ):
        path = os.path.join(HERE, name)
        if "--check" in sys.argv[1:]:
            check(path, cases)
        else:
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(json.dumps(case, ensure_ascii=False) + "\n" for case in cases)
        failing = sum("error" in case for case in cases)
        print(f"{name}: {len(cases)} cases, {failing} of them errors")


if __name__ == "__main__":
    main()
