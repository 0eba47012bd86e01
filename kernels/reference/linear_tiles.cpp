// linear in the order of AMX's tiles of BF16 in scalar code: the specification of that order (ADR
// 0007).
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/dtype.hpp"
#include "kernels/compute_pool.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/reference/canonical.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels::reference {
namespace {

constexpr std::array<float, 256> kCodeValues = e4m3_values(0x1p-9f);

float stored_value(const WeightMatrix& w, std::int64_t row, std::int64_t k) {
  const std::byte* at =
      w.data + row * w.row_bytes() + k * static_cast<std::int64_t>(bytes_of(w.dtype));
  if (w.dtype == DType::f8_e4m3) return kCodeValues[std::to_integer<std::size_t>(*at)];
  Bf16 bits = 0;
  std::memcpy(&bits, at, sizeof(bits));
  return bf16_to_f32(bits);
}

/// Rounded to BF16, subnormal numbers to zero of their sign: as the instruction that rounds for
/// AMX.
float input_value(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x)
                                                          : round_to_bf16(x);
}

/// One (row, feature), with subnormals flushed.
[[gnu::noinline]] float dot(const LinearArgs& args, std::int64_t token, std::int64_t feature) {
  const WeightMatrix& w = args.w;
  const float* x = args.x + token * args.x_stride;
  float total = 0;
  float raw = 0;
  for (std::int64_t k = 0; k < w.cols; k += kTileColumns) {
    float even = 0;
    float odd = 0;
    for (std::int64_t i = k; i < k + kTileColumns; i += 2) {
      const auto product = [&](std::int64_t at, float sum) {
        const bool inside = at < w.cols;
        return std::fma(inside ? stored_value(w, feature, at) : 0.0f,
                        inside ? input_value(x[at]) : 0.0f, sum);
      };
      even = product(i, even);
      odd = product(i + 1, odd);
    }
    raw = raw + (even + odd);
    const std::int64_t end = k + kTileColumns;
    if (w.scales == nullptr || (end % kScaleBlock != 0 && end < w.cols)) continue;
    total = std::fma(raw, w.scales[feature / kScaleBlock * scale_blocks(w.cols) + k / kScaleBlock],
                     total);
    raw = 0;
  }
  return w.scales == nullptr ? raw : total;
}

}  // namespace

void linear_tiles(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear_tiles(args);
  const MxcsrGuard flushed(MxcsrGuard::Subnormals::flush);
  for (std::int64_t feature = begin; feature < end; ++feature)
    for (std::int64_t token = 0; token < args.tokens; ++token)
      args.y[token * args.y_stride + feature] = dot(args, token, feature);
}

}  // namespace troupe::kernels::reference
