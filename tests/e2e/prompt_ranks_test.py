"""Ranks of prompt_logprobs over HTTP and gRPC, against a count over what `eval logits` says."""

import unittest

from tests.support import requirement

requirement.require_numpy()

from tests.support import eval_logits, program  # noqa: E402
from tests.support import grpc_client as client  # noqa: E402
from tests.support.openai_case import ServedTest  # noqa: E402

IDS = [0, *range(7, 1000, 37)]  # hardly a text: most ids are far from the likeliest
ALTERNATIVES = 3


def rank(row, token):
    """Larger logits come first, then lower ids."""
    return 1 + sum(logit > row[token] or (logit == row[token] and id < token)
                   for id, logit in enumerate(row))


class RankTest(ServedTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rows = eval_logits.eval_logits(program.TINY, [IDS])["logits.0"]
        rows = rows[:, : eval_logits.vocabulary(program.TINY)].tolist()
        cls.ranks = [rank(row, token) for row, token in zip(rows, IDS[1:])]
        assert max(cls.ranks) > 20, "one is beyond all alternatives"

    def test_over_http_each_token_has_its_rank(self):
        extra = {"prompt_logprobs": ALTERNATIVES}
        choice = self.complete(prompt=IDS, max_tokens=0, extra_body=extra).choices[0]
        entries = choice.prompt_logprobs[1:]
        told = [entry[str(token)]["rank"] for token, entry in zip(IDS[1:], entries)]
        self.assertEqual(told, self.ranks)
        for entry, own in zip(entries, self.ranks):
            self.assertEqual(sorted(one["rank"] for one in entry.values()),
                             sorted({1, 2, 3, own}))

    def test_over_grpc_each_token_has_its_rank(self):
        asked = client.request(ids=IDS, max_tokens=0, prompt_logprobs=ALTERNATIVES)
        entries = client.unary(self.served, asked)[1].prompt_logprobs
        self.assertEqual([entry.rank for entry in entries], self.ranks)
        for entry in entries:
            self.assertEqual([one.rank for one in entry.top], [1, 2, 3])
        self.assertEqual(client.stream(self.served, asked).prompt_logprobs, list(entries))

    def test_without_alternatives_it_is_told_too(self):
        asked = client.request(ids=IDS, max_tokens=0, prompt_logprobs=0)
        entries = client.unary(self.served, asked)[1].prompt_logprobs
        self.assertEqual([entry.rank for entry in entries], self.ranks)


if __name__ == "__main__":
    unittest.main(verbosity=2)
