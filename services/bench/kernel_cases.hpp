// Which kernels `troupe bench kernels` measures, by name.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "services/bench/presets.hpp"

namespace troupe::services {

enum class KernelOperation : std::uint8_t {
  linear,
  experts,
  absorb,
  attention,
  write_cache,
  gate,
  rms_norm,
  rope,
  swiglu,
  quantise,
};
std::string_view to_string(KernelOperation operation);

/// One operation of one layer of a preset, for so many rows.
struct KernelCase {
  const BenchPreset* preset = nullptr;
  KernelOperation operation = KernelOperation::linear;
  std::string part = {};     // which of its kind: "q_b", "4096 keys"; may be empty
  DType dtype = DType::f32;  // of weights (i32: INT4) or cache; F32 for what has only rows
  bool int8_rows = false;    // linear, experts: rows quantised to INT8 (mode int8-act)
  bool zero_points = false;  // INT4 as AWQ and GPTQ layers lie in memory, groups of kZeroedGroup
  std::int64_t rows = 1;
  std::int64_t features = 0;  // linear: output features
  std::int64_t inputs = 0;    // linear: input features

  /// "deepseek-v3/linear/q_b/fp8/8": what --filter looks into.
  std::string name() const;
  /// "fp8", "int8", "int4" (of the I32 that hold it), "bf16", "f32"; with INT8 rows "w8a8",
  /// "w4a8"; with zero points "awq".
  std::string_view format() const;
};

/// The part of `experts` where all pairs meet the same one; without a part they are spread evenly.
inline constexpr const char* kOneExpert = "one expert";
/// Cached positions of each sequence that attention with 1, 8 or 32 rows goes over.
inline constexpr std::int64_t kDecodeKeys = 4096;
/// Rows of decode, small batches, prefill.
inline constexpr std::int64_t kDecodeRowsMax = 32;

/// All cases whose name contains `filter`, in the order of presets, operations, rows.
std::vector<KernelCase> kernel_cases(std::string_view filter);

/// Bytes of the largest weight or cache of the case that has to lie in one piece.
std::int64_t largest_piece_bytes(const KernelCase& one);

}  // namespace troupe::services
