// linear of INT8 rows for CPUs with AVX-512 VNNI and for those with AVX-VNNI, which is the same in
// 256 bits, and its probe: four products of bytes are one operation, vpdpbusd, so everything else
// has to be shared by many of them.
//
// Highway 1.0.3 has no targets for them: its AVX3_DL asks for more than is used here, and for both,
// where most CPUs have one. These are its AVX3 and its AVX2 with one more set of instructions.
#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_vnni.cpp"
#include "hwy/foreach_target.h"

#include "kernels/cpu/lanes.inc"
// After lanes.inc
#undef HWY_TARGET_STR
#if HWY_TARGET == HWY_AVX3
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512vnni"
#else
#define HWY_TARGET_STR HWY_TARGET_STR_AVX2 ",avxvnni"
#endif
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
  // As long as memory takes longer than products.
  static constexpr std::size_t kFewRows = HWY_MAX_BYTES == 32 ? 4 : 8;

  HWY_INLINE static Words begin(Words start) { return start; }
  HWY_INLINE static Words add(Words sums, Words codes, Words x) {
#if HWY_MAX_BYTES == 32
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.raw) : "x"(codes.raw), "x"(x.raw));
#else
    asm("vpdpbusd %2, %1, %0" : "+v"(sums.raw) : "v"(codes.raw), "v"(x.raw));
#endif
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

/// Two units with a latency of five cycles need ten chains.
std::int64_t int8_probe(std::int64_t rounds, std::int32_t* result) {
  constexpr std::size_t kChains = HWY_MAX_BYTES == 32 ? 12 : 16;  // as registers hold them
  Words sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = all_bytes(static_cast<std::uint8_t>(i + 1));
  const Words codes = all_bytes(3);
  const Words x = all_bytes(5);
  for (std::int64_t n = 0; n < rounds; ++n) {
    HWY_UNROLL(16)
    for (Words& sum : sums) sum = FourfoldProducts::add(sum, codes, x);
  }
  Words total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = hn::Add(total, sums[i]);
  *result = hn::GetLane(total);
  return rounds * static_cast<std::int64_t>(kChains * kRegisterBytes * 2);
}

}  // namespace
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#pragma GCC diagnostic pop

#if HWY_ONCE
namespace troupe::kernels::cpu {
LinearFn avx2_vnni_linear_int8() { return N_AVX2::linear_int8; }
LinearFn avx512_vnni_linear_int8() { return N_AVX3::linear_int8; }
Int8ProbeFn avx2_vnni_int8_probe() { return N_AVX2::int8_probe; }
Int8ProbeFn avx512_vnni_int8_probe() { return N_AVX3::int8_probe; }
}  // namespace troupe::kernels::cpu
#endif
