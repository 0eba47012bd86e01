// The page pool hands out distinct pages, keeps its bound and reuses what comes back.
#include "model/kv_pages.hpp"

#include <gtest/gtest.h>

#include <set>

#include "model/memory_bounds.hpp"
#include "tests/support/memory_limit.hpp"

namespace troupe::model {
namespace {

TEST(KvPool, HandsOutDistinctPagesUpToItsBound) {
  KvPool pool({.layers = 3, .entry = {DType::bf16, 8, 2}, .pages_max = 4});
  EXPECT_EQ(pool.page_bytes(), 3 * 64 * 10 * 2);
  std::set<std::byte*> storage;
  for (int i = 0; i < 4; ++i) {
    const auto page = pool.allocate();
    ASSERT_TRUE(page);
    for (int layer = 0; layer < 3; ++layer) storage.insert(pool.layer_page(*page, layer));
  }
  EXPECT_EQ(storage.size(), 12u);
  EXPECT_FALSE(pool.allocate());
  EXPECT_EQ(pool.pages_used(), 4);
}

TEST(KvPool, ReusesReleasedPages) {
  KvPool pool({.layers = 1, .entry = {DType::f32, 6, 2}, .pages_max = 1});
  const auto page = pool.allocate();
  pool.release(*page);
  EXPECT_EQ(pool.pages_used(), 0);
  EXPECT_EQ(pool.allocate(), page);
}

TEST(KvPool, LayersOfAPageLieBehindEachOtherWhateverAnEntryTakes) {
  KvPool pool({.layers = 61, .entry = {DType::f8_e4m3, 512, 64}, .pages_max = 1});
  EXPECT_EQ(pool.page_bytes(), 61 * 64 * 656);
  const auto page = pool.allocate();
  ASSERT_TRUE(page);
  EXPECT_EQ(pool.layer_page(*page, 60) - pool.layer_page(*page, 0), 60 * 64 * 656);
}

#if !TROUPE_SANITIZED
/// In a process of its own.
[[noreturn]] void take_pages_until_there_are_none() {
  constexpr std::size_t kSlack = 1 << 20;  // what the heap keeps of what it asks the system for
  troupe::testing::leave_memory(kLeftByPages + (4 << 20));
  KvPool pool({.layers = 64, .entry = {DType::f32, 24, 8}, .pages_max = 1024});
  while (pool.allocate()) {
  }
  const bool some = pool.pages_used() >= 4 && pool.pages_used() < 32;
  ::_exit(some && system_has(kLeftByPages - kSlack) ? 0 : 1);
}

TEST(KvPool, LeavesMemoryToTheRest) {
  EXPECT_EXIT(take_pages_until_there_are_none(), ::testing::ExitedWithCode(0), "");
}
#endif

TEST(KvPool, CountsPagesOfTokens) {
  EXPECT_EQ(KvPool::pages_for(0), 0);
  EXPECT_EQ(KvPool::pages_for(1), 1);
  EXPECT_EQ(KvPool::pages_for(64), 1);
  EXPECT_EQ(KvPool::pages_for(65), 2);
}

}  // namespace
}  // namespace troupe::model
