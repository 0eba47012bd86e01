// Events of a call, from the thread that reads them to the one that wants them.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "services/client/inference_client.hpp"

namespace troupe::services {

/// *Threading*: one thread pushes, one takes.
class EventQueue {
 public:
  void push(ClientEvent event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    arrived_.notify_one();
  }
  /// The oldest event; nothing if there is none within `patience`.
  std::optional<ClientEvent> take(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, patience, [this] { return !events_.empty(); })) return {};
    ClientEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<ClientEvent> events_;
};

}  // namespace troupe::services
