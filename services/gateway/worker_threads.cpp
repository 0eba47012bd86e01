// A job goes to a thread that sleeps, or to a new one, or waits for one.
#include "services/gateway/worker_threads.hpp"

#include <iterator>
#include <system_error>

namespace troupe::services {

WorkerThreads::~WorkerThreads() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return threads_.empty(); });
  join_ended();
}

bool WorkerThreads::run(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  join_ended();
  if (stopping_) return false;
  const bool sleeper = idle_ > jobs_.size();
  if (!sleeper && !add_thread() && !may_wait()) return false;
  jobs_.push_back(std::move(job));
  changed_.notify_all();
  return true;
}

/// Only a thread there is can come to a job that waits.
bool WorkerThreads::may_wait() const {
  return !threads_.empty() && jobs_.size() < idle_ + limits_.waiting_max;
}

bool WorkerThreads::add_thread() {
  if (threads_.size() >= limits_.threads_max) return false;
  threads_.emplace_back();
  const auto self = std::prev(threads_.end());
  try {
    *self = std::thread([this, self] { work(self); });
  } catch (const std::system_error&) {
    threads_.erase(self);
    return false;
  }
  ++idle_;
  return true;
}

std::size_t WorkerThreads::busy() const {
  const std::lock_guard lock(mutex_);
  return threads_.size() - idle_;
}

/// Counts as idle from the start: its first job waits in the queue.
void WorkerThreads::work(std::list<std::thread>::iterator self) {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait_for(lock, limits_.idle_time, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) break;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    --idle_;
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
    ++idle_;
  }
  --idle_;
  ended_.splice(ended_.end(), threads_, self);
  changed_.notify_all();
}

/// Whoever is in `ended_` has given the lock back and never takes it again.
void WorkerThreads::join_ended() {
  for (std::thread& thread : ended_) thread.join();
  ended_.clear();
}

}  // namespace troupe::services
