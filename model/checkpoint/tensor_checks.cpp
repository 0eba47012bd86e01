// Compares tensors with what the configuration asks for and words the differences.
#include "model/checkpoint/tensor_checks.hpp"

#include <algorithm>
#include <array>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::model {
namespace {

Unexpected tensor_error(Errc code, std::string_view tensor, const std::string& why) {
  return unexpected(code, "tensor " + std::string(tensor) + why);
}

std::string names_of(std::span<const DType> dtypes) {
  std::string text;
  for (std::size_t i = 0; i < dtypes.size(); ++i)
    text += (i == 0                   ? ""
             : i + 1 == dtypes.size() ? " or "
                                      : ", ") +
            std::string(to_string(dtypes[i]));
  return text;
}

Expected<void> check_dtype(const TensorView& tensor, std::span<const DType> dtypes) {
  if (std::find(dtypes.begin(), dtypes.end(), tensor.dtype) != dtypes.end()) return {};
  std::string why = " (" + std::string(tensor.file) + ") has dtype " +
                    std::string(to_string(tensor.dtype)) + ", expected " + names_of(dtypes);
  if (tensor.dtype == DType::f16)
    why += "; V3's products overflow F16, so publish or convert it as BF16";
  return tensor_error(Errc::unsupported, tensor.name, why);
}

Expected<void> check_shape(const TensorView& tensor, std::span<const std::int64_t> shape) {
  if (std::ranges::equal(tensor.shape, shape)) return {};
  return tensor_error(Errc::malformed, tensor.name,
                      " (" + std::string(tensor.file) + ") has shape " + to_string(tensor.shape) +
                          ", but config.json asks for " +
                          to_string(std::vector(shape.begin(), shape.end())));
}

std::string scale_name(std::string_view weight) { return std::string(weight) + "_scale_inv"; }

}  // namespace

const TensorView* find_tensor(std::span<const TensorView> tensors, std::string_view name) {
  const auto found = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorView& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

Expected<TensorView> require_tensor(std::span<const TensorView> tensors, std::string_view name,
                                    std::span<const DType> dtypes,
                                    std::span<const std::int64_t> shape) {
  const TensorView* tensor = find_tensor(tensors, name);
  if (tensor == nullptr) return tensor_error(Errc::not_found, name, " is missing");
  if (const auto fine = check_dtype(*tensor, dtypes); !fine) return unexpected(fine.error());
  if (const auto fine = check_shape(*tensor, shape); !fine) return unexpected(fine.error());
  return *tensor;
}

Expected<TensorView> require_linear(std::span<const TensorView> tensors, std::string_view name,
                                    std::int64_t rows, std::int64_t cols) {
  constexpr std::array kDTypes{DType::f8_e4m3, DType::bf16, DType::f32};
  const std::array shape{rows, cols};
  Expected<TensorView> weight = require_tensor(tensors, name, kDTypes, shape);
  if (!weight || weight->dtype == DType::f8_e4m3) return weight;
  const std::string scale = scale_name(name);
  if (find_tensor(tensors, scale) != nullptr)
    return tensor_error(Errc::malformed, name,
                        " has dtype " + std::string(to_string(weight->dtype)) +
                            ", yet there is a scale " + scale + ", which only F8_E4M3 has");
  return weight;
}

Expected<TensorView> require_scale(std::span<const TensorView> tensors, const TensorView& weight) {
  constexpr std::array kDTypes{DType::f32, DType::bf16, DType::f8_e8m0};
  const std::array shape{kernels::scale_blocks(weight.shape[0]),
                         kernels::scale_blocks(weight.shape[1])};
  const std::string name = scale_name(weight.name);
  if (find_tensor(tensors, name) == nullptr)
    return tensor_error(Errc::not_found, weight.name,
                        " has dtype F8_E4M3, but its scale " + name + " is missing");
  return require_tensor(tensors, name, kDTypes, shape);
}

Unexpected TensorChecks::missing(const TensorSpec& spec) const {
  std::string why = " is missing";
  if (spec.name.ends_with("e_score_correction_bias"))
    why +=
        "; a model with topk_method noaux_tc needs it on every MoE layer: the checkpoint is "
        "corrupt or of another architecture";
  if (spec.name.ends_with("q_a_proj.weight"))
    why += ", but config.json has q_lora_rank " + std::to_string(config_.q_lora_rank) +
           "; without it there would be a q_proj.weight and q_lora_rank null";
  if (spec.name.ends_with("q_proj.weight"))
    why += ", but config.json has q_lora_rank null; with q_a_proj and q_b_proj it would be set";
  return tensor_error(Errc::not_found, spec.name, why);
}

Expected<void> TensorChecks::check_weight(const TensorSpec& spec) const {
  const Expected<TensorView> weight = require_linear(tensors_, spec.name, spec.rows, spec.cols);
  if (!weight) return unexpected(weight.error());
  if (weight->dtype != DType::f8_e4m3) return {};
  if (!config_.fp8)
    return tensor_error(Errc::malformed, spec.name,
                        " has dtype F8_E4M3, but config.json has no quantization_config");
  const Expected<TensorView> scale = require_scale(tensors_, *weight);
  if (!scale) return unexpected(scale.error());
  return {};
}

Expected<void> TensorChecks::check(const TensorSpec& spec) const {
  constexpr std::array kPlain{DType::bf16, DType::f32};
  if (find_tensor(tensors_, spec.name) == nullptr) {
    if (spec.optional) return {};
    return missing(spec);
  }
  if (spec.kind == TensorKind::linear) return check_weight(spec);
  const std::vector<std::int64_t> shape = spec.kind == TensorKind::vector
                                              ? std::vector<std::int64_t>{spec.rows}
                                              : std::vector<std::int64_t>{spec.rows, spec.cols};
  const Expected<TensorView> tensor = require_tensor(tensors_, spec.name, kPlain, shape);
  if (!tensor) return unexpected(tensor.error());
  return {};
}

Expected<void> TensorChecks::check_no_indexer() const {
  for (const TensorView& tensor : tensors_)
    if (tensor.name.find(".indexer.") != std::string_view::npos)
      return tensor_error(Errc::unsupported, tensor.name,
                          " belongs to a sparse-attention indexer (DSA, DeepSeek-V3.2), which "
                          "Troupe does not have");
  return {};
}

Expected<void> TensorChecks::check_main() const {
  if (const auto fine = check_no_indexer(); !fine) return fine;
  for (const TensorSpec& spec : main_tensors(config_))
    if (const auto fine = check(spec); !fine) return fine;
  return {};
}

Expected<bool> TensorChecks::check_mtp() const {
  const std::vector<TensorSpec> specs = mtp_tensors(config_);
  for (const TensorSpec& spec : specs)
    if (!spec.optional && find_tensor(tensors_, spec.name) == nullptr) return false;
  for (const TensorSpec& spec : specs)
    if (const auto fine = check(spec); !fine) return unexpected(fine.error());
  return !specs.empty();
}

}  // namespace troupe::model
