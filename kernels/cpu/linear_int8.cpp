// linear of INT8 rows: one register tile of four sums for any number of rows. int8_vnni.cpp has the
// one of CPUs with AVX-512 VNNI.
#include "kernels/ops/linear.hpp"

#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_int8.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/int8_formats.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// Features that all rows of x meet before the next ones are read from memory.
constexpr std::size_t kBlockFeatures = 16;
constexpr std::size_t kTileSums = 4;  // sums of a register tile: rows x features

/// Chunks after which the next feature has its turn: the rows of x stay in the level-1 cache. Few
/// rows wait for memory, which is quickest in one long stream.
template <std::size_t kRows>
constexpr std::size_t kPassChunks = kRows == 1   ? 160
                                    : kRows == 2 ? 64
                                                 : 16;
/// Features side by side. A single row takes one: more streams are slower, unless its features are
/// so short that the end of each costs as much as its products.
template <std::size_t kRows, bool kShort>
constexpr std::size_t kFeaturesTogether = kRows == 1 && !kShort ? 1 : kTileSums / kRows;
constexpr std::size_t kShortChunks = 4;

/// One call, x as the format wants it.
struct Int8Job {
  const LinearArgs* args = nullptr;
  const std::int8_t* x = nullptr;  // [tokens, x_stride]
  std::size_t x_stride = 0;
  std::size_t chunks = 0;     // ceil(K / 128)
  std::size_t row_bytes = 0;  // of a weight
};

/// Neighbouring chunks of some rows and features.
struct Int8Span {
  const std::int8_t* x = nullptr;
  std::size_t x_stride = 0;
  const std::uint8_t* w = nullptr;
  std::size_t w_stride = 0;
  const std::byte* scales = nullptr;  // of groups
  std::size_t scales_stride = 0;
  const float* factors = nullptr;  // [chunks][rows]
  std::size_t chunks = 0;
  std::size_t ahead = 0;  // what is asked for so many bytes before its use
};

/// Adds a span of kRows rows and kFeatures features to `sums`, [kRows][kFeatures][lanes].
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_NOINLINE void int8_tile(const Int8Span& span, float* sums) {
  typename Format::Sum out[kRows][kFeatures];
  HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) HWY_UNROLL(4)
  for (std::size_t f = 0; f < kFeatures; ++f)
    out[r][f] = Format::load(sums + (r * kFeatures + f) * Format::kSumLanes);
  const std::int8_t* x[kRows];
  HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) x[r] = span.x + r * span.x_stride;
  const std::uint8_t* w[kFeatures];
  HWY_UNROLL(4)
  for (std::size_t f = 0; f < kFeatures; ++f) w[f] = span.w + f * span.w_stride;
  for (std::size_t chunk = 0; chunk < span.chunks; ++chunk) {
    typename Format::Scales scales[kFeatures];
    HWY_UNROLL(4)
    for (std::size_t f = 0; f < kFeatures; ++f) {
      for (std::size_t b = 0; b < Format::kChunkBytes; b += 64)
        hwy::Prefetch(w[f] + span.ahead + b);
      scales[f] =
          Format::scales(span.scales + f * span.scales_stride + chunk * Format::kScaleBytes);
    }
    Format::multiply(x, w, scales, span.factors + chunk * kRows, out);
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < kRows; ++r) x[r] += Format::kInputBytes;
    HWY_UNROLL(4)
    for (std::size_t f = 0; f < kFeatures; ++f) w[f] += Format::kChunkBytes;
  }
  HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) HWY_UNROLL(4)
  for (std::size_t f = 0; f < kFeatures; ++f)
    Format::store(out[r][f], sums + (r * kFeatures + f) * Format::kSumLanes);
}

/// The same for a last chunk that the width cuts short: from copies, filled up with zeros.
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_NOINLINE void int8_tail(Int8Span span, std::size_t bytes, std::size_t scale_bytes,
                            float* sums) {
  std::uint8_t w[kFeatures][Format::kChunkBytes] = {};
  std::byte scales[kFeatures][8] = {};
  for (std::size_t f = 0; f < kFeatures; ++f) {
    std::memcpy(w[f], span.w + f * span.w_stride, bytes);
    if (scale_bytes > 0) std::memcpy(scales[f], span.scales + f * span.scales_stride, scale_bytes);
  }
  span.w = w[0];
  span.w_stride = Format::kChunkBytes;
  span.scales = scales[0];
  span.scales_stride = sizeof(scales[0]);
  span.chunks = 1;
  span.ahead = 0;
  int8_tile<Format, kRows, kFeatures>(span, sums);
}

/// Chunks [begin, end) of rows from `token` and features from `feature`.
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_INLINE void int8_span(const Int8Job& job, std::size_t token, std::size_t feature,
                          std::size_t begin, std::size_t end, const float* factors, float* sums) {
  const WeightMatrix& weight = job.args->w;
  const auto groups = static_cast<std::size_t>(scale_groups(weight.cols));
  Int8Span span;
  span.x = job.x + token * job.x_stride + begin * Format::kInputBytes;
  span.x_stride = job.x_stride;
  span.w = reinterpret_cast<const std::uint8_t*>(weight.data) + feature * job.row_bytes +
           begin * Format::kChunkBytes;
  span.w_stride = job.row_bytes;
  span.scales_stride = 2 * groups;
  if (Format::kScaleBytes > 0)
    span.scales = weight.group_scales + feature * span.scales_stride + begin * Format::kScaleBytes;
  span.factors = factors;
  span.ahead = std::max<std::size_t>(kFeatures * job.row_bytes, 2048);
  const std::size_t whole = std::min(end, job.row_bytes / Format::kChunkBytes);
  span.chunks = whole - begin;
  int8_tile<Format, kRows, kFeatures>(span, sums);
  if (whole == end) return;
  span.x += span.chunks * Format::kInputBytes;
  span.w += span.chunks * Format::kChunkBytes;
  span.factors += span.chunks * kRows;
  if (Format::kScaleBytes > 0) span.scales += span.chunks * Format::kScaleBytes;
  const std::size_t scale_bytes =
      Format::kScaleBytes > 0 ? span.scales_stride - whole * Format::kScaleBytes : 0;
  int8_tail<Format, kRows, kFeatures>(span, job.row_bytes - whole * Format::kChunkBytes,
                                      scale_bytes, sums);
}

/// The lanes of a finished tile down to numbers.
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_INLINE void int8_finish(const Int8Job& job, std::size_t token, std::size_t feature,
                            const float* sums) {
  const LinearArgs& args = *job.args;
  const hn::FixedTag<float, 4> d4;
  hn::Vec<hn::FixedTag<float, 4>> fours[kTileSums];
  for (std::size_t i = 0; i < kTileSums; ++i)
    fours[i] = i < kRows * kFeatures ? Format::four(Format::load(sums + i * Format::kSumLanes))
                                     : hn::Zero(d4);
  float numbers[kTileSums];
  hn::StoreU(last_lanes(fours), d4, numbers);
  for (std::size_t i = 0; i < kRows * kFeatures; ++i) {
    const std::size_t f = feature + i % kFeatures;
    const float scale = args.w.scale_shape == ScaleShape::row ? args.w.scales[f] : 1;
    args.y[static_cast<std::int64_t>(token + i / kFeatures) * args.y_stride +
           static_cast<std::int64_t>(f)] = numbers[i] * scale;
  }
}

/// a_s * w_s of chunks [begin, end) for kRows rows, [chunks][kRows]; w_s is 1 where scales are not
/// the blocks'.
template <std::size_t kRows>
HWY_INLINE void int8_factors(const Int8Job& job, std::size_t token, std::size_t feature,
                             std::size_t begin, std::size_t end, float* factors) {
  const WeightMatrix& w = job.args->w;
  const bool blocks = w.scales != nullptr && w.scale_shape == ScaleShape::block;
  const float* w_scales = blocks ? w.scales + feature / kChunk * job.chunks : nullptr;
  for (std::size_t chunk = begin; chunk < end; ++chunk)
    for (std::size_t r = 0; r < kRows; ++r) {
      const float a = job.args->x_scales[(token + r) * job.chunks + chunk];
      *factors++ = blocks ? a * w_scales[chunk] : a;
    }
}

/// kRows rows against the features [begin, end), kFeatures at a time, a pass of chunks each.
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_INLINE void int8_rows(const Int8Job& job, std::size_t token, std::size_t begin,
                          std::size_t end) {
  constexpr std::size_t kFloats = kRows * kFeatures * Format::kSumLanes;
  alignas(64) float sums[kBlockFeatures / kFeatures * kFloats] = {};
  constexpr std::size_t kPass = kPassChunks<kRows>;
  float factors[kPass * kRows];
  const auto sums_of = [&](std::size_t f) { return sums + (f - begin) / kFeatures * kFloats; };
  for (std::size_t chunk = 0; chunk < job.chunks; chunk += kPass) {
    const std::size_t stop = std::min(chunk + kPass, job.chunks);
    int8_factors<kRows>(job, token, begin, chunk, stop, factors);
    for (std::size_t f = begin; f < end; f += kFeatures)
      int8_span<Format, kRows, kFeatures>(job, token, f, chunk, stop, factors, sums_of(f));
  }
  for (std::size_t f = begin; f < end; f += kFeatures)
    int8_finish<Format, kRows, kFeatures>(job, token, f, sums_of(f));
}

/// kRows rows against up to kBlockFeatures features of one row of scale blocks.
template <class Format, std::size_t kRows, bool kShort = false>
HWY_INLINE void int8_block(const Int8Job& job, std::size_t token, std::size_t begin,
                           std::size_t end) {
  constexpr std::size_t kFeatures = kFeaturesTogether<kRows, kShort>;
  const std::size_t whole = begin + (end - begin) / kFeatures * kFeatures;
  if (begin < whole) int8_rows<Format, kRows, kFeatures>(job, token, begin, whole);
  if constexpr (kFeatures > 1)
    if (whole < end) int8_rows<Format, kRows, 1>(job, token, whole, end);
}

template <class Format>
HWY_INLINE void run_int8(const LinearArgs& args, std::size_t begin, std::size_t end) {
  const auto tokens = static_cast<std::size_t>(args.tokens);
  Int8Job job;
  job.args = &args;
  job.x = args.x_codes;
  job.chunks = static_cast<std::size_t>(scale_blocks(args.w.cols));
  job.x_stride = job.chunks * Format::kInputBytes;
  job.row_bytes = Format::row_bytes(static_cast<std::size_t>(args.w.cols));
  if constexpr (Format::kReordersInput) {
    auto* x = reinterpret_cast<std::int8_t*>(cpu::scratch(tokens * job.x_stride / sizeof(float)));
    for (std::size_t i = 0; i < tokens * job.chunks; ++i)
      Format::reorder(args.x_codes + i * kChunk, x + i * Format::kInputBytes);
    job.x = x;
  }
  for (std::size_t f = begin; f < end;) {
    // A block never crosses a row of scale blocks.
    const std::size_t stop = std::min({end, f / kChunk * kChunk + kChunk, f + kBlockFeatures});
    std::size_t t = 0;
    for (; t + 4 <= tokens; t += 4) int8_block<Format, 4>(job, t, f, stop);
    for (; t + 2 <= tokens; t += 2) int8_block<Format, 2>(job, t, f, stop);
    if (t < tokens && job.chunks <= kShortChunks) {
      int8_block<Format, 1, true>(job, t, f, stop);
    } else if (t < tokens) {
      int8_block<Format, 1>(job, t, f, stop);
    }
    f = stop;
  }
}

void linear_int8(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear(args);
  if (args.tokens <= 0 || begin >= end) return;
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  if (args.w.dtype == DType::i8) return run_int8<Int8Codes>(args, b, e);
  run_int8<Int4Codes>(args, b, e);
}

}  // namespace
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
