// linear at the vector levels: a streaming path for a few rows, panels for more.
#include "kernels/ops/linear.hpp"

#include <string>

#include "core/check.hpp"
#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/tiles.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// Packed x of a panel call may take this much scratch per thread.
constexpr std::size_t kPackedBytesMax = 4 << 20;
/// Up to so many rows the streaming path is the faster one (docs/performance.md).
constexpr std::int64_t kStreamTokensMax = 8;
/// The streaming path multiplies x by 2^64; larger values would overflow and take the panel path.
constexpr float kStreamLargest = 0x1p63f;

/// An e4m3 code whose bits stand at 30..20 of an F32 (sign at 31) reads as code * 2^-120,
/// subnormals included: both formats keep the exponent above the mantissa.
constexpr std::uint32_t kCodeBits = 0x87f00000u;

// kShortRowBytes of a format: rows shorter than this are streamed one after the other, longer ones
// four side by side (more chains of sums): docs/performance.md has the figures.

/// 16 codes as code * 2^-120, in the order of the stream: see FromF8::kNatural.
struct FromF8 {
  static constexpr std::size_t kBytes = 1;
  static constexpr std::size_t kShortRowBytes = 512;
#if HWY_MAX_BYTES == 32
  // Widening bytes to words and splitting the words into halves costs 5 instructions a group,
  // widening to F32 lanes in natural order 6. The stream order is lanes 0 2 4 .. 14, 1 3 .. 15.
  static constexpr bool kNatural = false;
  HWY_INLINE static void stream(const std::uint8_t* group, V (&out)[kParts]) {
    const hn::FixedTag<std::uint8_t, 16> u8;
    const hn::FixedTag<std::int8_t, 16> i8;
    const hn::FixedTag<std::int16_t, 16> i16;
    const U32 u;
    const auto words = hn::PromoteTo(i16, hn::BitCast(i8, hn::LoadU(u8, group)));
    const auto codes = hn::BitCast(u, hn::ShiftLeft<4>(words));
    const auto mask = hn::Set(u, kCodeBits);
    out[0] = hn::BitCast(F32(), hn::And(hn::ShiftLeft<16>(codes), mask));
    out[1] = hn::BitCast(F32(), hn::And(codes, mask));
  }
#else
  static constexpr bool kNatural = true;
  HWY_INLINE static void stream(const std::uint8_t* group, V (&out)[kParts]) {
    out[0] = tiny(group);
  }
#endif
  /// kWidth codes in natural order.
  HWY_INLINE static V tiny(const std::uint8_t* codes) {
    const hn::Rebind<std::uint8_t, F32> u8;
    const hn::Rebind<std::int8_t, F32> i8;
    const U32 u;
    const auto wide = hn::PromoteTo(I32(), hn::BitCast(i8, hn::LoadU(u8, codes)));
    const auto bits = hn::ShiftLeft<20>(hn::BitCast(u, wide));
    return hn::BitCast(F32(), hn::And(bits, hn::Set(u, kCodeBits)));
  }
  /// For panels: code * 2^-56, natural order.
  HWY_INLINE static V part(const std::uint8_t* group, std::size_t p) {
    return hn::Mul(tiny(group + p * kWidth), hn::Set(F32(), 0x1p64f));
  }
};

/// Groups of 16 in natural order, for the formats without blocks.
template <class From>
struct Stream {
  static constexpr std::size_t kBytes = From::kBytes;
  static constexpr std::size_t kShortRowBytes = 2048;
  static constexpr bool kNatural = true;
  HWY_INLINE static void stream(const std::uint8_t* group, V (&out)[kParts]) {
    for (std::size_t p = 0; p < kParts; ++p) out[p] = From::part(group, p);
  }
};

/// Lanes in stream order to natural order.
template <class Format>
HWY_INLINE void to_natural(V (&lanes)[kParts]) {
#if HWY_MAX_BYTES == 32
  if constexpr (!Format::kNatural) {
    const F32 d;
    // Lanes (0 1 2 3 | 8 9 10 11) and (4 5 6 7 | 12 13 14 15).
    const V low = hn::InterleaveLower(d, lanes[0], lanes[1]);
    const V high = hn::InterleaveUpper(d, lanes[0], lanes[1]);
    lanes[0] = hn::ConcatLowerLower(d, high, low);
    lanes[1] = hn::ConcatUpperUpper(d, high, low);
  }
#else
  (void)lanes;
#endif
}

/// 16 values of x from natural to stream order.
template <class Format>
HWY_INLINE void to_stream(const float* x, float scale, float* out) {
  if constexpr (Format::kNatural) {
    for (std::size_t i = 0; i < kLanes; ++i) out[i] = x[i] * scale;
  } else {
    for (std::size_t i = 0; i < kLanes / 2; ++i) {
      out[i] = x[2 * i] * scale;
      out[kLanes / 2 + i] = x[2 * i + 1] * scale;
    }
  }
}

/// One call of the streaming path: x copied in stream order, scaled, filled up with +0.
struct StreamJob {
  const LinearArgs* args = nullptr;
  const float* x = nullptr;  // [tokens, stride]
  std::size_t stride = 0;
  std::size_t width = 0;
};

/// Multiplies one group of 16 of kRows features into the sums of kTokens rows.
template <class Format, std::size_t kTokens, std::size_t kRows>
HWY_INLINE void stream_group(const std::uint8_t* const (&group)[kRows], const float* x,
                             std::size_t stride, V (&sums)[kTokens][kRows][kParts]) {
  const F32 d;
  V xs[kTokens][kParts];
  HWY_UNROLL(2)
  for (std::size_t t = 0; t < kTokens; ++t) HWY_UNROLL(2)
  for (std::size_t p = 0; p < kParts; ++p) xs[t][p] = hn::Load(d, x + t * stride + p * kWidth);
  HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) {
    V w[kParts];
    Format::stream(group[r], w);
    HWY_UNROLL(2)
    for (std::size_t t = 0; t < kTokens; ++t) HWY_UNROLL(2)
    for (std::size_t p = 0; p < kParts; ++p)
      sums[t][r][p] = hn::MulAdd(w[p], xs[t][p], sums[t][r][p]);
  }
}

/// Groups that begin in [k, k + n) of kRows features; the last one may be cut short by the width.
template <class Format, std::size_t kTokens, std::size_t kRows>
HWY_INLINE void stream_span(const StreamJob& job, const float* x, const std::uint8_t* w,
                            std::size_t row_bytes, std::size_t k, std::size_t n,
                            V (&sums)[kTokens][kRows][kParts]) {
  const std::size_t whole = std::min(k + n, job.width / kLanes * kLanes);
  const std::uint8_t* group[kRows];
  std::size_t i = k;
  HWY_UNROLL(2)
  for (; i < whole; i += kLanes) {
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < kRows; ++r) group[r] = w + r * row_bytes + i * Format::kBytes;
    stream_group<Format, kTokens, kRows>(group, x + i, job.stride, sums);
  }
  if (i < k + n && i < job.width) {
    std::uint8_t tails[kRows][kLanes * Format::kBytes];
    for (std::size_t r = 0; r < kRows; ++r) {
      copy_tail<Format::kBytes>(w + r * row_bytes + i * Format::kBytes, job.width - i, tails[r]);
      group[r] = tails[r];
    }
    stream_group<Format, kTokens, kRows>(group, x + i, job.stride, sums);
  }
}

/// How far ahead of its use a weight is asked for: what follows the tile, at least 2 KB on. The
/// hardware's own prefetch starts anew with every row.
HWY_INLINE std::size_t prefetch_distance(std::size_t tile_bytes) {
  return std::max<std::size_t>(tile_bytes, 2048);
}

/// kRows neighbouring features (one row of scale blocks) for kTokens rows.
template <class Format, bool kBlocks, std::size_t kTokens, std::size_t kRows>
HWY_NOINLINE void stream_tile(const StreamJob& job, std::size_t token, std::size_t feature) {
  const F32 d;
  const LinearArgs& args = *job.args;
  const std::size_t row_bytes = job.width * Format::kBytes;
  const auto* w = reinterpret_cast<const std::uint8_t*>(args.w.data) + feature * row_bytes;
  const float* x = job.x + token * job.stride;
  const std::size_t chunks = (job.width + kChunk - 1) / kChunk;
  const std::size_t ahead = prefetch_distance(kRows * row_bytes);
  V sums[kTokens][kRows][kParts];
  for (auto& token : sums)
    for (auto& row : token)
      for (V& part : row) part = hn::Zero(d);
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    const std::size_t k = chunk * kChunk;
    for (std::size_t r = 0; r < kRows; ++r)
      for (std::size_t b = 0; b < kChunk * Format::kBytes; b += 64)
        hwy::Prefetch(w + r * row_bytes + k * Format::kBytes + ahead + b);
    if constexpr (!kBlocks) {
      stream_span<Format, kTokens, kRows>(job, x, w, row_bytes, k, kChunk, sums);
    } else {
      V raw[kTokens][kRows][kParts];
      for (auto& token : raw)
        for (auto& row : token)
          for (V& part : row) part = hn::Zero(d);
      stream_span<Format, kTokens, kRows>(job, x, w, row_bytes, k, kChunk, raw);
      const float w_scale = args.w.scales[feature / kChunk * chunks + chunk];
      for (std::size_t t = 0; t < kTokens; ++t) {
        const float scale = args.x_scales == nullptr
                                ? w_scale
                                : args.x_scales[(token + t) * chunks + chunk] * w_scale;
        const V factor = hn::Set(d, scale * 0x1p56f);
        for (std::size_t r = 0; r < kRows; ++r)
          for (std::size_t p = 0; p < kParts; ++p)
            sums[t][r][p] = hn::MulAdd(raw[t][r][p], factor, sums[t][r][p]);
      }
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t)
    for (std::size_t r = 0; r < kRows; ++r) {
      to_natural<Format>(sums[t][r]);
      args.y[static_cast<std::int64_t>(token + t) * args.y_stride +
             static_cast<std::int64_t>(feature + r)] = last_lane(four_lanes(sums[t][r]));
    }
}

/// kRows features for all rows of x, two at a time: after the first two the weights are in the
/// level-1 cache.
template <class Format, bool kBlocks, std::size_t kRows>
HWY_INLINE void stream_tokens(const StreamJob& job, std::size_t feature) {
  const auto tokens = static_cast<std::size_t>(job.args->tokens);
  std::size_t t = 0;
  for (; t + 2 <= tokens; t += 2) stream_tile<Format, kBlocks, 2, kRows>(job, t, feature);
  if (t < tokens) stream_tile<Format, kBlocks, 1, kRows>(job, t, feature);
}

template <class Format, bool kBlocks>
HWY_NOINLINE void stream_features(const StreamJob& job, std::size_t begin, std::size_t end) {
  const bool one_by_one = job.width * Format::kBytes < Format::kShortRowBytes;
  const std::size_t rows = one_by_one ? 1 : (job.args->tokens == 1 ? 4 : 2);
  std::size_t feature = begin;
  while (feature < end) {
    // A tile never crosses a row of scale blocks.
    const std::size_t stop = std::min(end, feature / kChunk * kChunk + kChunk);
    for (; rows == 4 && feature + 4 <= stop; feature += 4)
      stream_tile<Format, kBlocks, 1, 4>(job, 0, feature);
    for (; rows >= 2 && feature + 2 <= stop; feature += 2)
      stream_tokens<Format, kBlocks, 2>(job, feature);
    for (; feature < stop; ++feature) stream_tokens<Format, kBlocks, 1>(job, feature);
  }
}

/// Copies x for the stream. False when a value is too large to be scaled.
template <class Format>
HWY_NOINLINE bool prepare_stream(const LinearArgs& args, float scale, float* out,
                                 std::size_t stride) {
  const auto width = static_cast<std::size_t>(args.w.cols);
  float largest = 0;
  for (std::int64_t t = 0; t < args.tokens; ++t) {
    const float* x = args.x + t * args.x_stride;
    float* row = out + static_cast<std::size_t>(t) * stride;
    for (std::size_t k = 0; k < width; k += kLanes) {
      float group[kLanes] = {};
      std::memcpy(group, x + k, std::min(kLanes, width - k) * sizeof(float));
      for (const float v : group) largest = std::max(largest, v < 0 ? -v : v);
      to_stream<Format>(group, scale, row + k);
    }
  }
  return largest < kStreamLargest;
}

/// Few rows: weights go from memory to registers and nowhere else.
template <class Format, bool kBlocks>
HWY_INLINE bool stream(const LinearArgs& args, std::size_t begin, std::size_t end) {
  StreamJob job;
  job.args = &args;
  job.width = static_cast<std::size_t>(args.w.cols);
  job.stride = round_up(job.width, kLanes);
  float* x = cpu::scratch(static_cast<std::size_t>(args.tokens) * job.stride);
  if (!prepare_stream<Format>(args, kBlocks ? 0x1p64f : 1.0f, x, job.stride) && kBlocks)
    return false;
  job.x = x;
  stream_features<Format, kBlocks>(job, begin, end);
  return true;
}

/// Rows [first, first + rows) against features [begin, end), x packed beforehand.
template <class From, bool kBlocks>
HWY_NOINLINE void panels(const LinearArgs& args, std::size_t first, std::size_t rows,
                         std::size_t begin, std::size_t end, const float* x, float* panel) {
  const auto width = static_cast<std::size_t>(args.w.cols);
  const std::size_t chunks = (width + kChunk - 1) / kChunk;
  const std::size_t panel_chunk = kPanelFeatures * kChunk;
  float* sums = panel + chunks * panel_chunk;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(args.w.data);
  for (std::size_t f = begin; f < end;) {
    const std::size_t stop = std::min(end, f / kChunk * kChunk + kChunk);
    const std::size_t n = std::min(kPanelFeatures, stop - f);
    for (std::size_t i = 0; i < n; ++i)
      pack_row<From>(bytes + (f + i) * width * From::kBytes, width, panel + i * kChunk,
                     panel_chunk);
    pack_zero_rows(n, width, panel, panel_chunk);
    for (std::size_t r = 0; r < rows; r += kBlockRows) {
      TileJob job;
      job.rows = std::min(kBlockRows, rows - r);
      job.x = x + r * chunks * kChunk;
      job.x_chunk = job.rows * kChunk;
      job.w = panel;
      job.w_chunk = panel_chunk;
      job.features = n;
      job.width = width;
      job.sums = sums;
      job.y = args.y + static_cast<std::int64_t>(first + r) * args.y_stride + f;
      job.y_stride = static_cast<std::size_t>(args.y_stride);
      if (kBlocks) job.w_scales = args.w.scales + f / kChunk * chunks;
      if (args.x_scales != nullptr) job.x_scales = args.x_scales + (first + r) * chunks;
      run_tiles<kBlocks>(job);
    }
    f += n;
  }
}

/// Many rows: a panel of features is decoded to F32 once and used for all of them.
template <class From, bool kBlocks>
HWY_INLINE void panel_path(const LinearArgs& args, std::size_t begin, std::size_t end) {
  const auto width = static_cast<std::size_t>(args.w.cols);
  const auto tokens = static_cast<std::size_t>(args.tokens);
  const std::size_t chunks = (width + kChunk - 1) / kChunk;
  const std::size_t row_floats = chunks * kChunk;
  const std::size_t fitting = kPackedBytesMax / (row_floats * sizeof(float));
  const std::size_t rows_max = std::min(
      round_up(tokens, kBlockRows), std::max(fitting / kBlockRows, std::size_t{1}) * kBlockRows);
  float* x = cpu::scratch(rows_max * row_floats + kPanelFeatures * row_floats + kSumFloats);
  float* panel = x + rows_max * row_floats;
  for (std::size_t first = 0; first < tokens; first += rows_max) {
    const std::size_t rows = std::min(rows_max, tokens - first);
    for (std::size_t r = 0; r < rows; r += kBlockRows) {
      const std::size_t block = std::min(kBlockRows, rows - r);
      for (std::size_t i = 0; i < block; ++i)
        pack_row<FromF32>(args.x + static_cast<std::int64_t>(first + r + i) * args.x_stride, width,
                          x + r * row_floats + i * kChunk, block * kChunk);
    }
    panels<From, kBlocks>(args, first, rows, begin, end, x, panel);
  }
}

template <class Format, class From, bool kBlocks>
HWY_INLINE void run_linear(const LinearArgs& args, std::size_t begin, std::size_t end) {
  if (args.tokens <= kStreamTokensMax && stream<Format, kBlocks>(args, begin, end)) return;
  panel_path<From, kBlocks>(args, begin, end);
}

void linear(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear(args);
  if (args.tokens <= 0 || begin >= end) return;
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  switch (args.w.dtype) {
    case DType::f8_e4m3: return run_linear<FromF8, FromF8, true>(args, b, e);
    case DType::bf16: return run_linear<Stream<FromBf16>, FromBf16, false>(args, b, e);
    default: return run_linear<Stream<FromF32>, FromF32, false>(args, b, e);
  }
}

}  // namespace
LinearFn linear_fn() { return linear; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<LinearFn> linear_levels() { return {N_AVX2::linear_fn(), N_AVX3::linear_fn()}; }
}  // namespace troupe::kernels::cpu
#endif
