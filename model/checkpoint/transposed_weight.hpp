// AWQ and GPTQ layers, which lie with their inputs as rows: the tensors of one and what they must
// be.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/expected.hpp"
#include "model/checkpoint/tensor_checks.hpp"

namespace troupe::model {

/// Whether layers of this format lie transposed, so that they are repacked at load.
constexpr bool is_transposed(WeightFormat format) {
  return format == WeightFormat::awq || format == WeightFormat::gptq;
}

/// The tensor `part` ("qweight", "qzeros", "scales", "g_idx") of the weight `name` (".weight"
/// included).
std::string transposed_part(std::string_view name, std::string_view part);

/// The weight that a tensor with such a name belongs to; empty for other names.
std::string owner_of_part(std::string_view tensor);
/// The same for the tensor with the codes alone.
std::string owner_of_codes(std::string_view tensor);

/// The linear layer `name` [rows, cols] of a checkpoint whose quantization_config is `how`:
/// qweight I32, [cols, rows/8] with interleaved codes in AWQ, [cols/8, rows] in GPTQ; scales F16 or
/// BF16 [groups, rows]; qzeros I32 [groups, rows/8]; in GPTQ g_idx I32 [cols], which may be missing
/// where desc_act is false.
/// *Errors*: `not_found`, `malformed` and `unsupported` (dtype, or a width that is no multiple of
/// 32), each naming the tensor. *Source*: specification 4.8.
Expected<StoredWeight> require_transposed(std::span<const TensorView> tensors,
                                          std::string_view name, std::int64_t rows,
                                          std::int64_t cols, const Quantisation& how);

/// Columns that share a scale and a zero point: `group_size`, or all of a row where that is -1.
std::int64_t columns_of_group(const Quantisation& how, std::int64_t cols);

}  // namespace troupe::model
