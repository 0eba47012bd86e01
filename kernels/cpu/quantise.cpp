// quantise at the vector levels.
#include "kernels/ops/elementwise.hpp"

#include <limits>

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantise.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/exp.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// Nearest e4m3 value, ties to even, saturating at 448. Not for NaN.
HWY_INLINE V to_e4m3(V x) {
  const F32 d;
  const U32 u;
  const V magnitude = hn::Min(hn::Abs(x), hn::Set(d, 448.0f));
  // Normal: 20 of the 23 mantissa bits are rounded away.
  const auto bits = hn::BitCast(u, magnitude);
  const auto odd = hn::And(hn::ShiftRight<20>(bits), hn::Set(u, 1));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(u, 0x7ffff)), odd);
  const V normal = hn::BitCast(d, hn::And(rounded, hn::Set(u, 0xfff00000u)));
  // Subnormal, below 2^-6: the spacing is 2^-9, that of F32 next to 2^14.
  const V shift = hn::Set(d, 0x1p14f);
  const V subnormal = hn::Sub(hn::Add(magnitude, shift), shift);
  const V value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x1p-6f)), subnormal, normal);
  return hn::CopySignToAbs(value, x);
}

float largest_magnitude(const float* x, std::size_t count) {
  const F32 d;
  V most = hn::Zero(d);
  for_registers(count, [&](std::size_t i, std::size_t n) {
    most = hn::Max(most, hn::Abs(load_some(x + i, n)));
  });
  return hn::GetLane(hn::MaxOfLanes(d, most));
}

/// The next power of two at or above a positive scale; exponents stay within [1, 254].
float power_of_two_above(float scale) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &scale, sizeof(bits));
  std::uint32_t exponent = (bits >> 23) + ((bits & 0x7fffffu) != 0 ? 1 : 0);
  exponent = exponent < 1 ? 1 : (exponent > 254 ? 254 : exponent);
  bits = exponent << 23;
  std::memcpy(&scale, &bits, sizeof(bits));
  return scale;
}

void quantise_block(const float* x, std::size_t count, bool ue8m0, float* q, float* scale) {
  const float amax = largest_magnitude(x, count);
  *scale = (amax > 1e-4f ? amax : 1e-4f) / 448.0f;
  if (ue8m0) *scale = power_of_two_above(*scale);
  const V divisor = hn::Set(F32(), *scale);
  for_registers(count, [&](std::size_t i, std::size_t n) {
    store_some(to_e4m3(hn::Div(load_some(x + i, n), divisor)), q + i, n);
  });
}

/// Calls block(x, count, q, scale) for all blocks of some rows; `q_stride` from one row of codes to
/// the next.
template <class Args, class Block>
HWY_INLINE void for_blocks(const Args& args, std::int64_t q_stride, std::int64_t row_begin,
                           std::int64_t row_end, const Block& block) {
  const std::int64_t blocks = scale_blocks(args.width);
  for (std::int64_t r = row_begin; r < row_end; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t k = b * kScaleBlock;
      const std::int64_t left = args.width - k;
      block(args.x + r * args.x_stride + k,
            static_cast<std::size_t>(left < kScaleBlock ? left : kScaleBlock),
            args.q + r * q_stride + k, args.scales + r * blocks + b);
    }
}

void quantise(const QuantiseArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  for_blocks(args, args.width, row_begin, row_end,
             [&](const float* x, std::size_t count, float* q, float* scale) {
               quantise_block(x, count, args.ue8m0, q, scale);
             });
}

void quantise_int8_block(const float* x, std::size_t count, std::int8_t* q, float* scale) {
  const F32 d;
  const U32 u;
  const hn::Rebind<std::int8_t, I32> i8;
  auto most = hn::Zero(u);  // bits of magnitudes are in their order, NaN above all
  for_registers(count, [&](std::size_t i, std::size_t n) {
    most = hn::Max(most, hn::BitCast(u, hn::Abs(load_some(x + i, n))));
  });
  const std::uint32_t bits = hn::GetLane(hn::MaxOfLanes(u, most));
  std::memset(q, 0, kScaleBlock);
  if (bits >= 0x7f800000u) {
    *scale = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  float magnitude = 0;
  std::memcpy(&magnitude, &bits, sizeof(magnitude));
  *scale = (magnitude > 1e-10f ? magnitude : 1e-10f) / 127.0f;
  const V divisor = hn::Set(d, *scale);
  // What is loaded past the end is +0, and so is its code: whole registers may be stored.
  for_registers(count, [&](std::size_t i, std::size_t n) {
    const auto codes = hn::NearestInt(hn::Div(load_some(x + i, n), divisor));
    hn::StoreU(hn::DemoteTo(i8, codes), i8, q + i);
  });
}

void quantise_int8(const QuantiseInt8Args& args, std::int64_t row_begin, std::int64_t row_end) {
  for_blocks(args, padded_codes(args.width), row_begin, row_end, quantise_int8_block);
}

}  // namespace
QuantiseFn quantise_fn() { return quantise; }
QuantiseInt8Fn quantise_int8_fn() { return quantise_int8; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<QuantiseFn> quantise_levels() { return {N_AVX2::quantise_fn(), N_AVX3::quantise_fn()}; }
Levels<QuantiseInt8Fn> quantise_int8_levels() {
  return {N_AVX2::quantise_int8_fn(), N_AVX3::quantise_int8_fn()};
}
}  // namespace troupe::kernels::cpu
#endif
