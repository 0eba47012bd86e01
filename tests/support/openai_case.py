"""One `troupe serve` with the official OpenAI client in front of it, for a class of tests."""

import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai

QUESTION = [{"role": "user", "content": "What is a lighthouse?"}]
PROMPT = "In the beginning"


class ServedTest(unittest.TestCase):
    """One `troupe serve` for the class."""

    @classmethod
    def setUpClass(cls):
        cls.served = client.Served(*cls.FLAGS)
        cls.url = cls.served.url
        cls.openai = oai.connect(cls.url)

    @classmethod
    def tearDownClass(cls):
        cls.openai.close()
        assert cls.served.stop() == 0, "".join(cls.served.log)

    FLAGS = ()

    def chat(self, **options):
        options = {"messages": QUESTION, "temperature": 0, "max_tokens": 24, **options}
        return self.openai.chat.completions.create(model="troupe-tiny", **options)

    def complete(self, **options):
        options = {"prompt": PROMPT, "temperature": 0, "max_tokens": 16, **options}
        return self.openai.completions.create(model="troupe-tiny", **options)
