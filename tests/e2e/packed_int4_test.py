#!/usr/bin/env python3
"""AWQ and GPTQ checkpoints: the logits of the weights they stand for, inspect, cast, quantize."""

import json
import os
import unittest

from tests.support import requirement

requirement.require_numpy()

import numpy as np  # noqa: E402

from tests.e2e import golden_check  # noqa: E402
from tests.goldens.tools import oracle  # noqa: E402
from tests.support import eval_logits, packed_int4, program, safetensors  # noqa: E402

V3 = os.path.join(program.GOLDENS, "v3-mini")
SEQUENCES = ("s17", "s129")


def apart(got, want):
    """Largest difference in standard deviations, the unit of the goldens."""
    return float(np.abs(got.astype(np.float64) - want).max() / np.std(want))


def oracle_logits(model, tokens):
    """(logits, the smallest router margin of each row) in float64."""
    reference, taps = oracle.Model(model), []
    logits = reference.logits(reference.forward(list(tokens), taps=taps))
    return logits, np.min([tap["margin"] for tap in taps if "margin" in tap], axis=0)


class PackedInt4Test(program.ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.preset = golden_check.Preset(V3)
        cls.tokens = [cls.preset.arrays[f"{name}.tokens"] for name in SEQUENCES]

    def written(self, name):
        packed, plain = self.path(name), self.path(name + "-plain")
        packed_int4.write(self.preset.model, packed_int4.FORMS[name], packed, plain)
        return packed, plain

    def test_logits_are_those_of_the_weights_it_stands_for(self):
        for name, form in packed_int4.FORMS.items():
            with self.subTest(name):
                packed, plain = self.written(name)
                got = eval_logits.eval_logits(packed, self.tokens, ("--mode", "f32"))
                rounding = eval_logits.eval_logits(packed, self.tokens, ("--mode", "bf16"))
                same = eval_logits.eval_logits(plain, self.tokens, ("--mode", "f32"))
                for i, tokens in enumerate(self.tokens):
                    want, margin = oracle_logits(plain, tokens)
                    rows = got[f"logits.{i}"]
                    self.assertLessEqual(apart(rows, want), self.preset.tolerance("f32"))
                    clear = margin >= golden_check.ROW_MARGIN_MIN
                    self.assertGreater(clear.sum(), len(tokens) / 2)
                    self.assertLessEqual(
                        apart(rounding[f"logits.{i}"][clear], want[clear]),
                        self.preset.tolerance("bf16"),
                    )
                    if not form.desc_act:  # which adds the same products in another order
                        self.assertEqual(rows.tobytes(), same[f"logits.{i}"].tobytes())

    def test_inspect_names_the_form_and_counts_parameters(self):
        plain = json.loads(self.succeeds("model", "inspect", self.preset.model, "--json"))
        revisions = {plain["revision"]}
        for name in ("awq", "gptq", "gptq-v2-desc-act"):
            packed, _ = self.written(name)
            page = json.loads(self.succeeds("model", "inspect", packed, "--json"))
            revisions.add(page["revision"])
            self.assertEqual(page["config"]["weight_format"], packed_int4.FORMS[name].method)
            self.assertEqual(page["total"]["parameters"], plain["total"]["parameters"])
            self.assertEqual(page["roles"]["unused"]["tensors"], 0)
            text = self.succeeds("model", "inspect", packed)
            self.assertIn(f"{packed_int4.FORMS[name].method.upper()}, groups of 128", text)
            self.assertEqual("desc_act" in text, packed_int4.FORMS[name].desc_act)
        self.assertEqual(len(revisions), 4)

    def test_cast_writes_the_values_as_bf16(self):
        for name in ("awq", "gptq-desc-act"):
            packed, plain = self.written(name)
            out = self.path(name + "-bf16")
            self.succeeds("model", "cast", "--to", "bf16", packed, out)
            got = safetensors.read(os.path.join(out, "model.safetensors"))
            want = safetensors.read(os.path.join(plain, "model.safetensors"))
            stored = safetensors.read(os.path.join(packed, "model.safetensors"))
            self.assertEqual(sorted(got), sorted(want))
            for key, array in got.items():
                if key in stored:  # left out, a norm, the embedding: as it was
                    self.assertEqual(array.tobytes(), stored[key].tobytes(), key)
                    continue
                bits = want[key].view(np.uint32).astype(np.uint64)
                rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
                self.assertTrue((array == rounded).all(), key)
            page = json.loads(self.succeeds("model", "inspect", out, "--json"))
            self.assertEqual(page["config"]["weight_format"], "plain")

    def test_quantize_does_not_take_it(self):
        packed, _ = self.written("awq")
        words = ("model", "quantize", "--to", "int4", packed, self.path("out"))
        self.fails(program.USAGE, 1003, ["quantised already (awq)", "FP8 or BF16 form"], *words)

    def test_a_scale_that_is_no_number_is_named_at_load(self):
        packed, _ = self.written("gptq")
        path = os.path.join(packed, "model.safetensors")
        name = "model.layers.1.mlp.experts.3.up_proj.scales"
        index = 16 * 1 + 5  # group 1 of 16 features
        safetensors.flip_bits(path, name, index, 0x7C ^ self.high_byte(path, name, index))
        ids = self.file("ids.json", "[[1, 2, 3]]")
        words = ("eval", "logits", packed, "--ids-file", ids, "--out", self.path("out"))
        says = [name, "group 1, feature 5", "model.safetensors", "download it again"]
        self.fails(program.MODEL, 4002, says, *words)

    @staticmethod
    def high_byte(path, name, index):
        return safetensors.read(path)[name].reshape(-1)[index].view(np.uint16) >> 8 & 0xFF


if __name__ == "__main__":
    unittest.main()
