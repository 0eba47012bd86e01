#!/usr/bin/env python3
# Compares `troupe eval tokenizer` with Hugging Face `tokenizers` on seeded random strings.
"""tokenizer_random.py --troupe PROGRAM [--model DIR] [--strings N] [--seed S] [--all-code-points]

Strings are drawn over the code points that Unicode 14 assigns (tests/goldens/tokenizer/
unicode14_assigned.txt), U+180E and the unassigned U+0378: plain ASCII, runs of white space, CJK,
marks, punctuation, digits, added tokens whole and cut, and any code point. Ids with and without
recognised added tokens, the decoded text and the text of random ids must all be equal.
`--all-code-points` takes each code point in twelve contexts instead of random strings.

Exit status: 0 equal; 1 different; 77 without the PyPI package `tokenizers` (1 where CI is set).
"""
import argparse
import json
import os
import pathlib
import random
import string
import subprocess
import sys
import tempfile
import unicodedata

from tests.support import patience, requirement

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests" / "goldens" / "tokenizer"
REPORTED_MAX = 20
BATCH = 20000


def assigned_code_points():
    points = {0x180E, 0x378}
    for line in (GOLDENS / "unicode14_assigned.txt").read_text().splitlines():
        first, last = (int(part, 16) for part in line.split())
        points.update(range(first, last + 1))
    return sorted(points)


class Alphabet:
    """Pools of characters and the added tokens of a tokenizer.json."""

    def __init__(self, tokenizer_json):
        self.all = [chr(point) for point in assigned_code_points()]
        classes = {}
        for char in self.all:
            classes.setdefault(unicodedata.category(char)[0], []).append(char)
        self.ascii = [chr(point) for point in range(0x20, 0x7F)]
        self.words = ["the", " a", "Hello", " don't", "I'LL", "def ", "x_y", "://", "e.g.", " 's",
                      "中文", "123"]
        self.spaces = [" ", " ", " ", "\n", "\n", "\r\n", "\t", "\v", "\f", "\x85", "\u180e"]
        self.spaces += classes["Z"]
        blocks = [range(0x3000, 0x3130), range(0x4DF0, 0x4E20), range(0x9F90, 0xA010)]
        self.cjk = [chr(point) for block in blocks for point in block]
        self.marks, self.digits = classes["M"], classes["N"] + list("0123456789") * 40
        self.punctuation = classes["P"] + classes["S"][:2000] + list(string.punctuation) * 20
        added = [token["content"] for token in tokenizer_json["added_tokens"]]
        named = [content for content in added if "holder" not in content]
        self.added = named * 5 + added
        self.added += [content[: len(content) // 2] for content in named]
        self.added += [content[:-1] for content in named] + [content[1:] for content in named]

    def text(self, rng):
        pools = [
            (self.ascii, 12), (self.words, 6), (self.spaces, 8), (self.cjk, 8), (self.marks, 6),
            (self.digits, 5), (self.punctuation, 5), (self.added, 4), (self.all, 12),
        ]
        parts = []
        for _ in range(rng.randint(1, 6)):
            pool, longest = rng.choice(pools)
            parts.extend(rng.choice(pool) for _ in range(rng.randint(1, longest)))
        if rng.random() < 0.3:
            rng.shuffle(parts)
        return "".join(parts)


def texts_of_all_code_points():
    shape = "{0}a {0}{0} \n{0}1{0}'{0}s.{0}  {0} {0}\n中{0}e{0}\u0301{0}"
    return [shape.format(chr(point)) for point in assigned_code_points()]


def run_troupe(troupe, model, questions):
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "in.jsonl"), os.path.join(folder, "out.jsonl")
        with open(source, "w", encoding="ascii") as file:
            file.writelines(json.dumps(question) + "\n" for question in questions)
        command = [troupe, "eval", "tokenizer", str(model), "--in", source, "--out", target]
        subprocess.run(command, check=True)
        with open(target, encoding="ascii") as file:
            answers = [json.loads(line) for line in file]
    if len(answers) != len(questions):
        sys.exit(f"{len(questions)} lines in, {len(answers)} lines out")
    return answers


def ids_of(tokenizer, texts):
    for begin in range(0, len(texts), BATCH):
        batch = texts[begin : begin + BATCH]
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield encoding.ids


class Report:
    def __init__(self):
        self.different = 0

    def compare(self, what, question, got, want):
        if got == want:
            return
        self.different += 1
        if self.different <= REPORTED_MAX:
            print(f"{what}: {question}\n  troupe     {got}\n  tokenizers {want}")


def questions_of(args, alphabet, tokens):
    rng = random.Random(args.seed)
    if args.all_code_points:
        texts = texts_of_all_code_points()
    else:
        texts = [alphabet.text(rng) for _ in range(args.strings)]
    lengths = [rng.randint(0, 12) for _ in range(max(1, len(texts) // 5))]
    return texts, [[rng.randrange(tokens) for _ in range(length)] for length in lengths]


def compare(args, tokenizers):
    contents = json.loads((args.model / "tokenizer.json").read_text(encoding="utf-8"))
    full = tokenizers.Tokenizer.from_file(str(args.model / "tokenizer.json"))
    plain = tokenizers.Tokenizer.from_str(json.dumps({**contents, "added_tokens": []}))
    texts, sequences = questions_of(args, Alphabet(contents), full.get_vocab_size())

    questions = [{"text": text} for text in texts]
    questions += [{"text": text, "special": False} for text in texts]
    questions += [{"ids": ids} for ids in sequences]
    answers = iter(run_troupe(args.troupe, args.model, questions))
    report = Report()
    for tokenizer, name in ((full, "ids"), (plain, "ids without added tokens")):
        for text, ids in zip(texts, ids_of(tokenizer, texts)):
            answer = next(answers)
            report.compare(name, ascii(text), answer.get("ids", answer), ids)
            report.compare("decoded", ascii(text), answer.get("text"), text)
    for ids in sequences:
        answer = next(answers)
        text = full.decode(ids, skip_special_tokens=False)
        report.compare("text of ids", ids, answer.get("text", answer), text)
        joined = "".join(answer.get("steps", [])) + answer.get("tail", "")
        report.compare("joined steps", ids, joined, text)
    print(f"seed {args.seed}: {len(texts)} texts, {len(sequences)} id sequences, "
          f"{report.different} differences (tokenizers {tokenizers.__version__})")
    return 1 if report.different else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--troupe", required=True)
    parser.add_argument("--model", type=pathlib.Path, default=GOLDENS)
    parser.add_argument("--strings", type=int, default=100_000 if patience.FACTOR == 1 else 10_000)
    parser.add_argument("--seed", type=int, default=20241226)
    parser.add_argument("--all-code-points", action="store_true")
    args = parser.parse_args()
    try:
        import tokenizers
    except ImportError as error:
        requirement.lacking(f"the PyPI package tokenizers ({error})")
    return compare(args, tokenizers)


if __name__ == "__main__":
    sys.exit(main())
