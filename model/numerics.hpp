// Which numbers a service computes: the activation mode and the id that equal services share.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/dtype.hpp"
#include "core/expected.hpp"
#include "kernels/engine.hpp"

namespace troupe::model {

/// docs/adr/0001 lists the rounding points of each.
enum class ActivationMode : std::uint8_t {
  f32 = 0,      // nothing is rounded; rows, latent cache and W_UK/W_UV are F32
  bf16 = 1,     // the product's default
  fp8_act = 2,  // as bf16, and inputs of FP8 linears are quantised 1x128 (specification 4.3)
  // As bf16, and inputs of INT8 and INT4 linears are quantised 1x128 to INT8 (4.8); models that
  // have such linears get W_UK, W_UV and the head in INT8 (docs/adr/0005).
  int8_act = 3,
  // As bf16, and rows meet BF16 and FP8 weights in the order of AMX's tiles (docs/adr/0007): the
  // same rounding of values, sums of another order.
  bf16_tiles = 4,
};

std::string_view to_string(ActivationMode mode);
/// *Errors*: `invalid_argument` that lists "f32, bf16, fp8-act, int8-act, bf16-tiles".
Expected<ActivationMode> parse_activation_mode(std::string_view name);

/// What a position of the latent cache keeps.
enum class KvCache : std::uint8_t {
  automatic = 0,  // latent and k_pe in the mode's row dtype
  fp8 = 1,        // the latent as e4m3 with a scale of 128 columns, k_pe BF16 (specification 4.7)
};

/// "auto", "fp8".
std::string_view to_string(KvCache cache);
/// *Errors*: `invalid_argument` that lists "auto, fp8".
Expected<KvCache> parse_kv_cache(std::string_view name);

struct Numerics {
  ActivationMode mode = ActivationMode::bf16;
  KvCache kv_cache = KvCache::automatic;

  bool rounds_to_bf16() const { return mode != ActivationMode::f32; }
  /// Whether inputs of FP8 linears become e4m3 codes, on the wire between router and expert too.
  bool quantises_to_fp8() const { return mode == ActivationMode::fp8_act; }
  /// Whether inputs of INT8 and INT4 linears become INT8 codes; rows on the wire stay BF16.
  bool quantises_to_int8() const { return mode == ActivationMode::int8_act; }
  /// How linears add up plain rows with weights of BF16 and e4m3.
  kernels::Bf16Sums bf16_sums() const {
    return mode == ActivationMode::bf16_tiles ? kernels::Bf16Sums::tiles : kernels::Bf16Sums::lanes;
  }
  /// `engine` with these sums.
  kernels::Engine engine_of(kernels::Engine engine) const {
    engine.bf16_sums = bf16_sums();
    return engine;
  }
  /// Dtype of rows on the wire.
  DType row_dtype() const { return rounds_to_bf16() ? DType::bf16 : DType::f32; }
  /// Dtype of the latent in the cache: kernels::CacheEntry.
  DType cache_dtype() const { return kv_cache == KvCache::fp8 ? DType::f8_e4m3 : row_dtype(); }
};

/// Hash over everything that decides the bits (design 7). Services of different ids never share
/// work. `revision`: SHA-256 of the model (hex), Checkpoint::revision().
std::uint64_t numerics_id(std::string_view revision, const Numerics& numerics);
/// "fp_" and 16 hex digits, as `system_fingerprint` shows it.
std::string fingerprint(std::uint64_t numerics_id);

}  // namespace troupe::model
