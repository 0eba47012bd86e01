// The vector levels of every operation, compiled once per instruction set from one source each.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

#include "kernels/ops/elementwise.hpp"
#include "kernels/ops/latent_cache.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/ops/mla_attention.hpp"

namespace troupe::kernels::cpu {

/// The same operation at each level. Calling one that the CPU lacks is an illegal instruction.
template <class Fn>
struct Levels {
  Fn avx2;
  Fn avx512;
  Fn avx2_vnni = avx2;           // of its own where bytes are multiplied
  Fn avx512_vnni = avx512;       // the same
  Fn avx512_bf16 = avx512_vnni;  // of its own where BF16 are multiplied
  Fn avx512_amx = avx512_bf16;   // of its own where tiles of bytes are multiplied

  /// The function of the level called `name`; avx2's where there is no such vector level.
  Fn at(std::string_view name) const {
    if (name == "avx512_amx") return avx512_amx;
    if (name == "avx512_bf16") return avx512_bf16;
    if (name == "avx512_vnni") return avx512_vnni;
    if (name == "avx512") return avx512;
    return name == "avx2_vnni" ? avx2_vnni : avx2;
  }
};

Levels<LinearFn> linear_levels();
/// The ways of a level that has several, of which `linear_levels` names the fastest here: all give
/// the same bits, which tests ask of each.
struct LinearVariant {
  std::string_view name;
  std::string_view level;  // that it needs
  LinearFn linear;
};
std::span<const LinearVariant> linear_variants();
Levels<LinearFn> linear_tiles_levels();
Levels<LinearFn> linear_int8_levels();
Levels<MlaAttentionFn> mla_attention_levels();
Levels<WriteCacheFn> write_cache_levels();
Levels<RmsNormFn> rms_norm_levels();
Levels<RopeFn> rope_levels();
Levels<SwigluFn> swiglu_levels();
Levels<QuantiseFn> quantise_levels();
Levels<QuantiseInt8Fn> quantise_int8_levels();
Levels<RoundBf16Fn> round_bf16_levels();
Levels<PackBf16Fn> pack_bf16_levels();
Levels<UnpackBf16Fn> unpack_bf16_levels();
Levels<AddFn> add_levels();
Levels<AxpyFn> axpy_levels();
Levels<SigmoidFn> sigmoid_levels();
Levels<SoftmaxStatsFn> softmax_stats_levels();

/// Bytes of a core's level-2 cache, at most 4 MiB; 1 MiB where the system does not say.
std::size_t level2_bytes();
/// Whether a multiplication takes this CPU hundreds of cycles where an operand is a subnormal F32,
/// as Intel's do. Measured at the first call, in microseconds.
bool subnormals_are_slow();

/// Reads kReadProbeBytes bytes; the sum means nothing.
inline constexpr std::int64_t kReadProbeBytes = 1 << 20;
using ReadProbeFn = std::uint64_t (*)(const std::uint8_t* bytes);
Levels<ReadProbeFn> read_probe_levels();
/// Does `rounds` rounds of independent multiply-adds and returns how many operations that was.
using FmaProbeFn = std::int64_t (*)(std::int64_t rounds, float* result);
Levels<FmaProbeFn> fma_probe_levels();
/// The same for products of BF16, as linear has them.
Levels<FmaProbeFn> bf16_probe_levels();
/// The same in the order of tiles, as linear_tiles has them.
Levels<FmaProbeFn> tile_probe_levels();
/// The same for products of bytes, as linear_int8 has them.
using Int8ProbeFn = std::int64_t (*)(std::int64_t rounds, std::int32_t* result);
Levels<Int8ProbeFn> int8_probe_levels();

/// What int8_vnni.cpp adds to the two of them.
LinearFn avx2_vnni_linear_int8();
LinearFn avx512_vnni_linear_int8();
Int8ProbeFn avx2_vnni_int8_probe();
Int8ProbeFn avx512_vnni_int8_probe();

/// What int8_amx.cpp adds to them.
LinearFn amx_linear_int8();
Int8ProbeFn amx_int8_probe();

/// What linear_amx.cpp adds to linear_tiles and to the probe of multiply-adds.
LinearFn amx_linear_tiles();
FmaProbeFn amx_tile_probe();
/// Whether this CPU's tiles, which this process must be allowed, add up in the order that the other
/// levels have. Asked once, in less than a millisecond.
bool tiles_add_in_order();

/// What linear_bf16.cpp adds to linear and to the probe of multiply-adds.
LinearFn bf16_linear();
FmaProbeFn bf16_probe();
/// Whether this CPU's products of BF16, which it must have, round in the canonical order.
bool bf16_adds_in_order();
/// Whether this CPU does more of them in a second than multiply-adds of F32: AMD's do twice as
/// many, Intel's half as many. False where it has none. Measured at the first call, in
/// microseconds.
bool bf16_products_are_fast();

}  // namespace troupe::kernels::cpu
