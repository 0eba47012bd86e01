// Absorbed multi-head latent attention over a paged cache: latent queries in, latent outputs out.
#pragma once
#include <cstdint>

#include "kernels/ops/latent_cache.hpp"

namespace troupe::kernels {

/// Keys of one softmax split: absolute positions [256 i, 256 (i + 1)), merged in ascending i.
inline constexpr std::int64_t kSplitTokens = 256;

/// Arguments of `mla_attention`: consecutive rows of one sequence in one layer. Row r is at
/// absolute position first_position + r and attends positions 0 .. first_position + r.
///
/// Shapes: q [rows, heads, latent + rope] (latent part first), o [rows, heads, latent];
/// pages[i] holds the entries of positions 64 i .. 64 i + 63, one behind the other.
/// Numbers: docs/adr/0001: both scores and values are of what an entry reads as (WriteCacheArgs);
/// scores in the canonical order of `linear` over latent + rope, times `scale`; per split max,
/// p = exp(s - max), the sum of p in the canonical order over positions, values ascending in
/// position with fused multiply-add; splits merged in ascending order. Source: specification 3.3
/// (absorbed form).
struct MlaAttentionArgs {
  const float* q = nullptr;            // [rows, heads, latent + rope]
  const void* const* pages = nullptr;  // [ceil((first_position + rows) / 64)]
  DType cache_dtype = DType::bf16;     // of the latent in the cache: CacheEntry
  float* o = nullptr;                  // [rows, heads, latent]
  std::int64_t rows = 0;
  std::int64_t heads = 0;
  std::int64_t latent = 0;
  std::int64_t rope = 0;
  std::int64_t first_position = 0;
  float scale = 0;  // softmax scale of specification 3.6

  CacheEntry entry() const { return {cache_dtype, latent, rope}; }
};

/// Aborts when there is no such cache.
void check_mla_attention(const MlaAttentionArgs& args);

/// Computes (row, head) pairs [begin, end) of the rows * heads pairs, row-major.
using MlaAttentionFn = void (*)(const MlaAttentionArgs& args, std::int64_t begin, std::int64_t end);

}  // namespace troupe::kernels
