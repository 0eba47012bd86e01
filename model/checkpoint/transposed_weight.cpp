// Compares the tensors of AWQ and GPTQ layers with the shapes that the configuration asks for.
#include "model/checkpoint/transposed_weight.hpp"

#include <array>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::model {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kCodes = ".qweight";

std::string_view module_of(std::string_view name) {
  if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
  return name;
}

std::string owner_by(std::string_view tensor, std::string_view suffix) {
  if (!tensor.ends_with(suffix)) return {};
  tensor.remove_suffix(suffix.size());
  return std::string(tensor) + std::string(kWeight);
}

/// The tensor `part` of the layer, or what is wrong with it. *Errors*: as `require_tensor`; of one
/// that is missing, what it is for.
Expected<const TensorView*> require_part(std::span<const TensorView> tensors, std::string_view name,
                                         std::string_view part, std::span<const DType> dtypes,
                                         std::span<const std::int64_t> shape) {
  const std::string full = transposed_part(name, part);
  const TensorView* tensor = find_tensor(tensors, full);
  if (tensor == nullptr)
    return unexpected(Errc::not_found, "tensor " + full + " is missing, although there is " +
                                           transposed_part(name, "qweight") +
                                           "; download the checkpoint again");
  const Expected<TensorView> fine = require_tensor(tensors, full, dtypes, shape);
  if (!fine) return unexpected(fine.error());
  return tensor;
}

Expected<void> check_width(std::string_view name, std::int64_t rows, std::int64_t cols) {
  if (cols % kernels::kScaleGroup == 0 && rows % kernels::kCodesPerWord == 0) return {};
  return unexpected(Errc::unsupported,
                    "tensor " + transposed_part(name, "qweight") + " is of a layer [" +
                        std::to_string(rows) + ", " + std::to_string(cols) +
                        "]; packed layers must have a multiple of 32 inputs and a multiple of 8 "
                        "outputs: leave this one out when you quantise (modules_to_not_convert)");
}

}  // namespace

std::string transposed_part(std::string_view name, std::string_view part) {
  return std::string(module_of(name)) + "." + std::string(part);
}

std::string owner_of_codes(std::string_view tensor) { return owner_by(tensor, kCodes); }

std::string owner_of_part(std::string_view tensor) {
  for (const std::string_view suffix : {kCodes, std::string_view(".qzeros"),
                                        std::string_view(".scales"), std::string_view(".g_idx")})
    if (std::string owner = owner_by(tensor, suffix); !owner.empty()) return owner;
  return {};
}

std::int64_t columns_of_group(const Quantisation& how, std::int64_t cols) {
  if (how.group_size > 0) return how.group_size;
  return (cols + kernels::kScaleGroup - 1) / kernels::kScaleGroup * kernels::kScaleGroup;
}

Expected<StoredWeight> require_transposed(std::span<const TensorView> tensors,
                                          std::string_view name, std::int64_t rows,
                                          std::int64_t cols, const Quantisation& how) {
  constexpr std::array kWords{DType::i32};
  constexpr std::array kScales{DType::f16, DType::bf16};
  if (const auto fine = check_width(name, rows, cols); !fine) return unexpected(fine.error());
  const std::int64_t words = rows / kernels::kCodesPerWord;
  const std::int64_t in_group = columns_of_group(how, cols);
  const std::int64_t groups = (cols + in_group - 1) / in_group;
  const bool awq = how.format == WeightFormat::awq;
  const std::array codes_shape{awq ? cols : cols / kernels::kCodesPerWord, awq ? words : rows};
  const std::array scales_shape{groups, rows};
  const std::array zeros_shape{groups, words};
  const std::array<std::int64_t, 1> index_shape{cols};

  const auto codes = require_part(tensors, name, "qweight", kWords, codes_shape);
  if (!codes) return unexpected(codes.error());
  const auto scales = require_part(tensors, name, "scales", kScales, scales_shape);
  if (!scales) return unexpected(scales.error());
  const auto zeros = require_part(tensors, name, "qzeros", kWords, zeros_shape);
  if (!zeros) return unexpected(zeros.error());
  StoredWeight weight{**codes, *scales, how.format, *zeros, nullptr};
  const bool has_index = find_tensor(tensors, transposed_part(name, "g_idx")) != nullptr;
  if (awq || (!has_index && !how.desc_act)) return weight;
  const auto index = require_part(tensors, name, "g_idx", kWords, index_shape);
  if (!index) return unexpected(index.error());
  weight.group_index = *index;
  return weight;
}

}  // namespace troupe::model
