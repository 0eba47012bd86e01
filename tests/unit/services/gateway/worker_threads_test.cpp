// Jobs for more threads than there may be.
#include "services/gateway/worker_threads.hpp"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

namespace troupe::services {
namespace {

TEST(WorkerThreads, WhatFindsNoThreadWaitsInOrderAndOnlySoMuchDoes) {
  std::promise<void> release;
  std::vector<int> run;  // by the only thread
  {
    WorkerThreads threads({.threads_max = 1, .waiting_max = 2});
    std::promise<void> begun;
    EXPECT_TRUE(threads.run([&] {
      begun.set_value();
      release.get_future().wait();
      run.push_back(0);
    }));
    begun.get_future().wait();
    EXPECT_TRUE(threads.run([&] { run.push_back(1); }));
    EXPECT_TRUE(threads.run([&] { run.push_back(2); }));
    EXPECT_FALSE(threads.run([&] { run.push_back(3); }));
    release.set_value();
  }
  EXPECT_EQ(run, (std::vector<int>{0, 1, 2})) << "the end waits for those that wait";
}

TEST(WorkerThreads, NothingWaitsWhereNothingMay) {
  std::promise<void> first_begun, second_begun, release;
  const auto released = release.get_future().share();
  WorkerThreads threads({.threads_max = 2});
  const auto job = [&released](std::promise<void>& begun) {
    return [&] {
      begun.set_value();
      released.wait();
    };
  };
  EXPECT_TRUE(threads.run(job(first_begun)));
  EXPECT_TRUE(threads.run(job(second_begun)));
  first_begun.get_future().wait();
  second_begun.get_future().wait();  // both at once
  EXPECT_EQ(threads.busy(), 2u);
  EXPECT_FALSE(threads.run([] {}));
  release.set_value();
}

}  // namespace
}  // namespace troupe::services
