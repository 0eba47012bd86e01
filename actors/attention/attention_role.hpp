// The attention shard: takes requests, schedules steps, runs them, sends tokens. No CAF here.
//
// What it does when a peer disappears:
//  - a router: its open work items go to another router as the next attempt (row_exchange.hpp);
//    without one the rows wait for a hop budget, then their requests fail with `unavailable`.
//  - an expert shard: the router's business; rows of an expert that nobody holds are asked again
//    for uncovered_budget (row_exchange.hpp).
//    What then cannot be computed comes back as Failed and ends the requests that had rows in that
//    work item, no others.
//  - a gateway (lost, or silent past its lease): its sequences are removed and their pages freed.
//  - itself: the gateways replay its requests elsewhere.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "actors/attention/batch_scheduler.hpp"
#include "actors/attention/grammar_desk.hpp"
#include "actors/attention/micro_batches.hpp"
#include "actors/attention/prompt_pace.hpp"
#include "actors/attention/row_exchange.hpp"
#include "actors/attention/step_run.hpp"
#include "actors/role.hpp"
#include "core/histogram.hpp"
#include "model/attention_model.hpp"

namespace troupe::actors {

struct AttentionSettings {
  BatchScheduler::Settings batch;  // positions_max and vocab_size are taken from the model
  std::int64_t kv_pages_max = 0;
  std::chrono::milliseconds hop_budget{2000};
  std::chrono::milliseconds uncovered_budget{5000};
  std::uint32_t attempts_max = 3;
  std::int64_t frame_rows_max = proto::kRowsMax;
  MicroBatching micro_batches = MicroBatching::never;
  std::chrono::milliseconds prompt_budget{0};   // of a step in which others decode; 0: all of it
  std::filesystem::path tokenizer_directory{};  // for grammars; empty: they are refused
};

/// Where the time of steps goes.
struct StageSeconds {
  double attention = 0;  // embedding, attention and dense layers
  double shared_expert = 0;
  double wait_experts = 0;  // with nothing else to compute, the other micro-batch included
  double head = 0;
  double sample = 0;
};

/// Counted apart for steps with prompt rows and for those that only decode.
struct StepCounts {
  Histogram step_seconds{kLatencyBounds};
  Histogram batch_tokens{kBatchBounds};
};

struct AttentionStatus {
  std::int64_t running = 0;
  std::int64_t waiting = 0;
  std::int64_t kv_pages_used = 0;    // by sequences
  std::int64_t kv_pages_cached = 0;  // kept for prompts that begin alike, used by none now
  std::int64_t kv_pages_max = 0;
  std::int64_t preemptions_total = 0;
  std::int64_t cached_tokens_total = 0;  // of prompts, not computed again
  std::int64_t steps_total = 0;
  std::int64_t cut_steps_total = 0;  // as two micro-batches
  std::int64_t rows_total = 0;
  std::int64_t work_items_resent_total = 0;
  std::int64_t stale_frames_total = 0;
  StageSeconds stage_seconds_total{};
  StepCounts prefill{};
  StepCounts decode{};
};

class AttentionRole : public Role {
 public:
  AttentionRole(const RoleContext& context, AttentionSettings settings,
                std::shared_ptr<const model::AttentionModel> model);
  ~AttentionRole() override { stop(); }
  AttentionStatus status() const;

 private:
  /// A step or half of one, from its rows to its last token. Its buffers are used again.
  struct MicroBatch {
    explicit MicroBatch(RowExchange own) : exchange(std::move(own)) {}
    RowExchange exchange;
    model::StepState state{};
    std::unique_ptr<StepRun> run{};  // of the open step
    bool job_open = false;           // a stage is being computed
    bool rows_out = false;           // its rows are with the routers
    bool heads_left = false;         // its next stage is a block of the head
    bool finished = false;
    double head_seconds = 0;  // sampling included
  };
  /// What is open of the scheduler's.
  struct OpenStep {
    StepSize size;
    std::int64_t decode_rows = 0;
    StepCounts* counts = nullptr;  // of its phase
    TimePoint began{};
    double waited = 0;  // for experts, seconds
    bool cut = false;
    bool disturbed = false;  // failed, or waited for a gateway: says nothing of what rows take
  };

  void on_joined(PeerId peer) override;
  void on_frame(PeerId peer, transport::ReceivedFrame&& frame) override;
  void on_lost(PeerId peer, const Error& why) override;
  bool work() override;
  std::optional<TimePoint> role_deadline() const override;
  RoleLoad load() const override;

  void admit(PeerId gateway, const transport::ReceivedFrame& frame);
  void compile_grammar(const proto::FrameHeader& asked, SequenceRequest request);
  void admit(const proto::FrameHeader& asked, SequenceRequest request);
  void refuse(const proto::FrameHeader& asked, GatewayIndex gateway, const Error& error);
  void withdraw_all(PeerId gateway);
  void renew(PeerId gateway, const transport::ReceivedFrame& frame);
  bool expire_leases();
  std::uint32_t open_tokens() const;
  RowExchange& exchange_of(const proto::FrameHeader& reply);
  void start_step();
  void begin(MicroBatch& batch, StepPlan plan);
  void post_stage(MicroBatch& batch, double& seconds, std::function<void()> stage,
                  std::function<void()> done);
  void give_up(MicroBatch& batch, const Error& why);
  void watch_idleness();
  void advance(MicroBatch& batch);
  void exchange_rows(MicroBatch& batch);
  bool try_continue(MicroBatch& batch);
  void head(MicroBatch& batch);
  void finish(MicroBatch& batch);
  void finish_step();
  void send_logits(StepRun& run);
  void send_scores(StepRun& run);
  void send_events();
  void send_tokens(const SequenceEvent& event);
  bool gateways_take_frames() const;

  AttentionSettings settings_;
  std::shared_ptr<const model::AttentionModel> model_;
  model::KvPool pool_;
  BatchScheduler scheduler_;
  PromptPace pace_;
  GrammarDesk grammars_;
  std::vector<std::unique_ptr<MicroBatch>> batches_;  // one, or two where steps may be cut
  MicroBatchChoice choice_;
  std::optional<OpenStep> step_;
  std::map<PeerId, TimePoint> leases_;
  std::int64_t steps_total_ = 0;
  std::int64_t cut_steps_total_ = 0;
  std::int64_t rows_total_ = 0;
  StageSeconds stage_seconds_;
  StepCounts prefill_;
  StepCounts decode_;
  std::optional<TimePoint> idle_since_;  // rows are out and nothing is computed
};

}  // namespace troupe::actors
