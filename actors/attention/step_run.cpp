// The stages of a step.
#include "actors/attention/step_run.hpp"

#include <algorithm>

#include "actors/row_codec.hpp"

namespace troupe::actors {
namespace {

/// Logits of one head job: 64 MiB keep 129 rows of 129,280 ids together, so that a decode step of
/// many sequences streams the head's weights once.
constexpr std::int64_t kHeadBytesMax = 64 << 20;

}  // namespace

StepRun::StepRun(StepTools tools, StepPlan plan)
    : tools_(tools),
      plan_(std::move(plan)),
      state_(*tools.state),
      layers_(tools.model->config().num_layers),
      outcomes_(plan_.parts.size()) {
  state_.batch = std::move(plan_.batch);
  for (const auto& part : plan_.parts)
    if (part.rows == 1 && part.samples) lane_ = proto::Lane::decode;
  list_heads();
}

void StepRun::list_heads() {
  for (std::size_t p = 0; p < plan_.parts.size(); ++p) {
    const auto& part = plan_.parts[p];
    const auto& asked = part.sequence->asked;
    for (std::int64_t i = 0; i < part.rows; ++i) {
      HeadRow head{part.first_row + i, p, 0, part.samples && i == part.rows - 1};
      if (asked.prompt_logits && part.first_position + i < asked.prompt_tokens)
        head.source |= proto::kPromptLogits;
      if (asked.generated_logits && head.samples) head.source |= proto::kGeneratedLogits;
      if (head.samples || head.source != 0) heads_.push_back(head);
    }
  }
}

void StepRun::advance() {
  const auto& model = *tools_.model;
  if (layer_ < 0) {
    model.embed(state_);
    layer_ = 0;
  } else {
    take_in_answers();
    model.finish_moe(state_);
    ++layer_;
  }
  for (; layer_ < layers_; ++layer_) {
    model.attention(layer_, state_, *tools_.pool);
    if (model.config().is_moe(static_cast<int>(layer_))) return pack();
    model.dense_ffn(layer_, state_);
  }
}

void StepRun::pack() {
  const auto rows = state_.batch.rows();
  const auto width = tools_.model->config().hidden_size;
  const auto dtype = wire_dtype(tools_.model->numerics().row_dtype());
  const auto bytes = static_cast<std::size_t>(rows) *
                     proto::row_block_bytes(1, static_cast<std::uint32_t>(width), dtype);
  packed_ = std::make_shared<transport::Buffer>(tools_.buffers->take(bytes));
  pack_rows(*tools_.engine.table, state_.u.data(), rows, width, dtype, packed_->data());
}

void StepRun::take_in_answers() {
  const auto width = tools_.model->config().hidden_size;
  // Rows of failed parts get no answer; what is computed from their zeros is never used.
  state_.combined.assign(static_cast<std::size_t>(state_.batch.rows() * width), 0.0f);
  for (const auto& answer : answers_) {
    const auto& rows = std::get<proto::Combined>(answer.frame->body).rows;
    unpack_rows(*tools_.engine.table, rows, 0, answer.range.rows,
                state_.combined.data() + answer.range.first_row * width);
  }
  answers_.clear();
  packed_.reset();
}

std::vector<RowRange> StepRun::live_ranges() const {
  std::vector<RowRange> ranges;
  for (std::size_t p = 0; p < plan_.parts.size(); ++p) {
    const auto& part = plan_.parts[p];
    if (outcomes_[p].error) continue;
    if (!ranges.empty() && ranges.back().first_row + ranges.back().rows == part.first_row)
      ranges.back().rows += part.rows;
    else
      ranges.push_back({part.first_row, part.rows});
  }
  return ranges;
}

void StepRun::fail(RowRange range, const Error& error) {
  for (std::size_t p = 0; p < plan_.parts.size(); ++p) {
    const auto& part = plan_.parts[p];
    const bool touches = part.first_row < range.first_row + range.rows &&
                         range.first_row < part.first_row + part.rows;
    if (touches && !outcomes_[p].error) outcomes_[p].error = error;
  }
}

bool StepRun::all_failed() const {
  return std::all_of(outcomes_.begin(), outcomes_.end(),
                     [](const PartOutcome& outcome) { return outcome.error.has_value(); });
}

void StepRun::head() {
  const std::int64_t vocab = tools_.model->config().vocab_size;
  const auto block = std::max<std::int64_t>(1, kHeadBytesMax / (4 * vocab));
  const auto count =
      std::min<std::size_t>(static_cast<std::size_t>(block), heads_.size() - heads_done_);
  const auto rows = std::span<const HeadRow>(heads_).subspan(heads_done_, count);
  heads_done_ += count;
  std::vector<std::int64_t> indices;
  for (const auto& row : rows) indices.push_back(row.row);
  auto logits = std::make_shared<std::vector<float>>(count * static_cast<std::size_t>(vocab));
  tools_.model->logits(state_, indices, logits->data());
  const auto began = Clock::now();
  sample_rows(rows, logits->data());
  sampling_time_ += Clock::now() - began;
  keep_logits(rows, std::move(logits));
}

void StepRun::sample_rows(std::span<const HeadRow> rows, const float* logits) {
  const auto vocab = static_cast<std::size_t>(tools_.model->config().vocab_size);
  const auto draw = [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      if (!rows[i].samples || outcomes_[rows[i].part].error) continue;
      const auto& asked = plan_.parts[rows[i].part].sequence->asked;
      const std::span<const std::int32_t> tokens(asked.tokens);
      const auto prompt = static_cast<std::size_t>(asked.prompt_tokens);
      const model::SampleContext context{
          tokens.first(prompt), tokens.subspan(prompt), static_cast<std::int64_t>(tokens.size()),
          asked.valid_vocab > 0 ? asked.valid_vocab : static_cast<std::int64_t>(vocab)};
      auto& outcome = outcomes_[rows[i].part];
      const auto drawn =
          model::sample(*tools_.engine.table, {logits + i * vocab, vocab}, asked.sampling, context);
      if (drawn)
        outcome.sample = *drawn;
      else
        outcome.error = drawn.error();
    }
  };
  tools_.engine.pool->parallel_for(static_cast<std::int64_t>(rows.size()), 1, draw);
}

void StepRun::keep_logits(std::span<const HeadRow> rows,
                          std::shared_ptr<std::vector<float>> logits) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    if (row.source == 0 || outcomes_[row.part].error) continue;
    const auto& part = plan_.parts[row.part];
    const auto position =
        static_cast<std::uint32_t>(part.first_position + row.row - part.first_row);
    const auto index = static_cast<std::int64_t>(i);
    const bool joins =
        !logits_.empty() && logits_.back().sequence == part.sequence &&
        logits_.back().rows == logits && logits_.back().source == row.source &&
        logits_.back().positions.size() < proto::kRowsMax &&
        logits_.back().first_row + static_cast<std::int64_t>(logits_.back().positions.size()) ==
            index;
    if (!joins) logits_.push_back({part.sequence, row.source, {}, logits, index});
    logits_.back().positions.push_back(position);
  }
}

}  // namespace troupe::actors
