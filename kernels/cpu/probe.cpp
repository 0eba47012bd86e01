// Loops that only read, and loops that only multiply and add: the limits of the machine.
#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/probe.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/int8_pairs.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// Four streams side by side, as the rows of a streaming tile: one alone does not keep enough
/// cache lines in flight.
std::uint64_t read_probe(const std::uint8_t* bytes) {
  constexpr std::size_t kStreams = 4;
  constexpr std::size_t kStream = cpu::kReadProbeBytes / kStreams;
  const hn::ScalableTag<std::uint64_t> d;
  const hn::Repartition<std::uint8_t, decltype(d)> d8;
  hn::Vec<decltype(d)> sums[kStreams];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (std::size_t i = 0; i < kStream; i += 64) {
    HWY_UNROLL(4)
    for (std::size_t s = 0; s < kStreams; ++s)
      for (std::size_t b = 0; b < 64; b += HWY_MAX_BYTES)
        sums[s] = hn::Add(sums[s], hn::BitCast(d, hn::LoadU(d8, bytes + s * kStream + i + b)));
  }
  return hn::GetLane(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])));
}

/// Twelve independent chains: two units with a latency of four or five cycles need ten.
std::int64_t fma_probe(std::int64_t rounds, float* result) {
  constexpr std::size_t kChains = 12;
  const F32 d;
  V sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
  const V factor = hn::Set(d, 0.999f);
  for (std::int64_t n = 0; n < rounds; ++n) {
    HWY_UNROLL(12)
    for (std::size_t i = 0; i < kChains; ++i) sums[i] = hn::MulAdd(sums[i], factor, factor);
  }
  V total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = hn::Add(total, sums[i]);
  *result = hn::GetLane(total);
  return rounds * static_cast<std::int64_t>(kChains * kWidth * 2);
}

/// Chains of sums alone: what they add does not depend on them, as in a tile.
std::int64_t int8_probe(std::int64_t rounds, std::int32_t* result) {
  constexpr std::size_t kChains = 8;
  Words sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = all_bytes(static_cast<std::uint8_t>(i + 1));
  const Words codes = all_bytes(3);
  Words x = all_bytes(5);
  for (std::int64_t n = 0; n < rounds; ++n) {
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+v"(x.raw));  // else its products would be the same each time
      sums[i] = PairwiseProducts::add_signed(sums[i], codes, x);
    }
  }
  Words total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = hn::Add(total, sums[i]);
  *result = hn::GetLane(total);
  return rounds * static_cast<std::int64_t>(kChains * kRegisterBytes * 2);
}

}  // namespace
cpu::ReadProbeFn read_probe_fn() { return read_probe; }
cpu::FmaProbeFn fma_probe_fn() { return fma_probe; }
cpu::Int8ProbeFn int8_probe_fn() { return int8_probe; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<ReadProbeFn> read_probe_levels() {
  return {N_AVX2::read_probe_fn(), N_AVX3::read_probe_fn()};
}
Levels<Int8ProbeFn> int8_probe_levels() {
  return {.avx2 = N_AVX2::int8_probe_fn(),
          .avx512 = N_AVX3::int8_probe_fn(),
          .avx2_vnni = avx2_vnni_int8_probe(),
          .avx512_vnni = avx512_vnni_int8_probe(),
          .avx512_amx = amx_int8_probe()};
}
Levels<FmaProbeFn> fma_probe_levels() { return {N_AVX2::fma_probe_fn(), N_AVX3::fma_probe_fn()}; }
Levels<FmaProbeFn> bf16_probe_levels() {
  return {.avx2 = N_AVX2::fma_probe_fn(),
          .avx512 = N_AVX3::fma_probe_fn(),
          .avx512_bf16 = bf16_products_are_fast() ? bf16_probe() : N_AVX3::fma_probe_fn()};
}
Levels<FmaProbeFn> tile_probe_levels() {
  return {.avx2 = N_AVX2::fma_probe_fn(),
          .avx512 = N_AVX3::fma_probe_fn(),
          .avx512_amx = amx_tile_probe()};
}
}  // namespace troupe::kernels::cpu
#endif
