// mla_attention at the vector levels: each cached row is converted once for many (row, head) pairs.
#include "kernels/ops/mla_attention.hpp"

#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/mla_attention.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/cache_formats.inc"
#include "kernels/cpu/exp.inc"
#include "kernels/cpu/tiles.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

constexpr std::size_t kSplit = kSplitTokens;
static_assert(kSplitTokens % kPageTokens == 0, "a split starts with a page");
/// Pairs that are worked through together: the keys of a split are converted once for all of them.
constexpr std::size_t kGroupPairs = 2 * kBlockRows;
// Values: kValueRows x 2 registers of sums, 2 of keys, 1 weight: 15 of 16 (AVX2), 27 of 32.
constexpr std::size_t kValueRows = HWY_MAX_BYTES == 32 ? 6 : 12;

/// Everything one group of pairs needs; all buffers are this thread's scratch.
struct Group {
  const MlaAttentionArgs* args = nullptr;
  std::size_t first = 0;  // pair
  std::size_t pairs = 0;
  std::size_t width = 0;      // latent + rope
  std::size_t row_bytes = 0;  // of a cache entry
  std::size_t chunks = 0;     // of 128 in width
  std::size_t strips = 0;     // floats: latent rounded up to whole strips
  float* queries = nullptr;   // packed: blocks of kBlockRows pairs, [chunks][rows][128]
  float* keys = nullptr;      // packed: [chunks][kPanelFeatures][128]; or one strip, [256][kStrip]
  float* scores = nullptr;    // [pairs][256], then weights
  float* part = nullptr;      // [pairs][strips]: values of one split
  float* total = nullptr;     // [pairs][strips]: values of the splits before
  float* sums = nullptr;      // [kSumFloats]
  float max[kGroupPairs] = {};
  float sum[kGroupPairs] = {};

  /// Keys of this split that the pair attends.
  HWY_INLINE std::size_t limit(std::size_t pair, std::size_t begin) const {
    const std::size_t row = (first + pair) / static_cast<std::size_t>(args->heads);
    const std::size_t keys_total = static_cast<std::size_t>(args->first_position) + row + 1;
    return keys_total <= begin ? 0 : std::min(kSplit, keys_total - begin);
  }
};

HWY_INLINE void pack_queries(const Group& g) {
  for (std::size_t b = 0; b < g.pairs; b += kBlockRows) {
    const std::size_t rows = std::min(kBlockRows, g.pairs - b);
    float* block = g.queries + b * g.chunks * kChunk;
    for (std::size_t r = 0; r < rows; ++r)
      pack_row<FromF32>(g.args->q + (g.first + b + r) * g.width, g.width, block + r * kChunk,
                        rows * kChunk);
  }
}

/// The cached row of one position.
HWY_INLINE const std::uint8_t* cached_row(const Group& g, std::size_t position) {
  const auto* page = static_cast<const std::uint8_t*>(g.args->pages[position / kPageTokens]);
  return page + position % kPageTokens * g.row_bytes;
}

/// Scores of positions [begin, begin + count), not yet scaled: a panel of keys at a time.
template <class Cache>
HWY_INLINE void score(const Group& g, std::size_t begin, std::size_t count) {
  constexpr std::size_t kPanelChunk = kPanelFeatures * kChunk;
  for (std::size_t j = 0; j < count; j += kPanelFeatures) {
    const std::size_t n = std::min(kPanelFeatures, count - j);
    for (std::size_t i = 0; i < n; ++i)
      Cache::pack(*g.args, cached_row(g, begin + j + i), g.keys + i * kChunk, kPanelChunk);
    pack_zero_rows(n, g.width, g.keys, kPanelChunk);
    for (std::size_t b = 0; b < g.pairs; b += kBlockRows) {
      TileJob job;
      job.rows = std::min(kBlockRows, g.pairs - b);
      job.x = g.queries + b * g.chunks * kChunk;
      job.x_chunk = job.rows * kChunk;
      job.w = g.keys;
      job.w_chunk = kPanelChunk;
      job.features = n;
      job.width = g.width;
      job.sums = g.sums;
      job.y = g.scores + b * kSplit + j;
      job.y_stride = kSplit;
      run_tiles(job);
    }
  }
}

struct Softmax {
  float max = 0;
  float sum = 0;
};

/// Scores of `count` keys to weights exp(s - max); +0 up to the next multiple of 16.
HWY_NOINLINE Softmax soften(float* scores, std::size_t count, float scale) {
  const F32 d;
  const V factor = hn::Set(d, scale);
  const V none = hn::Neg(hn::Inf(d));
  const std::size_t padded = round_up(count, kLanes);
  V most = none;
  for (std::size_t i = 0; i < padded; i += kWidth) {
    const auto inside = hn::FirstN(d, count > i ? count - i : 0);
    const V s = hn::IfThenElse(inside, hn::Mul(hn::Load(d, scores + i), factor), none);
    hn::Store(s, d, scores + i);
    most = hn::Max(most, s);
  }
  const V max = hn::MaxOfLanes(d, most);
  V lanes[kParts];
  for (V& part : lanes) part = hn::Zero(d);
  for (std::size_t i = 0; i < padded; i += kLanes)
    for (std::size_t p = 0; p < kParts; ++p) {
      float* at = scores + i + p * kWidth;
      const V weight = exp_lanes(hn::Sub(hn::Load(d, at), max));
      hn::Store(weight, d, at);
      lanes[p] = hn::Add(lanes[p], weight);
    }
  return {hn::GetLane(max), lane_tree(lanes)};
}

/// Where the values of one strip (kStrip columns of the latent) lie: run(j) keys from j on follow
/// each other `stride` bytes apart at row(j).
struct CachedStrip {
  const Group* g = nullptr;
  std::size_t begin = 0;   // position of key 0
  std::size_t offset = 0;  // bytes from the start of a cached row
  HWY_INLINE const std::uint8_t* row(std::size_t j) const {
    return cached_row(*g, begin + j) + offset;
  }
  HWY_INLINE std::size_t stride() const { return g->row_bytes; }
  HWY_INLINE static std::size_t run(std::size_t j) { return kPageTokens - j % kPageTokens; }
};

/// A strip that is copied: from a cache with scales, or the last one of a latent that does not fill
/// it, where reading on could leave the page.
struct CopiedStrip {
  const float* floats = nullptr;  // [256][kStrip]
  HWY_INLINE const std::uint8_t* row(std::size_t j) const {
    return reinterpret_cast<const std::uint8_t*>(floats + j * kStrip);
  }
  HWY_INLINE static std::size_t stride() { return kStrip * sizeof(float); }
  HWY_INLINE static std::size_t run(std::size_t j) { return kSplit - j; }
};

/// Adds keys [begin, end) of a strip to the values of kRows pairs, ascending in position.
template <std::size_t kRows, class From, class Strip>
HWY_NOINLINE void value_tile(const Strip& strip, const float* HWY_RESTRICT weights,
                             std::size_t begin, std::size_t end, std::size_t strips,
                             float* HWY_RESTRICT values) {
  const F32 d;
  V t[kRows][2];
  HWY_UNROLL(12)
  for (std::size_t r = 0; r < kRows; ++r) {
    t[r][0] = hn::Load(d, values + r * strips);
    t[r][1] = hn::Load(d, values + r * strips + kWidth);
  }
  for (std::size_t j = begin; j < end;) {
    const std::size_t stop = std::min(end, j + strip.run(j));
    const std::uint8_t* key = strip.row(j);
    for (; j < stop; ++j, key += strip.stride()) {
      const V k0 = From::part(key, 0);
      const V k1 = From::part(key, 1);
      HWY_UNROLL(12)
      for (std::size_t r = 0; r < kRows; ++r) {
        const V p = hn::Set(d, weights[r * kSplit + j]);
        t[r][0] = hn::MulAdd(p, k0, t[r][0]);
        t[r][1] = hn::MulAdd(p, k1, t[r][1]);
      }
    }
  }
  HWY_UNROLL(12)
  for (std::size_t r = 0; r < kRows; ++r) {
    hn::Store(t[r][0], d, values + r * strips);
    hn::Store(t[r][1], d, values + r * strips + kWidth);
  }
}

/// kRows pairs: the keys they share, then each pair's own last ones.
template <std::size_t kRows, class From, class Strip>
HWY_INLINE void value_rows(const Group& g, const Strip& strip, std::size_t pair, std::size_t begin,
                           float* values) {
  const float* weights = g.scores + pair * kSplit;
  const std::size_t shared = g.limit(pair, begin);  // ascending in the pair
  float* at = values + pair * g.strips;
  value_tile<kRows, From>(strip, weights, 0, shared, g.strips, at);
  for (std::size_t r = 1; r < kRows; ++r) {
    const std::size_t own = g.limit(pair + r, begin);
    if (own > shared)
      value_tile<1, From>(strip, weights + r * kSplit, shared, own, g.strips, at + r * g.strips);
  }
}

template <class From, class Strip>
HWY_INLINE void add_strip(const Group& g, const Strip& strip, std::size_t begin, float* values) {
  std::size_t pair = 0;
  for (; pair + kValueRows <= g.pairs; pair += kValueRows)
    value_rows<kValueRows, From>(g, strip, pair, begin, values);
  // 16 heads leave 4, shared by two threads 8: fewer than 4 rows cannot keep the multipliers busy.
  if constexpr (kValueRows > 8) {
    if (pair + 8 <= g.pairs) {
      value_rows<8, From>(g, strip, pair, begin, values);
      pair += 8;
    }
  }
  if (pair + 4 <= g.pairs) {
    value_rows<4, From>(g, strip, pair, begin, values);
    pair += 4;
  }
  for (; pair + 2 <= g.pairs; pair += 2) value_rows<2, From>(g, strip, pair, begin, values);
  if (pair < g.pairs) value_rows<1, From>(g, strip, pair, begin, values);
}

/// values[pair][d] = sum over the keys of the split of weight * latent value d.
template <class Cache>
HWY_INLINE void add_values(const Group& g, std::size_t begin, std::size_t count, float* values) {
  const auto latent = static_cast<std::size_t>(g.args->latent);
  std::memset(values, 0, g.pairs * g.strips * sizeof(float));
  std::size_t column = 0;
  for (; column + kStrip <= latent; column += kStrip) {
    if constexpr (Cache::kInPlace) {
      using From = typename Cache::From;
      add_strip<From>(g, CachedStrip{&g, begin, column * From::kBytes}, begin, values + column);
    } else {
      for (std::size_t j = 0; j < count; ++j)
        Cache::copy_strip(*g.args, cached_row(g, begin + j), column, g.keys + j * kStrip);
      add_strip<FromF32>(g, CopiedStrip{g.keys}, begin, values + column);
    }
  }
  if (column == latent) return;
  std::memset(g.keys, 0, count * kStrip * sizeof(float));
  for (std::size_t j = 0; j < count; ++j)
    for (std::size_t i = 0; column + i < latent; ++i)
      g.keys[j * kStrip + i] = Cache::one(*g.args, cached_row(g, begin + j), column + i);
  add_strip<FromF32>(g, CopiedStrip{g.keys}, begin, values + column);
}

/// Merges a split into those before it (ADR 0001).
HWY_INLINE void merge(Group& g, std::size_t pair, const Softmax& next) {
  const F32 d;
  const float max = std::max(g.max[pair], next.max);
  const float a = hn::GetLane(exp_lanes(hn::Set(d, g.max[pair] - max)));
  const float b = hn::GetLane(exp_lanes(hn::Set(d, next.max - max)));
  g.max[pair] = max;
  const V sum = hn::MulAdd(hn::Set(d, next.sum), hn::Set(d, b), hn::Set(d, g.sum[pair] * a));
  g.sum[pair] = hn::GetLane(sum);
  float* total = g.total + pair * g.strips;
  const float* part = g.part + pair * g.strips;
  for (std::size_t i = 0; i < g.strips; i += kWidth) {
    const V scaled = hn::Mul(hn::Load(d, total + i), hn::Set(d, a));
    hn::Store(hn::MulAdd(hn::Load(d, part + i), hn::Set(d, b), scaled), d, total + i);
  }
}

/// One split of all pairs of the group.
template <class Cache>
HWY_INLINE void attend_split(Group& g, std::size_t begin) {
  const std::size_t count = g.limit(g.pairs - 1, begin);
  score<Cache>(g, begin, count);
  Softmax parts[kGroupPairs];
  for (std::size_t pair = 0; pair < g.pairs; ++pair)
    if (const std::size_t limit = g.limit(pair, begin); limit > 0)
      parts[pair] = soften(g.scores + pair * kSplit, limit, g.args->scale);
  add_values<Cache>(g, begin, count, begin == 0 ? g.total : g.part);
  for (std::size_t pair = 0; pair < g.pairs; ++pair) {
    if (begin == 0) {
      g.max[pair] = parts[pair].max;
      g.sum[pair] = parts[pair].sum;
    } else if (g.limit(pair, begin) > 0) {
      merge(g, pair, parts[pair]);
    }
  }
}

template <class Cache>
HWY_INLINE void attend_group(Group& g) {
  const F32 d;
  const MlaAttentionArgs& args = *g.args;
  pack_queries(g);
  for (std::size_t begin = 0; g.limit(g.pairs - 1, begin) > 0; begin += kSplit)
    attend_split<Cache>(g, begin);
  const auto latent = static_cast<std::size_t>(args.latent);
  for (std::size_t pair = 0; pair < g.pairs; ++pair) {
    const V inverse = hn::Div(hn::Set(d, 1.0f), hn::Set(d, g.sum[pair]));
    float* o = args.o + (g.first + pair) * latent;
    for_registers(latent, [&](std::size_t i, std::size_t n) {
      store_some(hn::Mul(hn::Load(d, g.total + pair * g.strips + i), inverse), o + i, n);
    });
  }
}

void mla_attention(const MlaAttentionArgs& args, std::int64_t begin, std::int64_t end) {
  check_mla_attention(args);
  Group g;
  g.args = &args;
  g.width = static_cast<std::size_t>(args.latent + args.rope);
  g.row_bytes = static_cast<std::size_t>(args.entry().bytes());
  g.chunks = (g.width + kChunk - 1) / kChunk;
  g.strips = round_up(static_cast<std::size_t>(args.latent), kStrip);
  const std::size_t queries = kGroupPairs * g.chunks * kChunk;
  const std::size_t keys = std::max(g.chunks * kPanelFeatures * kChunk, kSplit * kStrip);
  const std::size_t values = kGroupPairs * g.strips;
  g.queries = cpu::scratch(queries + keys + kGroupPairs * kSplit + 2 * values + kSumFloats);
  g.keys = g.queries + queries;
  g.scores = g.keys + keys;
  g.part = g.scores + kGroupPairs * kSplit;
  g.total = g.part + values;
  g.sums = g.total + values;
  for (std::int64_t pair = begin; pair < end; pair += static_cast<std::int64_t>(kGroupPairs)) {
    g.first = static_cast<std::size_t>(pair);
    g.pairs = std::min(kGroupPairs, static_cast<std::size_t>(end - pair));
    switch (args.cache_dtype) {
      case DType::bf16: attend_group<PlainCache<FromBf16>>(g); break;
      case DType::f8_e4m3: attend_group<ScaledCache>(g); break;
      default: attend_group<PlainCache<FromF32>>(g);
    }
  }
}

}  // namespace
MlaAttentionFn mla_attention_fn() { return mla_attention; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<MlaAttentionFn> mla_attention_levels() {
  return {N_AVX2::mla_attention_fn(), N_AVX3::mla_attention_fn()};
}
}  // namespace troupe::kernels::cpu
#endif
