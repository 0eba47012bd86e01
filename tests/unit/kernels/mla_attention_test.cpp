// mla_attention: right against F64, the same bits for any chunking, and no read past a page.
#include "kernels/ops/mla_attention.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/engine.hpp"
#include "tests/unit/kernels/cache_pages.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;

/// One sequence's cache and queries.
struct Sequence {
  std::int64_t heads = 0, latent = 0, rope = 0, positions = 0;
  DType dtype = DType::bf16;
  std::vector<float> queries;
  CachePages pages;

  std::int64_t width() const { return latent + rope; }

  std::vector<float> attend(const KernelTable& level, std::int64_t first, std::int64_t rows) const {
    std::vector<float> o(static_cast<std::size_t>(rows * heads * latent));
    const MlaAttentionArgs args{.q = queries.data() + first * heads * width(),
                                .pages = pages.pointers.data(),
                                .cache_dtype = dtype,
                                .o = o.data(),
                                .rows = rows,
                                .heads = heads,
                                .latent = latent,
                                .rope = rope,
                                .first_position = first,
                                .scale = 0.125f};
    level.mla_attention(args, 0, rows * heads);
    return o;
  }
};

Sequence random_sequence(DType dtype, std::int64_t heads, std::int64_t latent, std::int64_t rope,
                         std::int64_t positions) {
  Sequence s{.heads = heads,
             .latent = latent,
             .rope = rope,
             .positions = positions,
             .dtype = dtype,
             .queries = {},
             .pages = {{dtype, latent, rope}, positions}};
  std::mt19937 random(kSeed);
  std::normal_distribution<float> normal;
  std::vector<float> rows;
  for (std::int64_t i = 0; i < positions * s.width(); ++i) rows.push_back(normal(random));
  s.pages.write(*available_levels().front(), rows);
  for (std::int64_t i = 0; i < positions * heads * s.width(); ++i)
    s.queries.push_back(normal(random));
  return s;
}

/// The definition in F64: column d of the output of `head` at `position`.
std::vector<double> softmax_in_f64(const Sequence& s, std::int64_t position, std::int64_t head) {
  const auto key = [&](std::int64_t j, std::int64_t d) {
    return static_cast<double>(cached_value(s.pages.entry, s.pages.at(j), d));
  };
  std::vector<double> weights;
  double total = 0;
  for (std::int64_t j = 0; j <= position; ++j) {
    double dot = 0;
    for (std::int64_t d = 0; d < s.width(); ++d)
      dot +=
          static_cast<double>(s.queries[(position * s.heads + head) * s.width() + d]) * key(j, d);
    weights.push_back(std::exp(0.125 * dot));
    total += weights.back();
  }
  std::vector<double> values(static_cast<std::size_t>(s.latent));
  for (std::int64_t d = 0; d < s.latent; ++d)
    for (std::int64_t j = 0; j <= position; ++j)
      values[static_cast<std::size_t>(d)] +=
          weights[static_cast<std::size_t>(j)] / total * key(j, d);
  return values;
}

TEST(MlaAttention, IsSoftmaxOverAllEarlierPositions) {
  for (const DType dtype : kCacheDtypes) {
    const std::int64_t latent = dtype == DType::f8_e4m3 ? 140 : 40;  // with more than one scale
    const Sequence s = random_sequence(dtype, 3, latent, 8, 600);
    for (const std::int64_t position : {0, 1, 63, 64, 255, 256, 511, 599})
      for (std::int64_t h = 0; h < s.heads; ++h) {
        const std::vector<double> want = softmax_in_f64(s, position, h);
        for (const KernelTable* level : available_levels()) {
          const std::vector<float> o = s.attend(*level, position, 1);
          // exp amplifies the rounding of a score (about 10 * 2^-24) by at most its magnitude.
          for (std::int64_t d = 0; d < s.latent; ++d)
            EXPECT_NEAR(o[static_cast<std::size_t>(h * s.latent + d)],
                        want[static_cast<std::size_t>(d)], 1e-5)
                << level->name << " " << to_string(dtype) << " position " << position << " head "
                << h;
        }
      }
  }
}

TEST(MlaAttention, GivesTheBitsOfTheReferenceAroundPagesAndSplits) {
  for (const DType dtype : kCacheDtypes)
    for (const std::int64_t length : {63, 64, 65, 255, 256, 257}) {
      const Sequence s = random_sequence(dtype, 3, 160, 16, length);
      const std::vector<float> want = s.attend(*available_levels().front(), 0, length);
      for (const KernelTable* level : available_levels())
        for (const std::int64_t chunk :
             {std::int64_t{1}, std::int64_t{5}, std::int64_t{64}, length}) {
          std::vector<float> got;
          for (std::int64_t first = 0; first < length; first += chunk) {
            const auto o = s.attend(*level, first, std::min(chunk, length - first));
            got.insert(got.end(), o.begin(), o.end());
          }
          EXPECT_EQ(0, std::memcmp(want.data(), got.data(), want.size() * sizeof(float)))
              << level->name << " " << to_string(dtype) << " length " << length << " chunk "
              << chunk;
        }
    }
}

TEST(MlaAttention, GivesTheSameBitsHoweverRowsAreChunkedAndShared) {
  for (const DType dtype : kCacheDtypes) {
    const Sequence s = random_sequence(dtype, 5, 48, 10, 330);
    ComputePool pool({.threads = 3});
    for (const KernelTable* level : available_levels()) {
      const std::vector<float> whole = s.attend(*level, 0, s.positions);
      for (const std::int64_t chunk : {1, 7, 64}) {
        std::vector<float> pieces;
        for (std::int64_t first = 0; first < s.positions; first += chunk) {
          const auto o = s.attend(*level, first, std::min(chunk, s.positions - first));
          pieces.insert(pieces.end(), o.begin(), o.end());
        }
        EXPECT_EQ(0, std::memcmp(whole.data(), pieces.data(), whole.size() * sizeof(float)))
            << level->name << " chunk " << chunk;
      }
      std::vector<float> shared(whole.size());
      const MlaAttentionArgs args{.q = s.queries.data(),
                                  .pages = s.pages.pointers.data(),
                                  .cache_dtype = dtype,
                                  .o = shared.data(),
                                  .rows = s.positions,
                                  .heads = s.heads,
                                  .latent = s.latent,
                                  .rope = s.rope,
                                  .first_position = 0,
                                  .scale = 0.125f};
      Engine{.table = level, .pool = &pool}.mla_attention(std::span(&args, 1));
      EXPECT_EQ(0, std::memcmp(whole.data(), shared.data(), whole.size() * sizeof(float)))
          << level->name;
    }
  }
}

}  // namespace
}  // namespace troupe::kernels
