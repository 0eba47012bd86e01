// swiglu, sigmoid and softmax_stats at the vector levels: the operations that need exp.
#include "kernels/ops/elementwise.hpp"

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activation.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/exp.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

void swiglu(const SwigluArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  const V one = hn::Set(F32(), 1.0f);
  const float* gate = args.gate + row_begin * args.width;
  const float* up = args.up + row_begin * args.width;
  float* y = args.y + row_begin * args.width;
  const auto count = static_cast<std::size_t>((row_end - row_begin) * args.width);
  for_registers(count, [&](std::size_t i, std::size_t n) {
    const V g = load_some(gate + i, n);
    const V silu = hn::Div(g, hn::Add(one, exp_lanes(hn::Neg(g))));
    const V value = hn::Mul(silu, load_some(up + i, n));
    store_some(args.round_to_bf16 ? to_bf16(value) : value, y + i, n);
  });
}

void sigmoid(const float* x, float* y, std::int64_t count) {
  const V one = hn::Set(F32(), 1.0f);
  for_registers(static_cast<std::size_t>(count), [&](std::size_t i, std::size_t n) {
    const V e = exp_lanes(hn::Neg(load_some(x + i, n)));
    store_some(hn::Div(one, hn::Add(one, e)), y + i, n);
  });
}

float largest(const float* x, std::size_t count) {
  const F32 d;
  V most = hn::Set(d, x[0]);
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) most = hn::Max(most, hn::LoadU(d, x + i));
  float result = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < count; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

SoftmaxStats softmax_stats(const float* x, std::int64_t count) {
  const F32 d;
  SoftmaxStats stats;
  if (count <= 0) return stats;
  const auto n = static_cast<std::size_t>(count);
  stats.max = largest(x, n) + 0.0f;  // never -0
  V lanes[kParts];
  for (V& part : lanes) part = hn::Zero(d);
  const V max = hn::Set(d, stats.max);
  std::size_t k = 0;
  for (; k + kLanes <= n; k += kLanes)
    for (std::size_t p = 0; p < kParts; ++p)
      lanes[p] = hn::Add(lanes[p], exp_lanes(hn::Sub(hn::LoadU(d, x + k + p * kWidth), max)));
  if (k < n) {
    HWY_ALIGN float group[kLanes];  // filled up with -inf, whose exp is 0
    for (std::size_t p = 0; p < kParts; ++p) hn::Store(hn::Neg(hn::Inf(d)), d, group + p * kWidth);
    std::memcpy(group, x + k, (n - k) * sizeof(float));
    for (std::size_t p = 0; p < kParts; ++p)
      lanes[p] = hn::Add(lanes[p], exp_lanes(hn::Sub(hn::Load(d, group + p * kWidth), max)));
  }
  stats.sum = lane_tree(lanes);
  return stats;
}

}  // namespace
SwigluFn swiglu_fn() { return swiglu; }
SigmoidFn sigmoid_fn() { return sigmoid; }
SoftmaxStatsFn softmax_stats_fn() { return softmax_stats; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<SwigluFn> swiglu_levels() { return {N_AVX2::swiglu_fn(), N_AVX3::swiglu_fn()}; }
Levels<SigmoidFn> sigmoid_levels() { return {N_AVX2::sigmoid_fn(), N_AVX3::sigmoid_fn()}; }
Levels<SoftmaxStatsFn> softmax_stats_levels() {
  return {N_AVX2::softmax_stats_fn(), N_AVX3::softmax_stats_fn()};
}
}  // namespace troupe::kernels::cpu
#endif
