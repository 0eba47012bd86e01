// What the director says of a role's peers, for a loop that picks one of them for new work.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "actors/membership.hpp"

namespace troupe::actors {

/// *Threading*: the agent writes, the role's loop reads.
class PeerStandings {
 public:
  using States = std::map<PeerId, MemberState>;

  void set(States states) {
    std::lock_guard lock(mutex_);
    if (states == states_) return;
    states_ = std::move(states);
    version_.fetch_add(1, std::memory_order_release);
  }
  /// Changes with every change.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  /// ACTIVE where nothing is known: a link is a sign of life.
  MemberState of(PeerId peer) const {
    std::lock_guard lock(mutex_);
    const auto found = states_.find(peer);
    return found == states_.end() ? MemberState::active : found->second;
  }
  /// How little `peer` is wanted for new work: 0 ACTIVE; 1 SUSPECT, which may never answer;
  /// 2 DRAINING, which wants to leave; 3 LOST or LOADING, whose link is about to end.
  int reluctance(PeerId peer) const {
    switch (of(peer)) {
      case MemberState::active: return 0;
      case MemberState::suspect: return 1;
      case MemberState::draining: return 2;
      case MemberState::loading:
      case MemberState::lost: return 3;
    }
    return 3;
  }
  /// Those of `peers` that are wanted most; all of one reluctance.
  std::vector<PeerId> preferred(const std::vector<PeerId>& peers) const {
    std::vector<PeerId> best;
    int least = 0;
    for (const auto peer : peers) {
      const int here = reluctance(peer);
      if (best.empty() || here < least) best.clear(), least = here;
      if (here == least) best.push_back(peer);
    }
    return best;
  }

 private:
  mutable std::mutex mutex_;
  States states_;
  std::atomic<std::uint64_t> version_{0};
};

}  // namespace troupe::actors
