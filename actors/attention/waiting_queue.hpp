// Who of those that wait on an attention shard comes next, and who may wait at all.
#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "actors/attention/sequence.hpp"
#include "actors/attention/tenant_shares.hpp"
#include "core/expected.hpp"

namespace troupe::actors {

using OwnedSequence = std::unique_ptr<Sequence>;

/// Order: replays; then by urgency, the priority of a class of requests plus one for each `aging`
/// in which none of that class was started, so that no class starves; among equals those that ran
/// already, then by what their tenants were served, then by arrival.
///
/// Full, it takes a request only in place of one of the tenant that has most in it, and never of a
/// higher priority.
/// *Threading*: one thread.
class WaitingQueue {
 public:
  struct Settings {
    std::size_t waiting_max = 1024;  // that never ran; replays and preempted ones do not count
    std::chrono::milliseconds aging{10000};
  };
  WaitingQueue(Settings settings, const TenantShares& shares)
      : settings_(settings), shares_(shares) {}

  /// Returns the sequence that had to make room, or nothing. *Errors*: `overloaded`; the sequence
  /// is gone then.
  Expected<OwnedSequence> push(OwnedSequence sequence, TimePoint now);
  /// It ran and was preempted.
  void push_back(OwnedSequence sequence, TimePoint now);

  /// The next to run, those passed over apart; null when there is none. `pass_over` lasts until
  /// `begin_round`.
  void begin_round() { passed_over_.clear(); }
  Sequence* best(TimePoint now) const;
  void pass_over(const Sequence& sequence) { passed_over_.push_back(sequence.serial); }
  /// What best() orders by: larger goes first.
  std::int64_t urgency(const Sequence& sequence, TimePoint now) const;
  /// Out of the queue, because it starts.
  OwnedSequence take(const Sequence& sequence, TimePoint now);

  /// Takes out all that `leaves` says.
  std::vector<OwnedSequence> remove_if(const std::function<bool(const Sequence&)>& leaves);
  void for_each(const std::function<void(const Sequence&)>& visit) const;

  std::size_t size() const { return fresh_ + front_.size(); }
  bool empty() const { return size() == 0; }

 private:
  /// Requests of one priority that never ran.
  struct Class {
    TimePoint passed_since{};  // when one of them was started last, or the first one came
    std::map<std::uint64_t, std::deque<OwnedSequence>> tenants;
  };
  bool passed_over(const Sequence& sequence) const;
  std::int64_t class_urgency(std::int32_t priority, TimePoint now) const;
  void note_arrival(std::int32_t priority, TimePoint now);
  void tidy();
  Sequence* best_of(const Class& one) const;
  Sequence* best_of_front(TimePoint now) const;
  /// Of the tenant with most waiting requests, the newest of its lowest priority; null when no
  /// tenant has more than `more_than`, or all of its requests are above `priority`.
  OwnedSequence drop_newest(std::size_t more_than, std::int32_t priority);

  Settings settings_;
  const TenantShares& shares_;
  std::list<OwnedSequence> front_;          // replays and preempted ones
  std::map<std::int32_t, Class> classes_;   // by priority; also of those in front_
  std::size_t fresh_ = 0;                   // in all classes
  std::vector<std::uint64_t> passed_over_;  // serials
};

}  // namespace troupe::actors
