// Work items of an attention shard: which rows were asked of which router, and what is still owed.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "actors/peer_id.hpp"
#include "actors/request.hpp"
#include "proto/identity.hpp"

namespace troupe::actors {

/// Consecutive rows of a step.
struct RowRange {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
};

struct WorkItem {
  std::uint64_t work_id = 0;
  RowRange range;
  std::uint32_t asked = 0;              // attempts so far; the next one has this number
  PeerId router = 0;                    // who has it; 0: nobody
  TimePoint deadline;                   // of the open attempt, or of the wait for a router
  TimePoint sent{};                     // the open attempt
  std::uint32_t waits = 0;              // attempts that ended because an expert was uncovered
  bool alone = false;                   // a service was short of memory: one such at a time
  std::optional<TimePoint> covered_by;  // until when it waits for that expert; its own timer
  proto::FrameHeader header;            // of the open attempt

  /// Attempts that failed for lack of a router.
  std::uint32_t tries() const { return asked - waits; }
};

/// Work ids count up from `first` by `step` and are never used twice. An item is open until closed;
/// each attempt of it borrows credits from its router that come back with the router's answer,
/// however late. *Threading*: one owner.
class WorkLedger {
 public:
  explicit WorkLedger(std::uint64_t first = 1, std::uint64_t step = 1)
      : next_id_(first), step_(step) {}

  WorkItem& open(RowRange range, TimePoint deadline);
  WorkItem* find(std::uint64_t work_id);
  const WorkItem* find(std::uint64_t work_id) const;
  /// Books an attempt that goes to `router` under `header`.
  void book(WorkItem& item, PeerId router, const proto::FrameHeader& header, TimePoint deadline);
  /// Takes the item from its router; the next attempt goes elsewhere.
  void unbook(WorkItem& item, TimePoint deadline);
  void close(std::uint64_t work_id) { items_.erase(work_id); }
  /// Replaces an open item that is at nobody by ones of at most `rows_max` rows, each with its
  /// budgets and attempts.
  void cut(std::uint64_t work_id, std::int64_t rows_max);

  /// The open item that a frame from `peer` answers: its router, attempt and layer agree. Null for
  /// everything else.
  WorkItem* match(PeerId peer, const proto::FrameHeader& reply);
  /// The rows whose credits an answer from `peer` returns, once for each attempt.
  struct Owed {
    std::int64_t rows = 0;
    proto::Lane lane = proto::Lane::decode;
  };
  std::optional<Owed> settle(PeerId peer, const proto::FrameHeader& reply);
  /// Nothing that `peer` owes will come any more.
  void forget(PeerId peer);

  std::vector<std::uint64_t> at(PeerId router) const;  // open items there; 0: those at nobody
  /// The item that goes alone and is at a router; null: none does.
  const WorkItem* goes_alone() const;
  std::vector<std::uint64_t> expired(TimePoint now) const;
  std::optional<TimePoint> next_deadline() const;
  bool empty() const { return items_.empty(); }
  std::size_t owed() const { return owed_.size(); }

 private:
  using Key = std::tuple<PeerId, std::uint64_t, std::uint32_t>;  // peer, work id, attempt
  std::map<std::uint64_t, WorkItem> items_;
  std::map<Key, Owed> owed_;
  std::uint64_t next_id_;
  std::uint64_t step_;
};

}  // namespace troupe::actors
