// The expert shard: computes the rows it is sent with the experts it holds. No CAF here.
//
// What it does when a peer disappears:
//  - a router: its queued work is dropped, what is being computed is not sent.
//  - anybody else: it does not know them.
//  - itself: the routers send its rows to replicas or fail their work items.
#pragma once
#include <array>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "actors/role.hpp"
#include "core/histogram.hpp"
#include "model/expert_model.hpp"
#include "model/memory_bounds.hpp"

namespace troupe::actors {

struct ExpertSettings {
  model::Numerics numerics;
  /// Rows of all routers, where their credits together would be more than this shard can keep.
  std::int64_t queued_rows_max = std::numeric_limits<std::int64_t>::max();
  std::size_t jobs_open_max = 2;  // one computes while the next is ready
};

struct ExpertStatus {
  std::int64_t queued_rows = 0;
  std::int64_t queued_frames = 0;  // those being computed included
  std::int64_t frames_total = 0;
  std::int64_t overloaded_total = 0;
  std::int64_t not_resident_total = 0;
  std::vector<std::int64_t> tokens;  // [layers * experts] pairs computed since the start
  double busy_seconds_total = 0;
  Histogram compute_seconds{kMicroBounds};  // of each frame
  Histogram batch_tokens{kBatchBounds};     // pairs of each frame
};

class ExpertRole : public Role {
 public:
  ExpertRole(const RoleContext& context, ExpertSettings settings,
             std::shared_ptr<const model::ExpertModel> model);
  ~ExpertRole() override { stop(); }

  /// The newest placement it has heard of; `NotResident` answers name it.
  void note_placement(std::uint64_t term, std::uint64_t epoch);
  ExpertStatus status() const;

 private:
  struct Batch;
  using BatchPtr = std::shared_ptr<Batch>;

  void on_joined(PeerId peer) override { under_way_[peer] = std::make_shared<std::int64_t>(0); }
  void on_frame(PeerId peer, transport::ReceivedFrame&& frame) override;
  void on_lost(PeerId peer, const Error& why) override;
  bool work() override;
  std::optional<TimePoint> role_deadline() const override { return std::nullopt; }
  RoleLoad load() const override;

  std::optional<Error> find_fault(const transport::ReceivedFrame& frame) const;
  void split_pairs(Batch& batch) const;
  void start(BatchPtr batch);
  void forget_rows(const Batch& batch);
  static std::size_t bytes_of(const Batch& batch);
  void compute(Batch& batch) const;
  void count(const Batch& batch);
  void answer(const Batch& batch);
  void answer_overloaded(PeerId router, const transport::ReceivedFrame& frame);
  void send_failed(PeerId router, const proto::FrameHeader& asked, const Error& error);

  ExpertSettings settings_;
  std::shared_ptr<const model::ExpertModel> model_;
  std::array<std::deque<BatchPtr>, proto::kLanes> queue_;  // decode first
  /// Rows of each router that are queued or being computed; its batches count down.
  std::map<PeerId, std::shared_ptr<std::int64_t>> under_way_;
  std::size_t jobs_open_ = 0;
  model::MemoryMark memory_;            // of the jobs
  std::multiset<TimePoint> computing_;  // when they arrived
  std::uint64_t newest_term_ = 0;
  std::uint64_t newest_epoch_ = 0;
  ExpertStatus counts_;
};

}  // namespace troupe::actors
