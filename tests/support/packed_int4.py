"""Writes AWQ and GPTQ forms of checkpoints with numpy, and the values that these stand for."""

import dataclasses
import json
import os

import numpy as np

from tests.goldens.tools import oracle
from tests.support import safetensors

# The output that nibble j of an AWQ word belongs to, of the word's 8.
AWQ_OUTPUT = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclasses.dataclass(frozen=True)
class Form:
    """One way to quantise. `left_out`: parts of names of modules that stay as they are."""

    method: str
    group: int = 128
    sym: bool = False
    gptq_v2: bool = False
    desc_act: bool = False
    scales: str = "F16"
    left_out: tuple = ()

    def group_of(self, inputs):
        return inputs if self.group == -1 else self.group

    def quantization_config(self, left_out):
        config = {"quant_method": self.method, "bits": 4, "group_size": self.group}
        if self.method == "awq":
            config |= {"version": "gemm", "zero_point": True}
            return config | {"modules_to_not_convert": list(left_out)}
        config |= {"desc_act": self.desc_act, "sym": self.sym, "static_groups": False}
        return config | {"checkpoint_format": "gptq_v2" if self.gptq_v2 else "gptq"}


FORMS = {
    "awq": Form("awq"),
    "awq-32": Form("awq", 32, left_out=("self_attn.o_",)),
    "awq-row": Form("awq", -1, scales="BF16"),
    "gptq": Form("gptq", sym=True),
    "gptq-asym": Form("gptq", 64),
    "gptq-v2": Form("gptq", 32, gptq_v2=True),
    "gptq-desc-act": Form("gptq", 32, desc_act=True),
    "gptq-v2-desc-act": Form("gptq", 128, gptq_v2=True, desc_act=True),
}


def words(codes):
    """Codes [..., 8] as I32 [...]: code j at bits 4j to 4j + 3."""
    shifted = codes.astype(np.uint32) << np.arange(0, 32, 4, dtype=np.uint32)
    return np.bitwise_or.reduce(shifted, axis=-1).view(np.int32)


def rounded(scales, dtype):
    """(what is stored, what it is worth in F32)."""
    if dtype == "F16":
        stored = np.maximum(scales, 2.0**-24).astype(np.float16)  # the least F16, for zeros
        return stored, stored.astype(np.float32)
    stored = (np.maximum(scales, 2.0**-100).astype(np.float32).view(np.uint32) >> 16).astype("u2")
    return stored, (stored.astype(np.uint32) << 16).view(np.float32)


def quantise(weight, form, rng):
    """({part: (dtype, array)}, values F32) of a weight [outputs, inputs]."""
    matrix = np.asarray(weight, np.float64).T
    inputs, outputs = matrix.shape
    group = form.group_of(inputs)
    order = rng.permutation(inputs) if form.desc_act else np.arange(inputs)
    g_idx = np.empty(inputs, np.int32)
    g_idx[order] = np.arange(inputs) // group
    groups = g_idx.max() + 1
    low = np.stack([np.minimum(matrix[g_idx == g].min(axis=0), 0) for g in range(groups)])
    high = np.stack([np.maximum(matrix[g_idx == g].max(axis=0), 0) for g in range(groups)])
    if form.sym:
        stored, scales = rounded(np.maximum(-low, high) / 7.5, form.scales)
        zeros = np.full((groups, outputs), 8)
    else:
        stored, scales = rounded((high - low) / 15, form.scales)
        # GPTQ's first form stores zero points less one, so it has no 0.
        least = 1 if form.method == "gptq" and not form.gptq_v2 else 0
        zeros = np.clip(np.rint(-low / scales), least, 15).astype(np.int64)
    codes = np.clip(np.rint(matrix / scales[g_idx]) + zeros[g_idx], 0, 15).astype(np.int64)
    values = (codes - zeros[g_idx]).astype(np.float32) * scales[g_idx]
    if form.method == "awq":
        parts = {
            "qweight": ("I32", words(codes.reshape(inputs, -1, 8)[..., AWQ_OUTPUT])),
            "qzeros": ("I32", words(zeros.reshape(groups, -1, 8)[..., AWQ_OUTPUT])),
        }
    else:
        less = zeros if form.gptq_v2 else zeros - 1
        parts = {
            "qweight": ("I32", words(codes.reshape(-1, 8, outputs).transpose(0, 2, 1))),
            "qzeros": ("I32", words(less.reshape(groups, -1, 8))),
            "g_idx": ("I32", g_idx),
        }
    return parts | {"scales": (form.scales, stored)}, values.T


def is_linear(name):
    linear = name.endswith(("_proj.weight", "_with_mqa.weight"))
    return linear and not name.endswith("eh_proj.weight")


def write_model(folder, source, tensors, quantisation):
    os.makedirs(folder)
    config = dict(source.config)
    config.pop("quantization_config", None)
    if quantisation:
        config["quantization_config"] = quantisation
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    safetensors.write(os.path.join(folder, "model.safetensors"), tensors)


def write(source, form, packed, plain=None, seed=7):
    """Writes the checkpoint `source` in `form` to the new folder `packed`, and with F32 linear
    layers of the same values to `plain`. Layers whose inputs are no multiple of 32 become F32."""
    checkpoint, rng = oracle.Checkpoint(source), np.random.default_rng(seed)
    tensors, values, left_out = {}, {}, set(form.left_out)
    for name in sorted(checkpoint.entries):
        if name.endswith("_scale_inv"):
            continue
        buffer, dtype, shape, begin, end = checkpoint.entries[name]
        if not is_linear(name):
            raw = np.frombuffer(buffer[begin:end], safetensors.numpy_dtype(dtype)).reshape(shape)
            tensors[name] = values[name] = (dtype, raw)
            continue
        module = name.removesuffix(".weight")
        if shape[1] % 32 or any(part in name for part in form.left_out):
            tensors[name] = values[name] = ("F32", checkpoint.weight(name).astype(np.float32))
            if not any(part in name for part in form.left_out):
                left_out.add(module)
            continue
        parts, array = quantise(checkpoint.weight(name), form, rng)
        values[name] = ("F32", array)
        tensors |= {f"{module}.{part}": tensor for part, tensor in parts.items()}
    write_model(packed, checkpoint, tensors, form.quantization_config(sorted(left_out)))
    if plain:
        write_model(plain, checkpoint, values, None)
