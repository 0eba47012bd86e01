// Names of the activation modes and the hash that equal services share.
#include "model/numerics.hpp"

#include <cstdio>

#include "core/sha256.hpp"
#include "kernels/registry.hpp"

namespace troupe::model {

std::string_view to_string(ActivationMode mode) {
  switch (mode) {
    case ActivationMode::f32: return "f32";
    case ActivationMode::bf16: return "bf16";
    case ActivationMode::fp8_act: return "fp8-act";
    case ActivationMode::int8_act: return "int8-act";
    case ActivationMode::bf16_tiles: return "bf16-tiles";
  }
  return "unknown";
}

Expected<ActivationMode> parse_activation_mode(std::string_view name) {
  for (const auto mode : {ActivationMode::f32, ActivationMode::bf16, ActivationMode::fp8_act,
                          ActivationMode::int8_act, ActivationMode::bf16_tiles})
    if (name == to_string(mode)) return mode;
  return unexpected(
      Errc::invalid_argument,
      "mode \"" + std::string(name) + "\" is not one of f32, bf16, fp8-act, int8-act, bf16-tiles");
}

std::string_view to_string(KvCache cache) {
  switch (cache) {
    case KvCache::automatic: return "auto";
    case KvCache::fp8: return "fp8";
  }
  return "unknown";
}

Expected<KvCache> parse_kv_cache(std::string_view name) {
  for (const auto cache : {KvCache::automatic, KvCache::fp8})
    if (name == to_string(cache)) return cache;
  return unexpected(Errc::invalid_argument,
                    "KV cache \"" + std::string(name) + "\" is not one of auto, fp8");
}

std::uint64_t numerics_id(std::string_view revision, const Numerics& numerics) {
  Sha256 hash;
  const auto add = [&hash](std::string_view part) {
    hash.add_u64(part.size());
    hash.add(part);
  };
  // Mode fixes the wire's dtypes; the attention form is always the absorbed one.
  for (const std::string_view part :
       {revision, to_string(numerics.mode), std::string_view("absorbed"), kernels::kNumericsClass})
    add(part);
  hash.add_u64(kernels::kKernelNumericsVersion);
  // W_UK, W_UV and the head are INT8 too; ids from before they were have other bits.
  if (numerics.quantises_to_int8()) add("int8-derived");
  // Only where it differs from the mode's: ids given before there was a choice stay.
  if (numerics.cache_dtype() != numerics.row_dtype()) add(to_string(numerics.cache_dtype()));
  const auto digest = hash.digest();
  std::uint64_t id = 0;
  for (int i = 0; i < 8; ++i) id = id << 8 | digest[static_cast<std::size_t>(i)];
  return id;
}

std::string fingerprint(std::uint64_t numerics_id) {
  char text[20];
  std::snprintf(text, sizeof text, "fp_%016llx", static_cast<unsigned long long>(numerics_id));
  return text;
}

}  // namespace troupe::model
