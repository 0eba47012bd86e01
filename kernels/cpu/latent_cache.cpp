// write_cache at the vector levels.
#include "kernels/ops/latent_cache.hpp"

#include <algorithm>
#include <limits>

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/latent_cache.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/e4m3.inc"
#include "kernels/cpu/exp.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

// Of this level, in sources of their own.
QuantiseFn quantise_fn();
PackBf16Fn pack_bf16_fn();

namespace {

bool all_finite(const float* x, std::size_t count) {
  const F32 d;
  bool finite = true;
  for_registers(count, [&](std::size_t i, std::size_t n) {
    finite &= hn::AllTrue(d, hn::IsFinite(load_some(x + i, n)));
  });
  return finite;
}

/// Up to 128 columns; their scale.
float write_block(const float* x, std::size_t count, std::uint8_t* codes) {
  if (!all_finite(x, count)) {
    std::memset(codes, 0, count);
    return std::numeric_limits<float>::quiet_NaN();
  }
  HWY_ALIGN float values[kScaleBlock];
  float scale = 0;
  const auto width = static_cast<std::int64_t>(count);
  quantise_fn()(
      {.x = x, .x_stride = width, .q = values, .scales = &scale, .rows = 1, .width = width}, 0, 1);
  for_registers(count, [&](std::size_t i, std::size_t n) {
    const hn::Rebind<std::uint8_t, F32> u8;
    HWY_ALIGN std::uint8_t group[kWidth];
    const auto lanes = hn::BitCast(I32(), e4m3_codes(load_some(values + i, n)));
    hn::StoreU(hn::DemoteTo(u8, lanes), u8, group);
    std::memcpy(codes + i, group, n);
  });
  return scale;
}

void write_quantised(const float* x, const CacheEntry& entry, std::byte* at) {
  auto* codes = reinterpret_cast<std::uint8_t*>(at);
  for (std::int64_t k = 0; k < entry.latent; k += kScaleBlock) {
    const auto count = static_cast<std::size_t>(std::min(kScaleBlock, entry.latent - k));
    const float scale = write_block(x + k, count, codes + k);
    std::memcpy(at + entry.scales_at() + k / kScaleBlock * 4, &scale, sizeof(scale));
  }
  pack_bf16_fn()(x + entry.latent, at + entry.rope_at(), entry.rope);
}

void write_cache(const WriteCacheArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  args.entry.check();
  for (std::int64_t r = row_begin; r < row_end; ++r) {
    const float* x = args.x + r * args.entry.width();
    switch (args.entry.dtype) {
      case DType::f8_e4m3: write_quantised(x, args.entry, args.at[r]); break;
      case DType::bf16: pack_bf16_fn()(x, args.at[r], args.entry.width()); break;
      default: std::memcpy(args.at[r], x, static_cast<std::size_t>(args.entry.bytes()));
    }
  }
}

}  // namespace
WriteCacheFn write_cache_fn() { return write_cache; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<WriteCacheFn> write_cache_levels() {
  return {N_AVX2::write_cache_fn(), N_AVX3::write_cache_fn()};
}
}  // namespace troupe::kernels::cpu
#endif
