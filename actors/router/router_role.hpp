// The router: gates rows, sends them to the expert shards, combines the replies. No CAF here.
//
// What it does when a peer disappears:
//  - an expert shard: its open pairs go to a replica at once; pairs of experts that no live shard
//    holds wait for a new placement or a returning shard, then their work items are answered with
//    Failed (`not_resident`), which names layer, experts and shards: after `uncovered_budget` for
//    good, at the end of the hop's budget with the advice to ask again, so that the asker hears of
//    us within it and keeps the timer of the whole wait.
//  - an expert shard that the director calls SUSPECT or DRAINING gets no rows that a replica can
//    take; without one they go there and wait within the hop's budget.
//  - an attention shard: its work items are dropped; nobody wants their rows.
//  - the director: the last placement stays in force.
//  - itself: the attention shards ask another router; nothing half-combined is kept.
#pragma once
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "actors/role.hpp"
#include "actors/router/dispatch_ledger.hpp"
#include "actors/row_codec.hpp"
#include "core/histogram.hpp"
#include "model/memory_bounds.hpp"
#include "model/router_model.hpp"
#include "transport/lane_queue.hpp"

namespace troupe::actors {

/// A placement and what goes with it. Immutable; replaced whole.
struct PublishedPlacement {
  model::Placement placement;
  bool quantised_rows = false;  // every expert shard wants e4m3_block128 rows (mode fp8-act)
};
using PlacementPtr = std::shared_ptr<const PublishedPlacement>;

struct RouterSettings {
  model::Numerics numerics;
  std::chrono::milliseconds hop_budget{2000};        // where a Rows frame names none
  std::chrono::milliseconds uncovered_budget{5000};  // wait for an expert nobody holds
  std::size_t inflight_bytes_max = 512u << 20;       // replies of the items past the gate
  std::size_t items_max = 1024;                      // beyond: Failed with `overloaded`
  std::int64_t dispatch_rows_max = proto::kRowsMax;
};

struct RouterStatus {
  std::uint64_t term = 0;
  std::uint64_t epoch = 0;
  std::int64_t items_open = 0;
  std::int64_t items_total = 0;
  std::int64_t items_failed_total = 0;
  std::int64_t dispatches_total = 0;
  std::int64_t not_resident_total = 0;
  std::int64_t failovers_total = 0;  // dispatches that a lost shard owed, asked again elsewhere
  std::int64_t stale_frames_total = 0;
  std::int64_t rows_failed_total = 0;         // of failed items
  std::int64_t pairs_sent_total = 0;          // (row, expert); again for those asked again
  std::vector<std::int64_t> rank_last_total;  // [shards] how often it answered last
  std::vector<std::int64_t> uncovered;        // [layers] experts without a live shard
  Histogram dispatch_seconds{kMicroBounds};   // to write and post one frame
  Histogram wait_seconds{kMicroBounds};       // of an item for its slowest shard
  Histogram combine_seconds{kMicroBounds};    // of an item, once its replies are there
};

class RouterRole : public Role {
 public:
  RouterRole(const RoleContext& context, RouterSettings settings,
             std::shared_ptr<const model::RouterModel> model);
  ~RouterRole() override { stop(); }

  /// Takes a newer placement; open items use it for what they still have to ask. False: it is not
  /// newer, ours stays.
  bool adopt(PlacementPtr placement);
  /// Whether a shard answered NotResident since the last call: ask the director again.
  bool take_placement_wish() { return std::exchange(wants_placement_, false); }
  RouterStatus status() const;

 private:
  using Unsent = transport::LaneQueue<std::uint64_t>;  // work ids of dispatches

  void on_joined(PeerId peer) override;
  void on_frame(PeerId peer, transport::ReceivedFrame&& frame) override;
  void on_lost(PeerId peer, const Error& why) override;
  bool work() override;
  std::optional<TimePoint> role_deadline() const override;
  RoleLoad load() const override;

  void accept_rows(PeerId asker, transport::ReceivedFrame&& frame);
  std::optional<Error> find_fault(const transport::ReceivedFrame& frame) const;
  bool start_gates();
  void gate(ItemId item);
  struct Gated;
  void gated(ItemId item, Gated& gated);
  void plan(RouterItem& item);
  bool plan_waiting();
  bool pump();
  void send(PeerId expert, Dispatch& dispatch);
  void on_reply(PeerId expert, transport::ReceivedFrame&& frame);
  void on_refusal(PeerId expert, const transport::ReceivedFrame& frame);
  void return_credits(PeerId expert, std::int64_t rows, proto::Lane lane);
  void combine(RouterItem& item);
  std::vector<std::int64_t> uncovered() const;
  void count_complete(PeerId expert, const RouterItem& item);
  void answer(RouterItem& item, std::shared_ptr<transport::Buffer> rows);
  bool expire();
  Error uncovered_error(const RouterItem& item) const;
  void fail(RouterItem& item, const Error& error, std::uint32_t retry_after_ms = 0);
  void fail_without_memory(RouterItem& item, const Error& error);
  void send_failed(PeerId asker, const proto::FrameHeader& asked, const Error& error,
                   std::uint32_t retry_after_ms = 0);
  void close(ItemId item);
  void recompute_live();
  void fit_grants();
  proto::WireDtype dtype() const { return wire_dtype(settings_.numerics.row_dtype()); }
  std::size_t reply_bytes(std::int64_t rows) const;

  RouterSettings settings_;
  std::shared_ptr<const model::RouterModel> model_;
  DispatchLedger ledger_;
  PlacementPtr published_;
  model::Placement live_;  // the published one: of each expert the shards that are wanted most
  std::uint64_t standings_seen_ = 0;                       // their version that `live_` was made by
  std::array<std::deque<ItemId>, proto::kLanes> ungated_;  // decode first
  std::map<ItemId, std::size_t> inflight_bytes_;           // of gated items
  std::size_t inflight_total_ = 0;
  model::MemoryMark memory_;         // of gates and combinations
  std::map<PeerId, Unsent> unsent_;  // per joined expert shard
  bool wants_placement_ = false;
  RouterStatus counts_;
};

}  // namespace troupe::actors
