// Several service processes' worth of actors in one test process, over loopback.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "actors/node/cluster_node.hpp"
#include "tests/support/actor_listener.hpp"

namespace troupe::actors::testing {

/// Everything the nodes of a test have said; waits are for conditions, never for time.
class EventLog {
 public:
  EventSink sink(std::string who) {
    return [this, who](const NodeEvent& event) {
      std::lock_guard lock(mutex_);
      lines_.push_back(who + ": " + event.name + " " + event.detail);
      changed_.notify_all();
    };
  }
  /// Whether a line that holds all of `words` comes within a generous time.
  bool wait_for(const std::vector<std::string>& words) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return count(words) > 0; });
  }
  bool has(const std::vector<std::string>& words) {
    std::lock_guard lock(mutex_);
    return count(words) > 0;
  }
  void forget() {
    std::lock_guard lock(mutex_);
    lines_.clear();
  }
  std::string text() {
    std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& line : lines_) all += line + "\n";
    return all;
  }

 private:
  std::size_t count(const std::vector<std::string>& words) const {
    std::size_t found = 0;
    for (const auto& line : lines_) {
      bool all = true;
      for (const auto& word : words) all = all && line.find(word) != line.npos;
      found += all;
    }
    return found;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

/// True once `condition` holds; looks again after short waits, for a generous time.
template <class Condition>
bool eventually(Condition condition) {
  std::mutex mutex;
  std::condition_variable nobody;
  std::unique_lock lock(mutex);
  for (int look = 0; look < 6000; ++look) {
    if (condition()) return true;
    nobody.wait_for(lock, std::chrono::milliseconds(10));
  }
  return false;
}

inline GenerateRequest greedy_request(std::vector<std::int32_t> prompt, std::int32_t max_tokens) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

}  // namespace troupe::actors::testing
