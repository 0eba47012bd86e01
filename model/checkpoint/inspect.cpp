// Adds up a checkpoint's tensors by role, layer and dtype.
#include "model/checkpoint/inspect.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "model/checkpoint/tensor_plan.hpp"
#include "model/checkpoint/transposed_weight.hpp"
#include "model/latent_attention.hpp"

namespace troupe::model {
namespace {

constexpr std::string_view kPacked = "_packed";

/// The name of the weight that a scale, a shape, zero points or a g_idx belong to; empty for other
/// tensors.
std::string owner(std::string_view tensor) {
  if (owner_of_codes(tensor).empty())
    if (std::string weight = owner_of_part(tensor); !weight.empty()) return weight;
  for (const std::string_view suffix : {"_scale_inv", "_scale", "_shape"}) {
    if (!tensor.ends_with(suffix)) continue;
    tensor.remove_suffix(suffix.size());
    return tensor.ends_with(".weight") ? std::string(tensor) : std::string();
  }
  return {};
}

/// The name that the tensor has in the plan.
std::string planned_name(std::string_view tensor) {
  if (std::string weight = owner(tensor); !weight.empty()) return weight;
  if (std::string weight = owner_of_codes(tensor); !weight.empty()) return weight;
  if (tensor.ends_with(kPacked)) tensor.remove_suffix(kPacked.size());
  return std::string(tensor);
}

/// The weights in a tensor. Packed rows end with the codes that fill their last word up, which are
/// none: `spec`, null where the model has no such tensor, knows how many columns there are.
std::int64_t weights_in(const TensorView& tensor, const TensorSpec* spec) {
  if (!owner(tensor.name).empty()) return 0;
  const bool packed = tensor.name.ends_with(kPacked) || !owner_of_codes(tensor.name).empty();
  if (!packed) return tensor.count();
  return spec != nullptr ? spec->rows * spec->cols : tensor.count() * kernels::kCodesPerWord;
}

void add(TensorTotals& totals, const TensorView& tensor, const TensorSpec* spec) {
  ++totals.tensors;
  totals.bytes += tensor.bytes;
  totals.parameters += static_cast<std::uint64_t>(weights_in(tensor, spec));
}

TensorTotals& role_of(LayerTotals& layer, TensorRole role) {
  if (role == TensorRole::router) return layer.router;
  return role == TensorRole::experts ? layer.experts : layer.attention;
}

TensorTotals& role_of(Inspection& inspection, TensorRole role) {
  if (role == TensorRole::router) return inspection.router;
  return role == TensorRole::experts ? inspection.experts : inspection.attention;
}

/// The specification of every tensor the engine may use, by name.
std::unordered_map<std::string, TensorSpec> known_tensors(const Checkpoint& checkpoint) {
  std::unordered_map<std::string, TensorSpec> known;
  for (TensorSpec& spec : main_tensors(checkpoint.config())) known[spec.name] = spec;
  if (checkpoint.has_mtp())
    for (TensorSpec& spec : mtp_tensors(checkpoint.config())) known[spec.name] = spec;
  return known;
}

Expected<void> check_values(const Checkpoint& checkpoint, const TensorSpec& spec) {
  if (spec.kind == TensorKind::vector) {
    const auto values = checkpoint.vector(spec.name, spec.rows);
    return values ? Expected<void>() : unexpected(values.error());
  }
  const auto stored = checkpoint.stored(spec.name, spec.rows, spec.cols);
  if (stored && is_transposed(stored->format)) return {};  // scales of groups are read at load
  const auto matrix = checkpoint.matrix(spec.name, spec.rows, spec.cols);
  return matrix ? Expected<void>() : unexpected(matrix.error());
}

std::vector<LayerTotals> empty_layers(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  std::vector<LayerTotals> layers;
  for (int i = 0; i < config.num_layers; ++i) {
    LayerTotals layer;
    layer.layer = i;
    layer.kind = config.is_moe(i) ? "moe" : "dense";
    layers.push_back(std::move(layer));
  }
  for (int i = 0; checkpoint.has_mtp() && i < config.mtp_layers; ++i) {
    LayerTotals layer;
    layer.layer = config.num_layers + i;
    layer.kind = "mtp";
    layers.push_back(std::move(layer));
  }
  return layers;
}

void add_known(Inspection& inspection, const TensorSpec& spec, const TensorView& tensor) {
  const bool is_mtp = spec.layer >= inspection.config.num_layers;
  add(is_mtp ? inspection.mtp : role_of(inspection, spec.role), tensor, &spec);
  if (spec.layer >= 0)
    add(role_of(inspection.layers[static_cast<std::size_t>(spec.layer)], spec.role), tensor, &spec);
}

std::uint64_t largest_expert(const Inspection& inspection) {
  std::uint64_t bytes = 0;
  for (const LayerTotals& layer : inspection.layers) bytes = std::max(bytes, layer.experts.bytes);
  return bytes / static_cast<std::uint64_t>(inspection.config.routed_experts);
}

}  // namespace

Expected<Inspection> inspect(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  Inspection result;
  result.directory = checkpoint.directory().string();
  result.config = config;
  result.has_mtp = checkpoint.has_mtp();
  result.files = checkpoint.files().size();
  result.layers = empty_layers(checkpoint);
  const auto cached = [&](KvCache cache) {
    const auto entry = cache_entry(config, {.kv_cache = cache});
    return static_cast<std::uint64_t>(config.num_layers * entry.bytes());
  };
  result.kv_token_bytes = cached(KvCache::automatic);
  result.kv_fp8_token_bytes = cached(KvCache::fp8);
  const auto known = known_tensors(checkpoint);
  std::map<DType, TensorTotals> dtypes;
  for (const TensorView& tensor : checkpoint.tensors()) {
    const auto found = known.find(planned_name(tensor.name));
    const TensorSpec* spec = found == known.end() ? nullptr : &found->second;
    add(result.total, tensor, spec);
    add(dtypes[tensor.dtype], tensor, spec);
    if (spec == nullptr) {
      add(result.unused, tensor, nullptr);
      continue;
    }
    add_known(result, *spec, tensor);
    if (!owner(tensor.name).empty()) continue;
    if (const auto fine = check_values(checkpoint, *spec); !fine) return unexpected(fine.error());
  }
  for (const auto& [dtype, totals] : dtypes) result.dtypes.push_back({dtype, totals});
  std::ranges::stable_sort(result.dtypes, [](const DTypeTotals& a, const DTypeTotals& b) {
    return a.totals.bytes > b.totals.bytes;
  });
  result.expert_bytes = largest_expert(result);
  result.revision = checkpoint.revision();
  return result;
}

}  // namespace troupe::model
