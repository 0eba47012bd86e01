"""lm-eval's loglikelihood through /v1/completions against the float64 oracle: 100 questions."""

import json
import logging
import os
import random
import sys
import unittest

from tests.support import grpc_client, program, requirement

os.environ["HF_HUB_OFFLINE"] = "1"  # the tokenizer is a folder here: nothing is fetched
np = requirement.require_numpy()
try:
    import transformers  # noqa: F401: lm_eval's tokenizer
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI
except ImportError:
    requirement.lacking("Python's lm_eval and transformers")

sys.path.insert(0, os.path.join(program.GOLDENS, "tools"))
import oracle  # noqa: E402

QUESTIONS, CHOICES, SEED = 100, 4, 5
APART = 0.5  # a question whose best answers are closer than this would ask how we round
WORDS = (
    "In the beginning there was light and a small house by sea where old man lived with his dog "
    "one day he went to town for bread but it rained so much that water ran over road he said "
    "nothing only looked at sky then walked home slowly while wind blew from north"
).split()


def questions():
    """(context, choices) without end: words as they follow in WORDS, and others."""
    draw = random.Random(SEED)
    while True:
        start, length = draw.randrange(len(WORDS) - 12), draw.randrange(4, 12)
        context = " ".join(WORDS[start:start + length])
        choices = {" " + " ".join(WORDS[start + length:start + length + draw.randrange(1, 4)])}
        while len(choices) < CHOICES:
            choices.add(" " + " ".join(draw.choices(WORDS, k=draw.randrange(1, 4))))
        yield context, sorted(choices)


def tolerance(mode):
    """Largest difference of a logit over the standard deviation of its row (tests/goldens)."""
    path = os.path.join(program.GOLDENS, "v3-mini", "golden.json")
    with open(path, encoding="utf-8") as file:
        key = {"bf16": "bf16_engine_logits", "f32": "f32_engine"}[mode]
        return json.load(file)["tolerances"][key]


class Expected:
    """What the oracle says of a continuation, and by how much it moves per unit of tolerance."""

    def __init__(self, model, vocabulary, context, continuation):
        rows = model.logits(model.forward(context + continuation))[len(context) - 1:-1]
        self.rows = rows[:, :vocabulary]  # ids beyond it are never drawn
        self.chosen = np.arange(len(continuation)), continuation
        self.logprob = oracle.log_softmax(self.rows)[self.chosen].sum()
        self.moves = 2 * self.rows.std(axis=1)  # a log-softmax: at most twice what logits move by

    def greedy(self, limit):
        """Whether each token is the likeliest; None where rounding may decide."""
        second, best = np.sort(self.rows, axis=1)[:, -2:].T
        behind = best - self.rows[self.chosen]
        if (behind > limit * self.moves).any():
            return False
        return True if ((behind == 0) & (best - second > limit * self.moves)).all() else None


def client(url):
    return LocalCompletionsAPI(
        base_url=f"{url}/v1/completions",
        model="troupe-tiny",
        tokenizer=program.TINY,
        tokenizer_backend="huggingface",
        max_retries=1,
        num_concurrent=4,
    )


def choose():
    """(context, choice) of all questions, and what the oracle says of each."""
    lm, model, asked, expected = client("http://nobody"), oracle.Model(program.TINY), [], []
    for context, choices in questions():
        pairs = [(context, choice) for choice in choices]
        judged = [Expected(model, len(lm.tokenizer), *lm._encode_pair(*pair)) for pair in pairs]
        second, best = sorted(each.logprob for each in judged)[-2:]
        if best - second >= APART:
            asked += pairs
            expected += judged
        if len(asked) == QUESTIONS * CHOICES:
            return asked, expected


class LmEvalTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        logging.getLogger().setLevel(logging.WARNING)
        cls.asked, cls.expected = choose()
        cls.found = {mode: cls.answers(mode) for mode in ("bf16", "f32")}

    @classmethod
    def answers(cls, mode):
        """(log-probability, whether greedy) of each pair."""
        served = grpc_client.Served("--mode", mode)
        try:
            instances = [
                Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0)
                for pair in cls.asked
            ]
            return client(served.url).loglikelihood(instances, disable_tqdm=True)
        finally:
            served.stop()

    def judge(self, check):
        """check(answer, expected, tolerance) for everything in both modes."""
        for mode, found in self.found.items():
            self.assertEqual(len(found), QUESTIONS * CHOICES)
            for asked, answer, wanted in zip(self.asked, found, self.expected):
                with self.subTest(mode=mode, asked=asked):
                    check(answer, wanted, tolerance(mode))

    def test_log_probabilities_are_the_oracles(self):
        def check(answer, wanted, limit):
            self.assertLessEqual(abs(answer[0] - wanted.logprob), limit * wanted.moves.sum())

        self.judge(check)

    def test_the_same_choice_comes_first(self):
        for mode, found in self.found.items():
            for first in range(0, len(found), CHOICES):
                ours = [logprob for logprob, _ in found[first:first + CHOICES]]
                wanted = [each.logprob for each in self.expected[first:first + CHOICES]]
                with self.subTest(mode=mode, asked=self.asked[first]):
                    self.assertEqual(np.argmax(ours), np.argmax(wanted))

    def test_greedy_is_told(self):
        judged = []

        def check(answer, wanted, limit):
            greedy = wanted.greedy(limit)
            if greedy is not None:
                self.assertEqual(answer[1], greedy)
                judged.append(greedy)

        self.judge(check)
        self.assertGreater(len(judged), QUESTIONS)
        self.assertIn(True, judged)


if __name__ == "__main__":
    unittest.main(verbosity=2)
