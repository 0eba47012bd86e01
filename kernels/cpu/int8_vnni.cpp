// linear of INT8 rows for CPUs with AVX-512 VNNI, and its probe: four products of bytes are one
// operation, vpdpbusd, so everything else has to be shared by many of them.
//
// Highway 1.0.3 has no target for it: its AVX3_DL asks for more than is used here, and for
// AVX-VNNI, which the CPUs with AVX-512 VNNI lack. This is its AVX3 with one more set of
// instructions.
#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_vnni.cpp"
#include "hwy/foreach_target.h"

#if HWY_TARGET == HWY_AVX3
#include "kernels/cpu/lanes.inc"
// After lanes.inc
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512vnni"
// After HWY_TARGET_STR
#include "kernels/cpu/int8_rows.inc"

#pragma GCC diagnostic push
// In GCC 12's own AVX-512 intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// vpdpbusd multiplies unsigned with signed bytes and adds fours in 32 bits. INT8 weights become
/// unsigned by 128 more, INT4 codes are so as stored, by 8 more: sums start at minus what that is
/// too much.
struct FourfoldProducts {
  static constexpr std::int32_t kBias = 128;
  static constexpr std::size_t kTileRows = 6;  // 12 sums: two units with a latency of five need 10
  static constexpr std::size_t kFewRows = 8;   // as long as memory takes longer than products

  HWY_INLINE static Words begin(Words start) { return start; }
  HWY_INLINE static Words add(Words sums, Words codes, Words x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums.raw) : "v"(codes.raw), "v"(x.raw));
    return sums;
  }
  HWY_INLINE static Words end(Words sums, Words) { return sums; }
  HWY_INLINE static Words stored(Words codes) { return hn::Xor(codes, all_bytes(kBias)); }
  HWY_INLINE static Words add_signed(Words sums, Words codes, Words x) {
    return add(sums, codes, x);
  }
};

void linear_int8(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  run_int8<FourfoldProducts>(args, begin, end);
}

/// Sixteen chains: two units with a latency of five cycles need ten.
std::int64_t int8_probe(std::int64_t rounds, std::int32_t* result) {
  constexpr std::size_t kChains = 16;
  __m512i sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = _mm512_set1_epi8(static_cast<char>(i + 1));
  const __m512i factor = _mm512_set1_epi8(3);
  for (std::int64_t n = 0; n < rounds; ++n) {
    HWY_UNROLL(16)
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, factor, sum);
  }
  __m512i total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = _mm512_add_epi32(total, sums[i]);
  *result = _mm512_cvtsi512_si32(total);
  return rounds * static_cast<std::int64_t>(kChains * sizeof(__m512i) * 2);
}

}  // namespace
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#pragma GCC diagnostic pop

namespace troupe::kernels::cpu {
LinearFn vnni_linear_int8() { return N_AVX3::linear_int8; }
Int8ProbeFn vnni_int8_probe() { return N_AVX3::int8_probe; }
}  // namespace troupe::kernels::cpu
#endif
