// Ids of numerics: equal exactly where the bits are, and names that read back.
#include "model/numerics.hpp"

#include <gtest/gtest.h>

#include <set>

namespace troupe::model {
namespace {

constexpr ActivationMode kModes[] = {ActivationMode::f32, ActivationMode::bf16,
                                     ActivationMode::fp8_act, ActivationMode::int8_act,
                                     ActivationMode::bf16_tiles};
constexpr KvCache kCaches[] = {KvCache::automatic, KvCache::fp8};

TEST(NumericsId, DiffersWithModeCacheAndRevision) {
  std::set<std::uint64_t> ids;
  for (const char* revision : {"a", "b"})
    for (const ActivationMode mode : kModes)
      for (const KvCache cache : kCaches) ids.insert(numerics_id(revision, {mode, cache}));
  EXPECT_EQ(ids.size(), 2 * std::size(kModes) * std::size(kCaches));
}

TEST(Numerics, NamesReadBack) {
  for (const ActivationMode mode : kModes) EXPECT_EQ(*parse_activation_mode(to_string(mode)), mode);
  for (const KvCache cache : kCaches) EXPECT_EQ(*parse_kv_cache(to_string(cache)), cache);
}

TEST(Numerics, AnUnknownCacheIsRefusedWithTheKnownOnes) {
  const auto refused = parse_kv_cache("fp4");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_NE(refused.error().detail.find("\"fp4\""), std::string::npos);
  EXPECT_NE(refused.error().detail.find("auto, fp8"), std::string::npos);
}

TEST(Numerics, OnlyTheCacheIsFp8) {
  for (const ActivationMode mode : kModes) {
    const Numerics plain{mode};
    const Numerics fp8{mode, KvCache::fp8};
    EXPECT_EQ(plain.cache_dtype(), plain.row_dtype());
    EXPECT_EQ(fp8.cache_dtype(), DType::f8_e4m3);
    EXPECT_EQ(fp8.row_dtype(), plain.row_dtype());
  }
}

}  // namespace
}  // namespace troupe::model
