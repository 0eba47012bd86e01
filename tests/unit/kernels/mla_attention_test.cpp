// mla_attention: right against F64, the same bits for any chunking, and no read past a page.
#include "kernels/ops/mla_attention.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/engine.hpp"
#include "tests/unit/kernels/attention_bound.hpp"
#include "tests/unit/kernels/cache_pages.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;
// Of DeepSeek-V3 and Kimi K2.
constexpr std::int64_t kLatent = 512;
constexpr std::int64_t kRope = 64;
constexpr std::int64_t kAroundPagesAndSplits[] = {63, 64, 65, 255, 256, 257};
constexpr std::int64_t kLong = 32768;
// Scores of random queries and keys have about this deviation: many keys matter, or few.
constexpr float kFlat = 1;
constexpr float kPeaked = 3;

/// One sequence's cache, and the queries of its last rows.
struct Sequence {
  std::int64_t heads = 0, latent = 0, rope = 0, positions = 0;
  DType dtype = DType::bf16;
  std::int64_t query_rows = 0;  // of the last positions
  float scale = 0;
  std::vector<float> queries;
  CachePages pages;

  std::int64_t width() const { return latent + rope; }
  std::int64_t first_query() const { return positions - query_rows; }
  std::span<const float> query(std::int64_t position, std::int64_t head) const {
    const std::int64_t pair = (position - first_query()) * heads + head;
    return {queries.data() + pair * width(), static_cast<std::size_t>(width())};
  }

  /// `rows` rows from `position` on; all in one call of the kernel where there is no pool.
  std::vector<float> attend(const Engine& engine, std::int64_t position, std::int64_t rows) const {
    std::vector<float> o(static_cast<std::size_t>(rows * heads * latent));
    const MlaAttentionArgs args{.q = query(position, 0).data(),
                                .pages = pages.pointers.data(),
                                .cache_dtype = dtype,
                                .o = o.data(),
                                .rows = rows,
                                .heads = heads,
                                .latent = latent,
                                .rope = rope,
                                .first_position = position,
                                .scale = scale};
    if (engine.pool == nullptr)
      engine.table->mla_attention(args, 0, rows * heads);
    else
      engine.mla_attention(std::span(&args, 1));
    return o;
  }

  /// The last `rows` rows, `chunk` a call.
  std::vector<float> attend_last(const Engine& engine, std::int64_t rows,
                                 std::int64_t chunk) const {
    std::vector<float> all;
    for (std::int64_t at = positions - rows; at < positions; at += chunk) {
      const std::vector<float> o = attend(engine, at, std::min(chunk, positions - at));
      all.insert(all.end(), o.begin(), o.end());
    }
    return all;
  }
};

std::vector<float> normal_floats(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

Sequence random_sequence(DType dtype, std::int64_t heads, std::int64_t latent, std::int64_t rope,
                         std::int64_t positions, std::int64_t query_rows) {
  Sequence s{.heads = heads,
             .latent = latent,
             .rope = rope,
             .positions = positions,
             .dtype = dtype,
             .query_rows = query_rows,
             .scale = kFlat / std::sqrt(static_cast<float>(latent + rope)),
             .queries = {},
             .pages = {{dtype, latent, rope}, positions}};
  std::mt19937 random(kSeed);
  s.pages.write(*available_levels().front(), normal_floats(random, positions * s.width()));
  s.queries = normal_floats(random, query_rows * heads * s.width());
  return s;
}

/// What the cache reads as: [positions, latent + rope].
std::vector<float> cached_keys(const Sequence& s) {
  std::vector<float> keys;
  keys.reserve(static_cast<std::size_t>(s.positions * s.width()));
  for (std::int64_t j = 0; j < s.positions; ++j)
    for (std::int64_t d = 0; d < s.width(); ++d)
      keys.push_back(cached_value(s.pages.entry, s.pages.at(j), d));
  return keys;
}

AttentionInF64 in_f64(const Sequence& s, std::span<const float> keys, std::int64_t position,
                      std::int64_t head) {
  const auto count = static_cast<std::size_t>((position + 1) * s.width());
  return {s.query(position, head), keys.first(count), s.latent, s.scale};
}

/// The column whose error is the largest in parts of its bound.
struct WorstColumn {
  double times_bound = 0;
  std::size_t column = 0;
};

WorstColumn worst_column(const AttentionInF64& exact, std::span<const float> o) {
  WorstColumn worst;
  for (std::size_t d = 0; d < o.size(); ++d) {
    const double times_bound = std::fabs(o[d] - exact.value(d)) / exact.bound(d);
    if (!(times_bound <= worst.times_bound)) worst = {times_bound, d};  // a NaN, too
  }
  return worst;
}

std::string named(const Sequence& s, const KernelTable& level, std::int64_t position) {
  return std::string(level.name) + " " + std::string(to_string(s.dtype)) + " position " +
         std::to_string(position);
}

/// The row at `position` is right; returns its largest error in parts of the bound.
double expect_within_bound(const Sequence& s, std::span<const float> keys, std::int64_t position) {
  double most = 0;
  for (std::int64_t h = 0; h < s.heads; ++h) {
    const AttentionInF64 exact = in_f64(s, keys, position, h);
    for (const KernelTable* level : available_levels()) {
      const std::vector<float> row = s.attend({.table = level}, position, 1);
      const std::span<const float> o(row.data() + h * s.latent, static_cast<std::size_t>(s.latent));
      const auto [times_bound, d] = worst_column(exact, o);
      EXPECT_LE(times_bound, 1) << named(s, *level, position) << " scale " << s.scale << " head "
                                << h << " column " << d << ": " << o[d] << ", not "
                                << exact.value(d) << " +- " << exact.bound(d);
      most = std::max(most, times_bound);
    }
  }
  return most;
}

/// A bound for the last row that would hide a lost key or a wrong scale bounds nothing.
void expect_sharp_bound(Sequence& s, std::span<const float> keys) {
  const std::int64_t last = s.positions - 1;
  const float scale = s.scale;
  for (std::int64_t h = 0; h < s.heads; ++h) {
    const AttentionInF64 exact = in_f64(s, keys, last, h);
    double least = INFINITY;
    for (std::int64_t j = 0; j <= last; ++j) least = std::min(least, exact.times_bound_without(j));
    EXPECT_GT(least, 2) << "one key of " << s.positions << " would not be missed";
    s.scale = scale * (1 + 0x1p-8f);
    const std::vector<float> row = s.attend({.table = available_levels().back()}, last, 1);
    s.scale = scale;
    const std::span<const float> o(row.data() + h * s.latent, static_cast<std::size_t>(s.latent));
    EXPECT_GT(worst_column(exact, o).times_bound, 1) << "scale, " << s.positions << " keys";
  }
}

TEST(MlaAttention, IsSoftmaxOverAllEarlierPositions) {
  for (const DType dtype : kCacheDtypes) {
    const std::int64_t latent = dtype == DType::f8_e4m3 ? 140 : 40;  // with more than one scale
    const Sequence s = random_sequence(dtype, 3, latent, 8, 600, 600);
    const std::vector<float> keys = cached_keys(s);
    for (const std::int64_t position : {0, 1, 63, 64, 255, 256, 511, 599})
      expect_within_bound(s, keys, position);
  }
}

/// Right with flat and with peaked weights, by a bound that is at most 12 times the largest error.
void expect_right_last_row(DType dtype, std::int64_t heads, std::int64_t length) {
  Sequence s = random_sequence(dtype, heads, kLatent, kRope, length, 1);
  const std::vector<float> keys = cached_keys(s);
  EXPECT_GT(expect_within_bound(s, keys, length - 1), 1.0 / 12) << length << " flat";
  expect_sharp_bound(s, keys);
  s.scale *= kPeaked / kFlat;
  EXPECT_GT(expect_within_bound(s, keys, length - 1), 1.0 / 12) << length << " peaked";
}

TEST(MlaAttention, IsRightAroundPagesAndSplits) {
  for (const DType dtype : kCacheDtypes)
    for (const std::int64_t length : kAroundPagesAndSplits) expect_right_last_row(dtype, 3, length);
}

TEST(MlaAttention, IsRightOver32768Positions) {
  for (const DType dtype : {DType::bf16, DType::f8_e4m3}) expect_right_last_row(dtype, 2, kLong);
}

/// Rows a call and threads, each with each. No threads: one call of the kernel, without an engine.
struct Ways {
  std::vector<std::int64_t> chunks;
  std::vector<int> threads;
};

/// In all these ways the last `rows` rows get the last bits of `want`.
void expect_same_bits(const Sequence& s, const KernelTable& level, std::int64_t rows,
                      const Ways& ways, const std::vector<float>& want) {
  const auto floats = static_cast<std::size_t>(rows * s.heads * s.latent);
  ASSERT_LE(floats, want.size());
  for (const int threads : ways.threads) {
    std::optional<ComputePool> pool;
    if (threads > 0) pool.emplace(ComputePool::Settings{.threads = threads});
    const Engine engine{.table = &level, .pool = pool ? &*pool : nullptr};
    for (const std::int64_t chunk : ways.chunks) {
      const std::vector<float> got = s.attend_last(engine, rows, chunk);
      ASSERT_EQ(got.size(), floats);
      EXPECT_EQ(0, std::memcmp(want.data() + (want.size() - floats), got.data(), 4 * floats))
          << named(s, level, s.positions - rows) << " chunk " << chunk << " threads " << threads;
    }
  }
}

TEST(MlaAttention, GivesTheBitsOfTheReferenceAroundPagesAndSplits) {
  for (const DType dtype : kCacheDtypes)
    for (const std::int64_t length : kAroundPagesAndSplits) {
      const Sequence s = random_sequence(dtype, 3, 160, 16, length, length);
      const std::vector<float> want = s.attend({.table = available_levels().front()}, 0, length);
      for (const KernelTable* level : available_levels())
        expect_same_bits(s, *level, length, {{1, 5, 64, length}, {0}}, want);
    }
}

TEST(MlaAttention, GivesTheSameBitsHoweverRowsAreChunkedAndShared) {
  for (const DType dtype : kCacheDtypes) {
    const Sequence s = random_sequence(dtype, 5, 48, 10, 330, 330);
    for (const KernelTable* level : available_levels()) {
      const std::vector<float> whole = s.attend({.table = level}, 0, s.positions);
      expect_same_bits(s, *level, s.positions, {{1, 7, 64}, {0}}, whole);
      expect_same_bits(s, *level, s.positions, {{s.positions}, {3}}, whole);
    }
  }
}

TEST(MlaAttention, GivesTheSameBitsAtTheWidthsOfDeepSeek) {
  const auto levels = available_levels();
  for (const DType dtype : kCacheDtypes)
    for (const std::int64_t length : kAroundPagesAndSplits) {
      const std::int64_t rows = std::min<std::int64_t>(length, 65);
      const Sequence s = random_sequence(dtype, 2, kLatent, kRope, length, rows);
      const std::vector<float> want = s.attend_last({.table = levels.front()}, rows, rows);
      for (const KernelTable* level : levels) {
        const std::int64_t some = level == levels.front() ? 4 : rows;  // scalar code is slow
        expect_same_bits(s, *level, some, {{1, 3, 16, 64}, {1, 2, 4}}, want);
      }
    }
}

TEST(MlaAttention, GivesTheSameBitsOver32768Positions) {
  constexpr std::int64_t kRows = 65;  // from the last page but one on
  const auto levels = available_levels();
  for (const DType dtype : {DType::bf16, DType::f8_e4m3}) {
    const Sequence s = random_sequence(dtype, 2, kLatent, kRope, kLong, kRows);
    // By the fastest level in one call; the reference, which is slow, checks the last three.
    const std::vector<float> want = s.attend_last({.table = levels.back()}, kRows, kRows);
    expect_same_bits(s, *levels.front(), 3, {{1, 3}, {4}}, want);
    for (std::size_t i = 1; i < levels.size(); ++i) {
      // Levels of AVX-512 differ in linears alone.
      if (levels[i]->mla_attention == levels[i - 1]->mla_attention) continue;
      expect_same_bits(s, *levels[i], 7, {{1, 3}, {1, 2, 4}}, want);
      expect_same_bits(s, *levels[i], kRows, {{16}, {2}}, want);
      expect_same_bits(s, *levels[i], kRows, {{64}, {4}}, want);
    }
  }
}

}  // namespace
}  // namespace troupe::kernels
