// The product of presets, operations, dtypes and row counts.
#include "services/bench/kernel_cases.hpp"

#include <array>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::services {
namespace {

constexpr std::array<std::int64_t, 6> kRowCounts{1, 8, 32, 64, 128, 512};

struct Format {
  DType dtype = DType::f32;
  bool int8_rows = false;
  bool zero_points = false;
};
constexpr Format kFp8{DType::f8_e4m3};
constexpr Format kInt8{DType::i8};
constexpr Format kW8a8{DType::i8, true};
constexpr Format kInt4{DType::i32};
constexpr Format kW4a8{DType::i32, true};
constexpr Format kAwq{DType::i32, false, true};
constexpr Format kBf16{DType::bf16};
constexpr Format kF32{DType::f32};
constexpr std::array kWeightTypes{kFp8, kInt8, kW8a8, kInt4, kW4a8, kAwq, kBf16, kF32};
constexpr std::array kExpertTypes{kFp8, kInt8, kW8a8, kInt4, kW4a8, kAwq, kBf16};
constexpr std::array kDerivedTypes{kBf16, kW8a8};  // what W_UK, W_UV and heads are kept in
constexpr std::array kCacheTypes{kBf16, kFp8};
constexpr std::array kGateTypes{kBf16};
constexpr std::array kRowTypes{kF32};

/// Adds one case for every dtype and row count that the filter lets through.
class Collector {
 public:
  explicit Collector(std::string_view filter) : filter_(filter) {}

  template <class Types>
  void add(KernelCase one, const Types& types) {
    for (const Format& format : types) {
      for (const std::int64_t rows : kRowCounts) {
        one.dtype = format.dtype;
        one.int8_rows = format.int8_rows;
        one.zero_points = format.zero_points;
        one.rows = rows;
        if (one.operation == KernelOperation::attention)
          one.part = rows <= kDecodeRowsMax ? std::to_string(kDecodeKeys) + " keys" : "prompt";
        if (one.name().find(filter_) != std::string::npos) cases_.push_back(one);
      }
    }
  }
  void linear(const BenchPreset& preset, const char* part, std::int64_t features,
              std::int64_t inputs) {
    add({.preset = &preset, .part = part, .features = features, .inputs = inputs}, kWeightTypes);
  }
  std::vector<KernelCase> take() { return std::move(cases_); }

 private:
  std::string_view filter_;
  std::vector<KernelCase> cases_;
};

}  // namespace

std::string_view to_string(KernelOperation operation) {
  constexpr std::array<std::string_view, 10> kNames{
      "linear", "experts",  "absorb", "attention", "write_cache",
      "gate",   "rms_norm", "rope",   "swiglu",    "quantise"};
  return kNames[static_cast<std::size_t>(operation)];
}

std::string_view KernelCase::format() const {
  if (zero_points) return "awq";
  if (int8_rows) return dtype == DType::i8 ? "w8a8" : "w4a8";
  switch (dtype) {
    case DType::f8_e4m3: return "fp8";
    case DType::i8: return "int8";
    case DType::i32: return "int4";
    case DType::bf16: return "bf16";
    default: return "f32";
  }
}

std::string KernelCase::name() const {
  std::string text(preset->name);
  text += '/';
  text += to_string(operation);
  if (!part.empty()) text += '/' + part;
  text += '/';
  text += format();
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
    collector.add({.preset = &preset, .operation = experts}, kExpertTypes);
    collector.add({.preset = &preset, .operation = experts, .part = kOneExpert}, kExpertTypes);
    collector.add({.preset = &preset,
                   .part = "head",
                   .features = std::int64_t{c.vocab_size},
                   .inputs = std::int64_t{c.hidden_size}},
                  kDerivedTypes);
    collector.add({.preset = &preset, .operation = absorb}, kDerivedTypes);
    collector.add({.preset = &preset, .operation = attention}, kCacheTypes);
    collector.add({.preset = &preset, .operation = write_cache}, kCacheTypes);
    collector.add({.preset = &preset, .operation = gate}, kGateTypes);
    for (const KernelOperation operation : {rms_norm, rope, swiglu, quantise})
      collector.add({.preset = &preset, .operation = operation}, kRowTypes);
  }
  return collector.take();
}

std::int64_t largest_piece_bytes(const KernelCase& one) {
  const model::ModelConfig& c = one.preset->config;
  const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
    return kernels::WeightMatrix{.dtype = one.dtype, .rows = rows, .cols = cols}.bytes();
  };
  switch (one.operation) {
    case KernelOperation::linear: return matrix(one.features, one.inputs);
    case KernelOperation::experts: return matrix(c.moe_intermediate_size, c.hidden_size);
    case KernelOperation::gate: return matrix(c.routed_experts, c.hidden_size);
    default: return 0;  // pages of 64 positions are far smaller than any pool
  }
}

}  // namespace troupe::services
