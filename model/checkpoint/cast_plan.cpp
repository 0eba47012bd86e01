// Decides which tensors are encoded anew and lays the output files out.
#include "model/checkpoint/cast_plan.hpp"

#include <algorithm>
#include <map>

#include "model/checkpoint/tensor_plan.hpp"
#include "model/checkpoint/transposed_weight.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {
namespace {

constexpr std::string_view kPackedSuffix = "_packed";
constexpr std::string_view kFp8Scale = "_scale_inv";
constexpr std::string_view kScale = "_scale";
constexpr std::string_view kShape = "_shape";
constexpr std::uint64_t kAlignment = 8;  // of the data in the file; no element is larger

/// The linear layers of the model by the names of their weights.
using Linears = std::map<std::string, TensorSpec, std::less<>>;

Linears linears_of(const ModelConfig& config) {
  Linears linears;
  for (auto* tensors : {&main_tensors, &mtp_tensors})
    for (TensorSpec& spec : tensors(config))
      if (spec.kind == TensorKind::linear) linears.emplace(spec.name, std::move(spec));
  return linears;
}

std::string_view without(std::string_view name, std::string_view suffix) {
  if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return name;
}

/// The name of the weight whose codes `tensor` holds, packed or not.
std::string weight_name(std::string_view tensor) {
  std::string owner = owner_of_codes(tensor);
  return owner.empty() ? std::string(without(tensor, kPackedSuffix)) : owner;
}

/// One cast's answer for every tensor.
class Caster {
 public:
  Caster(const Checkpoint& checkpoint, WeightFormat to, Int4Layers layers)
      : checkpoint_(checkpoint),
        to_(to),
        layers_(layers),
        linears_(linears_of(checkpoint.config())) {}

  /// Scales, shapes and what else belongs to weights that are encoded anew are written anew or not
  /// at all; those of a copied weight are copied with it. A `_scale_inv` without a weight belongs
  /// to nothing.
  bool is_dropped(const TensorView& tensor) const {
    if (const std::string name = owner_of_part(tensor.name);
        !name.empty() && owner_of_codes(tensor.name).empty()) {
      const TensorView* owner = checkpoint_.find_weight(name);
      return owner != nullptr && encoding(*owner) != Encoding::copy;
    }
    for (const std::string_view suffix : {kFp8Scale, kScale, kShape}) {
      if (!tensor.name.ends_with(suffix)) continue;
      const TensorView* owner = checkpoint_.find_weight(without(tensor.name, suffix));
      return owner == nullptr ? suffix == kFp8Scale : encoding(*owner) != Encoding::copy;
    }
    return false;
  }

  Expected<CastTensor> cast(const TensorView& tensor) const {
    CastTensor out;
    out.source = &tensor;
    out.encoding = encoding(tensor);
    if (out.encoding == Encoding::copy) {
      out.outputs.push_back({std::string(tensor.name), tensor.dtype, tensor.shape, 0});
      return out;
    }
    if (tensor.shape.size() != 2)
      return unexpected(Errc::malformed, "tensor " + std::string(tensor.name) + " of shape " +
                                             to_string(tensor.shape) + " is " +
                                             std::string(to_string(tensor.dtype)) +
                                             ", but only matrices have scales");
    out.weight = weight_name(tensor.name);
    const auto known = linears_.find(out.weight);
    out.rows = known == linears_.end() ? tensor.shape[0] : known->second.rows;
    out.cols = known == linears_.end() ? tensor.shape[1] : known->second.cols;
    out.outputs = outputs(out);
    return out;
  }

 private:
  bool is_quantised(const TensorView& tensor) const {
    if (tensor.dtype == DType::f8_e4m3) return true;
    const bool integers = tensor.dtype == DType::i8 || tensor.dtype == DType::i32;
    return integers && linears_.contains(weight_name(tensor.name));
  }

  bool becomes_int4(const TensorSpec& linear) const {
    if (layers_ == Int4Layers::experts) return linear.role == TensorRole::experts;
    return !linear.name.ends_with("kv_b_proj.weight");
  }

  Encoding encoding(const TensorView& tensor) const {
    const auto linear = linears_.find(weight_name(tensor.name));
    if (linear != linears_.end()) {
      if (to_ == WeightFormat::int8_blocks) return Encoding::int8_blocks;
      if (to_ == WeightFormat::int8_channel) return Encoding::int8_channel;
      if (to_ == WeightFormat::int4_groups && becomes_int4(linear->second))
        return Encoding::int4_groups;
    }
    return is_quantised(tensor) ? Encoding::bf16 : Encoding::copy;
  }

  static std::vector<OutputTensor> outputs(const CastTensor& t) {
    const std::vector shape{t.rows, t.cols};
    const auto blocks = [](std::int64_t n) { return kernels::scale_blocks(n); };
    switch (t.encoding) {
      case Encoding::int8_blocks:
        return {{t.weight, DType::i8, shape, 0},
                {t.weight + "_scale_inv", DType::f32, {blocks(t.rows), blocks(t.cols)}, 0}};
      case Encoding::int8_channel:
        return {{t.weight, DType::i8, shape, 0}, {t.weight + "_scale", DType::f32, {t.rows, 1}, 0}};
      case Encoding::int4_groups: {
        const std::int64_t words = (t.cols + kernels::kCodesPerWord - 1) / kernels::kCodesPerWord;
        return {{t.weight + "_packed", DType::i32, {t.rows, words}, 0},
                {t.weight + "_scale", DType::bf16, {t.rows, kernels::scale_groups(t.cols)}, 0},
                {t.weight + "_shape", DType::i32, {2}, 0}};
      }
      default: return {{t.weight, DType::bf16, shape, 0}};
    }
  }

  const Checkpoint& checkpoint_;
  WeightFormat to_;
  Int4Layers layers_;
  Linears linears_;
};

JsonValue whole_number(std::uint64_t value) { return {static_cast<std::int64_t>(value)}; }

/// Where a tensor goes: 0 for those that leave the next offset a multiple of 8.
std::uint64_t place(const OutputTensor* tensor) {
  return tensor->bytes() % kAlignment == 0 ? 0 : kAlignment - bytes_of(tensor->dtype);
}

/// Gives every output its offset; they come back in the order of the file.
std::vector<const OutputTensor*> lay_out(std::vector<CastTensor>& tensors) {
  std::vector<OutputTensor*> order;
  for (CastTensor& tensor : tensors)
    for (OutputTensor& output : tensor.outputs) order.push_back(&output);
  std::ranges::stable_sort(order, {}, place);
  std::uint64_t begin = 0;
  for (OutputTensor* output : order) {
    output->begin = begin;
    begin += output->bytes();
  }
  return {order.begin(), order.end()};
}

JsonValue entry_value(const OutputTensor& tensor) {
  JsonValue::Array shape(tensor.shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i].data = tensor.shape[i];
  JsonValue::Array offsets{whole_number(tensor.begin), whole_number(tensor.begin + tensor.bytes())};
  return {JsonValue::Object{{"dtype", {std::string(to_string(tensor.dtype))}},
                            {"shape", {std::move(shape)}},
                            {"data_offsets", {std::move(offsets)}}}};
}

/// Length prefix and header, padded with spaces to a multiple of 8 as the reference writer does.
std::string head_of(const std::vector<const OutputTensor*>& order) {
  JsonValue::Object members{{"__metadata__", {JsonValue::Object{{"format", {std::string("pt")}}}}}};
  for (const OutputTensor* output : order) members.push_back({output->name, entry_value(*output)});
  std::string text = to_json(JsonValue{members});
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  std::string head(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) head[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return head + text;
}

void complete(ShardPlan& plan, bool has_dropped) {
  std::ranges::sort(plan.tensors, {}, [](const CastTensor& tensor) { return tensor.source->data; });
  plan.verbatim = !has_dropped && std::ranges::all_of(plan.tensors, [](const CastTensor& tensor) {
    return tensor.encoding == Encoding::copy;
  });
  if (plan.verbatim) {
    const auto bytes = plan.source->header_bytes();
    plan.head.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    plan.file_bytes = bytes.size();
    for (const SafetensorsEntry& entry : plan.source->header().entries)
      plan.file_bytes += entry.end - entry.begin;
    return;
  }
  plan.head = head_of(lay_out(plan.tensors));
  plan.file_bytes = plan.head.size() + plan.tensor_bytes();
}

}  // namespace

std::uint64_t OutputTensor::bytes() const {
  std::uint64_t bytes = bytes_of(dtype);
  for (const std::int64_t dim : shape) bytes *= static_cast<std::uint64_t>(dim);
  return bytes;
}

std::uint64_t ShardPlan::tensor_bytes() const {
  std::uint64_t bytes = 0;
  for (const CastTensor& tensor : tensors)
    for (const OutputTensor& output : tensor.outputs) bytes += output.bytes();
  return bytes;
}

Expected<std::vector<ShardPlan>> plan_shards(const Checkpoint& checkpoint, WeightFormat to,
                                             Int4Layers layers) {
  const Caster caster(checkpoint, to, layers);
  std::vector<ShardPlan> plans(checkpoint.files().size());
  std::vector<bool> has_dropped(plans.size(), false);
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    plans[i].name = checkpoint.file_names()[i];
    plans[i].source = &checkpoint.files()[i];
    index[plans[i].name] = i;
  }
  for (const TensorView& tensor : checkpoint.tensors()) {
    const std::size_t i = index.at(tensor.file);
    if (caster.is_dropped(tensor)) {
      has_dropped[i] = true;
      continue;
    }
    Expected<CastTensor> cast = caster.cast(tensor);
    if (!cast) return unexpected(cast.error());
    plans[i].tensors.push_back(*std::move(cast));
  }
  for (std::size_t i = 0; i < plans.size(); ++i) complete(plans[i], has_dropped[i]);
  std::erase_if(plans, [](const ShardPlan& plan) { return plan.tensors.empty(); });
  return plans;
}

}  // namespace troupe::model
