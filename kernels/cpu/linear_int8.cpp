// linear of INT8 rows at the vector levels; int8_vnni.cpp has the one of CPUs with AVX-512 VNNI.
#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_int8.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/int8_formats.inc"
#include "kernels/cpu/linear_int8.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
LinearFn linear_int8_fn() { return linear_int8; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<LinearFn> linear_int8_levels() {
  return {N_AVX2::linear_int8_fn(), N_AVX3::linear_int8_fn(), vnni_linear_int8()};
}
}  // namespace troupe::kernels::cpu
#endif
