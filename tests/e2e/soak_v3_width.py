#!/usr/bin/env python3
"""One dense and one MoE layer of DeepSeek-V3's true widths equal the oracle in F32 (soak).

Makes a synthetic FP8 checkpoint of about 2 GB (32 experts instead of 256), runs the program in
mode f32 on 40 tokens and compares every logit with the numpy oracle, layer by layer and with
experts loaded when a token is routed to them, so that memory stays below about 5 GB.

    soak_v3_width.py [--model DIR]     DIR: made there if it is missing, and kept
"""

import argparse
import json
import os
import sys
import tempfile

from tests.support import requirement

requirement.require_numpy()

import numpy as np  # noqa: E402

from tests.goldens.tools import make_model, oracle  # noqa: E402
from tests.support import eval_logits  # noqa: E402

TOLERANCE = 1e-4  # of the standard deviation, as for the goldens in f32
TOKENS = 40
SEED = 20241226
CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "attention_bias": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_group": 8,
    "n_routed_experts": 32,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 2,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 0,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "type": "yarn",
        "factor": 40,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "tie_word_embeddings": False,
    "topk_group": 4,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "v_head_dim": 128,
    "vocab_size": 1024,
    "_make": {"seed": 671, "quant": "fp8", "shards": 4, "bias_base": 0.0, "code_candidates": 16},
}


class LazyMLP:
    """An oracle.MLP whose weights are in memory only while it is called."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __call__(self, x):
        return _MLP(*self.arguments)(x)


_MLP = oracle.MLP


def oracle_logits(model, tokens):
    """Logits [tokens, vocab] in float64, one layer in memory at a time."""
    oracle.MLP = LazyMLP
    checkpoint = oracle.Checkpoint(model)
    config = oracle.Config(checkpoint.config)
    positions = np.arange(len(tokens))
    x = checkpoint.weight("model.embed_tokens.weight")[np.asarray(tokens)]
    for layer in range(config.L):
        print(f"oracle: layer {layer}", flush=True)
        x = oracle.Block(checkpoint, layer, config, "w-dequant")(x, positions, {})
    x = oracle.rms_norm(x, checkpoint.weight("model.norm.weight"), config.eps)
    return x @ checkpoint.weight("lm_head.weight").T


def make_checkpoint(path):
    if not os.path.exists(os.path.join(path, "config.json")):
        print(f"making a checkpoint in {path}", flush=True)
        make_model.Maker(json.loads(json.dumps(CONFIG))).write(path)


def compare(model):
    """Problems found, as text."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    tokens = rng.integers(2, CONFIG["vocab_size"], TOKENS).tolist()
    got = eval_logits.eval_logits(model, [tokens], ("--mode", "f32"), timeout_s=3600)["logits.0"]
    want = oracle_logits(model, tokens)
    if got.shape != want.shape or not np.isfinite(got).all():
        return f"shape {got.shape}, expected {want.shape}, or not finite"
    apart = np.abs(got - want) / want.std()
    row, column = np.unravel_index(apart.argmax(), apart.shape)
    print(f"max difference {apart.max():.3g} standard deviations, limit {TOLERANCE}")
    if apart.max() > TOLERANCE:
        return (
            f"row {row}, id {column}: {got[row, column]} where the oracle has {want[row, column]}"
        )
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="")
    kept = parser.parse_args().model
    with tempfile.TemporaryDirectory(prefix="troupe-v3-width-") as folder:
        model = kept or os.path.join(folder, "model")
        make_checkpoint(model)
        problem = compare(model)
    if problem:
        print(f"error: {problem}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
