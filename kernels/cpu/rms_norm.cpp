// rms_norm at the vector levels.
#include "kernels/ops/elementwise.hpp"

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rms_norm.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/exp.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

float sum_of_squares(const float* x, std::size_t n) {
  const F32 d;
  V lanes[kParts];
  for (V& part : lanes) part = hn::Zero(d);
  std::size_t k = 0;
  for (; k + kLanes <= n; k += kLanes)
    for (std::size_t p = 0; p < kParts; ++p) {
      const V v = hn::LoadU(d, x + k + p * kWidth);
      lanes[p] = hn::MulAdd(v, v, lanes[p]);
    }
  if (k < n) {
    HWY_ALIGN float group[kLanes] = {};
    std::memcpy(group, x + k, (n - k) * sizeof(float));
    for (std::size_t p = 0; p < kParts; ++p) {
      const V v = hn::Load(d, group + p * kWidth);
      lanes[p] = hn::MulAdd(v, v, lanes[p]);
    }
  }
  return lane_tree(lanes);
}

void rms_norm(const RmsNormArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  const F32 d;
  const auto width = static_cast<std::size_t>(args.width);
  for (std::int64_t r = row_begin; r < row_end; ++r) {
    const float* x = args.x + r * args.x_stride;
    float* y = args.y + r * args.y_stride;
    const V mean =
        hn::Div(hn::Set(d, sum_of_squares(x, width)), hn::Set(d, static_cast<float>(args.width)));
    const V inverse = hn::Div(hn::Set(d, 1.0f), hn::Sqrt(hn::Add(mean, hn::Set(d, args.eps))));
    for_registers(width, [&](std::size_t i, std::size_t n) {
      const V value = hn::Mul(hn::Mul(load_some(x + i, n), inverse), load_some(args.w + i, n));
      store_some(args.round_to_bf16 ? to_bf16(value) : value, y + i, n);
    });
  }
}

}  // namespace
RmsNormFn rms_norm_fn() { return rms_norm; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<RmsNormFn> rms_norm_levels() { return {N_AVX2::rms_norm_fn(), N_AVX3::rms_norm_fn()}; }
}  // namespace troupe::kernels::cpu
#endif
