// linear of INT8 rows at the vector levels: one register tile of four sums for any number of rows.
#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/ops/elementwise.hpp"
#include "kernels/ops/linear.hpp"

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
/// Columns of four rows of x that stay in the level-1 cache meanwhile: 8 KB.
constexpr std::size_t kPassChunks = 16;
constexpr std::size_t kTileSums = 4;  // sums of a register tile: rows x features

/// One call, x as the format wants it.
struct Int8Job {
  const LinearArgs* args = nullptr;
  const std::int8_t* x = nullptr;  // [tokens, x_stride]
  std::size_t x_stride = 0;
  std::size_t width = 0;
  std::size_t chunks = 0;
  std::size_t row_bytes = 0;
};

/// A tile of rows and features, and the chunks [begin, end) of them.
struct Int8Tile {
  std::size_t token = 0;
  std::size_t feature = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Adds the chunks of a tile to its `sums`, [kRows][kFeatures][lanes].
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_NOINLINE void int8_tile(const Int8Job& job, const Int8Tile& tile, float* sums) {
  const LinearArgs& args = *job.args;
  const bool blocks = args.w.scales != nullptr && args.w.scale_shape == ScaleShape::block;
  const float* w_scales = blocks ? args.w.scales + tile.feature / kChunk * job.chunks : nullptr;
  const auto* first = reinterpret_cast<const std::uint8_t*>(args.w.data);
  const std::size_t ahead = std::max<std::size_t>(kFeatures * job.row_bytes, 2048);
  typename Format::Sum out[kRows][kFeatures];
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t f = 0; f < kFeatures; ++f)
      out[r][f] = Format::load(sums + (r * kFeatures + f) * Format::kSumLanes);
  for (std::size_t chunk = tile.begin; chunk < tile.end; ++chunk) {
    const std::int8_t* x[kRows];
    float factors[kRows];
    for (std::size_t r = 0; r < kRows; ++r) {
      x[r] = job.x + (tile.token + r) * job.x_stride + chunk * Format::kInputBytes;
      const float a = args.x_scales[(tile.token + r) * job.chunks + chunk];
      factors[r] = w_scales == nullptr ? a : a * w_scales[chunk];
    }
    const std::uint8_t* w[kFeatures];
    typename Format::Scales scales[kFeatures];
    std::uint8_t tails[kFeatures][Format::kChunkBytes];
    const std::size_t at = chunk * Format::kChunkBytes;
    for (std::size_t f = 0; f < kFeatures; ++f) {
      w[f] = first + (tile.feature + f) * job.row_bytes + at;
      for (std::size_t b = 0; b < Format::kChunkBytes; b += 64) hwy::Prefetch(w[f] + ahead + b);
      scales[f] = Format::scales(args.w, tile.feature + f, chunk);
      if (at + Format::kChunkBytes <= job.row_bytes) continue;
      std::memset(tails[f], 0, sizeof(tails[f]));  // x is 0 there
      std::memcpy(tails[f], w[f], job.row_bytes - at);
      w[f] = tails[f];
    }
    Format::multiply(x, w, scales, factors, out);
  }
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t f = 0; f < kFeatures; ++f)
      Format::store(out[r][f], sums + (r * kFeatures + f) * Format::kSumLanes);
}

/// The lanes of a finished tile down to numbers.
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_INLINE void int8_finish(const Int8Job& job, const Int8Tile& tile, const float* sums) {
  const LinearArgs& args = *job.args;
  const hn::FixedTag<float, 4> d4;
  hn::Vec<hn::FixedTag<float, 4>> fours[kTileSums];
  for (std::size_t i = 0; i < kTileSums; ++i)
    fours[i] = i < kRows * kFeatures ? Format::four(Format::load(sums + i * Format::kSumLanes))
                                     : hn::Zero(d4);
  float numbers[kTileSums];
  hn::StoreU(last_lanes(fours), d4, numbers);
  for (std::size_t i = 0; i < kRows * kFeatures; ++i) {
    const std::size_t feature = tile.feature + i % kFeatures;
    const float scale = args.w.scale_shape == ScaleShape::row ? args.w.scales[feature] : 1;
    args.y[static_cast<std::int64_t>(tile.token + i / kFeatures) * args.y_stride +
           static_cast<std::int64_t>(feature)] = numbers[i] * scale;
  }
}

/// kRows rows against the features [begin, end), kFeatures at a time.
template <class Format, std::size_t kRows, std::size_t kFeatures>
HWY_INLINE void int8_rows(const Int8Job& job, std::size_t token, std::size_t begin,
                          std::size_t end) {
  constexpr std::size_t kFloats = kRows * kFeatures * Format::kSumLanes;
  // One row at a time reads its features once; they pass by whole.
  const std::size_t pass = kRows == 1 ? job.chunks : kPassChunks;
  alignas(64) float sums[kBlockFeatures / kFeatures * kFloats] = {};
  for (std::size_t chunk = 0; chunk < job.chunks; chunk += pass)
    for (std::size_t f = begin; f < end; f += kFeatures)
      int8_tile<Format, kRows, kFeatures>(job,
                                          {token, f, chunk, std::min(chunk + pass, job.chunks)},
                                          sums + (f - begin) / kFeatures * kFloats);
  for (std::size_t f = begin; f < end; f += kFeatures)
    int8_finish<Format, kRows, kFeatures>(job, {token, f, 0, 0},
                                          sums + (f - begin) / kFeatures * kFloats);
}

/// kRows rows against up to kBlockFeatures features.
template <class Format, std::size_t kRows>
HWY_INLINE void int8_block(const Int8Job& job, std::size_t token, std::size_t begin,
                           std::size_t end) {
  constexpr std::size_t kFeatures = kTileSums / kRows;
  const std::size_t whole = begin + (end - begin) / kFeatures * kFeatures;
  int8_rows<Format, kRows, kFeatures>(job, token, begin, whole);
  if constexpr (kFeatures > 1) int8_rows<Format, kRows, 1>(job, token, whole, end);
}

template <class Format>
HWY_INLINE void run_int8(const LinearArgs& args, std::size_t begin, std::size_t end) {
  const auto tokens = static_cast<std::size_t>(args.tokens);
  Int8Job job;
  job.args = &args;
  job.x = args.x_codes;
  job.width = static_cast<std::size_t>(args.w.cols);
  job.chunks = static_cast<std::size_t>(scale_blocks(args.w.cols));
  job.x_stride = job.chunks * Format::kInputBytes;
  job.row_bytes = Format::row_bytes(job.width);
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
    if (t < tokens) int8_block<Format, 1>(job, t, f, stop);
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
  return {N_AVX2::linear_int8_fn(), N_AVX3::linear_int8_fn()};
}
}  // namespace troupe::kernels::cpu
#endif
