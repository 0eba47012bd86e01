#!/usr/bin/env python3
"""`troupe eval perplexity` and `eval kl`, against numpy over what `troupe eval logits` says."""

import json
import os
import signal
import unittest

from tests.support import requirement

requirement.require_numpy()

import numpy as np  # noqa: E402

from tests.support import eval_logits, program  # noqa: E402
from tests.support.poll_until import eventually  # noqa: E402

TEXT = (
    "In the beginning was the word, and the word was with the troupe.\n"
    "A shard that owns a sequence keeps its pages; a router gates, dispatches and combines.\n"
    "Caf\u00e9s, na\u00efve sums and \u4f60\u597d are text as well: 3.14159, 2.71828, 1,000,000.\n"
    "What is measured twice is measured twice. <\uff5cUser\uff5c> is seven characters here.\n"
) * 3
CONTEXT = 48
LOGPROB_ERROR = 1e-5  # of an F32 log-probability against F64


def log_softmax(logits):
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


class EvalTextTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", TEXT)

    def ids_of(self, model, text=TEXT):
        question = {"text": text, "special": False}
        asked, answered = self.file("q.jsonl", json.dumps(question) + "\n"), self.path("a.jsonl")
        self.succeeds("eval", "tokenizer", model, "--in", asked, "--out", answered)
        with open(answered, encoding="utf-8") as file:
            return json.load(file)["ids"]

    def model_with(self, name, changes):
        """The bundled model with other small files: name -> function of their text."""
        folder = self.path(name)
        os.mkdir(folder)
        for entry in os.listdir(program.TINY):
            if entry in changes:
                with open(os.path.join(program.TINY, entry), encoding="utf-8") as file:
                    self.file(os.path.join(name, entry), changes[entry](file.read()))
            else:
                os.symlink(os.path.join(program.TINY, entry), os.path.join(folder, entry))
        return folder

    def quantised(self, form):
        out = self.path(form)
        self.succeeds("model", "quantize", "--to", form, program.TINY, out)
        return out

    def found(self, *words):
        return json.loads(self.succeeds("eval", *words, "--text", self.text, "--json"))

    def windows(self, ids, bos):
        step = CONTEXT - len(bos)
        cut = [bos + ids[i : i + step] for i in range(0, len(ids), step)]
        return [window for window in cut if len(window) > 1]

    def rows(self, model, windows, *options):
        """log-softmax of every position that something follows, and what follows."""
        said = eval_logits.eval_logits(model, windows, options)
        kept = [said[f"logits.{i}"][:-1] for i in range(len(windows))]
        vocab = eval_logits.vocabulary(model)
        following = np.concatenate([window[1:] for window in windows])
        return log_softmax(np.concatenate(kept)[:, :vocab]), following


class PerplexityTest(EvalTextTest):
    def check(self, model, bos):
        ids = self.ids_of(model)
        windows = self.windows(ids, bos)
        log_p, following = self.rows(model, windows)
        nll = -log_p[np.arange(len(following)), following]
        got = self.found("perplexity", model, "--context", CONTEXT)
        self.assertEqual(got["tokens"], len(nll))
        self.assertEqual(got["windows"], len(windows))
        self.assertEqual(got["window_length"], CONTEXT)
        self.assertAlmostEqual(got["nll"], nll.mean(), delta=LOGPROB_ERROR)
        self.assertAlmostEqual(got["perplexity"] / np.exp(nll.mean()), 1, delta=2 * LOGPROB_ERROR)
        error = np.exp(nll.mean()) * nll.std(ddof=1) / np.sqrt(len(nll))
        self.assertAlmostEqual(got["perplexity_error"] / error, 1, delta=1e-4)
        return got

    def test_is_that_of_the_logits(self):
        got = self.check(program.TINY, [0])
        self.assertGreater(got["windows"], 3)
        lines = self.succeeds(
            "eval", "perplexity", program.TINY, "--text", self.text, "--context", CONTEXT
        )
        self.assertRegex(lines, rf"^perplexity {got['perplexity']:.4f} \u00b1 \d+\.\d{{4}}\n")
        self.assertIn(f"{got['tokens']} tokens in {got['windows']} windows of 48", lines)

    def test_without_bos_the_first_of_a_window_is_not_scored(self):
        def without_bos(text):
            return text.replace('"add_bos_token": true', '"add_bos_token": false')

        self.check(self.model_with("no-bos", {"tokenizer_config.json": without_bos}), [])

    def test_is_the_same_for_every_layout_thread_and_chunk(self):
        command = ("perplexity", program.TINY, "--context", CONTEXT)
        want = self.found(*command)
        for options in (
            ("--layout", "experts=3,attention=2,routers=2"),
            ("--threads", 2, "--chunk", 7),
            ("--level", "reference"),
        ):
            self.assertEqual(self.found(*command, *options), want, options)

    def test_the_first_windows_only_and_standard_input(self):
        command = ("eval", "perplexity", program.TINY, "--context", CONTEXT, "--json")
        two = json.loads(
            self.succeeds(*command, "--windows", 2, "--text", "-", stdin=TEXT.encode())
        )
        self.assertEqual((two["windows"], two["tokens"]), (2, 2 * (CONTEXT - 1)))

    def test_mistakes(self):
        command = ("eval", "perplexity", program.TINY)
        self.fails(program.USAGE, 1004, "--text FILE", *command)
        says = ["nowhere.txt", "Name a file"]
        self.fails(program.USAGE, 1103, says, *command, "--text", "nowhere.txt")
        latin = self.file("latin.txt", b"caf\xe9")
        self.fails(program.USAGE, 1103, ["latin.txt", "3"], *command, "--text", latin)
        empty = self.file("empty.txt", "")
        self.fails(program.USAGE, 1103, ["empty.txt", "0 tokens"], *command, "--text", empty)
        long = ("--text", self.text, "--context", 5000)
        self.fails(program.USAGE, 1102, ["5000", "4096"], *command, *long)

        def one_position(config):
            return config.replace('"max_position_embeddings": 4096', '"max_position_embeddings": 1')

        short = self.model_with("one-position", {"config.json": one_position})
        says = "the model has 1 position; a text needs 2"
        self.fails(program.USAGE, 1102, says, "eval", "perplexity", short, "--text", self.text)
        bare = os.path.join(program.GOLDENS, "v3-mini", "model")
        says = "tokenizer.json"
        self.fails(program.MODEL, 4005, says, "eval", "perplexity", bare, "--text", self.text)

    def test_shows_progress_and_stops(self):
        long = self.file("long.txt", TEXT * 2000)  # not done before a busy machine has read a line
        child = program.start("eval", "perplexity", program.TINY, "--text", long)
        with child:
            lines = iter(lambda: child.stderr.readline().decode(), "")
            scoring = next((line for line in lines if line.startswith("scoring")), "")
            self.assertRegex(scoring, r"^scoring +\d")
            child.send_signal(signal.SIGINT)
            eventually(lambda: child.poll() is not None, "the end")
            self.assertEqual(child.returncode, program.INTERRUPTED)
            self.assertEqual(child.stdout.read(), b"")


class KlTest(EvalTextTest):
    def test_is_that_of_the_logits(self):
        windows = self.windows(self.ids_of(program.TINY), [0])
        log_p, following = self.rows(program.TINY, windows)
        for form in ("int4", "int8"):
            with self.subTest(form):
                model = self.quantised(form)
                log_q, _ = self.rows(model, windows)
                kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
                got = self.found("kl", model, "--against", program.TINY, "--context", CONTEXT)
                self.assertEqual(got["tokens"], len(kl))
                self.assertGreater(kl.mean(), 0)
                for name, want in (
                    ("kl", kl.mean()),
                    ("kl_error", kl.std(ddof=1) / np.sqrt(len(kl))),
                    ("kl_max", kl.max()),
                    ("same_top", (log_p.argmax(axis=1) == log_q.argmax(axis=1)).mean()),
                    ("nll", -log_q[np.arange(len(kl)), following].mean()),
                    ("reference_nll", -log_p[np.arange(len(kl)), following].mean()),
                ):
                    self.assertAlmostEqual(got[name], want, delta=1e-9, msg=name)

    def test_a_model_is_no_distance_from_itself(self):
        got = self.found("kl", program.TINY, "--against", program.TINY)
        self.assertEqual((got["kl"], got["kl_max"], got["same_top"]), (0, 0, 1))
        self.assertEqual(got["perplexity"], got["reference_perplexity"])

    def test_modes_of_one_model(self):
        windows = self.windows(self.ids_of(program.TINY), [0])
        int8 = self.quantised("int8")
        for model, mode, other in ((program.TINY, "fp8-act", "f32"), (int8, "int8-act", "bf16")):
            with self.subTest(mode):
                modes = ("--mode", mode, "--against-mode", other)
                got = self.found("kl", model, *modes, "--context", CONTEXT)
                self.assertEqual((got["mode"], got["reference_mode"]), (mode, other))
                log_p, _ = self.rows(model, windows, "--mode", other)
                log_q, _ = self.rows(model, windows, "--mode", mode)
                kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
                self.assertGreater(got["kl"], 0)
                self.assertAlmostEqual(got["kl"], kl.mean(), delta=1e-9)

    def test_caches_of_one_model(self):
        caches = ("--kv-cache", "fp8", "--against-kv-cache", "auto")
        got = self.found("kl", program.TINY, *caches, "--context", CONTEXT)
        self.assertEqual((got["kv_cache"], got["reference_kv_cache"]), ("fp8", "auto"))
        self.assertEqual((got["mode"], got["reference_mode"]), ("bf16", "bf16"))
        windows = self.windows(self.ids_of(program.TINY), [0])
        log_p, _ = self.rows(program.TINY, windows)
        log_q, _ = self.rows(program.TINY, windows, "--kv-cache", "fp8")
        kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
        self.assertGreater(got["kl"], 0)
        self.assertAlmostEqual(got["kl"], kl.mean(), delta=1e-9)

    def test_text_for_people(self):
        lines = self.succeeds(
            "eval", "kl", self.quantised("int4"), "--against", program.TINY, "--text", self.text
        )
        self.assertRegex(
            lines,
            r"^mean KL \d\.\d{6} \u00b1 \d\.\d{6} nats, largest \d+\.\d{6}; same top token "
            r"\d+\.\d\d%\nperplexity .* reference .*\n\d+ tokens in \d+ windows of 512\n$",
        )

    def test_other_tokenizers_are_refused(self):
        command = ("eval", "kl", program.TINY, "--text", self.text, "--against")

        def renamed(text):
            return text.replace("<\uff5cUser\uff5c>", "<\uff5cHuman\uff5c>")

        other = self.model_with("renamed", {"tokenizer.json": renamed})
        says = ["another tokenizer", "<\uff5cHuman\uff5c>"]
        self.fails(program.USAGE, 1003, says, *command, other)

        def fewer_merges(text):
            tokenizer = json.loads(text)
            tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:40]
            return json.dumps(tokenizer)

        other = self.model_with("merges", {"tokenizer.json": fewer_merges})
        self.fails(program.USAGE, 1003, "the ids of the text differ", *command, other)

    def test_mistakes(self):
        command = ("eval", "kl", program.TINY)
        self.fails(program.USAGE, 1004, "--against DIR2", *command, "--text", self.text)
        against = (*command, "--against", program.TINY)
        self.fails(program.USAGE, 1004, "--text FILE", *against)
        nowhere = (*command, "--against", "nowhere", "--text", self.text)
        self.fails(program.MODEL, 4001, "nowhere", *nowhere)


if __name__ == "__main__":
    unittest.main()
