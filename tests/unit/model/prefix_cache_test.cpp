// The prefix cache: what is found again, what collisions cannot do, and what is evicted when.
#include "model/prefix_cache.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace troupe::model {
namespace {

constexpr std::int64_t kPage = kernels::kPageTokens;

std::vector<std::int32_t> text(std::int64_t pages, std::int32_t first) {
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < pages * kPage; ++i)
    tokens.push_back(first + static_cast<std::int32_t>(i));
  return tokens;
}

struct PrefixCacheTest : ::testing::Test {
  PrefixCache& make(std::int64_t idle_max = 100, PrefixCache::Hash hash = page_hash) {
    pool.emplace(KvPool::Shape{1, {DType::bf16, 6, 2}, 32});
    return cache.emplace(*pool, idle_max, hash);
  }
  /// A sequence that computes `tokens` and gives all of its full pages to the cache.
  PrefixCache::Place compute(std::span<const std::int32_t> tokens, std::uint64_t salt = 0) {
    pages.clear();
    auto place = cache->enter(salt, tokens, pages);
    while ((place.pages + 1) * kPage <= static_cast<std::int64_t>(tokens.size())) {
      const auto page = *pool->allocate();
      pages.push_back(cache->add(
          place, tokens.subspan(static_cast<std::size_t>(place.pages * kPage), kPage), page));
    }
    return place;
  }
  std::int64_t known(std::span<const std::int32_t> tokens, std::uint64_t salt = 0) {
    return cache->known(salt, tokens).pages;
  }

  std::optional<KvPool> pool;
  std::optional<PrefixCache> cache;
  std::vector<PageId> pages;  // of the last compute
};

TEST_F(PrefixCacheTest, FindsFullPagesOfTextsThatBeginAlike) {
  make();
  auto first = compute(text(3, 0));
  const auto shared = pages;
  auto longer = text(3, 0);
  longer.resize(2 * kPage);
  longer.insert(longer.end(), 100, 7);
  EXPECT_EQ(known(longer), 2);
  EXPECT_EQ(known(std::span(longer).first(2 * kPage - 1)), 1) << "only full pages";
  EXPECT_EQ(known(text(3, 1)), 0);
  std::vector<PageId> found;
  auto second = cache->enter(0, longer, found);
  EXPECT_EQ(found, (std::vector<PageId>{shared[0], shared[1]}));
  EXPECT_EQ(pool->pages_used(), 3) << "shared, not copied";
  cache->leave(first);
  cache->leave(second);
  EXPECT_EQ(cache->idle(), 3);
}

TEST_F(PrefixCacheTest, APageIsKnownBehindItsOwnBeginningOnly) {
  make();
  auto tokens = text(2, 0);
  auto place = compute(tokens);
  const std::vector<std::int32_t> second(tokens.begin() + kPage, tokens.end());
  EXPECT_EQ(known(second), 0);
  cache->leave(place);
}

TEST_F(PrefixCacheTest, SaltsShareNothing) {
  make();
  auto place = compute(text(2, 0), 5);
  EXPECT_EQ(known(text(2, 0), 5), 2);
  EXPECT_EQ(known(text(2, 0), 6), 0);
  EXPECT_EQ(known(text(2, 0), 0), 0);
  cache->leave(place);
}

TEST_F(PrefixCacheTest, CollidingHashesShareNothing) {
  make(100, [](std::uint64_t, std::span<const std::int32_t>) { return std::uint64_t{42}; });
  auto a = compute(text(3, 0));
  const auto pages_of_a = pages;
  auto b = compute(text(3, 500));
  for (const auto page : pages)
    EXPECT_EQ(std::count(pages_of_a.begin(), pages_of_a.end(), page), 0);
  auto salted = compute(text(1, 0), 9);
  EXPECT_EQ(known(text(3, 0)), 3);
  EXPECT_EQ(known(text(3, 500)), 3);
  EXPECT_EQ(known(text(2, 0), 9), 1);
  EXPECT_EQ(known(text(1, 1)), 0);
  cache->leave(a);
  cache->leave(b);
  cache->leave(salted);
  while (cache->evict()) {
  }
  EXPECT_EQ(pool->pages_used(), 0);
}

TEST_F(PrefixCacheTest, EqualPagesComputedAtTheSameTimeBecomeOne) {
  make();
  const auto tokens = text(1, 0);
  auto a = cache->enter(0);
  auto b = cache->enter(0);
  const auto page_a = cache->add(a, tokens, *pool->allocate());
  const auto own = *pool->allocate();
  EXPECT_EQ(pool->pages_used(), 2);
  EXPECT_EQ(cache->add(b, tokens, own), page_a);
  EXPECT_EQ(pool->pages_used(), 1);
  cache->leave(a);
  EXPECT_EQ(cache->idle(), 0) << "b still uses it";
  cache->leave(b);
  EXPECT_EQ(cache->idle(), 1);
}

TEST_F(PrefixCacheTest, EvictsTheLeastRecentlyUsedAndNothingInUse) {
  make();
  auto old = compute(text(2, 0));
  auto newer = compute(text(2, 300));
  auto used = compute(text(1, 600));
  cache->leave(old);
  cache->leave(newer);
  std::vector<PageId> found;
  auto again = cache->enter(0, text(1, 0), found);  // the first page of the old one, once more
  cache->leave(again);
  EXPECT_TRUE(cache->evict());
  EXPECT_EQ(known(text(2, 0)), 1) << "the end of the oldest goes first";
  EXPECT_TRUE(cache->evict());
  EXPECT_TRUE(cache->evict());
  EXPECT_EQ(known(text(2, 300)), 0);
  EXPECT_EQ(known(text(1, 0)), 1);
  EXPECT_TRUE(cache->evict());
  EXPECT_FALSE(cache->evict());
  EXPECT_EQ(known(text(1, 600)), 1);
  EXPECT_EQ(pool->pages_used(), 1);
  cache->leave(used);
}

TEST_F(PrefixCacheTest, KeepsNoMoreIdlePagesThanAllowed) {
  make(2);
  auto place = compute(text(4, 0));
  EXPECT_EQ(pool->pages_used(), 4);
  cache->leave(place);
  EXPECT_EQ(cache->idle(), 2);
  EXPECT_EQ(pool->pages_used(), 2);
  EXPECT_EQ(known(text(4, 0)), 2) << "the beginning is what others share";
}

/// A model of the cache: texts by their page count, users counted by hand.
TEST_F(PrefixCacheTest, ThousandsOfRandomCallsLeakNothingAndMixNothingUp) {
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto pick = [&](std::uint32_t count) { return random() % count; };
    make(
        pick(8),
        seed % 2 == 0 ? page_hash : [](std::uint64_t before, std::span<const std::int32_t> tokens) {
          return (before ^ static_cast<std::uint64_t>(tokens[0])) % 3;
        });
    struct Sequence {
      PrefixCache::Place place;
      std::vector<PageId> pages;
    };
    std::vector<Sequence> sequences;
    std::map<PageId, std::vector<std::int32_t>>
        content;  // what each page holds, with its beginning
    for (int call = 0; call < 60; ++call) {
      if (pick(3) == 0 && !sequences.empty()) {
        const auto gone = sequences.begin() + pick(static_cast<std::uint32_t>(sequences.size()));
        cache->leave(gone->place);
        sequences.erase(gone);
        continue;
      }
      std::vector<std::int32_t> tokens;  // few different pages, so that many texts begin alike
      const auto pages_wanted = static_cast<std::int64_t>(1 + pick(3));
      for (std::int64_t p = 0; p < pages_wanted; ++p)
        tokens.insert(tokens.end(), kPage, static_cast<std::int32_t>(pick(2)));
      Sequence sequence;
      sequence.place = cache->enter(0, tokens, sequence.pages);
      while (sequence.place.pages < pages_wanted) {
        auto page = pool->allocate();
        while (!page && cache->evict()) page = pool->allocate();
        if (!page) break;
        const auto at = static_cast<std::size_t>(sequence.place.pages * kPage);
        content[*page].assign(tokens.begin(), tokens.begin() + static_cast<long>(at) + kPage);
        sequence.pages.push_back(
            cache->add(sequence.place, std::span(tokens).subspan(at, kPage), *page));
      }
      for (std::size_t p = 0; p < sequence.pages.size(); ++p) {
        const std::vector<std::int32_t> expected(tokens.begin(),
                                                 tokens.begin() + static_cast<long>(p + 1) * kPage);
        ASSERT_EQ(content.at(sequence.pages[p]), expected) << "call " << call;
      }
      sequences.push_back(std::move(sequence));
    }
    for (auto& sequence : sequences) cache->leave(sequence.place);
    ASSERT_EQ(pool->pages_used(), cache->idle());
    while (cache->evict()) {
    }
    ASSERT_EQ(pool->pages_used(), 0);
    ASSERT_EQ(cache->pages(), 0);
  }
}

}  // namespace
}  // namespace troupe::model
