#!/usr/bin/env python3
"""Runs `troupe bench model` and llama.cpp's benchmarks in turns and prints ratios of tokens/s.

    compare.py --troupe BIN --llama DIR --pair LABEL CHECKPOINT MODE MODEL.gguf [flags]

One round measures every case with both programs, right after each other; who goes first changes
from round to round. A ratio is made of the two rates of one round, so what disturbs the machine for
longer than a case disturbs both. Before the first the files are read in order into the page cache.
One sequence goes through llama-bench, several at once through llama-batched-bench; each program
warms up by itself.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys

_COLUMNS = "{:<12} {:>15} {:>7} {:>5}  {:>24}  {:>24}  {:>20}  {:>6}"


class Failure(Exception):
    """A benchmark that did not do what was asked; the text names its command."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    label: str
    checkpoint: str
    mode: str  # of activations, as troupe's --mode
    gguf: str
    test: str  # "pp" or "tg"
    tokens: int
    batch: int
    threads: int
    depth: int  # cached positions before them

    def name(self):
        """As both programs have it."""
        return f"{self.test}{self.tokens}" + (f" @ d{self.depth}" if self.depth else "")


@dataclasses.dataclass
class Found:
    """What the rounds gave: tokens per second, and troupe's share of the nearer limit."""

    troupe: list = dataclasses.field(default_factory=list)
    llama: list = dataclasses.field(default_factory=list)
    shares: list = dataclasses.field(default_factory=list)

    def ratios(self):
        return [ours / theirs for ours, theirs in zip(self.troupe, self.llama)]


def output_of(words):
    """stdout of a command that ends with 0."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failure(f"{' '.join(words)}: {error}. build_llama.sh builds llama.cpp") from error
    if done.returncode != 0:
        tail = done.stderr.strip()[-400:]
        raise Failure(f"{' '.join(words)} ended with {done.returncode}: {tail}")
    return done.stdout


def parsed(words, text, read):
    """read(text), or a Failure that shows what could not be read."""
    try:
        return read(text)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Failure(f"{' '.join(map(str, words))} printed no result: {text[-200:]!r}") from error


def troupe_rate(troupe, case):
    """(tokens/s, share of the nearer limit) of one repetition."""
    length = {"pp": (case.tokens, 0), "tg": (0, case.tokens)}[case.test]
    words = [troupe, "bench", "model", case.checkpoint, "--prompt", length[0]]
    words += ["--generate", length[1], "--batch", case.batch, "--threads", case.threads]
    words += ["--depth", case.depth, "--mode", case.mode]
    words += ["--repetitions", 1, "--no-progress", "--json"]

    def read(text):
        (one,) = json.loads(text)["results"]
        shares = [share for share in (one["read_share"], one["peak_share"]) if share is not None]
        return one["tokens_per_s"], max(shares, default=None)

    return parsed(words, output_of(words), read)


def llama_bench_rate(llama, case):
    """tokens/s of one sequence."""
    length = {"pp": (case.tokens, 0), "tg": (0, case.tokens)}[case.test]
    words = [os.path.join(llama, "llama-bench"), "-m", case.gguf, "-p", length[0], "-n", length[1]]
    words += ["-d", case.depth, "-t", case.threads, "-r", 1, "-o", "json"]
    asked = {"n_prompt": length[0], "n_gen": length[1]}
    asked.update(n_depth=case.depth, n_threads=case.threads)

    def read(text):
        (one,) = json.loads(text[text.index("[") : text.rindex("]") + 1])
        if {key: one[key] for key in asked} != asked:
            raise ValueError("another test than asked")
        return float(one["avg_ts"])

    return parsed(words, output_of(words), read)


def llama_batched_rate(llama, case):
    """tokens/s of all sequences together, each behind a prompt of the depth, or of one token."""
    prompt = max(case.depth, 1)
    context = case.batch * (case.tokens + prompt)
    words = [os.path.join(llama, "llama-batched-bench"), "-m", case.gguf]
    words += ["-c", -(-context // 256) * 256, "-npp", prompt]
    words += ["-ntg", case.tokens, "-npl", case.batch]
    words += ["-t", case.threads, "-tb", case.threads, "--output-format", "jsonl"]

    def read(text):
        (one,) = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        if (one["pl"], one["pp"], one["tg"]) != (case.batch, prompt, case.tokens):
            raise ValueError("another test than asked")
        return float(one["speed_tg"])

    return parsed(words, output_of(words), read)


def llama_rate(llama, case):
    return (llama_bench_rate if case.batch == 1 else llama_batched_rate)(llama, case)


def cases_of(options):
    """Prompts of one sequence, generations of every batch; for all pairs, threads and depths."""
    tests = [("pp", options.prompt, 1)] if options.prompt > 0 else []
    if options.generate > 0:
        tests += [("tg", options.generate, batch) for batch in options.batch]
    return [
        Case(*pair, *test, threads, depth)
        for pair in options.pair
        for threads in options.threads
        for depth in options.depth
        for test in tests
    ]


def read_in_order(path):
    """Has a file, or the files of a folder, in the page cache as whoever reads them in order has.

    Pages there are as large as the way they came in allowed: of a file that was just written they
    are small, and it streams up to a tenth slower. Both programs shall have the same.
    """
    files = [entry.path for entry in os.scandir(path)] if os.path.isdir(path) else [path]
    for file in filter(os.path.isfile, files):
        with open(file, "rb", buffering=0) as opened:
            os.fsync(opened.fileno())  # what is not on the disk yet stays
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while opened.read(1 << 24):
                pass


def measure(options, cases):
    """Found by case, after all rounds."""
    for path in dict.fromkeys(path for case in cases for path in (case.checkpoint, case.gguf)):
        read_in_order(path)
    found = {case: Found() for case in cases}
    for number in range(options.rounds):
        for case in cases:
            one = found[case]
            for program in ("troupe", "llama")[:: 1 if number % 2 == 0 else -1]:
                if program == "troupe":
                    rate, share = troupe_rate(options.troupe, case)
                    one.troupe.append(rate)
                    one.shares.append(share)
                else:
                    one.llama.append(llama_rate(options.llama, case))
            name = f"{case.label} {case.name()} batch {case.batch}"
            print(f"round {number + 1}/{options.rounds}  {name}", file=sys.stderr, flush=True)
    return found


def spread(values, digits=2):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"


def table(found):
    """min / median / max of both rates and of their ratio; troupe's median share of its limit."""
    titles = ("troupe t/s", "llama.cpp t/s", "ratio", "share")
    lines = [_COLUMNS.format("weights", "test", "threads", "batch", *titles)]
    for case, one in found.items():
        shares = [share for share in one.shares if share is not None]
        share = f"{100 * statistics.median(shares):.0f}%" if shares else "-"
        rates = (spread(one.troupe), spread(one.llama), spread(one.ratios()))
        what = (case.label, case.name(), case.threads, case.batch)
        lines.append(_COLUMNS.format(*what, *rates, share))
    return "\n".join(lines)


def integers(text):
    return [int(part) for part in text.split(",")]


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--troupe", required=True)
    parser.add_argument("--llama", required=True, help="folder of llama-bench")
    parser.add_argument(
        "--pair",
        required=True,
        action="append",
        nargs=4,
        metavar=("LABEL", "CHECKPOINT", "MODE", "GGUF"),
    )
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--batch", type=integers, default=[1, 8, 32])
    parser.add_argument("--depth", type=integers, default=[0], help="multiples of 64")
    parser.add_argument("--threads", type=integers, default=[os.cpu_count()])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="also write all rates to this file")
    return parser.parse_args(words)


def main(words=None):
    options = parse(words)
    cases = cases_of(options)
    if options.rounds < 1 or not cases:
        print("compare.py: nothing to measure: rounds, prompt, generate are 0", file=sys.stderr)
        return 2
    try:
        found = measure(options, cases)
    except Failure as failure:
        print(f"compare.py: {failure}", file=sys.stderr)
        return 1
    print(table(found))
    if options.json:
        rows = [
            {**dataclasses.asdict(case), **dataclasses.asdict(one), "ratios": one.ratios()}
            for case, one in found.items()
        ]
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
