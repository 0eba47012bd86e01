// mla_attention at the vector levels: each cached row is converted once for many (row, head) pairs.
#include "kernels/ops/mla_attention.hpp"

#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/mla_attention.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/exp.inc"
#include "kernels/cpu/tiles.inc"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

constexpr std::size_t kSplit = kSplitTokens;
/// Pairs that are worked through together: the keys of a split are converted once for all of them.
constexpr std::size_t kGroupPairs = 2 * kBlockRows;
// Values: kValueRows x 2 registers of sums, 2 of keys, 1 weight: 15 of 16 (AVX2), 27 of 32.
constexpr std::size_t kValueRows = HWY_MAX_BYTES == 32 ? 6 : 12;
constexpr std::size_t kStrip = 2 * kWidth;

/// Everything one group of pairs needs; all buffers are this thread's scratch.
struct Group {
  const MlaAttentionArgs* args = nullptr;
  std::size_t first = 0;  // pair
  std::size_t pairs = 0;
  std::size_t width = 0;     // latent + rope
  std::size_t chunks = 0;    // of 128 in width
  std::size_t strips = 0;    // floats: latent rounded up to whole strips
  float* queries = nullptr;  // packed: blocks of kBlockRows pairs, [chunks][rows][128]
  float* keys = nullptr;     // packed: [chunks][256][128]
  float* scores = nullptr;   // [pairs][256], then weights
  float* part = nullptr;     // [pairs][strips]: values of one split
  float* total = nullptr;    // [pairs][strips]: values of the splits before
  float* sums = nullptr;     // [kSumFloats]
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

/// Positions [begin, begin + count) of the cache.
HWY_INLINE void pack_keys(const Group& g, std::size_t begin, std::size_t count) {
  const bool bf16 = g.args->cache_dtype == DType::bf16;
  const std::size_t row_bytes = g.width * (bf16 ? FromBf16::kBytes : FromF32::kBytes);
  for (std::size_t j = 0; j < count; ++j) {
    const std::size_t position = begin + j;
    const auto* page = static_cast<const std::uint8_t*>(g.args->pages[position / kPageTokens]);
    const std::uint8_t* row = page + position % kPageTokens * row_bytes;
    if (bf16) {
      pack_row<FromBf16>(row, g.width, g.keys + j * kChunk, kSplit * kChunk);
    } else {
      pack_row<FromF32>(row, g.width, g.keys + j * kChunk, kSplit * kChunk);
    }
  }
  pack_zero_rows(count, g.width, g.keys, kSplit * kChunk);
}

HWY_INLINE void score(const Group& g, std::size_t count) {
  for (std::size_t b = 0; b < g.pairs; b += kBlockRows)
    for (std::size_t j = 0; j < count; j += kPanelFeatures) {
      TileJob job;
      job.rows = std::min(kBlockRows, g.pairs - b);
      job.x = g.queries + b * g.chunks * kChunk;
      job.x_chunk = job.rows * kChunk;
      job.w = g.keys + j * kChunk;
      job.w_chunk = kSplit * kChunk;
      job.features = std::min(kPanelFeatures, count - j);
      job.width = g.width;
      job.sums = g.sums;
      job.y = g.scores + b * kSplit + j;
      job.y_stride = kSplit;
      run_tiles<false>(job);
    }
}

/// Scores of `count` keys to weights exp(s - max); +0 up to the next multiple of 16.
struct Softmax {
  float max = 0;
  float sum = 0;
};

HWY_INLINE Softmax soften(float* scores, std::size_t count, float scale) {
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
      const V weight = exp(hn::Sub(hn::Load(d, at), max));
      hn::Store(weight, d, at);
      lanes[p] = hn::Add(lanes[p], weight);
    }
  return {hn::GetLane(max), lane_tree(lanes)};
}

/// Adds keys [begin, end) of one strip to the values of kRows pairs, ascending in position.
template <std::size_t kRows>
HWY_INLINE void value_tile(const float* HWY_RESTRICT keys, const float* HWY_RESTRICT weights,
                           std::size_t begin, std::size_t end, std::size_t strips,
                           float* HWY_RESTRICT values) {
  const F32 d;
  V t[kRows][2];
  HWY_UNROLL(12)
  for (std::size_t r = 0; r < kRows; ++r) {
    t[r][0] = hn::Load(d, values + r * strips);
    t[r][1] = hn::Load(d, values + r * strips + kWidth);
  }
  for (std::size_t j = begin; j < end; ++j) {
    const V k0 = hn::Load(d, keys + j * kChunk);
    const V k1 = hn::Load(d, keys + j * kChunk + kWidth);
    HWY_UNROLL(12)
    for (std::size_t r = 0; r < kRows; ++r) {
      const V p = hn::Set(d, weights[r * kSplit + j]);
      t[r][0] = hn::MulAdd(p, k0, t[r][0]);
      t[r][1] = hn::MulAdd(p, k1, t[r][1]);
    }
  }
  HWY_UNROLL(12)
  for (std::size_t r = 0; r < kRows; ++r) {
    hn::Store(t[r][0], d, values + r * strips);
    hn::Store(t[r][1], d, values + r * strips + kWidth);
  }
}

/// kRows pairs over all strips: the keys they share, then each pair's own last ones.
template <std::size_t kRows>
HWY_INLINE void value_rows(const Group& g, std::size_t pair, std::size_t begin, std::size_t strip,
                           float* values) {
  const float* keys = g.keys + strip / kChunk * (kSplit * kChunk) + strip % kChunk;
  const float* weights = g.scores + pair * kSplit;
  const std::size_t shared = g.limit(pair, begin);  // ascending in the pair
  float* at = values + pair * g.strips + strip;
  value_tile<kRows>(keys, weights, 0, shared, g.strips, at);
  for (std::size_t r = 1; r < kRows; ++r) {
    const std::size_t own = g.limit(pair + r, begin);
    if (own > shared)
      value_tile<1>(keys, weights + r * kSplit, shared, own, g.strips, at + r * g.strips);
  }
}

HWY_INLINE void add_values(const Group& g, std::size_t begin, float* values) {
  std::memset(values, 0, g.pairs * g.strips * sizeof(float));
  for (std::size_t strip = 0; strip < g.strips; strip += kStrip) {
    std::size_t pair = 0;
    for (; pair + kValueRows <= g.pairs; pair += kValueRows)
      value_rows<kValueRows>(g, pair, begin, strip, values);
    for (; pair + 2 <= g.pairs; pair += 2) value_rows<2>(g, pair, begin, strip, values);
    if (pair < g.pairs) value_rows<1>(g, pair, begin, strip, values);
  }
}

/// Merges a split into those before it (ADR 0001).
HWY_INLINE void merge(Group& g, std::size_t pair, const Softmax& next) {
  const F32 d;
  const float max = std::max(g.max[pair], next.max);
  const float a = hn::GetLane(exp(hn::Set(d, g.max[pair] - max)));
  const float b = hn::GetLane(exp(hn::Set(d, next.max - max)));
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
HWY_INLINE void attend_split(Group& g, std::size_t begin) {
  const std::size_t count = g.limit(g.pairs - 1, begin);
  pack_keys(g, begin, count);
  score(g, count);
  Softmax parts[kGroupPairs];
  for (std::size_t pair = 0; pair < g.pairs; ++pair)
    if (const std::size_t limit = g.limit(pair, begin); limit > 0)
      parts[pair] = soften(g.scores + pair * kSplit, limit, g.args->scale);
  add_values(g, begin, begin == 0 ? g.total : g.part);
  for (std::size_t pair = 0; pair < g.pairs; ++pair) {
    if (begin == 0) {
      g.max[pair] = parts[pair].max;
      g.sum[pair] = parts[pair].sum;
    } else if (g.limit(pair, begin) > 0) {
      merge(g, pair, parts[pair]);
    }
  }
}

HWY_INLINE void attend_group(Group& g) {
  const F32 d;
  const MlaAttentionArgs& args = *g.args;
  pack_queries(g);
  for (std::size_t begin = 0; g.limit(g.pairs - 1, begin) > 0; begin += kSplit)
    attend_split(g, begin);
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
  g.chunks = (g.width + kChunk - 1) / kChunk;
  g.strips = round_up(static_cast<std::size_t>(args.latent), kStrip);
  const std::size_t queries = kGroupPairs * g.chunks * kChunk;
  const std::size_t keys = g.chunks * kSplit * kChunk;
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
    attend_group(g);
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
