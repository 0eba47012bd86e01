// What a role's loop lets others see without asking it: a frozen loop cannot answer.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "actors/peer_id.hpp"
#include "actors/request.hpp"

namespace troupe::actors {

/// What a role has to do.
struct RoleLoad {
  std::optional<TimePoint> oldest_work;  // when the oldest open work came
  std::uint64_t queued_rows = 0;
};

/// *Threading*: the loop writes, anybody reads.
class RolePulse {
 public:
  using Joined = std::map<PeerId, std::uint64_t>;  // peer -> its incarnation

  void step() { progress_.fetch_add(1, std::memory_order_relaxed); }
  void set_load(const RoleLoad& load) {
    const auto since = load.oldest_work ? load.oldest_work->time_since_epoch().count() : 0;
    oldest_work_.store(since, std::memory_order_relaxed);
    queued_rows_.store(load.queued_rows, std::memory_order_relaxed);
  }
  void joined(PeerId peer, std::uint64_t incarnation) {
    std::lock_guard lock(mutex_);
    joined_[peer] = incarnation;
  }
  void lost(PeerId peer) {
    std::lock_guard lock(mutex_);
    joined_.erase(peer);
    last_lost_ = peer;
  }

  /// Grows while the loop gets work done.
  std::uint64_t progress() const { return progress_.load(std::memory_order_relaxed); }
  RoleLoad load() const {
    const auto since = oldest_work_.load(std::memory_order_relaxed);
    RoleLoad load;
    if (since != 0) load.oldest_work = TimePoint(Clock::duration(since));
    load.queued_rows = queued_rows_.load(std::memory_order_relaxed);
    return load;
  }
  Joined joined() const {
    std::lock_guard lock(mutex_);
    return joined_;
  }
  /// The peer whose link was lost last; 0: none yet.
  PeerId last_lost() const {
    std::lock_guard lock(mutex_);
    return last_lost_;
  }

 private:
  std::atomic<std::uint64_t> progress_{0};
  std::atomic<Clock::rep> oldest_work_{0};
  std::atomic<std::uint64_t> queued_rows_{0};
  mutable std::mutex mutex_;
  Joined joined_;
  PeerId last_lost_ = 0;
};

}  // namespace troupe::actors
