"""Compares `troupe eval logits` with a preset of tests/goldens: the rules of its README.

Differences are max |difference| / standard deviation of the golden array, as there.
"""

import json
import os

import numpy as np

from tests.support import eval_logits, safetensors

SEQUENCES = ("s1", "s17", "s129", "s300")
GREEDY_FROM = SEQUENCES.index("s17")
GREEDY_STEPS = {"f32": 48, "bf16": 48, "fp8-act": 16}
ROW_MARGIN_MIN = 0.005  # below it a BF16 engine may route the row's token differently


class Preset:
    """The goldens of one checkpoint."""

    def __init__(self, path):
        with open(os.path.join(path, "golden.json"), encoding="utf-8") as file:
            self.info = json.load(file)
        self.arrays = safetensors.read(os.path.join(path, "golden.safetensors"))
        self.path, self.model = path, os.path.join(path, "model")
        self.tokens = [self.arrays[f"{name}.tokens"] for name in SEQUENCES]

    def modes(self):
        """Modes with goldens of their own; fp8-act without FP8 weights equals bf16."""
        fp8 = self.info["tolerances"]["fp8_act_engine_logits"] is not None
        return ("f32", "bf16", "fp8-act") if fp8 else ("f32", "bf16")

    def tolerance(self, mode):
        key = {
            "f32": "f32_engine",
            "bf16": "bf16_engine_logits",
            "fp8-act": "fp8_act_engine_logits",
        }
        return self.info["tolerances"][key[mode]]


def run(preset, mode, model=None, options=()):
    """The program's arrays for all sequences of `preset`, with greedy continuations."""
    options = ("--mode", mode, "--generate", GREEDY_STEPS[mode], *options)
    return eval_logits.eval_logits(model or preset.model, preset.tokens, options)


def _difference(got, want):
    """max |got - want| / std(want); infinite when a number is missing or not finite."""
    if got.shape != want.shape or not np.isfinite(got).all():
        return np.inf
    return float(np.abs(got.astype(np.float64) - want).max() / np.std(want.astype(np.float64)))


def logits_problems(preset, mode, out):
    """Rows of the prompt whose logits are further away than the preset's tolerance."""
    for i, name in enumerate(SEQUENCES):
        got, positions = out[f"logits.{i}"], preset.arrays[f"{name}.positions"]
        if got.shape[0] != len(preset.tokens[i]):
            yield f"{name}: {got.shape[0]} rows for {len(preset.tokens[i])} prompt tokens"
            continue
        if mode == "fp8-act":
            rows, want = got[-1], preset.arrays[f"{name}.logits_last.fp8-act-absorbed"]
        else:
            rows, want = got[positions], preset.arrays[f"{name}.logits"]
            if mode == "bf16":
                kept = preset.arrays[f"{name}.row_margin"] >= ROW_MARGIN_MIN
                rows, want = rows[kept], want[kept]
        difference = _difference(rows, want)
        if difference > preset.tolerance(mode):
            limit = preset.tolerance(mode)
            yield f"{name}: logits differ by {difference:.3g} standard deviations, limit {limit}"


def argmax_problems(preset, mode, out):
    """Last positions whose most likely token is another one, where the goldens are clear."""
    suffix = ".fp8-act-absorbed" if mode == "fp8-act" else ""
    for i, name in enumerate(SEQUENCES):
        sequence = preset.info["sequences"][name]
        if mode == "fp8-act" and sequence["last_gap_over_std" + suffix] < preset.tolerance(mode):
            continue
        got, want = int(np.argmax(out[f"logits.{i}"][-1])), sequence["last_argmax" + suffix]
        if got != want:
            yield f"{name}: most likely next token {got}, expected {want}"


def decided_steps(preset, mode):
    """How many greedy steps must be equal: up to the first gap that the tolerance may close."""
    prefix = "greedy.fp8-act-absorbed" if mode == "fp8-act" else "greedy"
    gaps = preset.arrays[f"{prefix}.gap_over_std"]
    if mode == "f32":
        return len(gaps)
    close = np.nonzero(gaps < preset.tolerance(mode) / 2)[0]
    return int(close[0]) if len(close) else len(gaps)


def greedy_problems(preset, mode, out):
    """Steps of the greedy continuation that took another token or another probability."""
    prefix = "greedy.fp8-act-absorbed" if mode == "fp8-act" else "greedy"
    steps = decided_steps(preset, mode)
    got, want = out[f"tokens.{GREEDY_FROM}"], preset.arrays[f"{prefix}.tokens"]
    if len(got) != GREEDY_STEPS[mode]:
        yield f"greedy: {len(got)} tokens, asked for {GREEDY_STEPS[mode]}"
        return
    wrong = np.nonzero(got[:steps] != want[:steps])[0]
    if len(wrong):
        yield f"greedy: step {wrong[0]} took token {got[wrong[0]]}, expected {want[wrong[0]]}"
        return
    # log-softmax moves by at most twice what the logits move by.
    logprobs = out[f"logprobs.{GREEDY_FROM}"][:steps].astype(np.float64)
    rows = out[f"generated_logits.{GREEDY_FROM}"][:steps].astype(np.float64)
    limit = 2 * preset.tolerance(mode) * rows.std(axis=1)
    apart = np.abs(logprobs - preset.arrays[f"{prefix}.logprob"][:steps])
    if not (apart <= limit).all():
        step = int(np.argmax(apart - limit))
        yield f"greedy: log-probability of step {step} differs by {apart[step]:.3g}"


def consistency_problems(preset, out):
    """What must hold among the arrays of one run, whatever the goldens say."""
    for i, name in enumerate(SEQUENCES):
        rows, tokens = out[f"generated_logits.{i}"], out[f"tokens.{i}"]
        if rows[0].tobytes() != out[f"logits.{i}"][-1].tobytes():
            yield f"{name}: generated_logits row 0 is not the last row of logits"
        if not (np.argmax(rows, axis=1) == tokens).all():
            yield f"{name}: tokens are not the argmax of generated_logits"
        wide = rows.astype(np.float64)
        top = wide.max(axis=1)
        logprob = top - (top + np.log(np.exp(wide - top[:, None]).sum(axis=1)))
        if not (np.abs(logprob - out[f"logprobs.{i}"]) <= 1e-5 * (1 + np.abs(logprob))).all():
            yield f"{name}: logprobs are not the log-softmax of generated_logits"


def problems(preset, mode, out):
    """Everything in `out` that breaks a rule of the goldens."""
    return [
        *logits_problems(preset, mode, out),
        *argmax_problems(preset, mode, out),
        *greedy_problems(preset, mode, out),
        *consistency_problems(preset, out),
    ]
