// mla_attention: right against F64, the same bits for any chunking, and no read past a page.
#include "kernels/ops/mla_attention.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "kernels/engine.hpp"
#include "tests/unit/kernels/guarded_memory.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;

/// One sequence's cache and queries; the last page ends at a guard page after its last used row.
struct Sequence {
  std::int64_t heads = 0, latent = 0, rope = 0, positions = 0;
  DType dtype = DType::bf16;
  std::vector<float> keys;  // [positions, width], as the cache holds them
  std::vector<float> queries;
  std::vector<std::unique_ptr<GuardedMemory>> pages;
  std::vector<const void*> pointers;

  std::int64_t width() const { return latent + rope; }

  std::vector<float> attend(const KernelTable& level, std::int64_t first, std::int64_t rows) const {
    std::vector<float> o(static_cast<std::size_t>(rows * heads * latent));
    const MlaAttentionArgs args{.q = queries.data() + first * heads * width(),
                                .pages = pointers.data(),
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
             .keys = {},
             .queries = {},
             .pages = {},
             .pointers = {}};
  std::mt19937 random(kSeed);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < positions * s.width(); ++i)
    s.keys.push_back(round_to_bf16(normal(random)));
  for (std::int64_t i = 0; i < positions * heads * s.width(); ++i)
    s.queries.push_back(normal(random));
  const auto element = static_cast<std::int64_t>(bytes_of(dtype));
  for (std::int64_t first = 0; first < positions; first += kPageTokens) {
    const std::int64_t count = std::min(kPageTokens, positions - first) * s.width();
    s.pages.push_back(std::make_unique<GuardedMemory>(static_cast<std::size_t>(count * element),
                                                      GuardedMemory::Edge::end));
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = s.keys[static_cast<std::size_t>(first * s.width() + i)];
      const Bf16 half = f32_to_bf16(value);
      std::byte* at = s.pages.back()->data() + i * element;
      dtype == DType::bf16 ? std::memcpy(at, &half, 2) : std::memcpy(at, &value, 4);
    }
    s.pointers.push_back(s.pages.back()->data());
  }
  return s;
}

TEST(MlaAttention, IsSoftmaxOverAllEarlierPositions) {
  const Sequence s = random_sequence(DType::bf16, 3, 40, 8, 600);
  for (const KernelTable* level : available_levels())
    for (const std::int64_t position : {0, 1, 63, 64, 255, 256, 511, 599}) {
      const std::vector<float> o = s.attend(*level, position, 1);
      for (std::int64_t h = 0; h < s.heads; ++h) {
        std::vector<double> weights;
        double total = 0;
        for (std::int64_t j = 0; j <= position; ++j) {
          double dot = 0;
          for (std::int64_t d = 0; d < s.width(); ++d)
            dot += static_cast<double>(s.queries[(position * s.heads + h) * s.width() + d]) *
                   static_cast<double>(s.keys[j * s.width() + d]);
          weights.push_back(std::exp(0.125 * dot));
          total += weights.back();
        }
        for (std::int64_t d = 0; d < s.latent; ++d) {
          double want = 0;
          for (std::int64_t j = 0; j <= position; ++j)
            want += weights[static_cast<std::size_t>(j)] / total *
                    static_cast<double>(s.keys[j * s.width() + d]);
          // exp amplifies the rounding of a score (about 10 * 2^-24) by at most its magnitude.
          EXPECT_NEAR(o[static_cast<std::size_t>(h * s.latent + d)], want, 1e-5)
              << level->name << " position " << position << " head " << h;
        }
      }
    }
}

TEST(MlaAttention, GivesTheSameBitsHoweverRowsAreChunkedAndShared) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
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
                                  .pages = s.pointers.data(),
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
