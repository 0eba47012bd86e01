#!/usr/bin/env python3
"""`troupe model quantize`: what it writes, decoded with numpy, and being killed in the middle."""

import json
import os
import shutil
import signal
import unittest

from tests.support import requirement

requirement.require_numpy()

import numpy as np  # noqa: E402

from tests.support import eval_logits, program, safetensors  # noqa: E402
from tests.support.poll_until import eventually  # noqa: E402

V3 = os.path.join(program.GOLDENS, "v3-mini", "model")
FORMATS = ("int8", "int8-channel", "int4", "int4-all")
TOLERANCE = 1e-4  # of the standard deviation, as tests/goldens has it for mode f32
SEQUENCES = [[0, 5, 17, 99, 3, 250, 41, 7, 7, 160], list(range(2, 90))]
EDGE = 128


def shards(model):
    return sorted(name for name in os.listdir(model) if name.endswith(".safetensors"))


def read_tensors(model):
    """Name -> (dtype, array) over all files."""
    tensors = {}
    for name in shards(model):
        path = os.path.join(model, name)
        header, _ = safetensors.read_header(path)
        for key, array in safetensors.read(path).items():
            tensors[key] = (header[key]["dtype"], array)
    return tensors


def floats(tensor):
    dtype, array = tensor
    return (array.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else array


def unpack(words, cols):
    nibbles = words.view(np.uint32)[:, :, None] >> np.arange(0, 32, 4, dtype=np.uint32)
    return ((nibbles & 15).astype(np.int32) - 8).reshape(len(words), -1)[:, :cols]


def dequantised(tensors):
    """The same tensors with every linear layer as F32 and no scales."""
    plain = {}
    for name, (dtype, array) in tensors.items():
        base = name.removesuffix("_packed")
        if name.endswith((".weight_scale", ".weight_scale_inv", ".weight_shape")):
            continue
        if dtype == "I32":
            codes = unpack(array, int(tensors[base + "_shape"][1][1]))
            scale = np.repeat(floats(tensors[base + "_scale"]), 32, axis=1)[:, : codes.shape[1]]
        elif dtype == "I8" and base + "_scale" in tensors:
            codes, scale = array, floats(tensors[base + "_scale"])
        elif dtype == "I8":
            codes, blocks = array, floats(tensors[base + "_scale_inv"])
            scale = blocks.repeat(EDGE, axis=0).repeat(EDGE, axis=1)
            scale = scale[: codes.shape[0], : codes.shape[1]]
        else:
            plain[name] = (dtype, array)
            continue
        plain[base] = ("F32", codes.astype(np.float32) * scale)
    return plain


class QuantizeTest(program.ProgramTest):
    def quantised(self, form, source=V3):
        out = self.path(form)
        self.succeeds("model", "quantize", "--to", form, source, out)
        return out

    def write_plain(self, model):
        """The dequantised form of `model` as a checkpoint of its own."""
        out = self.path("plain")
        shutil.rmtree(out, ignore_errors=True)
        os.mkdir(out)
        with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        del config["quantization_config"]
        self.file("plain/config.json", json.dumps(config))
        plain = dequantised(read_tensors(model))
        safetensors.write(os.path.join(out, "model.safetensors"), plain)
        return out

    def test_computes_with_the_weights_that_numpy_decodes(self):
        for form in FORMATS:
            with self.subTest(form):
                model = self.quantised(form)
                options = ("--mode", "f32")
                got = eval_logits.eval_logits(model, SEQUENCES, options)
                want = eval_logits.eval_logits(self.write_plain(model), SEQUENCES, options)
                for name, array in want.items():
                    self.assertTrue(np.isfinite(got[name]).all(), name)
                    apart = np.abs(got[name].astype(np.float64) - array).max() / np.std(array)
                    self.assertLessEqual(apart, TOLERANCE, name)

    def test_formats_have_fingerprints_of_their_own(self):
        found = set()
        for form in FORMATS:
            page = json.loads(self.succeeds("model", "inspect", self.quantised(form), "--json"))
            found.add(page["revision"])
            self.assertEqual(page["config"]["weight_format"], form.removesuffix("-all"))
        self.assertEqual(len(found), len(FORMATS))

    def test_goes_on_after_being_killed(self):
        for form in FORMATS:
            with self.subTest(form):
                whole, out = self.quantised(form, program.TINY), self.path(form + "-killed")
                child = program.start("model", "quantize", "--to", form, program.TINY, out)
                with child:
                    partial = lambda: os.path.isdir(out) and any(  # noqa: E731
                        name.endswith((".partial", ".safetensors")) for name in os.listdir(out)
                    )
                    eventually(lambda: partial() or child.poll() is not None, "a file begun")
                    child.send_signal(signal.SIGKILL)
                self.succeeds("model", "quantize", "--to", form, program.TINY, out)
                self.assertEqual(sorted(os.listdir(out)), sorted(os.listdir(whole)))
                for name in os.listdir(whole):
                    with open(os.path.join(whole, name), "rb") as a:
                        with open(os.path.join(out, name), "rb") as b:
                            self.assertEqual(a.read(), b.read(), name)


if __name__ == "__main__":
    unittest.main()
