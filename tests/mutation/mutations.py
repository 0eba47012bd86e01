"""The mistakes that the golden check must catch, as data."""

from dataclasses import dataclass

SIGN = 0x80  # of the most significant byte of every format here: e4m3, BF16, F32
TOP_EXPONENT_BIT = 0x40


@dataclass(frozen=True)
class BitMutation:
    """Flips `mask` in one element of `tensor`; {expert} and {layer} are ones that s17 routes to."""

    name: str
    preset: str
    tensor: str
    mask: int


@dataclass(frozen=True)
class ConfigMutation:
    """Sets `values` (dotted keys) in config.json."""

    name: str
    preset: str
    values: dict


@dataclass(frozen=True)
class SourceMutation:
    """Replaces each search text of `edits`, which must stand exactly once in `file`."""

    name: str
    presets: tuple
    file: str
    edits: tuple  # of (search, replace)
    options: tuple = ()  # of the run


def _signs_and_exponents(name, preset, tensor):
    return (
        BitMutation(f"sign of {name}", preset, tensor, SIGN),
        BitMutation(f"top exponent bit of {name}", preset, tensor, TOP_EXPONENT_BIT),
    )


_EXPERT = "model.layers.{layer}.mlp.experts.{expert}."
_ATTENTION = "model.layers.2.self_attn."
BITS = (
    *_signs_and_exponents("an expert's weight (FP8)", "v3-mini", _EXPERT + "down_proj.weight"),
    *_signs_and_exponents("an expert's scale", "v3-mini", _EXPERT + "up_proj.weight_scale_inv"),
    *_signs_and_exponents(
        "a selection bias", "v3-mini", "model.layers.{layer}.mlp.gate.e_score_correction_bias"
    ),
    *_signs_and_exponents(
        "a latent weight (FP8)", "v3-mini", _ATTENTION + "kv_a_proj_with_mqa.weight"
    ),
    *_signs_and_exponents("a ue8m0 scale", "v31-mini", _ATTENTION + "o_proj.weight_scale_inv"),
    *_signs_and_exponents("a W_UK weight (BF16)", "kimi-mini", _ATTENTION + "kv_b_proj.weight"),
    *_signs_and_exponents("a norm weight (BF16)", "moonlight-mini", "model.norm.weight"),
    *_signs_and_exponents(
        "a gate weight (BF16)", "neg-bias-mini", "model.layers.{layer}.mlp.gate.weight"
    ),
)

_NO_M2 = {"rope_scaling.mscale": 0.0, "rope_scaling.mscale_all_dim": 0.0}
CONFIGS = (
    ConfigMutation("softmax scale without m^2", "v3-mini", _NO_M2),
    ConfigMutation("softmax scale without m^2", "kimi-mini", _NO_M2),
    ConfigMutation("YaRN amplitude on cos and sin", "v3-mini", {"rope_scaling.mscale": 0.707}),
    ConfigMutation("another YaRN factor", "neg-bias-mini", {"rope_scaling.factor": 20}),
    ConfigMutation("YaRN ignored", "kimi-mini", {"rope_scaling": None}),
    ConfigMutation("another rope_theta", "moonlight-mini", {"rope_theta": 10000.0}),
    ConfigMutation("weights not normalised", "moonlight-mini", {"norm_topk_prob": False}),
    ConfigMutation("routed_scaling_factor missing", "v31-mini", {"routed_scaling_factor": 1.0}),
    ConfigMutation("groups ignored", "v3-mini", {"n_group": 1, "topk_group": 1}),
    ConfigMutation("three groups kept", "neg-bias-mini", {"topk_group": 3}),
    ConfigMutation("one expert fewer", "kimi-mini", {"num_experts_per_tok": 5}),
    ConfigMutation("another rms_norm_eps", "v3-mini", {"rms_norm_eps": 1e-2}),
)

_ALL = ("v3-mini", "kimi-mini", "neg-bias-mini")
SOURCES = (
    SourceMutation(
        "softmax scale without m^2",
        _ALL,
        "model/rope.cpp",
        (("scale *= m * m;", "scale *= m / m;"),),
    ),
    SourceMutation(
        "half-split RoPE",
        _ALL,
        "kernels/reference/elementwise.cpp",
        (
            ("const float x0 = x[2 * i];", "const float x0 = x[i];"),
            ("const float x1 = x[2 * i + 1];", "const float x1 = x[i + pairs];"),
            ("x[2 * i] = std::fma(", "x[i] = std::fma("),
            ("x[2 * i + 1] = std::fma(", "x[i + pairs] = std::fma("),
        ),
        ("--level", "reference"),
    ),
    SourceMutation(
        "biased mixture weights",
        _ALL,
        "model/gate.cpp",
        (
            (
                "weights[i] = scores[chosen[i]];",
                "weights[i] = scores[chosen[i]] + bias[chosen[i]];",
            ),
        ),
    ),
    SourceMutation(
        "route scale applied twice",
        _ALL,
        "model/gate.cpp",
        (
            (
                "weights[i] *= rule.route_scale;",
                "weights[i] *= rule.route_scale * rule.route_scale;",
            ),
        ),
    ),
    SourceMutation(
        "group maximum instead of the sum of the best two",
        ("v3-mini", "neg-bias-mini"),
        "model/gate.cpp",
        (("return first + second;", "return first;"),),
    ),
)
