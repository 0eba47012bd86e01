#!/usr/bin/env python3
"""Flags, help, variables and suggestions: what the command line says before it does anything."""

import json
import os
import re
import signal
import tempfile
import unittest

from tests.support import program
from tests.support.free_ports import free_ports

COMMANDS = ("run", "chat", "model inspect", "model cast", "model quantize")
COMMANDS += ("eval logits", "eval perplexity", "eval kl", "eval tokenizer")
COMMANDS += ("gateway", "attention", "router", "expert")
COMMANDS += ("config check", "config print", "config print-defaults", "keys add", "keys list")
COMMANDS += ("serve", "up", "status", "batch", "bench kernels", "bench model", "bench serve")
COMMANDS += ("doctor", "version")
FIRST_SCREEN_FLAGS_MAX = 13  # "about 12"


def flags_in(text):
    return re.findall(r"^  (--[a-z-]+)", text, re.M)


class HelpTest(program.ProgramTest):
    def test_lists_every_command(self):
        for words in (["--help"], ["-h"], ["help"]):
            text = self.succeeds(*words)
            for command in COMMANDS:
                self.assertRegex(text, rf"(?m)^  {command} ")

    def test_first_screen_is_short_grouped_and_has_examples(self):
        for command in COMMANDS:
            text = self.succeeds(*command.split(), "--help")
            self.assertLessEqual(len(flags_in(text)), FIRST_SCREEN_FLAGS_MAX, text)
            self.assertIn("\nExamples:\n", text)
            self.assertIn("Usage: troupe " + command, text)

    def test_lines_fit_100_columns(self):
        text = self.succeeds("--help-all")
        self.assertEqual([line for line in text.split("\n") if len(line) > 100], [])

    def test_help_all_shows_the_rest_with_variables(self):
        first, everything = (self.succeeds("run", flag) for flag in ("--help", "--help-all"))
        self.assertNotIn("--min-p", first)
        for flag in flags_in(first) + ["--min-p", "--ids"]:
            variable = "TROUPE_" + flag[2:].upper().replace("-", "_")
            self.assertRegex(everything, rf"{flag}[\s\S]*?{{{variable}}}")

    def test_searches_all_commands_or_one(self):
        self.assertRegex(self.succeeds("--help", "penalty"), "troupe run[\\s\\S]*troupe chat")
        found = self.succeeds("run", "--help", "PENALTY")
        self.assertEqual(
            flags_in(found), ["--presence-penalty", "--frequency-penalty", "--repetition-penalty"]
        )
        self.assertIn("nothing", self.succeeds("--help", "zeppelin"))

    def test_family_of_commands(self):
        text = self.succeeds("model", "--help")
        self.assertIn("troupe model inspect", text)
        self.assertIn("troupe model cast", text)
        self.fails(program.USAGE, 1004, "troupe eval logits", "eval")

    def test_nothing_given(self):
        self.fails(program.USAGE, 1004, "troupe chat")

    def test_a_prompt_behind_dashes_is_no_flag(self):
        self.fails(program.MODEL, 4001, "nowhere", "run", "--model", "nowhere", "--", "--help")


class MistakeTest(program.ProgramTest):
    def test_unknown_flag_suggests(self):
        misspelt = ("run", "--temprature", "0", "x")
        self.fails(program.USAGE, 1001, "Did you mean --temperature?", *misspelt)
        self.fails(program.USAGE, 1001, "Did you mean --json?", "version", "--jsn")
        self.fails(program.USAGE, 1001, "Did you mean --max-tokens?", "chat", "--max-token=3")
        listen = ("gateway", "--http-listen", "127.0.0.1:0")
        self.fails(program.USAGE, 1001, "Did you mean --gateway-http-listen?", *listen)
        for command in ("serve", "up"):
            says = ["takes MODEL without a flag, not --model", f"troupe {command} [MODEL]"]
            self.fails(program.USAGE, 1001, says, command, "--model", "DIR")
        message = self.fails(program.USAGE, 1001, "no flag --zzzzzzzz", "version", "--zzzzzzzz")
        self.assertNotIn("Did you mean", message)

    def test_unknown_keys_suggest(self):
        for words, key in (
            (("up", "--set", "enigne.threads=1"), "engine.threads"),
            (("up", "--set", "threads=1"), "engine.threads"),
            (("serve", "--set", "gateway.request_max=1"), "gateway.requests_max"),
            (("serve", "--set", "cert_file=x"), "tls.cert_file"),
        ):
            self.fails(program.USAGE, 1003, f"Did you mean {key}?", *words)
        self.fails(program.USAGE, 1003, "KEY=VALUE", "up", "--set", "foo.bar=1")
        self.fails(program.USAGE, 1003, "Use --http-listen", "up", "--set",
                   "gateway.http_listen=127.0.0.1:1")

    def test_a_transport_needs_processes_to_be_between(self):
        for words in (("run", "x"), ("chat",)):
            says = ["--transport shm", "processes:"]
            self.fails(program.USAGE, 1003, says, *words, "--transport", "shm")
            self.fails(
                program.USAGE, 1003, says, *words, "--transport", "shm", "--layout", "experts=2"
            )
        with tempfile.TemporaryDirectory() as folder:
            files = ("--ids-file", f"{folder}/none.json", "--out", f"{folder}/out")
            logits = ("eval", "logits", folder, *files)
            self.fails(program.USAGE, 1003, "--transport tcp", *logits, "--transport", "tcp")
        for command in ("serve", "batch"):
            self.fails(program.USAGE, 1001, "--transport", command, "--transport", "shm")
            text = self.succeeds(command, "--help-all")
            self.assertIn("--layout L", text)
            self.assertNotIn("processes:", text)
        # The variable is for all commands: it is used where there are processes.
        env = {"TROUPE_TRANSPORT": "tcp"}
        self.succeeds("run", "x", "--max-tokens", "1", env=env)
        self.fails(program.USAGE, 1006, "TROUPE_TRANSPORT", "run", "x",
                   env={"TROUPE_TRANSPORT": "rdma"})

    def test_more_experts_services_than_experts(self):
        says = ["--experts asks for 40", "has 32 experts"]
        self.fails(program.USAGE, 1105, says, "up", "--experts", "40", *self.free_listeners())

    def test_up_tells_of_a_missing_model_once(self):
        says = "no model directory at nowhere"
        message = self.fails(program.MODEL, 4001, says, "up", "nowhere", *self.free_listeners())
        self.assertEqual(message.count("nowhere"), 1, message)

    @staticmethod
    def free_listeners():
        ports = zip(("http", "grpc", "admin", "ops"), free_ports(4))
        return [word for name, port in ports for word in (f"--{name}-listen", f"127.0.0.1:{port}")]

    def test_unknown_command_suggests(self):
        self.fails(program.USAGE, 1002, "Did you mean chat?", "caht")
        self.fails(program.USAGE, 1002, "Did you mean model inspect?", "model", "inspct", "x")
        self.fails(program.USAGE, 1002, "Did you mean model inspect?", "modl", "inspect", "x")
        self.fails(program.USAGE, 1002, "troupe --help", "perambulate")
        self.fails(program.USAGE, 1001, "follow the command", "--json", "version")

    def test_surplus_and_missing_arguments(self):
        self.fails(program.USAGE, 1005, "three", "model", "cast", "one", "two", "three")
        self.fails(program.USAGE, 1004, "DIR", "model", "inspect")
        self.fails(program.USAGE, 1004, "--temperature", "run", "x", "--temperature")
        self.fails(program.USAGE, 1004, "--layout needs a value", "run", "x", "--layout=")
        self.fails(program.USAGE, 1005, "-two", "run", "--", "-one", "-two")
        self.fails(program.USAGE, 1004, "--to", "model", "cast", "a", "b")
        self.fails(program.USAGE, 1004, "--ids-file", "eval", "logits", "d", "--out", "o")
        self.fails(program.USAGE, 1004, "--out", "eval", "tokenizer", "d", "--in", "i")

    def test_values_out_of_range_name_the_range(self):
        for flag, value, says in (
            ("--temperature", "2.5", "from 0 to 2"),
            ("--temperature", "nan", "from 0 to 2"),
            ("--temperature", "warm", "a number"),
            ("--top-p", "0", "above 0 to 1"),
            ("--top-p", "1.01", "above 0 to 1"),
            ("--min-p", "-0.1", "from 0 to 1"),
            ("--top-k", "-2", "from -1"),
            ("--presence-penalty", "3", "from -2 to 2"),
            ("--frequency-penalty", "-3", "from -2 to 2"),
            ("--repetition-penalty", "0", "above 0"),
            ("--max-tokens", "0", "from 1"),
            ("--max-tokens", "1e3", "whole number"),
            ("--seed", "-1", "whole number from 0"),
            ("--threads", "0", "from 1"),
            ("--chunk", "0", "from 1"),
            ("--logit-bias", "5", "ID=BIAS"),
            ("--logit-bias", "5=101", "-100 to 100"),
            ("--ids", "1,,2", "token ids"),
            ("--mode", "fp4", "auto, f32, bf16, fp8-act, int8-act, bf16-tiles"),
            ("--kv-cache", "int8", "auto, fp8"),
            ("--level", "sse2", "avx2"),
            ("--layout", "experts=0", "experts needs"),
            ("--layout", "expert=2", "none of"),
            ("--layout", "experts=2,experts=3", "twice"),
        ):
            with self.subTest(flag=flag, value=value):
                self.fails(program.USAGE, 1003, [flag, says], "run", "x", f"{flag}={value}")


class VariableTest(program.ProgramTest):
    def test_flag_wins_over_variable_wins_over_default(self):
        def is_json(*flags, **env):
            return self.succeeds("version", *flags, env=env).startswith("{")

        self.assertFalse(is_json())
        self.assertTrue(is_json(TROUPE_JSON="1"))
        self.assertFalse(is_json(TROUPE_JSON="off"))
        self.assertFalse(is_json("--json=false", TROUPE_JSON="yes"))
        self.assertTrue(is_json("--json", TROUPE_JSON="no"))

    def test_bad_variable_is_named(self):
        env = {"TROUPE_TEMPERATURE": "hot"}
        self.fails(program.USAGE, 1006, ["TROUPE_TEMPERATURE", "hot"], "run", "x", env=env)

    def test_level_by_variable(self):
        message = self.fails(program.USAGE, 1006, "mmx", "run", "x", env={"TROUPE_LEVEL": "mmx"})
        self.assertIn("environment variable TROUPE_LEVEL", message)
        self.assertIn("reference", message)


class VersionTest(program.ProgramTest):
    def test_json_and_text_say_the_same(self):
        facts = json.loads(self.succeeds("version", "--json"))
        self.assertEqual(facts["numerics_class"], "fma")
        self.assertEqual(facts["levels"][0], "reference")
        self.assertLessEqual(set(facts["levels"]), set(facts["known_levels"]))
        text = self.succeeds("version")
        for value in (facts["version"], facts["build_type"], facts["levels"][-1]):
            self.assertIn(value, text)
        self.assertEqual(text, self.succeeds("--version"))


class DoctorTest(program.ProgramTest):
    def test_one_line_per_check(self):
        lines = self.succeeds("doctor").splitlines()
        limits = ("read bandwidth", "fma peak", "int8 peak")
        for check in ("cpu level", "cores", "memory", "model", *limits):
            self.assertEqual(
                len([x for x in lines if re.match(rf"(ok  |warn|fail)  {check} ", x)]), 1, lines
            )
        of_bf16 = [line for line in lines if re.match("ok    bf16 peak ", line)]
        # Where that level is and its products of BF16 are faster than those of F32.
        self.assertLessEqual(len(of_bf16), "avx512_bf16" in lines[0], lines)
        of_tiles = [line for line in lines if re.match("ok    amx bf16 peak ", line)]
        self.assertEqual(len(of_tiles), "avx512_amx" in lines[0], lines)
        self.assertEqual(len(lines), 7 + len(of_bf16) + len(of_tiles))

    def test_a_missing_model_fails_with_the_fix(self):
        self.fails(program.FAILURE, 9004, "1 check failed", "doctor", "--model", "nowhere")

    def test_interrupt_ends_it_before_the_last_check(self):
        child = program.start("doctor")
        lines = iter(child.stdout.readline, b"")
        next(line for line in lines if b" model " in line)  # what follows takes a second
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(child.returncode, program.INTERRUPTED)
        self.assertNotIn(b"fma peak", rest)


class ErrorPageTest(unittest.TestCase):
    def test_documents_every_number_once(self):
        folder = os.path.join(program.SOURCE, "services", "runtime", "faults.hpp")
        with open(folder, encoding="utf-8") as file:
            numbers = re.findall(r"^  \w+ = (\d{4}),", file.read(), re.M)
        with open(os.path.join(program.SOURCE, "docs", "errors.md"), encoding="utf-8") as file:
            documented = re.findall(r"^\| TROUPE-(\d{4}) ", file.read(), re.M)
        self.assertEqual(numbers, documented)


if __name__ == "__main__":
    unittest.main()
