// Threads for requests: made when needed, kept for a while, never more than a bound.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace troupe::services::http {

/// *Threading*: any.
class WorkerThreads {
 public:
  /// A thread without work for `idle_time` ends.
  WorkerThreads(std::size_t threads_max, std::chrono::milliseconds idle_time)
      : threads_max_(threads_max), idle_time_(idle_time) {}
  WorkerThreads(const WorkerThreads&) = delete;
  /// Waits for all jobs.
  ~WorkerThreads();

  /// Runs `job` at once on a thread of its own. False: all threads are busy, or the system has no
  /// more.
  bool run(std::function<void()> job);
  std::size_t busy() const;

 private:
  void work(std::list<std::thread>::iterator self);
  void join_ended();

  const std::size_t threads_max_;
  const std::chrono::milliseconds idle_time_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // never more than idle threads
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::list<std::thread> threads_;
  std::list<std::thread> ended_;
};

}  // namespace troupe::services::http
