// Buffers: alignment, reuse, bounds, and release on other threads and after the pool.
#include "transport/buffer_pool.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/failing_new.hpp"

namespace troupe::transport {
namespace {

TEST(BufferPool, GivesAlignedBuffersOfTheAskedSize) {
  BufferPool pool;
  for (const std::size_t bytes : {0u, 1u, 63u, 512u, 513u, 4096u, 1000000u}) {
    Buffer buffer = pool.take(bytes);
    EXPECT_EQ(buffer.size(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
    std::memset(buffer.data(), 0x5a, bytes);
  }
}

TEST(BufferPool, UsesReturnedBuffersAgain) {
  BufferPool pool;
  const std::byte* first = pool.take(5000).data();
  Buffer again = pool.take(6000);  // the same class
  EXPECT_EQ(again.data(), first);
  EXPECT_EQ(pool.stats().allocations_total, 1u);
  EXPECT_EQ(pool.stats().reuses_total, 1u);
  EXPECT_EQ(pool.stats().lent_buffers, 1u);
  EXPECT_EQ(pool.stats().kept_bytes, 0u);
}

TEST(BufferPool, ABufferThereIsNoMemoryForWasNotLent) {
  BufferPool pool;
  {
    const troupe::testing::NoMemoryFor none(4096);
    EXPECT_THROW((void)pool.take(5000), std::bad_alloc);
  }
  EXPECT_EQ(pool.stats().lent_buffers, 0u);
  EXPECT_EQ(pool.stats().allocations_total, 0u);
  EXPECT_EQ(pool.take(5000).size(), 5000u);
}

TEST(BufferPool, ANewBufferLeavesWhatItsTakerSays) {
  BufferPool pool;
  const troupe::testing::NoMemoryFor none(100'000);
  EXPECT_THROW((void)pool.take(5000, 100'000), std::bad_alloc);
  { const Buffer first = pool.take(5000, 99'999); }
  EXPECT_EQ(pool.take(5000, 100'000).size(), 5000u) << "a kept one takes nothing from the others";
}

TEST(BufferPool, FreesWhatItHasNoMemoryToKeep) {
  BufferPool pool;
  Buffer one = pool.take(5000);
  const troupe::testing::NoMemoryFor none(1, 64);  // the list of those that it keeps
  one = Buffer();
  EXPECT_GT(none.failures(), 0);
  EXPECT_EQ(pool.stats().lent_buffers, 0u);
  EXPECT_EQ(pool.stats().kept_bytes, 0u);
}

TEST(BufferPool, KeepsNoMoreThanItsBound) {
  BufferPool pool(8192);
  { const Buffer a = pool.take(4096), b = pool.take(4096), c = pool.take(4096); }
  EXPECT_EQ(pool.stats().kept_bytes, 8192u);
  { const Buffer big = pool.take(1 << 20); }
  EXPECT_EQ(pool.stats().kept_bytes, 8192u);
}

TEST(BufferPool, KeepsTheAddressAcrossMoves) {
  BufferPool pool;
  Buffer a = pool.take(100);
  const std::byte* data = a.data();
  Buffer b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT: moved-from is defined to be empty
  EXPECT_EQ(b.data(), data);
  Buffer c = pool.take(200);
  c = std::move(b);
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(c.size(), 100u);
  EXPECT_EQ(pool.stats().lent_buffers, 1u);
}

TEST(BufferPool, BuffersOutliveThePool) {
  Buffer buffer;
  {
    BufferPool pool;
    buffer = pool.take(64);
  }
  std::memset(buffer.data(), 1, buffer.size());
}

TEST(BufferPool, TakesBackWhatOtherThreadsRelease) {
  BufferPool pool;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 500; ++i) {
        Buffer buffer = pool.take(512u << (i % 4));
        std::memset(buffer.data(), t, buffer.size());
        std::thread([moved = std::move(buffer)] {}).join();
        if (i > 20) break;  // threads are slow to make under sanitizers
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(pool.stats().lent_buffers, 0u);
}

}  // namespace
}  // namespace troupe::transport
