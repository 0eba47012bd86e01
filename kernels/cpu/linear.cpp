// linear at the vector levels: a streaming path for a few rows, panels for more.
#include "kernels/ops/linear.hpp"

#include <array>
#include <string>

#include "core/check.hpp"
#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/panels.inc"
#include "kernels/cpu/weight_formats.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

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

/// A group of a row of x in the order in which the decoder leaves its lanes.
template <class Format, std::size_t kRegisters>
HWY_INLINE void load_stream(const float* group, V (&lanes)[kRegisters]) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(group);
  const auto pairs = [&](std::size_t p, V& odd, V& even) {
    FromF32::pairs(bytes + p * 2 * kWidth * FromF32::kBytes, odd, even);
  };
  if constexpr (Format::kInPairs) {
    for (std::size_t p = 0; p < kParts; ++p) pairs(p, lanes[p], lanes[kParts + p]);
  } else if constexpr (!Format::kNatural) {
    pairs(0, lanes[1], lanes[0]);
  } else {
    for (std::size_t p = 0; p < kParts; ++p) lanes[p] = FromF32::part(bytes, p);
  }
}

/// One call of the streaming path: x copied in stream order, scaled, filled up with +0.
struct StreamJob {
  const LinearArgs* args = nullptr;
  const float* x = nullptr;  // [tokens, stride]
  std::size_t stride = 0;
  std::size_t width = 0;
};

/// Multiplies one group of 32 of kRows features, columns in pairs, into the sums of kTokens rows; x
/// has the odd columns of a group before the even ones.
template <class Format, std::size_t kTokens, std::size_t kRows>
HWY_INLINE void stream_pairs(const std::uint8_t* const (&group)[kRows], const float* x,
                             std::size_t stride, V (&sums)[kTokens][kRows][kParts]) {
  const F32 d;
  // One feature: all its lanes side by side, as many chains of sums as there are. More features: no
  // more of x at a time than registers are left for.
  constexpr std::size_t kTogether = kRows == 1 ? kParts : 1;
  HWY_UNROLL(2)
  for (std::size_t first = 0; first < kParts; first += kTogether) HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) {
    V w[2][kTogether];  // odd, even
    for (std::size_t p = 0; p < kTogether; ++p)
      Format::stream_pairs(group[r] + Format::offset((first + p) * 2 * kWidth), w[0][p], w[1][p]);
    HWY_UNROLL(2)
    for (std::size_t half = 0; half < 2; ++half) HWY_UNROLL(4)
    for (std::size_t t = 0; t < kTokens; ++t) HWY_UNROLL(2)
    for (std::size_t p = 0; p < kTogether; ++p) {
      const V xs = hn::Load(d, x + t * stride + half * kLanes + (first + p) * kWidth);
      sums[t][r][first + p] = hn::MulAdd(w[half][p], xs, sums[t][r][first + p]);
    }
  }
}

/// The same for larger tiles, of the lanes one register only, `part`: so both sums and decoded
/// codes stay in registers.
template <class Format, std::size_t kTokens, std::size_t kRows>
HWY_INLINE void stream_part(const std::uint8_t* const (&group)[kRows], const float* x,
                            std::size_t stride, std::size_t part, V (&sums)[kTokens][kRows][1]) {
  const F32 d;
  const auto weights = [&](std::size_t r, V(&w)[2]) {  // odd, even
    Format::stream_pairs(group[r] + Format::offset(part * 2 * kWidth), w[0], w[1]);
  };
  const auto input = [&](std::size_t t, std::size_t half) {
    V xs = hn::Load(d, x + t * stride + half * kLanes + part * kWidth);
    keep_in_register(xs);
    return xs;
  };
  if constexpr (kTokens == 2) {
    V xs[2][2];
    HWY_UNROLL(2)
    for (std::size_t half = 0; half < 2; ++half) HWY_UNROLL(2)
    for (std::size_t t = 0; t < 2; ++t) xs[half][t] = input(t, half);
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < kRows; ++r) {
      V w[2];
      weights(r, w);
      HWY_UNROLL(2)
      for (std::size_t half = 0; half < 2; ++half) HWY_UNROLL(2)
      for (std::size_t t = 0; t < 2; ++t)
        sums[t][r][0] = hn::MulAdd(w[half], xs[half][t], sums[t][r][0]);
    }
  } else {
    V w[kRows][2];
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < kRows; ++r) weights(r, w[r]);
    HWY_UNROLL(2)
    for (std::size_t half = 0; half < 2; ++half) HWY_UNROLL(8)
    for (std::size_t t = 0; t < kTokens; ++t) {
      const V xs = input(t, half);
      HWY_UNROLL(4)
      for (std::size_t r = 0; r < kRows; ++r)
        sums[t][r][0] = hn::MulAdd(w[r][half], xs, sums[t][r][0]);
    }
  }
}

/// Multiplies one group of 16 of kRows features, the one at column `in_chunk` of its chunk, into
/// the sums of kTokens rows.
template <class Format, std::size_t kTokens, std::size_t kRows>
HWY_INLINE void stream_singles(const std::uint8_t* const (&group)[kRows],
                               const GroupScales<kRows>& scales, std::size_t in_chunk,
                               const float* x, std::size_t stride,
                               V (&sums)[kTokens][kRows][kParts]) {
  const F32 d;
  V xs[kTokens][kParts];
  HWY_UNROLL(4)
  for (std::size_t t = 0; t < kTokens; ++t) HWY_UNROLL(2)
  for (std::size_t p = 0; p < kParts; ++p) xs[t][p] = hn::Load(d, x + t * stride + p * kWidth);
  HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) {
    V w[kParts];
    if constexpr (Format::kFold == Fold::group) {
      const std::size_t g = in_chunk / kScaleGroup;
      Format::stream(group[r], scales.scale[r][g], scales.bias[r][g], w);
    } else {
      Format::stream(group[r], w);
    }
    HWY_UNROLL(4)
    for (std::size_t t = 0; t < kTokens; ++t) HWY_UNROLL(2)
    for (std::size_t p = 0; p < kParts; ++p)
      sums[t][r][p] = hn::MulAdd(w[p], xs[t][p], sums[t][r][p]);
  }
}

/// Whether a tile takes one register of lanes at a time; smaller ones would have too few sums to
/// keep the multipliers busy.
template <class Format, std::size_t kTokens, std::size_t kRows>
inline constexpr bool kByParts = Format::kOnceRows > 0 && (kTokens > 1) && (kTokens * kRows > 4);

/// kHere registers of lanes from `part` on.
template <class Format, std::size_t kTokens, std::size_t kRows, std::size_t kHere>
HWY_INLINE void stream_group(const std::uint8_t* const (&group)[kRows],
                             const GroupScales<kRows>& scales, std::size_t in_chunk, const float* x,
                             std::size_t stride, std::size_t part,
                             V (&sums)[kTokens][kRows][kHere]) {
  if constexpr (kByParts<Format, kTokens, kRows>)
    stream_part<Format>(group, x, stride, part, sums);
  else if constexpr (Format::kInPairs)
    stream_pairs<Format>(group, x, stride, sums);
  else
    stream_singles<Format>(group, scales, in_chunk, x, stride, sums);
}

/// Groups that begin in the chunk at column k of kRows features; the last one may be cut short by
/// the width.
template <class Format, std::size_t kTokens, std::size_t kRows, std::size_t kHere>
HWY_INLINE void stream_chunk(const StreamJob& job, const float* x,
                             const std::uint8_t* const (&w)[kRows],
                             const GroupScales<kRows>& scales, std::size_t k, std::size_t part,
                             V (&sums)[kTokens][kRows][kHere]) {
  constexpr std::size_t kColumns = Format::kGroupColumns;
  const std::size_t whole = std::min(k + kChunk, job.width / kColumns * kColumns);
  const std::uint8_t* group[kRows];
  std::size_t i = k;
  HWY_UNROLL(2)
  for (; i < whole; i += kColumns) {
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < kRows; ++r) group[r] = w[r] + Format::offset(i);
    stream_group<Format>(group, scales, i - k, x + i, job.stride, part, sums);
  }
  if (i < k + kChunk && i < job.width) {
    std::uint8_t tails[kRows][Format::kGroupBytes];
    for (std::size_t r = 0; r < kRows; ++r) {
      Format::tail(w[r] + Format::offset(i), job.width - i, tails[r]);
      group[r] = tails[r];
    }
    stream_group<Format>(group, scales, i - k, x + i, job.stride, part, sums);
  }
}

/// How far ahead of its use a weight is asked for: at least 2 KB, and the next row of each stream.
HWY_INLINE std::size_t prefetch_distance(std::size_t row_bytes) {
  return std::max<std::size_t>(row_bytes, 2048);
}

template <std::size_t kTokens, std::size_t kRows, std::size_t kHere>
HWY_INLINE void clear(V (&sums)[kTokens][kRows][kHere]) {
  HWY_UNROLL(8)
  for (std::size_t t = 0; t < kTokens; ++t) HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) HWY_UNROLL(2)
  for (std::size_t p = 0; p < kHere; ++p) sums[t][r][p] = hn::Zero(F32());
}

/// sums += raw, its registers those from `part` on, * the factor of the block, which depends on the
/// row of x only.
template <class Format, std::size_t kTokens, std::size_t kRows, std::size_t kHere>
HWY_INLINE void fold_block(const LinearArgs& args, std::size_t token,
                           const float (&w_scales)[kRows], std::size_t chunk, std::size_t part,
                           const V (&raw)[kTokens][kRows][kHere],
                           V (&sums)[kTokens][kRows][kParts]) {
  const auto chunks = static_cast<std::size_t>(scale_blocks(args.w.cols));
  HWY_UNROLL(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < kRows; ++r) {
      const float scale = args.x_scales == nullptr
                              ? w_scales[r]
                              : args.x_scales[(token + t) * chunks + chunk] * w_scales[r];
      const V factor = hn::Set(F32(), scale * Format::kUnit);
      HWY_UNROLL(2)
      for (std::size_t p = 0; p < kHere; ++p)
        sums[t][r][part + p] = hn::MulAdd(raw[t][r][p], factor, sums[t][r][part + p]);
    }
  }
}

/// The lanes of a finished tile down to numbers, four at once where there are four.
template <class Format, std::size_t kTokens, std::size_t kRows>
HWY_INLINE void store_sums(const LinearArgs& args, const TileFeatures& features,
                           V (&sums)[kTokens][kRows][kParts], float* y) {
  const hn::FixedTag<float, 4> d4;
  hn::Vec<hn::FixedTag<float, 4>> fours[kTokens * kRows];
  HWY_UNROLL(8)
  for (std::size_t t = 0; t < kTokens; ++t) HWY_UNROLL(4)
  for (std::size_t r = 0; r < kRows; ++r) {
    V lanes[kParts];
    HWY_UNROLL(2)
    for (std::size_t p = 0; p < kParts; ++p) {
      lanes[p] = sums[t][r][p];
      if constexpr (Format::kFold == Fold::row)
        lanes[p] =
            hn::MulAdd(lanes[p], hn::Set(F32(), args.w.scales[features.at(r)]), hn::Zero(F32()));
    }
    to_natural<Format>(lanes);
    fours[t * kRows + r] = four_lanes(lanes);
  }
  float numbers[kTokens * kRows];
  if constexpr (kTokens * kRows == 4)
    hn::StoreU(last_lanes(fours), d4, numbers);
  else
    for (std::size_t i = 0; i < kTokens * kRows; ++i) numbers[i] = last_lane(fours[i]);
  for (std::size_t t = 0; t < kTokens; ++t)
    for (std::size_t r = 0; r < kRows; ++r)
      y[static_cast<std::int64_t>(t) * args.y_stride + static_cast<std::int64_t>(features.at(r))] =
          numbers[t * kRows + r];
}

/// kRows features for kTokens rows.
template <class Format, std::size_t kTokens, std::size_t kRows>
HWY_NOINLINE void stream_tile(const StreamJob& job, std::size_t token,
                              const TileFeatures& features) {
  const LinearArgs& args = *job.args;
  const std::size_t row_bytes = Format::row_bytes(job.width);
  const std::uint8_t* w[kRows];
  for (std::size_t r = 0; r < kRows; ++r)
    w[r] = reinterpret_cast<const std::uint8_t*>(args.w.data) + features.at(r) * row_bytes;
  const float* x = job.x + token * job.stride;
  const std::size_t chunks = (job.width + kChunk - 1) / kChunk;
  const std::size_t ahead = prefetch_distance(row_bytes);
  GroupScales<kRows> scales;
  V sums[kTokens][kRows][kParts];
  clear(sums);
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    const std::size_t k = chunk * kChunk;
    for (std::size_t r = 0; r < kRows; ++r)
      for (std::size_t b = 0; b < Format::offset(kChunk); b += 64)
        hwy::Prefetch(w[r] + Format::offset(k) + ahead + b);
    if constexpr (Format::kFold == Fold::group) Format::load(args.w, features, chunk, scales);
    if constexpr (Format::kFold != Fold::block) {
      stream_chunk<Format>(job, x, w, scales, k, 0, sums);
    } else {
      float of_rows[kRows];
      for (std::size_t r = 0; r < kRows; ++r)
        of_rows[r] = args.w.scales[features.at(r) / kChunk * chunks + chunk];
      constexpr std::size_t kHere = kByParts<Format, kTokens, kRows> ? 1 : kParts;
      HWY_UNROLL(2)
      for (std::size_t part = 0; part < kParts; part += kHere) {
        V raw[kTokens][kRows][kHere];
        clear(raw);
        stream_chunk<Format>(job, x, w, scales, k, part, raw);
        fold_block<Format>(args, token, of_rows, chunk, part, raw, sums);
      }
    }
  }
  store_sums<Format>(args, features, sums,
                     args.y + static_cast<std::int64_t>(token) * args.y_stride);
}

/// So long may rows of x be of which four are taken at a time: they stay in the level-1 cache.
constexpr std::size_t kFourRowsWidth = 2048;

/// kRows features for all rows of x. Formats with kOnceRows are decoded once for so many rows,
/// others for two at a time: after the first two the weights are in the level-1 cache.
template <class Format, std::size_t kRows>
HWY_INLINE void stream_tokens(const StreamJob& job, const TileFeatures& features) {
  const auto tokens = static_cast<std::size_t>(job.args->tokens);
  if constexpr (Format::kOnceRows > 0) {
    for_row_tiles<Format::kOnceRows>(tokens, [&](std::size_t t, auto rows) {
      stream_tile<Format, decltype(rows)::value, kRows>(job, t, features);
    });
    return;
  }
  std::size_t t = 0;
  if constexpr (Format::kFold != Fold::none) {
    const std::size_t fours = job.width <= kFourRowsWidth ? tokens / 4 * 4 : 0;
    for (; t < fours; t += 4)
      for (std::size_t r = 0; r < kRows; ++r) stream_tile<Format, 4, 1>(job, t, {features.at(r)});
  }
  for (; t + 2 <= tokens; t += 2) stream_tile<Format, 2, kRows>(job, t, features);
  if (t < tokens) stream_tile<Format, 1, kRows>(job, t, features);
}

/// Whether a tile may have three features.
template <class Format>
inline constexpr bool kThrees = HWY_MAX_BYTES == 64 && Format::kOnceRows > 0;

/// Features whose weights are streamed side by side.
template <class Format>
HWY_INLINE std::size_t features_together(const StreamJob& job) {
  const std::int64_t tokens = job.args->tokens;
  if (tokens == 1) return 4;
  if (Format::kOnceRows > 0 && tokens == 2 && job.width <= kFourRowsWidth) return 4;
  // Eight rows: 24 sums, six registers of weights and one of x. A third less of x is read than by
  // two.
  if (kThrees<Format> && tokens > 4) return 3;
  // Codes with scales of their own leave too few registers for two rows of each.
  return Format::kFold == Fold::group ? 1 : 2;
}

/// Four features for the one or two rows of x that there are.
template <class Format>
HWY_INLINE void stream_fours(const StreamJob& job, const TileFeatures& features) {
  if constexpr (Format::kOnceRows > 0) {
    if (job.args->tokens == 2) return stream_tile<Format, 2, 4>(job, 0, features);
  }
  stream_tile<Format, 1, 4>(job, 0, features);
}

/// Each feature of a tile belongs to a stream of its own, and follows the one before it in memory:
/// hardware sees as many long streams, where neighbouring rows side by side are as many short ones
/// in one page (machine A: two threads read 19 GB/s from four streams, 16 from one, 11 from four
/// rows of 1 KB; docs/performance.md).
template <class Format>
HWY_NOINLINE void stream_features(const StreamJob& job, std::size_t begin, std::size_t end) {
  const std::size_t rows = features_together<Format>(job);
  std::size_t feature = begin;
  const std::size_t apart = (end - begin) / rows;
  for (; feature < begin + apart; ++feature) {
    if (rows == 4) {
      stream_fours<Format>(job, {feature, apart});
    } else if (rows == 2) {
      stream_tokens<Format, 2>(job, {feature, apart});
    } else if (rows == 1) {
      stream_tokens<Format, 1>(job, {feature});
    } else if constexpr (kThrees<Format>) {
      stream_tokens<Format, 3>(job, {feature, apart});
    }
  }
  for (feature = begin + rows * apart; feature < end; ++feature)
    stream_tokens<Format, 1>(job, {feature});
}

/// A group of a row of x from column k of the weight on.
template <std::size_t kColumns>
HWY_INLINE const float* inputs_at(const WeightMatrix& w, const float* x, std::size_t k,
                                  float (&group)[kColumns]) {
  if (w.column_order == nullptr) return x + k;
  for (std::size_t l = 0; l < kColumns; ++l) group[l] = x[w.column_order[k + l]];
  return group;
}

/// Copies x for the stream. False when scaling would round or overflow a value.
template <class Format>
HWY_NOINLINE bool prepare_stream(const LinearArgs& args, float* out, std::size_t stride) {
  const F32 d;
  constexpr std::size_t kColumns = Format::kGroupColumns;
  constexpr std::size_t kRegisters = kColumns / kWidth;
  const auto width = static_cast<std::size_t>(args.w.cols);
  auto rounded = hn::Lt(hn::Zero(d), hn::Zero(d));  // in no lane
  const auto copy = [&](const float* group, float* to) {
    V lanes[kRegisters];
    load_stream<Format>(group, lanes);
    for (std::size_t i = 0; i < kRegisters; ++i) {
      if constexpr (Format::kInputScale != 1) {
        rounded = hn::Or(rounded, Format::rounded(lanes[i]));
        lanes[i] = hn::Mul(lanes[i], hn::Set(d, Format::kInputScale));
      }
      hn::Store(lanes[i], d, to + i * kWidth);
    }
  };
  for (std::int64_t t = 0; t < args.tokens; ++t) {
    const float* x = args.x + t * args.x_stride;
    float* row = out + static_cast<std::size_t>(t) * stride;
    std::size_t k = 0;
    float group[kColumns] = {};
    for (; k + kColumns <= width; k += kColumns) copy(inputs_at(args.w, x, k, group), row + k);
    if (k == width) continue;
    std::memcpy(group, x + k, (width - k) * sizeof(float));
    copy(group, row + k);
  }
  return hn::AllFalse(d, rounded);
}

/// Stands for the way in which a format's stream has prepared x.
template <class Format>
inline constexpr char kStreamForm = 0;

/// Few rows: weights go from memory to registers and nowhere else. False: nothing was computed.
template <class Format>
HWY_INLINE bool stream(const LinearArgs& args, std::size_t begin, std::size_t end) {
  StreamJob job;
  job.args = &args;
  job.width = static_cast<std::size_t>(args.w.cols);
  job.stride = round_up(job.width, Format::kGroupColumns);
  const cpu::InputKey key(args, &kStreamForm<Format>);
  const cpu::InputMemory x =
      cpu::input_memory(static_cast<std::size_t>(args.tokens) * job.stride, key);
  if (!x.prepared && !prepare_stream<Format>(args, x.floats, job.stride)) return false;
  cpu::keep_input(key);
  job.x = x.floats;
  stream_features<Format>(job, begin, end);
  return true;
}

/// Panels in F32.
template <class Format>
class F32Packing {
 public:
  using Product = F32Products;
  using Held = std::conditional_t<Format::kInPairs, AsStored<Format>, AsNumbers>;
  static constexpr bool kBlocks = Format::kFold == Fold::block;
  static constexpr float kUnitFactor = Format::kUnit;
  static constexpr std::size_t kFilledTo = Format::kGroupColumns;
  static constexpr std::size_t kRowFloats = 0;
  static constexpr bool kInputInPairs = Format::kInPairs;

  explicit F32Packing(const LinearArgs& args)
      : args_(args), width_(static_cast<std::size_t>(args.w.cols)) {}

  HWY_INLINE static std::size_t row_bytes(std::size_t columns) {
    return Format::row_bytes(columns);
  }
  HWY_INLINE const float* pack_input(std::size_t token, float* spare) {
    const float* row = args_.x + static_cast<std::int64_t>(token) * args_.x_stride;
    if (args_.w.column_order == nullptr && width_ % kFilledTo == 0) return row;
    for (std::size_t k = 0; k < width_; ++k)
      spare[k] = row[args_.w.column_order == nullptr ? k : args_.w.column_order[k]];
    std::fill(spare + width_, spare + round_up(width_, kFilledTo), 0.0f);
    return spare;
  }
  HWY_INLINE void pack_features(PanelFeatures unit, PanelColumns columns, float* spare,
                                const LaneMemory& to) {
    const std::size_t bytes = Format::row_bytes(width_);
    if constexpr (Format::kInPairs) {
      constexpr std::size_t kGroup = Format::kGroupColumns;
      constexpr std::size_t kWords = Format::kGroupBytes / sizeof(float);
      const UnitRows rows(args_.w.data, bytes, unit.first, unit.first + unit.count);
      const std::size_t groups = columns.count / kGroup;
      turn_steps<kWords>(rows, Format::offset(columns.first), groups, to);
      if (columns.count % kGroup == 0) return;
      const Tail<Format::kGroupBytes> tail(rows, Format::offset(columns.first + groups * kGroup),
                                           bytes);
      turn_steps<kWords>(tail.rows(), 0, 1, {to.at(0, groups), to.lane, to.step});
    } else {
      for (std::size_t i = 0; i < unit.count; ++i) {
        const std::size_t feature = unit.first + i;
        float* out = spare + i * kChunk;
        if constexpr (Format::kFold == Fold::group)
          pack_i4_row<Format>(args_.w, feature, columns.first, columns.count, out, kChunk);
        else
          pack_row<Format>(args_.w.data + feature * bytes + Format::offset(columns.first),
                           columns.count, out, kChunk);
      }
      const UnitRows rows(reinterpret_cast<const std::byte*>(spare), kChunk * sizeof(float), 0,
                          unit.count);
      turn_steps(rows, 0, round_up(columns.count, kFilledTo) / kLanes, to);
    }
  }
  HWY_INLINE static void slice_numbers(std::size_t lane, const float* words, std::size_t count,
                                       float* to) {
    if (lane % Held::kWordLanes == 0)
      words_to_steps<Format, 0>(words, count, to);
    else
      words_to_steps<Format, Held::kWordLanes - 1>(words, count, to);
  }
  HWY_INLINE bool worth_it(PanelRows) { return true; }
  HWY_INLINE void computed(PanelRows, PanelFeatures) {}

 private:
  const LinearArgs& args_;
  std::size_t width_;
};

template <class Format>
HWY_INLINE void run_linear(const LinearArgs& args, std::size_t begin, std::size_t end) {
  if (args.tokens <= Format::kStreamTokensMax && stream<Format>(args, begin, end)) return;
  F32Packing<Format> packing(args);
  panel_path(args, begin, end, packing);
}

/// E4m3: how codes become F32.
template <class E4m3>
void linear(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear(args);
  if (args.tokens <= 0 || begin >= end) return;
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  switch (args.w.dtype) {
    case DType::f8_e4m3: return run_linear<E4m3>(args, b, e);
    case DType::i8:
      if (args.w.scale_shape == ScaleShape::row) return run_linear<I8Rows>(args, b, e);
      return run_linear<I8Blocks>(args, b, e);
    case DType::i32:
      if (args.w.zeroed_scales != nullptr) return run_linear<I4Zeroed>(args, b, e);
      return run_linear<I4Groups>(args, b, e);
    case DType::bf16: return run_linear<Bf16Whole>(args, b, e);
    default: return run_linear<F32Whole>(args, b, e);
  }
}

}  // namespace
LinearFn linear_fn() { return linear<F8Blocks>; }
#if HWY_MAX_BYTES == 32
LinearFn tiny_linear_fn() { return linear<TinyF8Blocks>; }
#endif
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<LinearFn> linear_levels() {
  return {.avx2 = subnormals_are_slow() ? N_AVX2::linear_fn() : N_AVX2::tiny_linear_fn(),
          .avx512 = N_AVX3::linear_fn(),
          .avx512_bf16 = bf16_products_are_fast() ? bf16_linear() : N_AVX3::linear_fn()};
}

std::span<const LinearVariant> linear_variants() {
  static const std::array<LinearVariant, 3> variants{{
      {"avx2_by_f16", "avx2", N_AVX2::linear_fn()},
      {"avx2_by_bits", "avx2", N_AVX2::tiny_linear_fn()},
      {"avx512_bf16_by_words", "avx512_bf16", bf16_linear()},
  }};
  return variants;
}
}  // namespace troupe::kernels::cpu
#endif
