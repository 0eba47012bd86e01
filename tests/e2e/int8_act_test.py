#!/usr/bin/env python3
"""Mode int8-act on quantised checkpoints: the logits of an oracle that knows only docs/adr.

A row whose codes are all the oracle's differs from it by roundings to F32. Where a value lies at
the border of two BF16 or INT8 values, one of both may take the other side; that row, and rows that
attend to it, then differ by noise like that of mode bf16. Most rows of short sequences have no such
value, so most must be as near as mode f32 is to its oracle, and none further than mode bf16's may.
"""

import dataclasses
import os
import unittest

from tests.support import requirement

requirement.require_numpy()

import numpy as np  # noqa: E402

from tests.e2e import golden_check  # noqa: E402
from tests.goldens.tools import oracle  # noqa: E402
from tests.support import eval_logits, int8_oracle, program  # noqa: E402

FORMS = ("int8", "int8-channel", "int4", "int4-all")
PRESETS = ("v3-mini", "moonlight-mini", "kimi-mini")
SHORT = 3  # tokens; the first of a sequence attends to itself alone and does not need W_UK
# Behind each bound: what was seen when this was written.
NEAR_SHARE_MIN = 0.75  # of short rows: 0.82 to 0.99
NEAR_SHARE_OF_MISTAKES_MAX = 0.1  # 0.005
TOP_SHARE_MIN = 0.98  # of all rows: 0.99
KL_SHARE_MAX = 0.1  # of the KL between modes int8-act and bf16: 0.05
MISTAKEN_SEQUENCES = 40  # enough for a mistake, of 100

RIGHT = int8_oracle.Definition()
MISTAKES = {
    "linears without quantised inputs": {"linears": False},
    "a scale of every 64 columns": {"block": 64},
    "a scale of every 256 columns": {"block": 256},
    "W_UK in BF16": {"derived": ("w_uv", "head")},
    "W_UV in BF16": {"derived": ("w_uk", "head")},
    "the head in BF16": {"derived": ("w_uk", "w_uv")},
}


def mean_kl(want, got):
    log_p, log_q = oracle.log_softmax(want), oracle.log_softmax(got)
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def apart(got, want):
    """Largest difference of each row, in the unit of the goldens."""
    return np.abs(got - want).max(axis=1) / want.std()


class Int8ActTest(program.ProgramTest):
    def quantised(self, preset, form):
        """(checkpoint, its short sequences, a long one)."""
        self.preset = golden_check.Preset(os.path.join(program.GOLDENS, preset))
        tokens = self.preset.arrays["s300.tokens"].tolist()
        model = self.path(f"{preset}-{form}")
        self.succeeds("model", "quantize", "--to", form, self.preset.model, model)
        return model, [tokens[i : i + SHORT] for i in range(0, len(tokens), SHORT)], tokens

    def computed(self, model, sequences, mode):
        out = eval_logits.eval_logits(model, sequences, ("--mode", mode))
        rows = np.concatenate([out[f"logits.{i}"] for i in range(len(sequences))])
        self.assertTrue(np.isfinite(rows).all())
        return rows.astype(np.float64)

    def near_share(self, got, want):
        """Share of short rows with a past that differ by no more than mode f32 may."""
        near = apart(got, want) <= self.preset.tolerance("f32")
        return float(near[np.arange(len(near)) % SHORT > 0].mean())

    def test_logits_are_those_of_the_oracle(self):
        for preset in PRESETS:
            for form in FORMS:
                with self.subTest(f"{preset} {form}"):
                    model, short, long = self.quantised(preset, form)
                    got = self.computed(model, [*short, long], "int8-act")
                    want, margins = int8_oracle.Model(model).rows([*short, long])
                    shorts = slice(0, sum(map(len, short)))
                    share = self.near_share(got[shorts], want[shorts])
                    self.assertGreaterEqual(share, NEAR_SHARE_MIN)
                    clear = margins >= golden_check.ROW_MARGIN_MIN
                    self.assertGreater(clear.mean(), 0.9)
                    furthest = apart(got, want)[clear].max()
                    self.assertLessEqual(furthest, self.preset.tolerance("bf16"))
                    same_top = (got.argmax(axis=1) == want.argmax(axis=1)).mean()
                    self.assertGreaterEqual(same_top, TOP_SHARE_MIN)
                    plain = self.computed(model, short, "bf16")
                    of_mode = mean_kl(plain, got[shorts])
                    kl = mean_kl(want[shorts], got[shorts])
                    self.assertLessEqual(kl, KL_SHARE_MAX * of_mode)

    def test_an_oracle_with_a_mistake_is_another_mode(self):
        for form in FORMS:
            model, short, _ = self.quantised("v3-mini", form)
            del short[MISTAKEN_SEQUENCES:]
            got = self.computed(model, short, "int8-act")
            for name, fields in MISTAKES.items():
                with self.subTest(f"{form}: {name}"):
                    mistake = dataclasses.replace(RIGHT, **fields)
                    want, _ = int8_oracle.Model(model, mistake).rows(short)
                    self.assertLess(self.near_share(got, want), NEAR_SHARE_OF_MISTAKES_MAX)

    def test_without_int8_the_oracle_is_mode_bf16(self):
        for form in FORMS:
            with self.subTest(form):
                model, short, _ = self.quantised("v3-mini", form)
                got = self.computed(model, short, "bf16")
                want, _ = int8_oracle.Model(model, int8_oracle.BF16_MODE).rows(short)
                self.assertGreaterEqual(self.near_share(got, want), NEAR_SHARE_MIN)


if __name__ == "__main__":
    unittest.main()
