// One step of an attention shard from embedding to sampled tokens: what its compute jobs do.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actors/attention/batch_scheduler.hpp"
#include "actors/attention/row_exchange.hpp"
#include "model/attention_model.hpp"

namespace troupe::actors {

/// What the computations of a step need besides its own state.
struct StepTools {
  const model::AttentionModel* model = nullptr;
  const model::KvPool* pool = nullptr;
  kernels::Engine engine;
  transport::BufferPool* buffers = nullptr;
  model::StepState* state = nullptr;  // its buffers are used again from step to step
};

/// Stages, in order: `advance` until it stops at a MoE layer; there the packed rows go out and
/// `shared` runs, then the answers come in and `advance` goes on; after the last layer `head` for
/// each block of rows that need logits.
/// *Threading*: one stage at a time; the stages run in compute jobs, everything else on the loop
/// between them.
class StepRun {
 public:
  StepRun(StepTools tools, StepPlan plan);

  // --- compute jobs ---
  /// Embeds or takes in the answers, then computes up to the next MoE layer, whose normed rows it
  /// packs, or to the end.
  void advance();
  void shared() { tools_.model->shared_expert(layer_, state_); }
  /// Logits, samples and Logits frames of the next block of head rows.
  void head();

  // --- the loop ---
  bool at_moe_layer() const { return layer_ < layers_; }
  std::int32_t layer() const { return static_cast<std::int32_t>(layer_); }
  RowExchange::Packed packed() const { return packed_; }
  /// Rows of parts that have not failed, joined where they touch.
  std::vector<RowRange> live_ranges() const;
  proto::Lane lane() const { return lane_; }
  void take_answers(std::vector<RowExchange::Answer> answers) { answers_ = std::move(answers); }
  /// Fails every part that has rows in `range`.
  void fail(RowRange range, const Error& error);
  void fail_all(const Error& error);
  bool all_failed() const;
  /// Of all head jobs so far.
  Clock::duration sampling_time() const { return sampling_time_; }
  bool head_finished() const { return heads_done_ == heads_.size(); }

  /// A Logits frame ready to be sent: which part, and the frame's body and bytes.
  struct LogitsBlock {
    const Sequence* sequence = nullptr;
    std::uint32_t source = 0;
    std::vector<std::uint32_t> positions;
    std::shared_ptr<std::vector<float>> rows;  // shared by the blocks of one head job
    std::int64_t first_row = 0;                // in `rows`
  };
  /// Logprobs of consecutive prompt positions, at most kTokensMax.
  struct ScoreBlock {
    const Sequence* sequence = nullptr;
    std::int64_t first_position = 0;
    std::vector<model::Sample> scores;
  };
  std::vector<ScoreBlock> take_scores() { return std::exchange(scores_, {}); }
  std::vector<LogitsBlock> take_logits() { return std::exchange(logits_, {}); }
  std::span<const PartOutcome> outcomes() const { return outcomes_; }

 private:
  struct HeadRow {
    std::int64_t row = 0;  // of the step
    std::int64_t position = 0;
    std::size_t part = 0;
    std::uint32_t source = 0;  // LogitsSource bits to be sent
    bool samples = false;
    bool scores = false;  // it judges the prompt's next token; such a row draws none
  };
  void list_heads();
  void last_attention();
  void take_in_answers();
  void claim_rows() const;
  void pack();
  void use_rows(std::span<const HeadRow> rows, const float* logits);
  /// What a row says: a token drawn, a token judged, or that the grammar has ended.
  struct Verdict {
    std::optional<model::Sample> sample;
    bool ends = false;
  };
  Expected<Verdict> draw(const HeadRow& row, std::span<const float> logits) const;
  Expected<Verdict> draw_within(model::GrammarState& grammar, const HeadRow& row,
                                std::span<const float> logits) const;
  Expected<model::Sample> sample(const HeadRow& row, std::span<const float> logits,
                                 std::span<const std::uint64_t> allowed) const;
  Expected<Verdict> judge(const HeadRow& row, std::span<const float> logits) const;
  void keep_score(const HeadRow& row, model::Sample score);
  std::int64_t valid_vocab(const SequenceRequest& asked) const;
  void keep_logits(std::span<const HeadRow> rows, std::shared_ptr<std::vector<float>> logits);

  StepTools tools_;
  StepPlan plan_;
  model::StepState& state_;
  std::int64_t layers_;
  std::int64_t layer_ = -1;  // -1: nothing computed yet
  proto::Lane lane_ = proto::Lane::prefill;
  RowExchange::Packed packed_;
  std::vector<RowExchange::Answer> answers_;
  std::vector<PartOutcome> outcomes_;  // [parts]
  std::vector<RowRange> ranges_;       // [parts] their rows of the step; none once it needs none
  std::vector<HeadRow> heads_;         // by row
  std::size_t heads_done_ = 0;
  std::vector<LogitsBlock> logits_;
  std::vector<ScoreBlock> scores_;
  Clock::duration sampling_time_{};
};

}  // namespace troupe::actors
