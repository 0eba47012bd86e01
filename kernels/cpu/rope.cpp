// rope at the vector levels.
#include "kernels/ops/elementwise.hpp"

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/exp.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

void rotate(float* x, const float* cos, const float* sin, std::size_t pairs) {
  const F32 d;
  std::size_t i = 0;
  for (; i + kWidth <= pairs; i += kWidth) {
    V x0;
    V x1;
    hn::LoadInterleaved2(d, x + 2 * i, x0, x1);
    const V c = hn::LoadU(d, cos + i);
    const V s = hn::LoadU(d, sin + i);
    const V y0 = hn::MulAdd(x0, c, hn::Neg(hn::Mul(x1, s)));
    const V y1 = hn::MulAdd(x0, s, hn::Mul(x1, c));
    hn::StoreInterleaved2(y0, y1, d, x + 2 * i);
  }
  const hn::FixedTag<float, 1> one;  // the same operations, one pair at a time
  for (; i < pairs; ++i) {
    const auto x0 = hn::LoadU(one, x + 2 * i);
    const auto x1 = hn::LoadU(one, x + 2 * i + 1);
    const auto c = hn::LoadU(one, cos + i);
    const auto s = hn::LoadU(one, sin + i);
    hn::StoreU(hn::MulAdd(x0, c, hn::Neg(hn::Mul(x1, s))), one, x + 2 * i);
    hn::StoreU(hn::MulAdd(x0, s, hn::Mul(x1, c)), one, x + 2 * i + 1);
  }
}

void rope(const RopeArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  const std::int64_t pairs = args.rope / 2;
  for (std::int64_t r = row_begin; r < row_end; ++r)
    for (std::int64_t h = 0; h < args.heads; ++h)
      rotate(args.x + r * args.row_stride + h * args.head_stride, args.cos + r * pairs,
             args.sin + r * pairs, static_cast<std::size_t>(pairs));
}

}  // namespace
RopeFn rope_fn() { return rope; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<RopeFn> rope_levels() { return {N_AVX2::rope_fn(), N_AVX3::rope_fn()}; }
}  // namespace troupe::kernels::cpu
#endif
