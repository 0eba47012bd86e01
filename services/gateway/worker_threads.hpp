// Threads for jobs: made when needed, kept for a while, never more than a bound.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace troupe::services {

/// *Threading*: any.
class WorkerThreads {
 public:
  struct Limits {
    std::size_t threads_max = 1;
    std::size_t waiting_max = 0;                // jobs for whom no thread is free
    std::chrono::milliseconds idle_time{1000};  // a thread without work for so long ends
  };
  explicit WorkerThreads(Limits limits) : limits_(limits) {}
  WorkerThreads(const WorkerThreads&) = delete;
  /// Waits for all jobs.
  ~WorkerThreads();

  /// Runs `job` at once on a thread of its own, or behind those that wait. False: all threads are
  /// busy, or the system has no more, and no job may wait.
  bool run(std::function<void()> job);
  std::size_t busy() const;

 private:
  void work(std::list<std::thread>::iterator self);
  bool add_thread();
  bool may_wait() const;
  void join_ended();

  const Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // of idle threads, and those that wait
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::list<std::thread> threads_;
  std::list<std::thread> ended_;
};

}  // namespace troupe::services
