// Strangers that a server under test has told of.
#pragma once
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "services/runtime/ports/stranger_log.hpp"

namespace troupe::services {

/// *Threading*: any.
class HeardStrangers {
 public:
  StrangerSink sink() {
    return [this](const Stranger& stranger) {
      const std::lock_guard lock(mutex_);
      heard_.push_back(stranger);
      changed_.notify_all();
    };
  }
  std::vector<Stranger> all() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  /// All so far, once they are `count` or a minute has passed.
  std::vector<Stranger> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::minutes(1), [&] { return heard_.size() >= count; });
    return heard_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Stranger> heard_;
};

}  // namespace troupe::services
