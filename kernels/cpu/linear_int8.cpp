// linear of INT8 rows by pairwise products in 16 bits. int8_vnni.cpp has those of CPUs with VNNI.
#include "kernels/ops/linear.hpp"

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_int8.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/int8_pairs.inc"
#include "kernels/cpu/int8_rows.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

void linear_int8(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  run_int8<PairwiseProducts>(args, begin, end);
}

}  // namespace
LinearFn linear_int8_fn() { return linear_int8; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<LinearFn> linear_int8_levels() {
  return {.avx2 = N_AVX2::linear_int8_fn(),
          .avx512 = N_AVX3::linear_int8_fn(),
          .avx2_vnni = avx2_vnni_linear_int8(),
          .avx512_vnni = avx512_vnni_linear_int8(),
          .avx512_amx = amx_linear_int8()};
}
}  // namespace troupe::kernels::cpu
#endif
