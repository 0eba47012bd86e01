// Entries of the latent cache: what a position keeps in one layer, and how it is written.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/ops/weight_matrix.hpp"

namespace troupe::kernels {

/// Tokens per page of the latent cache.
inline constexpr std::int64_t kPageTokens = 64;

/// The layout of one entry, by the dtype of its latent:
///   f32, bf16: [latent + rope] of that dtype;
///   f8_e4m3:   [latent] codes, then an F32 scale of every 128 columns, then [rope] BF16. V3: 512 +
///              16 + 128 = 656 bytes. *Source*: specification 4.7, FlashMLA "FP8 with scale".
/// An entry may start at any byte offset.
struct CacheEntry {
  DType dtype = DType::bf16;  // bf16, f32 or f8_e4m3
  std::int64_t latent = 0;
  std::int64_t rope = 0;

  std::int64_t width() const { return latent + rope; }
  bool quantised() const { return dtype == DType::f8_e4m3; }
  /// Quantised entries only: byte offsets of the scales and of the rope part.
  std::int64_t scales_at() const { return latent; }
  std::int64_t rope_at() const { return latent + scale_blocks(latent) * std::int64_t{4}; }
  std::int64_t bytes() const {
    if (quantised()) return rope_at() + rope * static_cast<std::int64_t>(bytes_of(DType::bf16));
    return width() * static_cast<std::int64_t>(bytes_of(dtype));
  }
  /// Aborts when there is no such layout.
  void check() const;
};

/// Rows of normed latent and rotated k_pe into the cache: BF16 rounds once, e4m3 as `quantise`
/// without ue8m0: s = max(amax, 1e-4) / 448, code = e4m3(x / s), and reads as code * s, rounded to
/// F32 once. 128 columns of which one is NaN or infinite get the scale NaN and the codes 0: all of
/// them read as NaN, whatever the level. *Source*: specification 4.3 and 4.7.
struct WriteCacheArgs {
  const float* x = nullptr;  // [rows, latent + rope] contiguous
  CacheEntry entry;
  std::byte* const* at = nullptr;  // [rows]: where each entry goes
  std::int64_t rows = 0;
};
using WriteCacheFn = void (*)(const WriteCacheArgs& args, std::int64_t row_begin,
                              std::int64_t row_end);

}  // namespace troupe::kernels
