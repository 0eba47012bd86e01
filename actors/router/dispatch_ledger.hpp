// Work items of a router: which (row, expert) pairs are with which expert shard, and which are
// answered.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/peer_id.hpp"
#include "actors/request.hpp"
#include "model/placement.hpp"
#include "transport/link.hpp"

namespace troupe::actors {

using ItemId = std::uint64_t;

/// Why and until when a pair waits to be planned.
struct WaitingSlot {
  std::int32_t slot = 0;     // row * K + k
  std::uint32_t misses = 0;  // how often a shard said NotResident
  TimePoint not_before{};
};

/// One Rows frame being served.
struct RouterItem {
  ItemId id = 0;
  PeerId asker = 0;
  std::shared_ptr<transport::ReceivedFrame> frame;  // Rows; kept until the reply is sent
  TimePoint arrived{};
  TimePoint deadline;
  std::int64_t rows = 0;
  model::Routing routing;                        // empty until gated
  std::shared_ptr<transport::Buffer> quantised;  // rows as e4m3_block128, where experts want it
  std::vector<WaitingSlot> waiting;
  std::vector<const std::byte*> replies;  // [rows * K], null: open; into reply_frames
  std::vector<std::shared_ptr<transport::ReceivedFrame>> reply_frames;
  std::int64_t open_slots = 0;
  TimePoint gated{};                         // when its rows began to go out
  std::optional<TimePoint> uncovered_since;  // some expert has no live shard

  const proto::FrameHeader& header() const { return frame->header; }
};

/// One ExpertRows frame, sent or about to be.
struct Dispatch {
  std::uint64_t work_id = 0;
  ItemId item = 0;  // 0: given up; only its credits are still owed
  model::ShardIndex shard = 0;
  std::uint32_t misses = 0;        // the most NotResident any of its pairs has met; the attempt
  proto::FrameHeader header;       // as sent
  std::vector<std::int32_t> rows;  // of the item
  std::vector<model::ShardDispatch::Pair> pairs;  // ascending by (expert, row); slots of the item
  std::vector<bool> answered;                     // [pairs]
  std::int64_t open_pairs = 0;
};

/// *Threading*: one owner; references stay valid until the item or dispatch is closed.
class DispatchLedger {
 public:
  struct Rules {
    std::int64_t experts_per_token = 1;
    std::int64_t rows_max = proto::kRowsMax;  // unique rows of one dispatch
    std::size_t row_bytes = 0;                // of one reply row
    std::uint32_t width = 0;
    proto::WireDtype dtype = proto::WireDtype::bf16;
    std::uint32_t misses_max = 3;          // NotResident per pair
    std::chrono::milliseconds backoff{5};  // doubles with each miss
  };
  explicit DispatchLedger(Rules rules) : rules_(rules) {}

  /// From now on no dispatch has more unique rows than this; at least 1.
  void set_rows_max(std::int64_t rows_max) { rules_.rows_max = rows_max; }

  RouterItem& open(PeerId asker, std::shared_ptr<transport::ReceivedFrame> frame,
                   TimePoint deadline);
  RouterItem* find(ItemId item);
  const RouterItem* find(ItemId item) const;
  /// Whether that very question is being served.
  bool serves(PeerId asker, const proto::FrameHeader& header) const;
  void set_routing(RouterItem& item, model::Routing routing);
  /// Forgets the item; dispatches under way are given up.
  void close(ItemId item);

  /// Plans the waiting pairs whose time has come; new dispatches, to be sent. Pairs of experts
  /// without a replica stay waiting and set `uncovered_since`.
  std::vector<std::uint64_t> plan(RouterItem& item, const model::Placement& placement,
                                  TimePoint now);
  Dispatch* dispatch(std::uint64_t work_id);
  /// Not sent after all: its pairs wait again.
  void recall(std::uint64_t work_id, TimePoint not_before);

  struct Outcome {
    bool stale = false;     // answers nothing that is open; nothing was changed
    ItemId item = 0;        // 0: the dispatch had been given up
    bool complete = false;  // all pairs of the item are answered
    std::int64_t rows = 0;  // credits returned: the dispatch is fully answered
    proto::Lane lane = proto::Lane::decode;
    std::string exhausted;  // a pair missed too often: names the expert
    bool missed = false;    // some shard said NotResident: look for a newer placement
  };
  /// Takes a reply apart. The first answer of a pair counts.
  Outcome answer(PeerId expert, const std::shared_ptr<transport::ReceivedFrame>& frame,
                 TimePoint now);
  /// The shard refused a whole dispatch: returns it for its credits and item, and forgets it.
  std::optional<Dispatch> refused(PeerId expert, const proto::FrameHeader& reply);
  /// Pairs at that shard wait again; nothing it owes will come any more. Returns the dispatches.
  std::int64_t shard_lost(model::ShardIndex shard);

  std::vector<ItemId> items() const;
  const RouterItem* oldest() const { return items_.empty() ? nullptr : &items_.begin()->second; }
  std::int64_t open_rows() const;
  std::vector<ItemId> items_of(PeerId asker) const;
  /// The experts and shards an item still waits for, for people.
  std::string missing(const RouterItem& item) const;
  std::span<const std::int64_t> outstanding_rows(std::size_t shards);

 private:
  Dispatch& add(const RouterItem& item, model::ShardDispatch part,
                std::span<const WaitingSlot> ready, bool whole);
  void take_pair(Dispatch& dispatch, RouterItem* item, const proto::ReplyPair& pair,
                 const std::byte* row, TimePoint now, Outcome& outcome);
  void finish_dispatch(std::map<std::uint64_t, Dispatch>::iterator found);

  Rules rules_;
  std::map<ItemId, RouterItem> items_;
  std::map<std::uint64_t, Dispatch> dispatches_;
  std::vector<std::int64_t> outstanding_;  // [shard] rows under way
  ItemId next_item_ = 1;
  std::uint64_t next_work_ = 1;
};

}  // namespace troupe::actors
