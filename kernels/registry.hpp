// The levels of this machine: one table of operations each, chosen at run time.
#pragma once
#include <span>
#include <string_view>

#include "core/expected.hpp"
#include "kernels/ops/elementwise.hpp"
#include "kernels/ops/latent_cache.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/ops/mla_attention.hpp"

namespace troupe::kernels {

/// The operations one level offers. Every CPU table gives the same bits. Read-only.
struct KernelTable {
  std::string_view name;  // one of known_levels()
  LinearFn linear;
  LinearFn linear_tiles;
  LinearFn linear_int8;
  MlaAttentionFn mla_attention;
  WriteCacheFn write_cache;
  RmsNormFn rms_norm;
  RopeFn rope;
  SwigluFn swiglu;
  QuantiseFn quantise;
  QuantiseInt8Fn quantise_int8;
  RoundBf16Fn round_bf16;
  PackBf16Fn pack_bf16;
  UnpackBf16Fn unpack_bf16;
  AddFn add;
  AxpyFn axpy;
  SigmoidFn sigmoid;
  SoftmaxStatsFn softmax_stats;
};

/// Levels this machine can run, slowest first ("reference" is there on every supported CPU).
std::span<const KernelTable* const> available_levels();
/// Names of the levels this build knows, whether or not the machine has them.
std::span<const std::string_view> known_levels();

/// The table for "auto" (the fastest here) or a level's name.
/// *Errors*: `invalid_argument` for an unknown name (the message lists the known ones);
/// `unsupported_cpu` when the machine lacks it, or lacks AVX2, FMA or F16C altogether.
Expected<const KernelTable*> select_level(std::string_view name);

/// How products of plain rows with weights of BF16 and e4m3 are added up.
enum class Bf16Sums : std::uint8_t {
  lanes,  // in 16 lanes (ADR 0001)
  tiles,  // as AMX does (ADR 0007)
};

/// The one of the linears that computes what `args` asks for.
inline LinearFn linear_of(const KernelTable& table, const LinearArgs& args,
                          Bf16Sums sums = Bf16Sums::lanes) {
  if (args.x_codes != nullptr) return table.linear_int8;
  const bool tiles = sums == Bf16Sums::tiles && args.x_scales == nullptr && args.w.takes_tiles();
  return tiles ? table.linear_tiles : table.linear;
}

/// Changes whenever any operation's bits change; part of the numerics id.
inline constexpr int kKernelNumericsVersion = 3;
/// Class of machines with equal bits (design 7).
inline constexpr std::string_view kNumericsClass = "fma";

}  // namespace troupe::kernels
