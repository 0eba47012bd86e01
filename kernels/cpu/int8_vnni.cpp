// Products of bytes for CPUs with AVX-512 VNNI: linear_int8 and its probe, compiled for vpdpbusd.
//
// Highway 1.0.3 has no target for them: AVX3_DL asks for more than is used here, and for AVX-VNNI,
// which the CPUs with AVX-512 VNNI lack. This is its AVX3 with one more set of instructions.
#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_vnni.cpp"
#include "hwy/foreach_target.h"

#if HWY_TARGET == HWY_AVX3
#include "kernels/cpu/tiles.inc"  // for AVX3, as everywhere
// After tiles.inc
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512vnni"
#define TROUPE_KERNELS_VNNI
#include "kernels/cpu/int8_formats.inc"
#include "kernels/cpu/int8_probe.inc"
#include "kernels/cpu/linear_int8.inc"

namespace troupe::kernels::cpu {
LinearFn vnni_linear_int8() { return N_AVX3::linear_int8; }
Int8ProbeFn vnni_int8_probe() { return N_AVX3::int8_probe; }
}  // namespace troupe::kernels::cpu
#endif
