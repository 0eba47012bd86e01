// Entries of the latent cache: their layout, how near they come, every code, what is not finite.
#include "kernels/ops/latent_cache.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/engine.hpp"
#include "tests/unit/kernels/cache_pages.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> normal_values(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

/// The bytes of one entry as a level writes it, at an odd address before a guard page.
std::vector<std::byte> written(const KernelTable& level, const CacheEntry& entry,
                               const std::vector<float>& x) {
  const auto size = static_cast<std::size_t>(entry.bytes());
  const GuardedMemory memory(size, GuardedMemory::Edge::end);
  std::byte* at = memory.data();
  level.write_cache({.x = x.data(), .entry = entry, .at = &at, .rows = 1}, 0, 1);
  return {at, at + size};
}

TEST(CacheEntry, TakesTheBytesOfItsFormat) {
  EXPECT_EQ((CacheEntry{DType::f8_e4m3, 512, 64}.bytes()), 656);
  EXPECT_EQ((CacheEntry{DType::bf16, 512, 64}.bytes()), 1152);
  EXPECT_EQ((CacheEntry{DType::f32, 512, 64}.bytes()), 2304);
  const CacheEntry odd{DType::f8_e4m3, 129, 10};
  EXPECT_EQ(odd.scales_at(), 129);
  EXPECT_EQ(odd.rope_at(), 129 + 2 * 4);
  EXPECT_EQ(odd.bytes(), 129 + 2 * 4 + 10 * 2);
}

TEST(WriteCache, ComesAsNearAsFourBitsCan) {
  std::mt19937 random(kSeed);
  const CacheEntry entry{DType::f8_e4m3, 300, 10};
  for (int i = 0; i < 20; ++i) {
    std::vector<float> x = normal_values(random, entry.width());
    for (int k = 128; k < 256; ++k) x[static_cast<std::size_t>(k)] *= 1e-6f;  // below the clamp
    x[5] *= 1000;  // what is beside it becomes subnormal codes
    const auto bytes = written(*available_levels().front(), entry, x);
    for (std::int64_t k = 0; k < entry.width(); ++k) {
      const float value = x[static_cast<std::size_t>(k)];
      const float read = cached_value(entry, bytes.data(), k);
      if (k >= entry.latent) {
        EXPECT_EQ(read, round_to_bf16(value)) << "rope " << k;
        continue;
      }
      float amax = 1e-4f;
      const std::int64_t block = k / 128 * 128;
      for (std::int64_t j = block; j < std::min(block + 128, entry.latent); ++j)
        amax = std::max(amax, std::fabs(x[static_cast<std::size_t>(j)]));
      // Half of the last of 4 bits, or of the spacing 2^-9 of subnormals; three roundings to F32.
      const double scale = static_cast<double>(amax) / 448;
      const double bound = std::max(std::fabs(value) * 0x1p-4, scale * 0x1p-10) * (1 + 0x1p-18);
      EXPECT_NEAR(read, value, bound) << "latent " << k;
    }
  }
}

TEST(WriteCache, GivesTheSameBytesAtEveryLevelAndInAnyShares) {
  std::mt19937 random(kSeed);
  const KernelTable& reference = *available_levels().front();
  ComputePool pool({.threads = 3});
  for (int i = 0; i < 60; ++i) {
    const CacheEntry entry{kCacheDtypes[static_cast<std::size_t>(i) % 3],
                           i % 4 == 0 ? 512 : 1 + static_cast<std::int64_t>(random() % 300),
                           2 * (1 + static_cast<std::int64_t>(random() % 40))};
    const std::int64_t rows = 1 + static_cast<std::int64_t>(random() % 90);
    std::vector<float> x = normal_values(random, rows * entry.width());
    for (float& v : x) {
      switch (random() % 64) {
        case 0: v = 0.0f; break;
        case 1: v = -0.0f; break;
        case 2: v *= 1e-39f; break;
        case 3: v *= 1e-5f; break;
        case 4: v *= 1e6f; break;
        default: break;
      }
    }
    for (int k = 0; k < 3; ++k)  // not in every row: some stay as they were
      x[random() % x.size()] = std::array{kInfinity, -kInfinity, NAN}[random() % 3];
    const CachePages want(entry, rows);
    want.write(reference, x);
    for (const KernelTable* level : available_levels()) {
      const CachePages got(entry, rows);
      std::vector<std::byte*> at;
      for (std::int64_t r = 0; r < rows; ++r) at.push_back(got.at(r));
      Engine{.table = level, .pool = &pool}.write_cache(
          {.x = x.data(), .entry = entry, .at = at.data(), .rows = rows});
      for (std::int64_t r = 0; r < rows; ++r)
        ASSERT_EQ(0, std::memcmp(want.at(r), got.at(r), static_cast<std::size_t>(entry.bytes())))
            << level->name << " " << to_string(entry.dtype) << " latent " << entry.latent
            << " rope " << entry.rope << " row " << r << " seed " << kSeed;
    }
  }
}

TEST(MlaAttention, ReadsEveryCodeTimesItsScaleRoundedOnce) {
  // One position: its weight is 1, so the output is the value itself.
  std::mt19937 random(kSeed);
  const CacheEntry entry{DType::f8_e4m3, 256, 16};
  const std::vector<float> q(static_cast<std::size_t>(entry.width()), 0.25f);
  for (int i = 0; i < 8; ++i) {
    const CachePages pages(entry, 1);
    const std::vector<float> scales = normal_values(random, 2);
    for (int code = 0; code < 256; ++code)
      pages.at(0)[code] =
          static_cast<std::byte>(is_e4m3_nan(static_cast<std::uint8_t>(code)) ? code - 1 : code);
    std::memcpy(pages.at(0) + entry.scales_at(), scales.data(), 8);
    std::memset(pages.at(0) + entry.rope_at(), 0, 32);
    for (const KernelTable* level : available_levels()) {
      std::vector<float> o(256);
      const MlaAttentionArgs args{.q = q.data(),
                                  .pages = pages.pointers.data(),
                                  .cache_dtype = entry.dtype,
                                  .o = o.data(),
                                  .rows = 1,
                                  .heads = 1,
                                  .latent = entry.latent,
                                  .rope = entry.rope,
                                  .scale = 1e-6f};
      level->mla_attention(args, 0, 1);
      for (std::int64_t k = 0; k < 256; ++k)
        EXPECT_EQ(o[static_cast<std::size_t>(k)], cached_value(entry, pages.at(0), k))
            << level->name << " code " << k;
    }
  }
}

TEST(MlaAttention, DoesNotHideWhatIsNotFinite) {
  std::mt19937 random(kSeed);
  for (const DType dtype : kCacheDtypes)
    for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()})
      for (const KernelTable* level : available_levels()) {
        const CacheEntry entry{dtype, 256, 16};
        std::vector<float> x = normal_values(random, 3 * entry.width());
        x[static_cast<std::size_t>(entry.width() + 200)] = bad;  // position 1, the second block
        const CachePages pages(entry, 3);
        pages.write(*level, x);
        const std::vector<float> q = normal_values(random, entry.width());
        std::vector<float> o(256);
        const MlaAttentionArgs args{.q = q.data(),
                                    .pages = pages.pointers.data(),
                                    .cache_dtype = dtype,
                                    .o = o.data(),
                                    .rows = 1,
                                    .heads = 1,
                                    .latent = entry.latent,
                                    .rope = entry.rope,
                                    .first_position = 2,
                                    .scale = 0.1f};
        level->mla_attention(args, 0, 1);
        EXPECT_FALSE(std::isfinite(o[200])) << level->name << " " << to_string(dtype) << " " << bad;
      }
}

TEST(CacheEntryDeathTest, KnowsThreeFormats) {
  std::byte memory[64];
  std::byte* at = memory;
  const float x[8] = {};
  for (const KernelTable* level : available_levels())
    EXPECT_DEATH(
        level->write_cache({.x = x, .entry = {DType::i8, 4, 4}, .at = &at, .rows = 1}, 0, 1),
        "cache of dtype I8");
}

}  // namespace
}  // namespace troupe::kernels
