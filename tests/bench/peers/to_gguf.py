#!/usr/bin/env python3
"""Writes a DeepSeek-V3 checkpoint of Hugging Face's layout as GGUF, for llama.cpp.

    to_gguf.py DIR OUT.gguf [--outtype bf16|f16|f32]      wants numpy and gguf (pip)

The tensors and keys are those of llama.cpp's own converter: K and V halves of kv_b apart, experts
stacked, MTP layers left out. Without a tokenizer.json the vocabulary is made up, of single ASCII
characters and words. Then, for example: llama-quantize OUT.gguf OUT-q8_0.gguf Q8_0
"""

import argparse
import json
import os
import sys

import gguf
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))

from tests.bench.peers.checkpoint_arrays import Checkpoint  # noqa: E402

_KINDS = {
    "bf16": (np.uint16, gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "f16": (np.float16, None, gguf.LlamaFileType.MOSTLY_F16),
    "f32": (np.float32, None, gguf.LlamaFileType.ALL_F32),
}


def _ascii_characters():
    """Each byte below 128 as byte-level BPE spells it."""
    printable = range(33, 127)
    spelled, moved = [], 256
    for byte in range(128):
        spelled.append(chr(byte) if byte in printable else chr(moved))
        moved += byte not in printable
    return spelled


def _made_up_vocabulary(config):
    """Texts that are whole characters each: servers hold back what is not."""
    kinds, texts, types = gguf.TokenType, [], []
    special = {config["bos_token_id"]: "<|bos|>", config["eos_token_id"]: "<|eos|>"}
    letters, words = iter(_ascii_characters()), 0
    for index in range(config["vocab_size"]):
        text = special.get(index) or next(letters, None)
        if text is None:
            text, words = f"\u0120w{words}", words + 1
        texts.append(text)
        types.append(kinds.CONTROL if index in special else kinds.NORMAL)
    texts[-1] = "\u0120w"  # llama.cpp refuses a BPE vocabulary without a merge
    return texts, types, ["\u0120 w"]


def _vocabulary(folder, config):
    """(texts, types, merges) of tokenizer.json, or made up."""
    path = os.path.join(folder, "tokenizer.json")
    if not os.path.exists(path):
        return _made_up_vocabulary(config)
    with open(path, encoding="utf-8") as file:
        whole = json.load(file)
    kinds, size = gguf.TokenType, config["vocab_size"]
    texts, types = [f"[PAD{i}]" for i in range(size)], [kinds.UNUSED] * size
    for text, index in whole["model"]["vocab"].items():
        texts[index], types[index] = text, kinds.NORMAL
    for added in whole["added_tokens"]:
        texts[added["id"]] = added["content"]
        types[added["id"]] = kinds.CONTROL if added["special"] else kinds.USER_DEFINED
    merges = whole["model"]["merges"]
    return texts, types, [m if isinstance(m, str) else " ".join(m) for m in merges]


def write_vocabulary(out, folder, config):
    texts, types, merges = _vocabulary(folder, config)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("deepseek-v3")
    out.add_token_list(texts)
    out.add_token_types([int(kind) for kind in types])
    out.add_token_merges(merges)
    out.add_bos_token_id(config["bos_token_id"])
    out.add_eos_token_id(config["eos_token_id"])
    out.add_pad_token_id(config["eos_token_id"])
    out.add_add_bos_token(False)
    out.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")


def write_rope(out, config):
    scaling = config.get("rope_scaling")
    out.add_rope_freq_base(float(config.get("rope_theta", 10000)))
    out.add_rope_dimension_count(config["qk_rope_head_dim"])
    if not scaling:
        return
    out.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    out.add_rope_scaling_factor(float(scaling["factor"]))
    out.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    out.add_rope_scaling_yarn_beta_fast(float(scaling.get("beta_fast", 32)))
    out.add_rope_scaling_yarn_beta_slow(float(scaling.get("beta_slow", 1)))
    out.add_rope_scaling_yarn_log_mul(0.1 * float(scaling.get("mscale_all_dim", 0)))


def write_attention(out, config):
    latent, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
    out.add_head_count(config["num_attention_heads"])
    out.add_head_count_kv(1)
    if config.get("q_lora_rank"):
        out.add_q_lora_rank(config["q_lora_rank"])
    out.add_kv_lora_rank(latent)
    out.add_key_length(latent + rope)
    out.add_value_length(latent)
    out.add_key_length_mla(config["qk_nope_head_dim"] + rope)
    out.add_value_length_mla(config["v_head_dim"])


def write_experts(out, config):
    sigmoid = config.get("scoring_func", "sigmoid") == "sigmoid"
    gating = gguf.ExpertGatingFuncType
    out.add_leading_dense_block_count(config.get("first_k_dense_replace", 0))
    out.add_expert_feed_forward_length(config["moe_intermediate_size"])
    out.add_expert_count(config["n_routed_experts"])
    out.add_expert_used_count(config["num_experts_per_tok"])
    out.add_expert_shared_count(config.get("n_shared_experts") or 0)
    out.add_expert_weights_scale(float(config.get("routed_scaling_factor", 1)))
    out.add_expert_weights_norm(bool(config.get("norm_topk_prob", True)))
    out.add_expert_gating_func(gating.SIGMOID if sigmoid else gating.SOFTMAX)
    if config.get("n_group"):
        out.add_expert_group_count(config["n_group"])
        out.add_expert_group_used_count(config["topk_group"])


def write_keys(out, folder, config, kind):
    out.add_name(os.path.basename(os.path.normpath(folder)))
    out.add_block_count(config["num_hidden_layers"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    out.add_vocab_size(config["vocab_size"])
    out.add_file_type(_KINDS[kind][2])
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    write_rope(out, config)
    write_attention(out, config)
    write_experts(out, config)
    write_vocabulary(out, folder, config)


class Plan:
    """The tensors to write, in order: (name, shape, whether F32, what computes it)."""

    def __init__(self, checkpoint, config, kind):
        self.checkpoint, self.config, self.kind = checkpoint, config, kind
        self.entries = []
        self._matrix("token_embd", "model.embed_tokens")
        for layer in range(config["num_hidden_layers"]):
            self._attention(f"blk.{layer}.", f"model.layers.{layer}.")
            self._feed_forward(f"blk.{layer}.", f"model.layers.{layer}.mlp.")
        self._vector("output_norm", "model.norm")
        if "lm_head.weight" in checkpoint:
            self._matrix("output", "lm_head")

    def _add(self, name, shape, f32, make):
        self.entries.append((name, tuple(shape), f32, make))

    def _matrix(self, name, source):
        key, get = source + ".weight", self.checkpoint.as_type
        self._add(name + ".weight", self.checkpoint.shape(key), False, lambda: get(key, self.kind))

    def _vector(self, name, source, suffix=".weight", source_suffix=".weight"):
        key, get = source + source_suffix, self.checkpoint.f32
        self._add(name + suffix, self.checkpoint.shape(key), True, lambda: get(key))

    def _attention(self, block, layer):
        attention = layer + "self_attn."
        self._vector(block + "attn_norm", layer + "input_layernorm")
        self._vector(block + "ffn_norm", layer + "post_attention_layernorm")
        if self.config.get("q_lora_rank"):
            self._matrix(block + "attn_q_a", attention + "q_a_proj")
            self._vector(block + "attn_q_a_norm", attention + "q_a_layernorm")
            self._matrix(block + "attn_q_b", attention + "q_b_proj")
        else:
            self._matrix(block + "attn_q", attention + "q_proj")
        self._matrix(block + "attn_kv_a_mqa", attention + "kv_a_proj_with_mqa")
        self._vector(block + "attn_kv_a_norm", attention + "kv_a_layernorm")
        self._key_value(block, attention + "kv_b_proj.weight")
        self._matrix(block + "attn_output", attention + "o_proj")

    def _key_value(self, block, key):
        """kv_b's two halves; that of the keys transposed, as the absorbed form reads it."""
        sizes = ("num_attention_heads", "qk_nope_head_dim", "v_head_dim", "kv_lora_rank")
        heads, nope, value, latent = (self.config[name] for name in sizes)

        def halves():
            whole = self.checkpoint.as_type(key, self.kind)
            return np.split(whole.reshape(heads, nope + value, latent), [nope], axis=1)

        keys = (heads, latent, nope)
        self._add(block + "attn_k_b.weight", keys, False, lambda: halves()[0].transpose(0, 2, 1))
        self._add(block + "attn_v_b.weight", (heads, value, latent), False, lambda: halves()[1])

    def _feed_forward(self, block, mlp):
        if mlp + "gate.weight" not in self.checkpoint:
            for part in ("gate", "up", "down"):
                self._matrix(f"{block}ffn_{part}", f"{mlp}{part}_proj")
            return
        self._vector(block + "ffn_gate_inp", mlp + "gate")
        bias = "e_score_correction_bias"
        if f"{mlp}gate.{bias}" in self.checkpoint:
            self._vector(block + "exp_probs_b", mlp + "gate", ".bias", "." + bias)
        for part in ("gate", "up", "down"):
            self._experts(f"{block}ffn_{part}_exps.weight", mlp, part)
            if self.config.get("n_shared_experts"):
                self._matrix(f"{block}ffn_{part}_shexp", f"{mlp}shared_experts.{part}_proj")

    def _experts(self, name, mlp, part):
        count, get = self.config["n_routed_experts"], self.checkpoint.as_type
        keys = [f"{mlp}experts.{expert}.{part}_proj.weight" for expert in range(count)]
        shape = (count, *self.checkpoint.shape(keys[0]))
        self._add(name, shape, False, lambda: np.stack([get(key, self.kind) for key in keys]))


def write_tensors(out, plan, kind):
    dtype, raw, _ = _KINDS[kind]
    for name, shape, f32, _ in plan.entries:
        stored = np.dtype(np.float32 if f32 else dtype)
        size = int(np.prod(shape)) * stored.itemsize
        out.add_tensor_info(name, shape, stored, size, raw_dtype=None if f32 else raw)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_ti_data_to_file()
    for name, shape, _, make in plan.entries:
        values = np.ascontiguousarray(make())
        assert values.shape == shape, (name, values.shape, shape)
        out.write_tensor_data(values)
    out.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--outtype", default="bf16", choices=_KINDS)
    options = parser.parse_args()
    with open(os.path.join(options.folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    block = (config.get("quantization_config") or {}).get("weight_block_size", (128, 128))
    plan = Plan(Checkpoint(options.folder, block), config, options.outtype)
    out = gguf.GGUFWriter(options.out, "deepseek2")
    write_keys(out, options.folder, config, options.outtype)
    write_tensors(out, plan, options.outtype)
    size = os.path.getsize(options.out) / 1e9
    print(f"{options.out}: {len(plan.entries)} tensors, {size:.3f} GB")


if __name__ == "__main__":
    main()
