// Checks of tensors against a configuration: presence, dtype, shape, and scales that fit.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "core/expected.hpp"
#include "model/checkpoint/ignore_list.hpp"
#include "model/checkpoint/shards.hpp"
#include "model/checkpoint/tensor_plan.hpp"

namespace troupe::model {

/// `tensors` is ascending by name here and below.
const TensorView* find_tensor(std::span<const TensorView> tensors, std::string_view name);

/// *Errors*: `not_found`, `unsupported` (dtype) or `malformed` (shape), each naming the tensor.
Expected<TensorView> require_tensor(std::span<const TensorView> tensors, std::string_view name,
                                    std::span<const DType> dtypes,
                                    std::span<const std::int64_t> shape);

/// The tensor that holds the codes of the weight `name` (".weight" included): `name` itself,
/// `name`_packed, or that with .qweight for .weight; null when there is none of them.
const TensorView* find_weight(std::span<const TensorView> tensors, std::string_view name);

/// The tensors of one linear layer.
struct StoredWeight {
  TensorView codes;
  const TensorView* scale = nullptr;  // null: plain
  WeightFormat format = WeightFormat::plain;
  const TensorView* zeros = nullptr;        // awq and gptq: zero points
  const TensorView* group_index = nullptr;  // gptq: the group of each column; may be null
};

/// The matrix [rows, cols] `name`, in whichever format it is stored:
/// BF16 or F32 without a scale; F8_E4M3 or I8 with `name`_scale_inv [ceil(rows/128),
/// ceil(cols/128)] (of e4m3 also F8_E8M0) or, I8 only, `name`_scale [rows, 1] or [rows], F32 or
/// BF16; or `name`_packed I32 [rows, ceil(cols/8)] with `name`_scale BF16 [rows, ceil(cols/32)] and
/// `name`_shape I32 or I64 [2] that says [rows, cols]; or, where `how` says AWQ or GPTQ, as
/// `require_transposed` has it.
/// *Errors*: `not_found` (of a scale: naming both tensors), `unsupported` (dtype), `malformed`
/// (shape, a scale that nothing needs, a weight stored twice).
Expected<StoredWeight> require_linear(std::span<const TensorView> tensors, std::string_view name,
                                      std::int64_t rows, std::int64_t cols,
                                      const Quantisation& how);

/// What the engine asks of all tensors together. *Source*: specification 1.3 (4), 2.1 to 2.5.
class TensorChecks {
 public:
  /// `ignore`: that of the configuration. All must outlive the checks.
  TensorChecks(const ModelConfig& config, std::span<const TensorView> tensors,
               const IgnoreList& ignore)
      : config_(config), tensors_(tensors), ignore_(ignore) {}

  Expected<void> check_main() const;
  /// True when the MTP layers are complete, false when something of them is missing; what is there
  /// of a complete group is checked like the rest.
  Expected<bool> check_mtp() const;

 private:
  Expected<void> check_no_indexer() const;
  Expected<void> check(const TensorSpec& spec) const;
  Expected<void> check_weight(const TensorSpec& spec) const;
  Expected<void> check_format(std::string_view name, const StoredWeight& weight) const;
  Expected<void> check_listed(std::string_view name, const StoredWeight& weight) const;
  Expected<std::string_view> entry_covering(std::string_view module) const;
  Unexpected missing(const TensorSpec& spec) const;

  const ModelConfig& config_;
  std::span<const TensorView> tensors_;
  const IgnoreList& ignore_;
};

}  // namespace troupe::model
