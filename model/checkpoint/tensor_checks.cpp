// Compares tensors with what the configuration asks for and words the differences.
#include "model/checkpoint/tensor_checks.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/ops/weight_matrix.hpp"
#include "model/checkpoint/transposed_weight.hpp"

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

/// Whether tensor `name` exists.
bool has(std::span<const TensorView> tensors, const std::string& name) {
  return find_tensor(tensors, name) != nullptr;
}

/// `weight` with its scale `name`, or the first thing that is wrong with that.
Expected<StoredWeight> with_scale(std::span<const TensorView> tensors, StoredWeight weight,
                                  const std::string& name, std::span<const DType> dtypes,
                                  std::span<const std::int64_t> shape) {
  const Expected<TensorView> scale = require_tensor(tensors, name, dtypes, shape);
  if (!scale) return unexpected(scale.error());
  weight.scale = find_tensor(tensors, name);
  return weight;
}

Unexpected no_scale(const TensorView& weight, const std::string& scale) {
  return tensor_error(Errc::not_found, weight.name,
                      " has dtype " + std::string(to_string(weight.dtype)) + ", but its scale " +
                          scale + " is missing");
}

Expected<StoredWeight> require_blocks(std::span<const TensorView> tensors, StoredWeight weight) {
  constexpr std::array kDTypes{DType::f32, DType::bf16, DType::f8_e8m0};
  const std::array shape{kernels::scale_blocks(weight.codes.shape[0]),
                         kernels::scale_blocks(weight.codes.shape[1])};
  const std::string name = std::string(weight.codes.name) + "_scale_inv";
  if (!has(tensors, name)) return no_scale(weight.codes, name);
  const bool fp8 = weight.codes.dtype == DType::f8_e4m3;
  weight.format = fp8 ? WeightFormat::fp8_blocks : WeightFormat::int8_blocks;
  return with_scale(tensors, std::move(weight), name, std::span(kDTypes).first(fp8 ? 3 : 2), shape);
}

Expected<StoredWeight> require_int8(std::span<const TensorView> tensors, StoredWeight weight) {
  constexpr std::array kDTypes{DType::f32, DType::bf16};
  const std::string blocks = std::string(weight.codes.name) + "_scale_inv";
  const std::string rows = std::string(weight.codes.name) + "_scale";
  const TensorView* by_row = find_tensor(tensors, rows);
  if (by_row == nullptr)
    return has(tensors, blocks)
               ? require_blocks(tensors, std::move(weight))
               : Expected<StoredWeight>(no_scale(weight.codes, blocks + " or " + rows));
  if (has(tensors, blocks))
    return tensor_error(Errc::malformed, weight.codes.name,
                        " has two scales, " + blocks + " and " + rows);
  std::vector<std::int64_t> shape{weight.codes.shape[0], 1};
  if (by_row->shape.size() == 1) shape.pop_back();
  weight.format = WeightFormat::int8_channel;
  return with_scale(tensors, std::move(weight), rows, kDTypes, shape);
}

/// Element `i` of a tensor of dtype I32 or I64.
std::int64_t integer_at(const TensorView& tensor, std::size_t i) {
  std::int32_t narrow = 0;
  std::int64_t wide = 0;
  if (tensor.dtype == DType::i64) {
    std::memcpy(&wide, tensor.data + 8 * i, sizeof wide);
    return wide;
  }
  std::memcpy(&narrow, tensor.data + 4 * i, sizeof narrow);
  return narrow;
}

Expected<StoredWeight> require_packed(std::span<const TensorView> tensors, const std::string& name,
                                      std::int64_t rows, std::int64_t cols) {
  constexpr std::array kWords{DType::i32};
  constexpr std::array kScales{DType::bf16};
  constexpr std::array kIntegers{DType::i32, DType::i64};
  const std::array packed{rows, (cols + kernels::kCodesPerWord - 1) / kernels::kCodesPerWord};
  const Expected<TensorView> codes = require_tensor(tensors, name + "_packed", kWords, packed);
  if (!codes) return unexpected(codes.error());
  const std::array<std::int64_t, 1> two{2};
  const Expected<TensorView> shape = require_tensor(tensors, name + "_shape", kIntegers, two);
  if (!shape) return unexpected(shape.error());
  if (integer_at(*shape, 0) != rows || integer_at(*shape, 1) != cols)
    return tensor_error(Errc::malformed, shape->name,
                        " says [" + std::to_string(integer_at(*shape, 0)) + ", " +
                            std::to_string(integer_at(*shape, 1)) + "], but config.json asks for " +
                            to_string({rows, cols}));
  if (!has(tensors, name + "_scale")) return no_scale(*codes, name + "_scale");
  const std::array groups{rows, kernels::scale_groups(cols)};
  return with_scale(tensors, {*codes, nullptr, WeightFormat::int4_groups}, name + "_scale", kScales,
                    groups);
}

}  // namespace

const TensorView* find_weight(std::span<const TensorView> tensors, std::string_view name) {
  for (const std::string& stored :
       {std::string(name), std::string(name) + "_packed", transposed_part(name, "qweight")})
    if (const TensorView* found = find_tensor(tensors, stored)) return found;
  return nullptr;
}

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

Expected<StoredWeight> require_linear(std::span<const TensorView> tensors, std::string_view name,
                                      std::int64_t rows, std::int64_t cols,
                                      const Quantisation& how) {
  constexpr std::array kDTypes{DType::f8_e4m3, DType::i8, DType::bf16, DType::f32};
  const std::string text(name);
  const TensorView* codes = find_weight(tensors, text);
  for (const std::string& packed : {text + "_packed", transposed_part(text, "qweight")})
    if (codes != nullptr && codes->name != packed && has(tensors, packed))
      return tensor_error(Errc::malformed, name,
                          " is stored twice, as " + std::string(codes->name) + " and as " + packed);
  if (codes != nullptr && codes->name == text + "_packed")
    return require_packed(tensors, text, rows, cols);
  if (codes != nullptr && codes->name != text) {
    if (is_transposed(how.format)) return require_transposed(tensors, text, rows, cols, how);
    return tensor_error(Errc::malformed, codes->name,
                        " is packed as AWQ and GPTQ do it, but quantization_config of config.json "
                        "says " +
                            std::string(to_string(how.format)) +
                            "; take config.json and weights from one download");
  }
  const std::array shape{rows, cols};
  const Expected<TensorView> weight = require_tensor(tensors, name, kDTypes, shape);
  if (!weight) return unexpected(weight.error());
  if (weight->dtype == DType::f8_e4m3) return require_blocks(tensors, {.codes = *weight});
  if (weight->dtype == DType::i8) return require_int8(tensors, {.codes = *weight});
  for (const std::string& scale : {text + "_scale_inv", text + "_scale"})
    if (has(tensors, scale))
      return tensor_error(Errc::malformed, name,
                          " has dtype " + std::string(to_string(weight->dtype)) +
                              ", yet there is a scale " + scale +
                              ", which only F8_E4M3 and I8 have");
  return StoredWeight{.codes = *weight};
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

/// What is stored must be what quantization_config says, so that a mixed-up download is noticed.
Expected<void> TensorChecks::check_format(std::string_view name, const StoredWeight& weight) const {
  const WeightFormat wanted = config_.quantisation.format;
  const bool plain = weight.format == WeightFormat::plain;
  const std::string dtype(to_string(weight.codes.dtype));
  if (wanted == WeightFormat::plain && !plain)
    return tensor_error(Errc::malformed, weight.codes.name,
                        " has dtype " + dtype +
                            ", but config.json has no quantization_config; take config.json and "
                            "weights from one download");
  if (!plain && weight.format != wanted)
    return tensor_error(
        Errc::malformed, weight.codes.name,
        " has dtype " + dtype + " and is stored as " + std::string(to_string(weight.format)) +
            ", but quantization_config of config.json says " + std::string(to_string(wanted)));
  return check_listed(name, weight);
}

/// The entry of the list of modules that are not quantised which has `module`; empty for none.
Expected<std::string_view> TensorChecks::entry_covering(std::string_view module) const {
  if (config_.quantisation.format != WeightFormat::awq) return ignore_.covering(module);
  for (const std::string& entry : config_.quantisation.ignore)
    if (module.find(entry) != std::string_view::npos) return std::string_view(entry);
  return std::string_view();
}

/// Where config.json lists the modules that are not quantised, it must be these.
Expected<void> TensorChecks::check_listed(std::string_view name, const StoredWeight& weight) const {
  const WeightFormat format = config_.quantisation.format;
  const bool awq = format == WeightFormat::awq;
  if (!awq && format != WeightFormat::int4_groups) return {};
  const std::string list =
      awq ? "quantization_config.modules_to_not_convert" : "quantization_config.ignore";
  const bool plain = weight.format == WeightFormat::plain;
  const Expected<std::string_view> entry = entry_covering(name.substr(0, name.rfind(".weight")));
  if (!entry) return unexpected(entry.error());
  if (plain && entry->empty())
    return tensor_error(Errc::malformed, name,
                        " is not packed, and no entry of " + list + " covers it");
  if (!plain && !entry->empty())
    return tensor_error(
        Errc::malformed, weight.codes.name,
        " is packed, but " + list + " has \"" + std::string(*entry) + "\", which covers it");
  return {};
}

Expected<void> TensorChecks::check_weight(const TensorSpec& spec) const {
  const Expected<StoredWeight> weight =
      require_linear(tensors_, spec.name, spec.rows, spec.cols, config_.quantisation);
  if (!weight) return unexpected(weight.error());
  return check_format(spec.name, *weight);
}

Expected<void> TensorChecks::check(const TensorSpec& spec) const {
  constexpr std::array kPlain{DType::bf16, DType::f32};
  const bool linear = spec.kind == TensorKind::linear;
  if ((linear ? find_weight(tensors_, spec.name) : find_tensor(tensors_, spec.name)) == nullptr) {
    if (spec.optional) return {};
    return missing(spec);
  }
  if (linear) return check_weight(spec);
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
    if (!spec.optional && find_weight(tensors_, spec.name) == nullptr) return false;
  for (const TensorSpec& spec : specs)
    if (const auto fine = check(spec); !fine) return unexpected(fine.error());
  return !specs.empty();
}

}  // namespace troupe::model
