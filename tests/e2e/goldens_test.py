#!/usr/bin/env python3
"""Runs the program on the mini checkpoints of tests/goldens: goldens_test.py PRESET MODE."""

import filecmp
import os
import shutil
import sys
import tempfile
import unittest

from tests.support import requirement

requirement.require_numpy()

from tests.e2e import golden_check  # noqa: E402
from tests.support import eval_logits  # noqa: E402

GOLDENS = os.path.join(os.environ["TROUPE_SOURCE_DIR"], "tests", "goldens")


class GoldensTest(unittest.TestCase):
    preset_name, mode = "v3-mini", "f32"

    @classmethod
    def setUpClass(cls):
        cls.preset = golden_check.Preset(os.path.join(GOLDENS, cls.preset_name))
        cls.out = golden_check.run(cls.preset, cls.mode)

    def check(self, problems):
        found = list(problems)
        self.assertFalse(found, "\n".join(found))

    def test_logits_are_within_the_tolerance(self):
        self.check(golden_check.logits_problems(self.preset, self.mode, self.out))

    def test_last_positions_have_the_same_argmax(self):
        self.check(golden_check.argmax_problems(self.preset, self.mode, self.out))

    def test_greedy_tokens_and_log_probabilities_are_equal(self):
        self.check(golden_check.greedy_problems(self.preset, self.mode, self.out))

    def test_arrays_agree_with_each_other(self):
        self.check(golden_check.consistency_problems(self.preset, self.out))

    def test_prompts_alone_give_the_same_logits(self):
        out = eval_logits.eval_logits(self.preset.model, self.preset.tokens, ("--mode", self.mode))
        names = [f"logits.{i}" for i in range(len(self.preset.tokens))]
        self.assertEqual(sorted(out), names)
        for name in names:
            self.assertEqual(out[name].tobytes(), self.out[name].tobytes(), name)

    def test_other_spellings_of_the_config_give_the_same_bits(self):
        variants = os.path.join(self.preset.path, "config_variants")
        for name in sorted(os.listdir(variants)) if os.path.isdir(variants) else []:
            with tempfile.TemporaryDirectory(prefix="troupe-variant-") as folder:
                model = os.path.join(folder, "model")
                shutil.copytree(self.preset.model, model)
                config, spelling = os.path.join(model, "config.json"), os.path.join(variants, name)
                self.assertFalse(filecmp.cmp(config, spelling, shallow=False), name)
                shutil.copyfile(spelling, config)
                out = golden_check.run(self.preset, self.mode, model)
                for key, array in self.out.items():
                    self.assertEqual(out[key].tobytes(), array.tobytes(), f"{name}: {key}")


if __name__ == "__main__":
    GoldensTest.preset_name, GoldensTest.mode = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
