#!/usr/bin/env python3
"""tests/bench/peers on the bundled model, with programs that print what llama.cpp's would.

What llama.cpp really prints is not tested here: it takes a quarter of an hour to build.
"""

import json
import os
import re
import stat
import subprocess
import sys
import unittest

from tests.support import program

PEERS = os.path.join(program.SOURCE, "tests", "bench", "peers")
SMALL = ("--prompt", 4, "--generate", 2, "--batch", "1,2", "--threads", 1, "--rounds", 2)

# As llama-bench -o json and llama-batched-bench --output-format jsonl; {rate} tokens/s.
LLAMA_BENCH = """
flag = dict(zip(sys.argv[1::2], sys.argv[2::2]))
names = {"n_prompt": "-p", "n_gen": "-n", "n_depth": "-d", "n_threads": "-t"}
one = {name: int(flag[short]) for name, short in names.items()}
print("some words first")
print(json.dumps([{**one, "avg_ts": 100.0, "samples_ts": [100.0]}], indent=2))
"""
LLAMA_BATCHED_BENCH = """
flag = dict(zip(sys.argv[1::2], sys.argv[2::2]))
pp, tg, pl = (int(flag[short]) for short in ("-npp", "-ntg", "-npl"))
assert int(flag["-c"]) % 256 == 0 and int(flag["-c"]) >= pl * (pp + tg)
print("main: n_kv_max = 256")
print(json.dumps({"pp": pp, "tg": tg, "pl": pl, "speed_tg": 50.0}))
"""
LLAMA_QUANTIZE = """
print("142 lines about tensors")
assert sys.argv[3] in ("Q8_0", "Q4_0"), sys.argv
assert sys.argv[2].endswith(f"-{sys.argv[3].lower()}.gguf.part"), sys.argv
open(sys.argv[2], "w").close()
"""


class PeersTest(program.ProgramTest):
    def script(self, name, body):
        """An executable of Python that also writes its name into the log."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        log = f'open({self.path("log")!r}, "a").write({os.path.basename(name)!r} + "\\n")\n'
        path = self.file(name, f"#!{sys.executable}\nimport json, os, sys\n{log}{body}")
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return path

    def llama(self, bench=LLAMA_BENCH, batched=LLAMA_BATCHED_BENCH):
        self.script("llama/bin/llama-batched-bench", batched)
        self.script("llama/bin/llama-quantize", LLAMA_QUANTIZE)
        return os.path.dirname(self.script("llama/bin/llama-bench", bench))

    def log(self):
        with open(self.path("log"), encoding="utf-8") as file:
            return file.read().split()

    def compare(self, llama, *flags):
        # The real program behind a script that is seen in the log.
        words = f"os.execv({program.binary()!r}, [{program.binary()!r}, *sys.argv[1:]])\n"
        troupe = self.script("troupe", words)
        words = [sys.executable, os.path.join(PEERS, "compare.py"), "--troupe", troupe]
        words += ["--llama", llama, "--pair", "fp8/Q8_0", program.TINY, "bf16"]
        words += ["model.gguf", *flags]
        return self.run_words(words)

    @staticmethod
    def run_words(words, **variables):
        return subprocess.run(
            [str(word) for word in words],
            env=program.environment(variables),
            capture_output=True,
            text=True,
            timeout=program.TIMEOUT_S,
            check=False,
        )

    def test_rounds_alternate_and_ratios_are_of_one_round(self):
        out = self.path("found.json")
        done = self.compare(self.llama(), *SMALL, "--json", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, encoding="utf-8") as file:
            found = json.load(file)
        cases = [(one["test"], one["tokens"], one["batch"]) for one in found]
        self.assertEqual(cases, [("pp", 4, 1), ("tg", 2, 1), ("tg", 2, 2)])
        for one in found:
            self.assertEqual(one["llama"], [50.0 if one["batch"] == 2 else 100.0] * 2)
            expected = [ours / theirs for ours, theirs in zip(one["troupe"], one["llama"])]
            self.assertEqual(one["ratios"], expected)
            self.assertGreater(min(one["troupe"] + one["shares"]), 0)
        first = ["troupe", "llama-bench"] * 2 + ["troupe", "llama-batched-bench"]
        second = ["llama-bench", "troupe"] * 2 + ["llama-batched-bench", "troupe"]
        self.assertEqual(self.log(), first + second)

    def test_depths_are_measured_with_every_batch(self):
        out = self.path("found.json")
        done = self.compare(self.llama(), *SMALL, "--rounds", 1, "--depth", "0,64", "--json", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, encoding="utf-8") as file:
            found = json.load(file)
        cases = [(one["depth"], one["test"], one["batch"]) for one in found]
        tests = (("pp", 1), ("tg", 1), ("tg", 2))
        self.assertEqual(cases, [(depth, *test) for depth in (0, 64) for test in tests])
        self.assertIn(" tg2 @ d64 ", done.stdout)

    def test_the_table_has_min_median_and_max(self):
        done = self.compare(self.llama(), *SMALL)
        title, *rows = done.stdout.splitlines()
        self.assertEqual(title.split()[:4], ["weights", "test", "threads", "batch"])
        self.assertEqual(len(rows), 3, done.stdout)
        for row in rows:
            self.assertEqual(len(re.findall(r"[\d.]+ / [\d.]+ / [\d.]+", row)), 3, row)
            self.assertRegex(row, r" \d+%$")

    def test_a_benchmark_that_fails_is_named(self):
        for bench, says in (
            ("sys.exit('no such model')", ["llama-bench", "ended with 1", "no such model"]),
            ("print('nothing')", ["llama-bench", "printed no result", "nothing"]),
            ("print(json.dumps([]))", ["printed no result"]),
            (LLAMA_BENCH.replace('"n_gen": "-n"', '"n_gen": "-t"'), ["printed no result"]),
        ):
            done = self.compare(self.llama(bench), *SMALL)
            self.assertEqual(done.returncode, 1, done.stdout)
            for part in says:
                self.assertIn(part, done.stderr)
        done = self.compare(self.path("nowhere"), *SMALL)
        self.assertEqual(done.returncode, 1)
        self.assertIn("build_llama.sh", done.stderr)

    def test_nothing_to_measure_is_a_mistake(self):
        done = self.compare(self.llama(), "--rounds", 0)
        self.assertEqual(done.returncode, 2)
        self.assertIn("nothing to measure", done.stderr)

    def test_run_makes_what_is_missing_and_compares(self):
        self.llama()
        os.makedirs(self.path("modules"))
        self.file("modules/gguf.py", "")  # conversion is left out: the file is there
        self.file("troupe-tiny-bf16.gguf", "")
        variables = {
            "DIR": self.folder,
            "TROUPE": program.binary(),
            "PYTHON": sys.executable,
            "PYTHONPATH": self.path("modules"),
        }
        run = [os.path.join(PEERS, "run.sh"), program.TINY, *SMALL]
        for _ in range(2):  # the second finds everything there
            done = self.run_words(run, **variables)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual([line[0] for line in done.stdout.splitlines()[:2]], ["#", "#"])
            self.assertNotIn("about tensors", done.stdout)
            for pair in ("fp8", "int8", "w8a8", "int4", "w4a8", "bf16"):
                self.assertIn(f"\n{pair}/", done.stdout)
        self.assertEqual(self.log().count("llama-quantize"), 2)
        for form in ("bf16", "int8", "int4"):
            self.assertTrue(os.path.exists(self.path(f"troupe-tiny-{form}/config.json")), form)

    def test_run_says_what_it_lacks(self):
        run = [os.path.join(PEERS, "run.sh"), program.TINY]
        done = self.run_words(run, DIR=self.folder, TROUPE=self.path("nothing"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("leave TROUPE out", done.stderr)
        python = self.script("python", "sys.exit(1)")
        done = self.run_words(run, DIR=self.folder, TROUPE=program.binary(), PYTHON=python)
        self.assertEqual(done.returncode, 2)
        self.assertIn("gguf", done.stderr)
        variables = {"DIR": self.folder, "TROUPE": program.binary(), "LLAMA_BIN": self.folder}
        python = self.script("python", "")
        done = self.run_words(run, PYTHON=python, **variables)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{self.folder}/llama-bench. Name their folder by LLAMA_BIN=", done.stderr)


if __name__ == "__main__":
    unittest.main()
