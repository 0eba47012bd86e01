// Which kernels `troupe bench kernels` measures, by name.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/registry.hpp"
#include "services/bench/presets.hpp"

namespace troupe::services {

enum class KernelOperation : std::uint8_t {
  linear,
  experts,
  dense_ffn,
  absorb,
  attention,
  write_cache,
  gate,
  rms_norm,
  rope,
  swiglu,
  quantise,
  quantise_int8,
  embed,
  combine,
};
std::string_view to_string(KernelOperation operation);

/// What a case reads: weights or a cache, and rows in the form that they meet them in.
enum class KernelFormat : std::uint8_t {
  f32,  // also of operations that have only rows
  bf16,
  fp8,
  fp8_act,  // with rows quantised to e4m3 (mode fp8-act)
  int8,
  int8_channel,  // one scale per output feature instead of one per block
  w8a8,          // int8 with rows quantised to INT8 (mode int8-act)
  w8a8_channel,
  int4,
  w4a8,
  fp8_tiles,  // with sums in the order of AMX's tiles (mode bf16-tiles)
  bf16_tiles,
  awq,  // INT4 with zero points as AWQ and GPTQ layers lie in memory, groups of kZeroedGroup
};

/// What linears read rows as.
enum class RowCodes : std::uint8_t { none, e4m3, int8 };

struct KernelFormatTraits {
  std::string_view name;  // "int8-channel"
  DType dtype;            // of weights (i32: INT4) or cache
  RowCodes rows = RowCodes::none;
  kernels::Bf16Sums sums = kernels::Bf16Sums::lanes;
};
const KernelFormatTraits& traits_of(KernelFormat format);

/// One operation of one layer of a preset, for so many rows.
struct KernelCase {
  const BenchPreset* preset = nullptr;
  KernelOperation operation = KernelOperation::linear;
  std::string part = {};  // which of its kind: "q_b", "4096 keys"; may be empty
  KernelFormat format = KernelFormat::f32;
  std::int64_t rows = 1;
  std::int64_t features = 0;  // linear: output features
  std::int64_t inputs = 0;    // linear: input features

  /// "deepseek-v3/linear/q_b/fp8/8": what --filter looks into.
  std::string name() const;
  DType dtype() const { return traits_of(format).dtype; }
  RowCodes row_codes() const { return traits_of(format).rows; }
  kernels::Bf16Sums bf16_sums() const { return traits_of(format).sums; }
  bool channel_scales() const {
    return format == KernelFormat::int8_channel || format == KernelFormat::w8a8_channel;
  }
};

/// The part of `experts` where all pairs meet the same one; without a part they are spread evenly.
inline constexpr const char* kOneExpert = "one expert";
/// Cached positions of each sequence that attention with up to kDecodeRowsMax rows goes over.
inline constexpr std::int64_t kDecodeKeys = 4096;
/// Rows of decode, small batches, prefill.
inline constexpr std::int64_t kDecodeRowsMax = 32;

/// All cases whose name contains `filter`, in the order of presets, operations, rows.
std::vector<KernelCase> kernel_cases(std::string_view filter);

/// Bytes of the largest weight or cache of the case that has to lie in one piece.
std::int64_t largest_piece_bytes(const KernelCase& one);

}  // namespace troupe::services
