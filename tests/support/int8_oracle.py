"""Mode int8-act in float64: an oracle for the INT8 and INT4 checkpoints of `troupe model quantize`.

Narrower than float64 is only what docs/adr/0001 (its table of roundings) and 0005 round: values to
BF16, rows to INT8 with a scale of every 128 columns, W_UK, W_UV and the head to INT8 with a scale
of every output feature. Architecture, RoPE and routing are those of tests/goldens/tools/oracle.py.

Without the roundings to BF16 it would tell nothing: so many codes would fall the other way that its
logits would lie as far from the mode's as those of mode bf16.
"""

import dataclasses

import numpy as np

from tests.goldens.tools import oracle
from tests.support import safetensors

INT4_GROUP = 32  # columns that share a scale


@dataclasses.dataclass(frozen=True)
class Definition:
    """The mode; with another value of a field a mistake that a test has to notice."""

    block: int = 128  # columns of a row that share a scale
    linears: bool = True  # whether inputs of INT8 and INT4 weights are quantised
    derived: tuple = ("w_uk", "w_uv", "head")  # what is INT8 with INT8 inputs, the others are BF16


BF16_MODE = Definition(linears=False, derived=())


def bf16(x):
    """Nearest BF16 of the F32 of x, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def int8_rows(x, block):
    """x [..., width] as INT8 codes times an F32 scale for every `block` columns."""
    x, values = np.asarray(x, np.float32), np.empty(np.shape(x), np.float64)
    for begin in range(0, x.shape[-1], block):
        part = x[..., begin : begin + block]
        amax = np.abs(part).max(axis=-1, keepdims=True)
        scale = np.maximum(amax, np.float32(1e-10)) / np.float32(127)
        values[..., begin : begin + block] = np.rint(part / scale) * scale.astype(np.float64)
    return values


def int8_features(weight):
    """A weight [..., features, inputs] as INT8 codes times an F32 scale for each feature."""
    weight = np.asarray(weight, np.float32)
    amax = np.abs(weight).max(axis=-1, keepdims=True)
    scale = np.maximum(amax / np.float32(127), np.float32(2.0**-126))
    return np.rint(weight / scale) * scale.astype(np.float64)


class Checkpoint(oracle.Checkpoint):
    """Also reads I8 with scales of blocks or of output features, and compressed-tensors' INT4."""

    def quantised(self, name):
        return any(name + end in self.entries for end in ("_packed", "_scale", "_scale_inv"))

    def integers(self, name):
        buffer, dtype, shape, begin, end = self.entries[name]
        return np.frombuffer(buffer[begin:end], safetensors.numpy_dtype(dtype)).reshape(shape)

    def raw(self, name):
        if self.entries[name][1] == "I8":
            return self.integers(name).astype(np.float64)
        return super().raw(name)

    def weight(self, name):
        if name + "_packed" in self.entries:
            words = self.integers(name + "_packed").view(np.uint32)
            nibbles = words[:, :, None] >> np.arange(0, 32, 4, dtype=np.uint32) & 15
            columns = int(self.integers(name + "_shape")[1])
            codes = nibbles.reshape(len(words), -1)[:, :columns].astype(np.float64) - 8
            return codes * self.raw(name + "_scale").repeat(INT4_GROUP, axis=1)[:, :columns]
        if name + "_scale" in self.entries:
            return self.raw(name) * self.raw(name + "_scale")
        return super().weight(name)


class Linear:
    """y = x . W^T of rows that become BF16, then INT8 if `int8`. W [..., features, inputs]."""

    def __init__(self, weight, int8, block):
        self.W, self.int8, self.block = weight, int8, block

    def __call__(self, x):
        x = bf16(x)
        return (int8_rows(x, self.block) if self.int8 else x) @ np.swapaxes(self.W, -1, -2)


def stored(checkpoint, name, definition):
    """A linear with the weight as it is stored."""
    int8 = definition.linears and checkpoint.quantised(name + ".weight")
    return Linear(checkpoint.weight(name + ".weight"), int8, definition.block)


def derived(weight, name, definition):
    """W_UK, W_UV or the head."""
    int8 = name in definition.derived
    return Linear(int8_features(weight) if int8 else bf16(weight), int8, definition.block)


class MLA(oracle.MLA):
    """Attention in its absorbed form, on what the cache holds: BF16."""

    def __init__(self, checkpoint, prefix, cfg, definition):
        prefix += "self_attn."
        self.cfg = cfg
        self.kv_a_proj = stored(checkpoint, prefix + "kv_a_proj_with_mqa", definition)
        for name in ["q_proj"] if cfg.q_lora is None else ["q_a_proj", "q_b_proj"]:
            setattr(self, name, stored(checkpoint, prefix + name, definition))
        if cfg.q_lora is not None:
            self.q_a_layernorm = checkpoint.weight(prefix + "q_a_layernorm.weight")
        self.kv_a_layernorm = checkpoint.weight(prefix + "kv_a_layernorm.weight")
        self.o_proj = stored(checkpoint, prefix + "o_proj", definition)
        kv_b = checkpoint.weight(prefix + "kv_b_proj.weight")
        kv_b = kv_b.reshape(cfg.NH, cfg.nope + cfg.v, cfg.kv_lora)
        self.w_uk = derived(kv_b[:, : cfg.nope].transpose(0, 2, 1), "w_uk", definition)
        self.w_uv = derived(kv_b[:, cfg.nope :], "w_uv", definition)
        self.f, self.amplitude = oracle.rope_frequencies(cfg)
        self.sigma = oracle.softmax_scale(cfg)

    def absorbed(self, q_nope, q_pe, C, KPE, masked):
        latent, k_pe = bf16(C), bf16(KPE)
        scores = self.sigma * (self.w_uk(q_nope) @ latent.T + q_pe @ k_pe.T)
        return self.w_uv(oracle.softmax(np.where(masked, -np.inf, scores)) @ latent)

    naive = absorbed


class MLP(oracle.MLP):
    def __init__(self, checkpoint, prefix, definition):
        for name in ("gate_proj", "up_proj", "down_proj"):
            setattr(self, name, stored(checkpoint, prefix + name, definition))


class Expert(MLP):
    """Its output is BF16 on the wire."""

    def __call__(self, x):
        return bf16(super().__call__(x))


class MoE(oracle.MoE):
    """The sum over experts is BF16 on the wire, the shared expert's output stays as it is."""

    def __init__(self, checkpoint, prefix, cfg, definition):
        prefix += "mlp."
        self.cfg, self.shared = cfg, None
        self.W_g = checkpoint.weight(prefix + "gate.weight")
        self.bias = checkpoint.raw(prefix + "gate.e_score_correction_bias")
        names = [f"{prefix}experts.{e}." for e in range(cfg.E)]
        self.experts = [Expert(checkpoint, name, definition) for name in names]
        self.shared_expert = MLP(checkpoint, prefix + "shared_experts.", definition)

    def __call__(self, x, taps=None):
        x = bf16(x)
        return bf16(super().__call__(x, taps)) + self.shared_expert(x)


class Block(oracle.Block):
    """One layer; the residual is BF16."""

    def __init__(self, checkpoint, layer, cfg, definition):
        prefix = f"model.layers.{layer}."
        self.cfg, self.moe = cfg, cfg.is_moe(layer)
        for name in ("input_layernorm", "post_attention_layernorm"):
            setattr(self, name, checkpoint.weight(f"{prefix}{name}.weight"))
        self.attn = MLA(checkpoint, prefix, cfg, definition)
        if self.moe:
            self.ffn = MoE(checkpoint, prefix, cfg, definition)
        else:
            self.ffn = MLP(checkpoint, prefix + "mlp.", definition)

    def __call__(self, x, pos, cache, taps=None, absorbed=True):
        normed = oracle.rms_norm(x, self.input_layernorm, self.cfg.eps)
        x = bf16(x + self.attn(normed, pos, cache, taps, absorbed))
        normed = oracle.rms_norm(x, self.post_attention_layernorm, self.cfg.eps)
        return bf16(x + (self.ffn(normed, taps) if self.moe else self.ffn(normed)))


class Model(oracle.Model):
    """A checkpoint in the mode that `definition` says."""

    def __init__(self, path, definition=Definition()):
        checkpoint = Checkpoint(path)
        self.cfg = oracle.Config(checkpoint.config)
        self.embed = checkpoint.weight("model.embed_tokens.weight")
        self.norm = checkpoint.weight("model.norm.weight")
        self.head = derived(checkpoint.weight("lm_head.weight"), "head", definition)
        layers = range(self.cfg.L)
        self.layers = [Block(checkpoint, layer, self.cfg, definition) for layer in layers]

    def logits(self, hidden):
        return self.head(hidden)

    def rows(self, sequences):
        """(logits, smallest router margins) of every position of `sequences`, one after another."""
        logits, margins = [], []
        for tokens in sequences:
            taps = []
            logits.append(self.logits(self.forward(tokens, taps=taps)))
            margins.append(np.min([tap["margin"] for tap in taps if "margin" in tap], axis=0))
        return np.concatenate(logits), np.concatenate(margins)
