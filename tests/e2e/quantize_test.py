#!/usr/bin/env python3
"""`troupe model quantize`: what it writes, decoded with numpy; being killed; its memory."""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import unittest

from tests.support import requirement

requirement.require_numpy()

import numpy as np  # noqa: E402

from tests.goldens.tools import make_model  # noqa: E402
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


class QuantizeMemoryTest(program.ProgramTest):
    """Of 294 MiB: 2 routed experts and a shared one whose weights have 32 MiB of codes each."""

    # What was found to be enough is 18 MiB (INT8) and 20 (INT4): of these 128 rows in F32 are 8, a
    # band of INT8 codes or the scales of a whole INT4 weight 2, and the program itself takes 8. A
    # whole weight, be it in INT4 (16 MiB), is too much.
    PRIVATE_MAX = 32 << 20

    def write_sparse(self, folder):
        """Codes are holes in the file, which read as zeros; scales are 1. Gives its bytes."""
        config = json.loads(json.dumps(make_model.PRESETS["v3-mini"]))
        config.update(hidden_size=2048, moe_intermediate_size=16384, num_hidden_layers=2,
                      num_nextn_predict_layers=0, n_routed_experts=2, num_experts_per_tok=1,
                      n_group=1, topk_group=1, _make={"quant": "fp8", "anchors": False})
        maker = make_model.Maker(config)
        header, scales, end = {}, {}, 0
        for name, dtype, shape, _ in maker.plan():
            count = int(np.prod(shape))
            begin, end = end, end + count * np.dtype(safetensors.numpy_dtype(dtype)).itemsize
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
            if name.endswith("_scale_inv"):
                scales[begin] = np.ones(count, "<f4").tobytes()
        text = json.dumps(header).encode()
        start = 8 + len(text)
        os.makedirs(folder)
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for begin, ones in scales.items():
                file.seek(start + begin)
                file.write(ones)
            file.truncate(start + end)
        self.file(os.path.join(folder, "config.json"), json.dumps(maker.c))
        return start + end

    def limited(self):
        """Linux counts private writable mappings against this, not the mapped input."""
        resource.setrlimit(resource.RLIMIT_DATA, (self.PRIVATE_MAX, self.PRIVATE_MAX))

    def test_memory_beside_the_mapped_input_is_less_than_a_ninth_of_it(self):
        if program.has_sanitizer():
            self.skipTest("sanitizers reserve terabytes of address space")
        whole = f"bytearray({self.PRIVATE_MAX})"
        held = subprocess.run([sys.executable, "-c", whole], check=False, stderr=subprocess.DEVNULL,
                              preexec_fn=self.limited)
        self.assertNotEqual(held.returncode, 0, "this kernel does not hold anybody to the limit")
        source = self.path("source")
        self.assertGreater(self.write_sparse(source), 9 * self.PRIVATE_MAX)
        for form in FORMATS:
            with self.subTest(form):
                out = self.path(form)
                self.succeeds(
                    "model", "quantize", "--to", form, source, out, preexec_fn=self.limited
                )
                self.assertIn("config.json", os.listdir(out))
                shutil.rmtree(out)


if __name__ == "__main__":
    unittest.main()
