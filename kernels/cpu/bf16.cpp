// Rounding to BF16, packing, sums and the combine step at the vector levels.
#include "kernels/ops/elementwise.hpp"

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/exp.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

constexpr std::size_t kBf16Bytes = 2;

void round_bf16(const float* x, float* y, std::int64_t count) {
  for_registers(static_cast<std::size_t>(count), [&](std::size_t i, std::size_t n) {
    store_some(to_bf16(load_some(x + i, n)), y + i, n);
  });
}

void pack_bf16(const float* x, void* y, std::int64_t count) {
  const U32 u;
  const hn::Rebind<std::uint16_t, U32> u16;
  auto* out = static_cast<std::uint8_t*>(y);
  for_registers(static_cast<std::size_t>(count), [&](std::size_t i, std::size_t n) {
    const auto bits = hn::ShiftRight<16>(hn::BitCast(u, to_bf16(load_some(x + i, n))));
    HWY_ALIGN std::uint16_t group[kWidth];
    hn::Store(hn::DemoteTo(u16, hn::BitCast(I32(), bits)), u16, group);
    std::memcpy(out + i * kBf16Bytes, group, n * kBf16Bytes);
  });
}

void unpack_bf16(const void* x, float* y, std::int64_t count) {
  const auto* in = static_cast<const std::uint8_t*>(x);
  for_registers(static_cast<std::size_t>(count), [&](std::size_t i, std::size_t n) {
    if (n == kWidth) return store_some(load_bf16(in + i * kBf16Bytes), y + i, n);
    std::uint8_t group[kWidth * kBf16Bytes] = {};
    std::memcpy(group, in + i * kBf16Bytes, n * kBf16Bytes);
    store_some(load_bf16(group), y + i, n);
  });
}

void add(float* x, const float* y, std::int64_t count, bool round_to_bf16) {
  for_registers(static_cast<std::size_t>(count), [&](std::size_t i, std::size_t n) {
    const V sum = hn::Add(load_some(x + i, n), load_some(y + i, n));
    store_some(round_to_bf16 ? to_bf16(sum) : sum, x + i, n);
  });
}

void axpy(float* acc, const float* x, float weight, std::int64_t count) {
  const V w = hn::Set(F32(), weight);
  for_registers(static_cast<std::size_t>(count), [&](std::size_t i, std::size_t n) {
    store_some(hn::MulAdd(w, load_some(x + i, n), load_some(acc + i, n)), acc + i, n);
  });
}

}  // namespace
RoundBf16Fn round_bf16_fn() { return round_bf16; }
PackBf16Fn pack_bf16_fn() { return pack_bf16; }
UnpackBf16Fn unpack_bf16_fn() { return unpack_bf16; }
AddFn add_fn() { return add; }
AxpyFn axpy_fn() { return axpy; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<RoundBf16Fn> round_bf16_levels() {
  return {N_AVX2::round_bf16_fn(), N_AVX3::round_bf16_fn()};
}
Levels<PackBf16Fn> pack_bf16_levels() { return {N_AVX2::pack_bf16_fn(), N_AVX3::pack_bf16_fn()}; }
Levels<UnpackBf16Fn> unpack_bf16_levels() {
  return {N_AVX2::unpack_bf16_fn(), N_AVX3::unpack_bf16_fn()};
}
Levels<AddFn> add_levels() { return {N_AVX2::add_fn(), N_AVX3::add_fn()}; }
Levels<AxpyFn> axpy_levels() { return {N_AVX2::axpy_fn(), N_AVX3::axpy_fn()}; }
}  // namespace troupe::kernels::cpu
#endif
