#!/usr/bin/env python3
"""What quantising costs on a fixed text: below its bounds, and what document and program say."""

import functools
import json
import os
import re
import tempfile
import unittest

from tests.support import program

TEXT = os.path.join(program.GOLDENS, "text", "troupe-tiny.txt")
DOCUMENT = os.path.join(program.SOURCE, "docs", "performance.md")
# Nats: 1.5 times what kernel numerics version 3 has, of weights alone and with --mode int8-act.
KL_MAX = {
    "int8-channel": (0.0012, 0.0028),
    "int8": (0.0016, 0.0029),
    "int4": (0.0114, 0.0118),
    "int4-all": (0.0319, 0.0327),
}
INT8_ROWS = ("--mode", "int8-act", "--against-mode", "bf16")
FP8_ROWS = ("--mode", "fp8-act", "--against-mode", "bf16")


def table():
    """The rows of "What quantising costs" as lists of cells."""
    with open(DOCUMENT, encoding="utf-8") as file:
        section = file.read().split("\n## What quantising costs\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


class QuantisingCostsTest(program.ProgramTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="troupe-costs-")
        cls.addClassCleanup(folder.cleanup)
        cls.models = {"fp8": program.TINY}
        for form in KL_MAX:
            cls.models[form] = os.path.join(folder.name, form)
            done = program.run("model", "quantize", "--to", form, program.TINY, cls.models[form])
            assert done.returncode == 0, done.stderr

    @classmethod
    @functools.cache  # tests ask for the same ones
    def measured(cls, form, *flags):
        """What `eval kl` says of the text."""
        done = program.run("eval", "kl", cls.models[form], *flags, "--text", TEXT, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def against_fp8(self, form, *flags):
        return self.measured(form, "--against", program.TINY, *flags)

    def assert_shown(self, shown, value, what):
        """That `shown` is `value` to the digits it has."""
        digits = len(shown.partition(".")[2])
        self.assertAlmostEqual(float(shown), value, delta=0.5001 * 10**-digits, msg=what)

    def test_kl_of_each_format_stays_below_its_bound(self):
        for form, (weights_max, inputs_max) in KL_MAX.items():
            for flags, bound in (((), weights_max), (INT8_ROWS, inputs_max)):
                with self.subTest(form=form, flags=flags):
                    kl = self.against_fp8(form, *flags)["kl"]
                    self.assertGreater(kl, 0)
                    self.assertLess(kl, bound)

    def test_the_document_has_what_is_measured(self):
        rows, form = table(), None
        for label, size, kl, of_inputs, same_top, perplexity in rows:
            flags = tuple(re.findall(r"--(?!to )\S+ [\w-]+(?=[ `])", label))
            flags = tuple(word for flag in flags for word in flag.split())
            if "FP8 as it is" in label:
                form, got = "fp8", self.measured("fp8", *flags)
            else:
                form = re.search(r"--to ([\w-]+)|$", label)[1] or form
                got = self.against_fp8(form, *(flags and INT8_ROWS))
            with self.subTest(label):
                self.assert_shown(size, self.mebibytes(form), "weight files")
                self.assert_shown(kl, got["kl"], "mean KL")
                self.assert_shown(same_top.rstrip("%"), 100 * got["same_top"], "same top token")
                self.assert_shown(perplexity, got["perplexity"], "perplexity")
                self.assertEqual(bool(of_inputs), flags[1:2] == ("int8-act",))
                if of_inputs:
                    self.assert_shown(of_inputs, self.measured(form, *INT8_ROWS)["kl"], "inputs")
        self.assertEqual(len(rows), 2 * len(KL_MAX) + 4)

    def mebibytes(self, form):
        """Of the weight files of a model."""
        model = self.models[form]
        names = [name for name in os.listdir(model) if name.endswith(".safetensors")]
        return sum(os.path.getsize(os.path.join(model, name)) for name in names) / 2**20

    def test_the_program_says_what_is_measured(self):
        modes = {form: INT8_ROWS for form in KL_MAX} | {"fp8": FP8_ROWS}
        for form, flags in modes.items():
            with self.subTest(form):
                command = ("run", "a", "--max-tokens", 1, "--model", self.models[form], *flags[:2])
                said = program.run(*command).stderr.decode()
                shown = re.search(r"mean KL of about (\d\.\d{4}) nats on the bundled model", said)
                self.assertIsNotNone(shown, said)
                self.assert_shown(shown[1], self.measured(form, *flags)["kl"], said)


if __name__ == "__main__":
    unittest.main()
