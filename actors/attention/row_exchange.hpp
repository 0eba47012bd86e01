// One layer's rows on their way to routers and back: split, sent, asked again elsewhere, or failed.
//
// When a router is lost, its open items go to another one at once, as the next attempt of the same
// work item. A router that is silent for a hop budget is treated alike and gets nothing new while
// there is another; one that the director calls SUSPECT or DRAINING gets nothing new either. With
// no router at all, items wait for one until their budget ends.
//
// An expert that no live shard holds is waited for by a timer of its own: the router answers within
// the hop budget that it is uncovered, and the item is asked again until uncovered_budget ends.
//
// An item that a service has no memory for is asked again in two halves, and these likewise, one at
// a time: what fails at last is single rows, so no sequence fails for the rows of another.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "actors/attention/work_ledger.hpp"
#include "actors/peer_standing.hpp"
#include "actors/peers.hpp"

namespace troupe::actors {

struct RowExchangeSettings {
  std::chrono::milliseconds hop_budget{2000};        // of each attempt
  std::chrono::milliseconds uncovered_budget{5000};  // of all attempts that wait for an expert
  std::uint32_t attempts_max = 3;
  std::int64_t frame_rows_max = proto::kRowsMax;
  std::uint32_t width = 0;  // hidden size
  proto::WireDtype dtype = proto::WireDtype::bf16;
  std::uint32_t micro_batch = 0;  // which of micro_batches this one serves
  std::uint32_t micro_batches = 1;
};

/// The shard's exchanges share the routers' credits; each has every micro_batches-th work id.
/// *Threading*: one loop. `peers` must outlive it.
class RowExchange {
 public:
  using Packed = std::shared_ptr<transport::Buffer>;

  RowExchange(Peers& peers, std::shared_ptr<const PeerStandings> standings,
              RowExchangeSettings settings);

  /// Rows of one layer: `packed` [all rows of the step, width] in the wire dtype; only `ranges`
  /// are sent. Not while another layer is under way.
  void begin(std::int32_t layer, proto::Lane lane, Packed packed, std::span<const RowRange> ranges,
             TimePoint now);
  /// Whose of `micro_batches` exchanges a work id is.
  static std::uint32_t micro_batch_of(std::uint64_t work_id, std::uint32_t micro_batches) {
    return static_cast<std::uint32_t>(work_id % micro_batches);
  }
  /// Everything is answered or has failed.
  bool finished() const { return ledger_.empty(); }

  struct Answer {
    RowRange range;
    std::shared_ptr<transport::ReceivedFrame> frame;  // Combined
  };
  struct Failure {
    RowRange range;
    Error error;
  };
  std::vector<Answer> take_answers() { return std::exchange(answers_, {}); }
  std::vector<Failure> take_failures() { return std::exchange(failures_, {}); }

  void on_joined(PeerId router);
  void on_lost(PeerId router, const Error& why, TimePoint now);
  void on_combined(PeerId router, transport::ReceivedFrame&& frame);
  void on_failed(PeerId router, const transport::ReceivedFrame& frame, TimePoint now);
  /// Sends what waits, asks again what is late. True: something changed.
  bool tick(TimePoint now);
  std::optional<TimePoint> next_deadline() const { return ledger_.next_deadline(); }

  std::uint64_t resent_total() const { return resent_total_; }

 private:
  std::int64_t frame_rows() const;
  PeerId choose_router(const WorkItem& item) const;
  bool try_send(WorkItem& item, TimePoint now);
  std::chrono::microseconds budget(const WorkItem& item, TimePoint now) const;
  void cut_waiting();
  bool waits_on(WorkItem& item, TimePoint now);
  bool halve(const WorkItem& item, TimePoint now);
  void renew_those_behind(TimePoint now);
  void late(WorkItem& item, TimePoint now);
  std::string under_way(TimePoint now) const;
  void fail(const WorkItem& item, Error error);
  void return_credits(PeerId router, const proto::FrameHeader& reply);
  bool fits(const WorkItem& item, const proto::RowBlock& rows) const;

  Peers& peers_;
  std::shared_ptr<const PeerStandings> standings_;
  RowExchangeSettings settings_;
  WorkLedger ledger_;
  std::int32_t layer_ = -1;
  proto::Lane lane_ = proto::Lane::decode;
  Packed packed_;
  std::set<PeerId> silent_;  // routers that let a budget pass; until they speak again
  std::string last_gone_;    // why the router that was lost last was
  std::vector<Answer> answers_;
  std::vector<Failure> failures_;
  std::uint64_t resent_total_ = 0;
};

}  // namespace troupe::actors
