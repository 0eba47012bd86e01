"""A `troupe serve` that speaks with a chat template of tests/goldens/chat, and what it is asked."""

import json
import os
import tempfile

from tests.support import openai_case, program
from tests.support import openai_client as oai

TEMPLATES = os.path.join(program.GOLDENS, "chat")
MODEL = os.path.join(program.SOURCE, "examples", "troupe-tiny")
QUESTION = [{"role": "user", "content": "What is the weather?"}]
TOOLS = [
    {"type": "function", "function": {
        "name": name, "description": "of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "time")
]


def thoughts_of(message):
    return getattr(message, "reasoning_content", None) or ""


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


def bundled_model(folder):
    """The bundled model as it is: it has tokens for all markers."""
    for name in os.listdir(MODEL):
        os.symlink(os.path.join(MODEL, name), os.path.join(folder, name))


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
    MORE_FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="troupe-tools-")
        model = cls.folder.name
        cls.prepare(model)
        template = os.path.join(TEMPLATES, cls.TEMPLATE + ".jinja")
        cls.FLAGS = (model, "--chat-template", template, "--served-name", "troupe-tiny",
                     *cls.MORE_FLAGS)
        cls.addClassCleanup(cls.folder.cleanup)
        super().setUpClass()

    prepare = staticmethod(bundled_model)

    def chat(self, **options):
        options = {"messages": QUESTION, "temperature": 1, "seed": 3, "max_tokens": 400, **options}
        return super().chat(**options)

    def prompt(self, messages, **more):
        return oai.ask(self.url, "/apply-template", {"messages": messages, **more}).json["prompt"]
