// The product of presets, operations, formats and row counts.
#include "services/bench/kernel_cases.hpp"

#include <array>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::services {
namespace {

constexpr std::array<std::int64_t, 8> kRowCounts{1, 2, 4, 8, 32, 64, 128, 512};

constexpr std::array kWeightFormats = [] {
  using enum KernelFormat;
  return std::array{fp8,  fp8_tiles, fp8_act, int8, int8_channel, w8a8, w8a8_channel,
                    int4, w4a8,      awq,     bf16, bf16_tiles,   f32};
}();
constexpr std::array kExpertFormats = [] {
  using enum KernelFormat;
  return std::array{fp8,          fp8_tiles, fp8_act, int8, int8_channel, w8a8,
                    w8a8_channel, int4,      w4a8,    awq,  bf16,         bf16_tiles};
}();
// What W_UK, W_UV and heads are kept in.
constexpr std::array kDerivedFormats{KernelFormat::bf16, KernelFormat::bf16_tiles,
                                     KernelFormat::w8a8};
constexpr std::array kCacheFormats{KernelFormat::bf16, KernelFormat::fp8};
constexpr std::array kBf16Formats{KernelFormat::bf16};
constexpr std::array kRowFormats{KernelFormat::f32};

/// Adds one case for every format and row count that the filter lets through.
class Collector {
 public:
  explicit Collector(std::string_view filter) : filter_(filter) {}

  template <class Formats>
  void add(KernelCase one, const Formats& formats) {
    for (const KernelFormat format : formats) {
      for (const std::int64_t rows : kRowCounts) {
        one.format = format;
        one.rows = rows;
        if (one.operation == KernelOperation::attention)
          one.part = rows <= kDecodeRowsMax ? std::to_string(kDecodeKeys) + " keys" : "prompt";
        if (one.name().find(filter_) != std::string::npos) cases_.push_back(one);
      }
    }
  }
  void linear(const BenchPreset& preset, const char* part, std::int64_t features,
              std::int64_t inputs) {
    add({.preset = &preset, .part = part, .features = features, .inputs = inputs}, kWeightFormats);
  }
  std::vector<KernelCase> take() { return std::move(cases_); }

 private:
  std::string_view filter_;
  std::vector<KernelCase> cases_;
};

}  // namespace

std::string_view to_string(KernelOperation operation) {
  constexpr std::array<std::string_view, 14> kNames{
      "linear",   "experts", "dense_ffn", "absorb",   "attention",     "write_cache", "gate",
      "rms_norm", "rope",    "swiglu",    "quantise", "quantise_int8", "embed",       "combine"};
  return kNames[static_cast<std::size_t>(operation)];
}

const KernelFormatTraits& traits_of(KernelFormat format) {
  static constexpr std::array<KernelFormatTraits, 13> kTraits{{
      {"f32", DType::f32},
      {"bf16", DType::bf16},
      {"fp8", DType::f8_e4m3},
      {"fp8-act", DType::f8_e4m3, RowCodes::e4m3},
      {"int8", DType::i8},
      {"int8-channel", DType::i8},
      {"w8a8", DType::i8, RowCodes::int8},
      {"w8a8-channel", DType::i8, RowCodes::int8},
      {"int4", DType::i32},
      {"w4a8", DType::i32, RowCodes::int8},
      {"fp8-tiles", DType::f8_e4m3, RowCodes::none, kernels::Bf16Sums::tiles},
      {"bf16-tiles", DType::bf16, RowCodes::none, kernels::Bf16Sums::tiles},
      {"awq", DType::i32},
  }};
  return kTraits[static_cast<std::size_t>(format)];
}

std::string KernelCase::name() const {
  std::string text(preset->name);
  text += '/';
  text += to_string(operation);
  if (!part.empty()) text += '/' + part;
  text += '/';
  text += traits_of(format).name;
  return text + '/' + std::to_string(rows);
}

std::vector<KernelCase> kernel_cases(std::string_view filter) {
  using enum KernelOperation;
  Collector collector(filter);
  for (const BenchPreset& preset : bench_presets()) {
    const model::ModelConfig& c = preset.config;
    const std::int64_t heads = c.num_heads;
    collector.linear(preset, "q_a", c.q_lora_rank, c.hidden_size);
    collector.linear(preset, "q_b", heads * c.qk_head_dim(), c.q_lora_rank);
    collector.linear(preset, "kv_a", c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size);
    collector.linear(preset, "o", c.hidden_size, heads * c.v_head_dim);
    collector.linear(preset, "expert up", c.moe_intermediate_size, c.hidden_size);
    collector.linear(preset, "expert down", c.hidden_size, c.moe_intermediate_size);
    collector.add({.preset = &preset, .operation = experts}, kExpertFormats);
    collector.add({.preset = &preset, .operation = experts, .part = kOneExpert}, kExpertFormats);
    collector.add({.preset = &preset, .operation = dense_ffn}, kExpertFormats);
    collector.add({.preset = &preset,
                   .part = "head",
                   .features = std::int64_t{c.vocab_size},
                   .inputs = std::int64_t{c.hidden_size}},
                  kDerivedFormats);
    collector.add({.preset = &preset, .operation = absorb}, kDerivedFormats);
    collector.add({.preset = &preset, .operation = attention}, kCacheFormats);
    collector.add({.preset = &preset, .operation = write_cache}, kCacheFormats);
    collector.add({.preset = &preset, .operation = gate}, kBf16Formats);
    for (const KernelOperation operation : {rms_norm, rope, swiglu, quantise, quantise_int8})
      collector.add({.preset = &preset, .operation = operation}, kRowFormats);
    collector.add({.preset = &preset, .operation = embed}, kBf16Formats);
    collector.add({.preset = &preset, .operation = combine}, kBf16Formats);
  }
  return collector.take();
}

std::int64_t largest_piece_bytes(const KernelCase& one) {
  const model::ModelConfig& c = one.preset->config;
  const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
    return kernels::WeightMatrix{.dtype = one.dtype(), .rows = rows, .cols = cols}.bytes();
  };
  switch (one.operation) {
    case KernelOperation::linear: return matrix(one.features, one.inputs);
    case KernelOperation::experts: return matrix(c.moe_intermediate_size, c.hidden_size);
    case KernelOperation::dense_ffn: return matrix(c.intermediate_size, c.hidden_size);
    case KernelOperation::gate: return matrix(c.routed_experts, c.hidden_size);
    default: return 0;  // pages of 64 positions are far smaller than any pool
  }
}

}  // namespace troupe::services
