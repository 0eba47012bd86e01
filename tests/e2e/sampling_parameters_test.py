"""Each sampling parameter changes answers as it should, through every API and `troupe run`."""

import unittest

from tests.support import grpc_client as client
from tests.support import program
from tests.support.openai_case import PROMPT, ServedTest

EXTENSIONS = ("top_k", "min_p", "repetition_penalty", "ignore_eos", "min_tokens", "stop_token_ids")
END = 1  # the model's end of text
SOME = 77  # any id of a letter
HOT = {"temperature": 1, "seed": 5}
# Nothing but these ids is drawn, so that they come again and again.
FEW = {"logit_bias": {id: 100 for id in range(70, 90)}, "max_tokens": 32}


def in_openai_words(fields):
    """The same for OpenAI's client: keys of logit_bias are strings, vLLM's fields are extra."""
    own = {key: value for key, value in fields.items() if key not in EXTENSIONS}
    extra = {key: value for key, value in fields.items() if key in EXTENSIONS}
    if "logit_bias" in own:
        own["logit_bias"] = {str(id): bias for id, bias in own["logit_bias"].items()}
    return {**own, "extra_body": {**extra, "return_token_ids": True}}


class Parameters:
    """Of whatever `ids` asks: greedy, 12 tokens at most unless told otherwise."""

    def ids(self, **fields):
        raise NotImplementedError

    def test_a_temperature_draws_by_the_seed(self):
        hot = self.ids(**HOT)
        self.assertNotEqual(hot, self.ids())
        self.assertEqual(hot, self.ids(**HOT))
        self.assertNotEqual(hot, self.ids(**{**HOT, "seed": 7}))
        self.assertNotEqual(hot, self.ids(**{**HOT, "temperature": 0.2}))

    def test_truncation_to_one_token_is_greedy(self):
        greedy = self.ids()
        for truncation in ({"top_k": 1}, {"min_p": 1}, {"top_p": 1e-6}):
            self.assertEqual(self.ids(**HOT, **truncation), greedy, truncation)

    def test_each_penalty_and_its_sign_gives_another_answer(self):
        answers = [self.ids(**FEW)]
        for name, values in (("frequency_penalty", (2, -2)), ("presence_penalty", (2,)),
                             ("repetition_penalty", (1.5, 0.75))):
            answers += [self.ids(**FEW, **{name: value}) for value in values]
        for i, answer in enumerate(answers):
            self.assertNotIn(answer, answers[:i])

    def test_only_that_of_frequency_grows(self):
        forced = {"logit_bias": {SOME: 30}, "max_tokens": 32}
        self.assertEqual(self.ids(**forced), [SOME] * 32)
        self.assertEqual(self.ids(**forced, presence_penalty=2), [SOME] * 32)
        self.assertIn(SOME, self.ids(**forced, frequency_penalty=2))
        self.assertNotEqual(self.ids(**forced, frequency_penalty=2), [SOME] * 32)

    def test_a_bias_forces_and_forbids(self):
        self.assertEqual(self.ids(logit_bias={SOME: 100}, max_tokens=3), [SOME] * 3)
        first = self.ids()[0]
        self.assertNotIn(first, self.ids(logit_bias={first: -100}))

    def test_the_end_waits_for_min_tokens_or_is_a_token_like_others(self):
        ends = {"logit_bias": {END: 100}}
        self.assertEqual(self.ids(**ends), [END])
        waits = self.ids(**ends, min_tokens=4)
        self.assertEqual((len(waits), waits.index(END)), (5, 4))
        self.assertEqual(self.ids(**ends, ignore_eos=True, max_tokens=3), [END] * 3)


class StopIds(Parameters):
    def test_stop_ids_stop(self):
        forced = {"logit_bias": {SOME: 100}, "max_tokens": 3}
        self.assertEqual(self.ids(**forced, stop_token_ids=[SOME]), [SOME])
        self.assertEqual(self.ids(**forced, stop_token_ids=[SOME + 1]), [SOME] * 3)


class ChatTest(StopIds, ServedTest):
    UNKNOWN = [{"role": "user", "content": "zzz"}]  # no word that the model has learnt by heart

    def ids(self, **fields):
        fields = in_openai_words({"max_tokens": 12, **fields})
        return self.chat(messages=self.UNKNOWN, **fields).choices[0].token_ids


class CompletionTest(StopIds, ServedTest):
    def ids(self, **fields):
        return self.complete(**in_openai_words({"max_tokens": 12, **fields})).choices[0].token_ids


class GrpcTest(StopIds, ServedTest):
    def ids(self, **fields):
        fields = {"temperature": 0, "max_tokens": 12, **fields}
        return list(client.unary(self.served, client.request(text=PROMPT, **fields))[0].token_ids)


def as_flags(fields):
    """The same for `troupe run`."""
    for name, value in fields.items():
        flag = "--" + name.replace("_", "-")
        if name == "logit_bias":
            value = ",".join(f"{id}={bias}" for id, bias in value.items())
        yield from (flag,) if value is True else (flag, value)


class RunTest(Parameters, unittest.TestCase):
    def where(self):
        return ()

    def ids(self, **fields):
        flags = as_flags({"temperature": 0, "max_tokens": 12, **fields})
        done = program.run("run", *self.where(), "--output-ids", "--no-progress", PROMPT, *flags)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return [int(word) for word in done.stdout.replace(b",", b" ").split()]


class RunOverGrpcTest(RunTest, ServedTest):
    def where(self):
        return "--url", self.served.address


class RunOverHttpTest(RunTest, ServedTest):
    def where(self):
        return "--url", self.url


if __name__ == "__main__":
    unittest.main()
