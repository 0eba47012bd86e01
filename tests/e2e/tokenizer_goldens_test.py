#!/usr/bin/env python3
"""`troupe eval tokenizer` answers every case of tests/goldens/tokenizer as the goldens do."""

import json
import os
import unittest

from tests.support import program

TOKENIZER = os.path.join(program.GOLDENS, "tokenizer")


def cases(name):
    with open(os.path.join(TOKENIZER, name), encoding="ascii") as file:
        return [json.loads(line) for line in file]


class TokenizerGoldensTest(program.ProgramTest):
    def answers(self, questions):
        """The program's answer to each question, in the same order."""
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        asked, answered = self.file("in.jsonl", lines), self.path("out.jsonl")
        self.succeeds("eval", "tokenizer", TOKENIZER, "--in", asked, "--out", answered)
        with open(answered, encoding="ascii") as file:
            answers = [json.loads(line) for line in file]
        self.assertEqual(len(answers), len(questions))
        return answers

    def test_texts_give_the_ids_and_come_back(self):
        texts = cases("cases.jsonl")
        self.assertGreater(len(texts), 100)
        for case, answer in zip(texts, self.answers([{"text": case["text"]} for case in texts])):
            self.assertEqual(answer["ids"], case["ids"], case["id"])
            self.assertEqual(answer["text"], case["text"], case["id"])
            self.assertEqual("".join(answer["steps"]) + answer["tail"], case["text"], case["id"])

    def test_texts_without_added_tokens_give_other_ids(self):
        texts = cases("cases.jsonl")
        plain = [{"text": case["text"], "special": False} for case in texts]
        differ = 0
        for case, answer in zip(texts, self.answers(plain)):
            differ += "ids_no_added_tokens" in case
            want = case.get("ids_no_added_tokens", case["ids"])
            self.assertEqual(answer["ids"], want, case["id"])
            self.assertEqual(answer["text"], case["text"], case["id"])
        self.assertGreater(differ, 10)

    def test_ids_give_the_steps_and_the_tail(self):
        decoded = cases("decode_cases.jsonl")
        self.assertGreater(len(decoded), 20)
        for case, answer in zip(decoded, self.answers([{"ids": case["ids"]} for case in decoded])):
            got = (answer["ids"], answer["steps"], answer["tail"], answer["text"])
            self.assertEqual(got, (case["ids"], case["deltas"], case["tail"], case["text"]))

    def test_messages_give_the_prompt_and_its_ids(self):
        chats = cases("chat_cases.jsonl")
        self.assertGreater(len(chats), 10)
        asked = ("messages", "add_generation_prompt")
        questions = [{key: case[key] for key in asked} for case in chats]
        for case, answer in zip(chats, self.answers(questions)):
            self.assertEqual(answer["rendered"], case["rendered"])
            self.assertEqual(answer["ids"], case["ids"])


if __name__ == "__main__":
    unittest.main()
