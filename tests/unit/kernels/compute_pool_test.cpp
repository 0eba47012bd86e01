// The pool computes every share once, nests, refuses when full and finishes before it goes.
#include "kernels/compute_pool.hpp"

#include <gtest/gtest.h>
#include <immintrin.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace troupe::kernels {
namespace {

constexpr unsigned int kFlushToZero = 0x8000;
constexpr unsigned int kDenormalsAreZero = 0x0040;

TEST(ComputePool, CoversEveryItemOnceInWholeGrains) {
  ComputePool pool({.threads = 3});
  for (const std::int64_t count : {1, 7, 64, 1000, 1001}) {
    std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
    pool.parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(begin % 8, 0);
      EXPECT_TRUE((end - begin) % 8 == 0 || end == count);
      for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
    });
    for (const auto& times : seen) EXPECT_EQ(times.load(), 1);
  }
  pool.parallel_for(0, 8, [](std::int64_t, std::int64_t) { FAIL() << "nothing to do"; });
}

TEST(ComputePool, CountsTheCallerAmongItsThreadsWhereToldTo) {
  ComputePool pool({.threads = 2, .with_caller = true});
  EXPECT_EQ(pool.threads(), 2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<int> inside{0};
  // Both shares wait for each other, so that two threads must be there, and no third has work.
  pool.parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
    ++inside;
    while (inside < 2) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_TRUE(seen.contains(std::this_thread::get_id()));
}

TEST(ComputePool, KeepsEachThreadOnACoreWhereToldTo) {
  const auto cores = [](bool pin) {
    ComputePool pool({.threads = 1, .pin = pin});
    std::promise<int> count;
    EXPECT_TRUE(pool.submit([&] {
      cpu_set_t set;
      EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
      count.set_value(CPU_COUNT(&set));
    }));
    return count.get_future().get();
  };
  cpu_set_t mine;
  ASSERT_EQ(sched_getaffinity(0, sizeof(mine), &mine), 0);
  EXPECT_EQ(cores(false), CPU_COUNT(&mine));
  EXPECT_EQ(cores(true), 1);
}

TEST(ComputePool, SharesOutTheLoopsOfSeveralJobsAtOnce) {
  constexpr int kJobs = 20;
  std::atomic<std::int64_t> total{0};
  std::vector<std::promise<void>> done(kJobs);
  ComputePool pool({.threads = 2});
  for (int j = 0; j < kJobs; ++j) {
    ASSERT_TRUE(pool.submit([&, j] {
      pool.parallel_for(100, 3, [&](std::int64_t begin, std::int64_t end) {
        pool.parallel_for(end - begin, 1, [&](std::int64_t b, std::int64_t e) { total += e - b; });
      });
      done[static_cast<std::size_t>(j)].set_value();
    }));
  }
  for (auto& job : done) job.get_future().wait();
  EXPECT_EQ(total.load(), kJobs * 100);
}

TEST(ComputePool, AShareThatThrowsIsNotLeftBeforeTheOthersAreDone) {
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> helper_in{false};
  std::atomic<bool> thrown{false};
  std::atomic<bool> helper_out{false};
  ComputePool pool({.threads = 1});
  const ComputePool::Share share = [&](std::int64_t, std::int64_t) {
    if (std::this_thread::get_id() == caller) {
      helper_in.wait(false);
      thrown = true;
      thrown.notify_all();
      throw std::bad_alloc();
    }
    helper_in = true;
    helper_in.notify_all();
    thrown.wait(false);
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();  // for the caller to go too early
    helper_out = true;
  };
  EXPECT_THROW(pool.parallel_for(2, 1, share), std::bad_alloc);
  EXPECT_TRUE(helper_out.load());
}

TEST(ComputePool, WhatAHelperThrowsComesOutOfTheCall) {
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> helper_in{false};
  ComputePool pool({.threads = 1});
  const ComputePool::Share share = [&](std::int64_t, std::int64_t) {
    if (std::this_thread::get_id() == caller) return helper_in.wait(false);
    helper_in = true;
    helper_in.notify_all();
    throw std::bad_alloc();
  };
  EXPECT_THROW(pool.parallel_for(2, 1, share), std::bad_alloc);
  std::atomic<int> ran{0};
  pool.parallel_for(100, 1, [&](std::int64_t, std::int64_t) { ++ran; });
  EXPECT_EQ(ran.load(), 100) << "the pool goes on";
}

TEST(ComputePool, RefusesJobsWhenTheRingIsFull) {
  std::promise<void> started;  // outlive the pool, whose last job uses them
  std::promise<void> release;
  ComputePool pool({.threads = 1, .jobs_max = 2});
  ASSERT_TRUE(pool.submit([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_TRUE(pool.submit([] {}));
  EXPECT_TRUE(pool.submit([] {}));
  EXPECT_FALSE(pool.submit([] {}));
  release.set_value();
}

TEST(ComputePool, FinishesQueuedJobsBeforeItGoes) {
  std::atomic<int> ran{0};
  {
    ComputePool pool({.threads = 2});
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(pool.submit([&] { ++ran; }));
  }
  EXPECT_EQ(ran.load(), 100);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need terabytes
/// In a process of its own: whether a pool that gets only some of its threads says so.
[[noreturn]] void make_a_pool_that_is_too_large() {
  constexpr rlim_t kStacks = 64 << 20;  // a few threads' worth
  rlimit limit{};
  ::getrlimit(RLIMIT_AS, &limit);
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  limit.rlim_cur = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE)) + kStacks;
  ::setrlimit(RLIMIT_AS, &limit);
  try {
    ComputePool pool({.threads = 64});
  } catch (const std::system_error&) {
    ::_exit(0);
  }
  ::_exit(1);
}

TEST(ComputePool, ThreadsThatDoNotComeAreAnException) {
  EXPECT_EXIT(make_a_pool_that_is_too_large(), ::testing::ExitedWithCode(0), "");
}
#endif

/// 'R' running, 'S' sleeping: what stands behind the name in brackets.
char state_of(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string line;
  std::getline(file, line);
  return line.at(line.rfind(')') + 2);
}

TEST(ComputePool, AnIdleThreadSleeps) {
  ComputePool pool({.threads = 1});
  std::promise<pid_t> id;
  ASSERT_TRUE(pool.submit([&] { id.set_value(::gettid()); }));
  const pid_t thread = id.get_future().get();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  while (state_of(thread) != 'S') {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it spins on";
    std::this_thread::yield();
  }
}

TEST(ComputePool, UsesTheCoresOfTheProcessByDefault) {
  ComputePool pool({});
  EXPECT_GE(pool.threads(), 1);
}

TEST(MxcsrGuard, ShieldsEveryShareFromTheCallersRounding) {
  ComputePool pool({.threads = 2});
  const unsigned int before = _mm_getcsr();
  _mm_setcsr(before | kFlushToZero | kDenormalsAreZero);
  for (const std::int64_t grain : {1, 100}) {  // shared out, and on the caller alone
    pool.parallel_for(100, grain, [](std::int64_t, std::int64_t) {
      EXPECT_EQ(_mm_getcsr() & (kFlushToZero | kDenormalsAreZero), 0u);
    });
  }
  EXPECT_NE(_mm_getcsr() & kFlushToZero, 0u) << "the caller's own setting comes back";
  _mm_setcsr(before);
}

}  // namespace
}  // namespace troupe::kernels
