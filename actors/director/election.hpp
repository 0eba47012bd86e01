// Which of the routers' directors is active, and under which term (docs/adr/0002, 6).
#pragma once
#include <chrono>
#include <cstdint>
#include <set>
#include <span>

#include "actors/request.hpp"

namespace troupe::actors {

/// Another router, as its announcements and beats show it.
struct RouterView {
  std::uint32_t index = 0;
  bool live = false;
  bool has_beaten = false;  // so that `claim` is known
  std::uint64_t claim = 0;  // the term its director is active with, 0 if passive
};

/// One director's part in it. A term is `(n << 16) | router index`.
/// *Threading*: one owner.
class Election {
 public:
  struct Settings {
    std::uint32_t router_index = 0;
    std::uint32_t routers_count = 1;
    std::chrono::milliseconds grace{3000};  // wait for routers never heard of
  };
  Election(Settings settings, TimePoint now);

  /// 0 while passive.
  std::uint64_t term() const { return term_; }
  std::uint64_t highest() const { return highest_; }
  /// A term that somebody has seen. A higher one of another router ends ours.
  void saw(std::uint64_t term, TimePoint now);
  /// The same from a process that is new to us: if the term is of our router's index, an earlier
  /// life of ours gave it, and ours has to be above it.
  void saw_before_our_time(std::uint64_t term, TimePoint now);
  /// Becomes active or passive. True: term() has changed since the last call.
  bool decide(std::span<const RouterView> others, TimePoint now);

 private:
  void stand_down(TimePoint now);
  void take_next_term();

  Settings settings_;
  std::uint64_t term_ = 0;
  std::uint64_t decided_ = 0;  // term() at the end of the last decide
  std::uint64_t highest_ = 0;
  std::set<std::uint32_t> heard_;  // routers whose claim was heard since waiting_since_
  TimePoint waiting_since_;
  unsigned stood_down_ = 0;  // for a router that we cannot see; doubles the grace
};

}  // namespace troupe::actors
