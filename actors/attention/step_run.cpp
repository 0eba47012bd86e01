// The stages of a step.
#include "actors/attention/step_run.hpp"

#include <algorithm>
#include <string>

#include "actors/row_codec.hpp"
#include "model/memory_bounds.hpp"

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
  for (const auto& part : plan_.parts) {
    if (part.rows == 1 && part.samples) lane_ = proto::Lane::decode;
    ranges_.push_back({part.first_row, part.rows});
  }
  list_heads();
}

void StepRun::list_heads() {
  for (std::size_t p = 0; p < plan_.parts.size(); ++p) {
    const auto& part = plan_.parts[p];
    const auto& asked = part.sequence->asked;
    for (std::int64_t i = 0; i < part.rows; ++i) {
      const auto position = part.first_position + i;
      HeadRow head{part.first_row + i, position, p, 0, part.samples && i == part.rows - 1, false};
      const bool owed = position >= part.reported;  // not before it was preempted
      if (owed && asked.prompt_logits && position < asked.prompt_tokens)
        head.source |= proto::kPromptLogits;
      if (asked.generated_logits && head.samples) head.source |= proto::kGeneratedLogits;
      head.scores = owed && asked.prompt_logprobs && position + 1 < asked.prompt_tokens;
      if (head.samples || head.scores || head.source != 0) heads_.push_back(head);
    }
  }
}

void StepRun::advance() {
  const auto& model = *tools_.model;
  if (layer_ < 0) {
    claim_rows();
    model.embed(state_);
    layer_ = 0;
  } else {
    take_in_answers();
    model.finish_moe(state_);
    ++layer_;
  }
  for (; layer_ < layers_; ++layer_) {
    if (layer_ + 1 == layers_)
      last_attention();
    else
      model.attention(layer_, state_, *tools_.pool);
    if (state_.batch.rows() == 0) continue;
    if (model.config().is_moe(static_cast<int>(layer_))) return pack();
    model.dense_ffn(layer_, state_);
  }
}

/// Behind the last layer's cache entries nothing is used but the rows of heads: of a prompt the
/// last one, and of a chunk before its end none at all.
void StepRun::last_attention() {
  std::erase_if(heads_,
                [&](const HeadRow& head) { return outcomes_[head.part].error.has_value(); });
  std::vector<std::int64_t> rows;
  ranges_.assign(plan_.parts.size(), {});
  for (auto& head : heads_) {
    rows.push_back(head.row);
    head.row = std::ssize(rows) - 1;
    auto& range = ranges_[head.part];
    if (range.rows++ == 0) range.first_row = head.row;
  }
  tools_.model->attention_of(rows, layer_, state_, *tools_.pool);
}

/// Before more rows than ever take memory piece by piece until there is none at all.
void StepRun::claim_rows() const {
  constexpr std::size_t kBuffers = 4;  // StepState's own
  const auto width = tools_.model->config().hidden_size;
  const auto rows = state_.batch.rows();
  if (rows > state_.rows_fitted)
    model::claim_memory(kBuffers * sizeof(float) * static_cast<std::size_t>(rows * width));
}

void StepRun::pack() {
  const auto rows = state_.batch.rows();
  const auto width = tools_.model->config().hidden_size;
  const auto dtype = wire_dtype(tools_.model->numerics().row_dtype());
  const auto bytes = static_cast<std::size_t>(rows) *
                     proto::row_block_bytes(1, static_cast<std::uint32_t>(width), dtype);
  packed_ = std::make_shared<transport::Buffer>(tools_.buffers->take(bytes));
  // For the answers: the loop takes them in.
  if (rows > state_.rows_fitted) model::claim_memory(bytes);
  state_.rows_fitted = std::max(state_.rows_fitted, rows);
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
    const auto& part = ranges_[p];
    if (outcomes_[p].error || part.rows == 0) continue;
    if (!ranges.empty() && ranges.back().first_row + ranges.back().rows == part.first_row)
      ranges.back().rows += part.rows;
    else
      ranges.push_back(part);
  }
  return ranges;
}

void StepRun::fail(RowRange range, const Error& error) {
  for (std::size_t p = 0; p < plan_.parts.size(); ++p) {
    const auto& part = ranges_[p];
    const bool touches = part.rows > 0 && part.first_row < range.first_row + range.rows &&
                         range.first_row < part.first_row + part.rows;
    if (touches && !outcomes_[p].error) outcomes_[p].error = error;
  }
}

void StepRun::fail_all(const Error& error) {
  for (auto& outcome : outcomes_)
    if (!outcome.error) outcome.error = error;
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
  const auto bytes = count * static_cast<std::size_t>(vocab) * sizeof(float);
  if (bytes >= model::kLeftBySteps) model::claim_memory(bytes);  // of a few rows it is no matter
  auto logits = std::make_shared<std::vector<float>>(count * static_cast<std::size_t>(vocab));
  tools_.model->logits(state_, indices, logits->data());
  const auto began = Clock::now();
  use_rows(rows, logits->data());
  sampling_time_ += Clock::now() - began;
  keep_logits(rows, std::move(logits));
}

Expected<model::Sample> StepRun::sample(const HeadRow& row, std::span<const float> logits,
                                        std::span<const std::uint64_t> allowed) const {
  const auto& asked = plan_.parts[row.part].sequence->asked;
  const std::span<const std::int32_t> tokens(asked.tokens);
  const auto prompt = static_cast<std::size_t>(asked.prompt_tokens);
  const model::SampleContext context{.prompt = tokens.first(prompt),
                                     .generated = tokens.subspan(prompt),
                                     .position = static_cast<std::int64_t>(tokens.size()),
                                     .valid_vocab = valid_vocab(asked),
                                     .allowed = allowed};
  return model::sample(*tools_.engine.table, logits, asked.sampling, context);
}

Expected<StepRun::Verdict> StepRun::draw(const HeadRow& row, std::span<const float> logits) const {
  const auto& asked = plan_.parts[row.part].sequence->asked;
  if (asked.grammar_state) return draw_within(*asked.grammar_state, row, logits);
  auto drawn = sample(row, logits, {});
  if (!drawn) return unexpected(std::move(drawn).error());
  return Verdict{*std::move(drawn)};
}

Expected<StepRun::Verdict> StepRun::draw_within(model::GrammarState& grammar, const HeadRow& row,
                                                std::span<const float> logits) const {
  const auto& stop_ids = plan_.parts[row.part].sequence->asked.sampling.stop_token_ids;
  if (grammar.ended() && stop_ids.empty()) return Verdict{std::nullopt, true};
  std::vector<std::uint64_t> allowed((logits.size() + 63) / 64);
  grammar.mask(allowed, stop_ids);
  auto drawn = sample(row, logits, allowed);
  if (!drawn) return unexpected(std::move(drawn).error());
  const bool stops = std::ranges::find(stop_ids, drawn->token) != stop_ids.end();
  if (!grammar.advance(drawn->token) && !stops)
    return unexpected(Errc::internal, "the grammar does not take token " +
                                          std::to_string(drawn->token) + ", which it allowed");
  return Verdict{*std::move(drawn), grammar.ended() && stop_ids.empty()};
}

Expected<StepRun::Verdict> StepRun::judge(const HeadRow& row, std::span<const float> logits) const {
  const auto& asked = plan_.parts[row.part].sequence->asked;
  const auto position = row.position + 1;
  auto judged = model::score(*tools_.engine.table, logits,
                             {.token = asked.tokens[static_cast<std::size_t>(position)],
                              .position = position,
                              .valid_vocab = valid_vocab(asked),
                              .top = *asked.prompt_logprobs});
  if (!judged) return unexpected(std::move(judged).error());
  return Verdict{*std::move(judged)};
}

std::int64_t StepRun::valid_vocab(const SequenceRequest& asked) const {
  return asked.valid_vocab > 0 ? asked.valid_vocab : tools_.model->config().vocab_size;
}

void StepRun::use_rows(std::span<const HeadRow> rows, const float* logits) {
  const auto vocab = static_cast<std::size_t>(tools_.model->config().vocab_size);
  std::vector<Expected<Verdict>> results(rows.size(), Verdict{});
  const auto use = [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      if (outcomes_[rows[i].part].error) continue;
      const std::span<const float> row(logits + i * vocab, vocab);
      if (rows[i].samples) results[i] = draw(rows[i], row);
      if (rows[i].scores) results[i] = judge(rows[i], row);
    }
  };
  tools_.engine.pool->parallel_for(static_cast<std::int64_t>(rows.size()), 1, use);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& outcome = outcomes_[rows[i].part];
    if (outcome.error || !(rows[i].samples || rows[i].scores)) continue;
    if (!results[i]) {
      outcome.error = std::move(results[i]).error();
    } else if (rows[i].samples) {
      outcome.ends = results[i]->ends;
      outcome.sample = std::move(results[i]->sample);
    } else {
      keep_score(rows[i], *std::move(results[i]->sample));
    }
  }
}

void StepRun::keep_score(const HeadRow& row, model::Sample score) {
  const auto& part = plan_.parts[row.part];
  const auto position = row.position + 1;
  const bool joins = !scores_.empty() && scores_.back().sequence == part.sequence &&
                     scores_.back().scores.size() < proto::kTokensMax;
  if (!joins) scores_.push_back({part.sequence, position, {}});
  scores_.back().scores.push_back(std::move(score));
}

void StepRun::keep_logits(std::span<const HeadRow> rows,
                          std::shared_ptr<std::vector<float>> logits) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    if (row.source == 0 || outcomes_[row.part].error) continue;
    const auto& part = plan_.parts[row.part];
    const auto position = static_cast<std::uint32_t>(row.position);
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
