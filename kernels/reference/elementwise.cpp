// The row-wise operations in scalar code.
#include "kernels/ops/elementwise.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/dtype.hpp"
#include "kernels/math.hpp"
#include "kernels/reference/canonical.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels::reference {
namespace {

float sum_of_squares(const float* x, std::int64_t n) {
  Lanes lanes{};
  for (std::int64_t k = 0; k < padded(n); ++k) {
    const float value = k < n ? x[k] : 0.0f;
    float& lane = lanes[static_cast<std::size_t>(k % kLanes)];
    lane = std::fma(value, value, lane);
  }
  return lane_tree(lanes);
}

/// The next power of two at or above a positive scale; exponents stay within [1, 254].
float power_of_two_above(float scale) {
  const auto bits = std::bit_cast<std::uint32_t>(scale);
  const std::uint32_t exponent = (bits >> 23) + ((bits & 0x7fffffu) != 0 ? 1 : 0);
  return std::bit_cast<float>(std::clamp<std::uint32_t>(exponent, 1, 254) << 23);
}

void quantise_block(const float* x, std::int64_t n, bool ue8m0, float* q, float* scale) {
  float largest = 0.0f;
  for (std::int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  *scale = std::max(largest, 1e-4f) / 448.0f;
  if (ue8m0) *scale = power_of_two_above(*scale);
  for (std::int64_t i = 0; i < n; ++i) q[i] = e4m3_to_f32(f32_to_e4m3(x[i] / *scale));
}

void quantise_int8_block(const float* x, std::int64_t n, std::int8_t* q, float* scale) {
  std::uint32_t largest = 0;  // bits of a magnitude are in its order, NaN above all
  for (std::int64_t i = 0; i < n; ++i)
    largest = std::max(largest, std::bit_cast<std::uint32_t>(std::fabs(x[i])));
  const float magnitude = std::bit_cast<float>(largest);
  std::fill_n(q, kScaleBlock, std::int8_t{0});
  *scale = std::numeric_limits<float>::quiet_NaN();
  if (!std::isfinite(magnitude)) return;
  *scale = std::max(magnitude, 1e-10f) / 127.0f;
  for (std::int64_t i = 0; i < n; ++i)
    q[i] = static_cast<std::int8_t>(std::nearbyint(x[i] / *scale));
}

/// Calls block(x, count, q, scale) for all blocks of some rows; `q_stride` from one row of codes to
/// the next.
template <class Args, class Block>
void for_blocks(const Args& args, std::int64_t q_stride, std::int64_t row_begin,
                std::int64_t row_end, const Block& block) {
  const std::int64_t blocks = scale_blocks(args.width);
  for (std::int64_t r = row_begin; r < row_end; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t k = b * kScaleBlock;
      block(args.x + r * args.x_stride + k, std::min(kScaleBlock, args.width - k),
            args.q + r * q_stride + k, args.scales + r * blocks + b);
    }
}

}  // namespace

void rms_norm(const RmsNormArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  for (std::int64_t r = row_begin; r < row_end; ++r) {
    const float* x = args.x + r * args.x_stride;
    float* y = args.y + r * args.y_stride;
    const float mean = sum_of_squares(x, args.width) / static_cast<float>(args.width);
    const float inverse = 1.0f / std::sqrt(mean + args.eps);
    for (std::int64_t i = 0; i < args.width; ++i) {
      const float value = x[i] * inverse * args.w[i];
      y[i] = args.round_to_bf16 ? troupe::round_to_bf16(value) : value;
    }
  }
}

void rope(const RopeArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  const std::int64_t pairs = args.rope / 2;
  for (std::int64_t r = row_begin; r < row_end; ++r)
    for (std::int64_t h = 0; h < args.heads; ++h) {
      float* x = args.x + r * args.row_stride + h * args.head_stride;
      for (std::int64_t i = 0; i < pairs; ++i) {
        const float c = args.cos[r * pairs + i];
        const float s = args.sin[r * pairs + i];
        const float x0 = x[2 * i];
        const float x1 = x[2 * i + 1];
        x[2 * i] = std::fma(x0, c, -(x1 * s));
        x[2 * i + 1] = std::fma(x0, s, x1 * c);
      }
    }
}

void swiglu(const SwigluArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  for (std::int64_t i = row_begin * args.width; i < row_end * args.width; ++i) {
    const float g = args.gate[i];
    const float value = g / (1.0f + exp_f32(-g)) * args.up[i];
    args.y[i] = args.round_to_bf16 ? troupe::round_to_bf16(value) : value;
  }
}

void quantise(const QuantiseArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  for_blocks(args, args.width, row_begin, row_end,
             [&](const float* x, std::int64_t n, float* q, float* scale) {
               quantise_block(x, n, args.ue8m0, q, scale);
             });
}

void quantise_int8(const QuantiseInt8Args& args, std::int64_t row_begin, std::int64_t row_end) {
  for_blocks(args, padded_codes(args.width), row_begin, row_end, quantise_int8_block);
}

void round_bf16(const float* x, float* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = troupe::round_to_bf16(x[i]);
}

void pack_bf16(const float* x, void* y, std::int64_t n) {
  auto* out = static_cast<std::byte*>(y);
  for (std::int64_t i = 0; i < n; ++i) {
    const Bf16 bits = f32_to_bf16(x[i]);
    std::memcpy(out + 2 * i, &bits, sizeof(bits));
  }
}

void unpack_bf16(const void* x, float* y, std::int64_t n) {
  const auto* in = static_cast<const std::byte*>(x);
  for (std::int64_t i = 0; i < n; ++i) {
    Bf16 bits = 0;
    std::memcpy(&bits, in + 2 * i, sizeof(bits));
    y[i] = bf16_to_f32(bits);
  }
}

void add(float* x, const float* y, std::int64_t n, bool round_to_bf16) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float sum = x[i] + y[i];
    x[i] = round_to_bf16 ? troupe::round_to_bf16(sum) : sum;
  }
}

void axpy(float* acc, const float* x, float weight, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) acc[i] = std::fma(weight, x[i], acc[i]);
}

void sigmoid(const float* x, float* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = 1.0f / (1.0f + exp_f32(-x[i]));
}

SoftmaxStats softmax_stats(const float* x, std::int64_t n) {
  SoftmaxStats stats;
  if (n <= 0) return stats;
  stats.max = *std::max_element(x, x + n) + 0.0f;  // never -0
  Lanes lanes{};
  for (std::int64_t k = 0; k < n; ++k) {
    float& lane = lanes[static_cast<std::size_t>(k % kLanes)];
    lane = lane + exp_f32(x[k] - stats.max);
  }
  stats.sum = lane_tree(lanes);
  return stats;
}

}  // namespace troupe::kernels::reference
