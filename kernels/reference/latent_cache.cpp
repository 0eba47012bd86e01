// Cache entries in scalar code: written by write_cache, read by read_entry.
#include "kernels/ops/latent_cache.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/ops/elementwise.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels::reference {
namespace {

/// Up to 128 columns; their scale.
float write_block(const float* x, std::int64_t n, std::byte* codes) {
  if (!std::all_of(x, x + n, [](float v) { return std::isfinite(v); })) {
    std::memset(codes, 0, static_cast<std::size_t>(n));
    return std::numeric_limits<float>::quiet_NaN();
  }
  float values[kScaleBlock];
  float scale = 0;
  quantise({.x = x, .x_stride = n, .q = values, .scales = &scale, .rows = 1, .width = n}, 0, 1);
  for (std::int64_t i = 0; i < n; ++i)  // exact: `values` are what codes stand for
    codes[i] = static_cast<std::byte>(f32_to_e4m3(values[i]));
  return scale;
}

void write_quantised(const float* x, const CacheEntry& entry, std::byte* at) {
  for (std::int64_t k = 0; k < entry.latent; k += kScaleBlock) {
    const float scale = write_block(x + k, std::min(kScaleBlock, entry.latent - k), at + k);
    std::memcpy(at + entry.scales_at() + k / kScaleBlock * 4, &scale, sizeof(scale));
  }
  pack_bf16(x + entry.latent, at + entry.rope_at(), entry.rope);
}

}  // namespace

void write_cache(const WriteCacheArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  args.entry.check();
  for (std::int64_t r = row_begin; r < row_end; ++r) {
    const float* x = args.x + r * args.entry.width();
    switch (args.entry.dtype) {
      case DType::f8_e4m3: write_quantised(x, args.entry, args.at[r]); break;
      case DType::bf16: pack_bf16(x, args.at[r], args.entry.width()); break;
      default: std::memcpy(args.at[r], x, static_cast<std::size_t>(args.entry.bytes()));
    }
  }
}

void read_entry(const CacheEntry& entry, const std::byte* at, float* values) {
  switch (entry.dtype) {
    case DType::bf16: return unpack_bf16(at, values, entry.width());
    case DType::f32: std::memcpy(values, at, static_cast<std::size_t>(entry.bytes())); return;
    default: break;
  }
  for (std::int64_t k = 0; k < entry.latent; ++k) {
    float scale = 0;
    std::memcpy(&scale, at + entry.scales_at() + k / kScaleBlock * 4, sizeof(scale));
    values[k] = e4m3_to_f32(static_cast<std::uint8_t>(at[k])) * scale;
  }
  unpack_bf16(at + entry.rope_at(), values + entry.latent, entry.rope);
}

}  // namespace troupe::kernels::reference
