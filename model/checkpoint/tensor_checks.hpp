// Checks of tensors against a configuration: presence, dtype, shape, and scales that fit.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "core/expected.hpp"
#include "model/checkpoint/shards.hpp"
#include "model/checkpoint/tensor_plan.hpp"

namespace troupe::model {

/// `tensors` is ascending by name here and below.
const TensorView* find_tensor(std::span<const TensorView> tensors, std::string_view name);

/// *Errors*: `not_found`, `unsupported` (dtype) or `malformed` (shape), each naming the tensor.
Expected<TensorView> require_tensor(std::span<const TensorView> tensors, std::string_view name,
                                    std::span<const DType> dtypes,
                                    std::span<const std::int64_t> shape);

/// A matrix [rows, cols] of F8_E4M3, BF16 or F32. One that is not F8_E4M3 must not have a scale.
Expected<TensorView> require_linear(std::span<const TensorView> tensors, std::string_view name,
                                    std::int64_t rows, std::int64_t cols);

/// The scale of an F8_E4M3 weight: [ceil(rows/128), ceil(cols/128)] of F32, BF16 or F8_E8M0.
/// *Errors*: `not_found` names both tensors.
Expected<TensorView> require_scale(std::span<const TensorView> tensors, const TensorView& weight);

/// What the engine asks of all tensors together. *Source*: specification 1.3 (4), 2.1 to 2.5.
class TensorChecks {
 public:
  TensorChecks(const ModelConfig& config, std::span<const TensorView> tensors)
      : config_(config), tensors_(tensors) {}

  Expected<void> check_main() const;
  /// True when the MTP layers are complete, false when something of them is missing; what is there
  /// of a complete group is checked like the rest.
  Expected<bool> check_mtp() const;

 private:
  Expected<void> check_no_indexer() const;
  Expected<void> check(const TensorSpec& spec) const;
  Expected<void> check_weight(const TensorSpec& spec) const;
  Unexpected missing(const TensorSpec& spec) const;

  const ModelConfig& config_;
  std::span<const TensorView> tensors_;
};

}  // namespace troupe::model
