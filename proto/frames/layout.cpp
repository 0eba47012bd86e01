// Bodies to their fixed parts and back.
#include "proto/frames/layout.hpp"

#include <cstdint>

#include "proto/frames/sections.hpp"

namespace troupe::proto::detail {
namespace {

std::uint32_t count32(std::size_t count) { return static_cast<std::uint32_t>(count); }
std::uint16_t count16(std::size_t count) { return static_cast<std::uint16_t>(count); }
std::uint16_t detail_bytes(std::string_view detail) { return count16(clip_detail(detail).size()); }

template <class F>
void set_rows(const RowBlock& rows, F& f) {
  f.rows = rows.rows;
  f.width = rows.width;
  f.dtype = static_cast<std::uint16_t>(rows.dtype);
}

template <class F>
RowBlock get_rows(const F& f) {
  return {f.rows, f.width, static_cast<WireDtype>(f.dtype), {}};
}

}  // namespace

layout::Hello to_layout(const Hello& x) {
  return {static_cast<std::uint16_t>(x.role),
          x.protocol_min,
          x.protocol_max,
          0,
          x.index,
          x.decode_rows,
          x.prefill_rows,
          0,
          x.join_token};
}
void from_layout(const layout::Hello& f, Hello& x) {
  x.role = static_cast<Role>(f.role);
  x.protocol_min = f.protocol_min;
  x.protocol_max = f.protocol_max;
  x.index = f.index;
  x.decode_rows = f.decode_rows;
  x.prefill_rows = f.prefill_rows;
  x.join_token = f.join_token;
}
bool reserved_is_zero(const layout::Hello& f) { return f.reserved == 0 && f.reserved2 == 0; }

layout::Goodbye to_layout(const Goodbye& x) { return {x.error, detail_bytes(x.detail), 0}; }
void from_layout(const layout::Goodbye& f, Goodbye& x) { x.error = f.error; }
bool reserved_is_zero(const layout::Goodbye& f) { return f.reserved == 0; }

layout::Submit to_layout(const Submit& x) {
  const Sampling& s = x.sampling;
  layout::Submit f{};
  f.seed = s.seed;
  f.temperature = s.temperature;
  f.top_p = s.top_p;
  f.min_p = s.min_p;
  f.frequency_penalty = s.frequency_penalty;
  f.presence_penalty = s.presence_penalty;
  f.repetition_penalty = s.repetition_penalty;
  f.top_k = s.top_k;
  f.choice = s.choice;
  f.priority = x.priority;
  f.max_tokens = x.max_tokens;
  f.min_tokens = x.min_tokens;
  f.valid_vocab = x.valid_vocab;
  f.flags = x.flags;
  f.logprobs = x.logprobs;
  f.prompt_tokens = x.prompt_tokens;
  f.token_count = count32(x.token_ids.size());
  f.logit_bias_count = count32(s.logit_bias.size());
  f.stop_count = count16(x.stop_ids.size());
  f.allowed_count = count32(x.allowed_ids.size());
  f.bad_word_count = count16(x.bad_words.size());
  f.request_id_bytes = count16(x.request_id.size());
  f.tenant = x.tenant;
  f.cache_salt = x.cache_salt;
  f.choices = x.choices;
  f.prompt_logprobs = x.prompt_logprobs;
  f.grammar_kind = static_cast<std::uint16_t>(x.grammar);
  f.grammar_bytes = count32(x.grammar_text.size());
  f.grammar_after = x.grammar_after;
  return f;
}
void from_layout(const layout::Submit& f, Submit& x) {
  Sampling& s = x.sampling;
  s.seed = f.seed;
  s.temperature = f.temperature;
  s.top_p = f.top_p;
  s.min_p = f.min_p;
  s.frequency_penalty = f.frequency_penalty;
  s.presence_penalty = f.presence_penalty;
  s.repetition_penalty = f.repetition_penalty;
  s.top_k = f.top_k;
  s.choice = f.choice;
  x.priority = f.priority;
  x.max_tokens = f.max_tokens;
  x.min_tokens = f.min_tokens;
  x.valid_vocab = f.valid_vocab;
  x.flags = f.flags;
  x.logprobs = f.logprobs;
  x.prompt_tokens = f.prompt_tokens;
  x.tenant = f.tenant;
  x.cache_salt = f.cache_salt;
  x.choices = f.choices;
  x.prompt_logprobs = f.prompt_logprobs;
  x.grammar = static_cast<GrammarKind>(f.grammar_kind);
  x.grammar_after = f.grammar_after;
}
bool reserved_is_zero(const layout::Submit&) { return true; }

layout::Cancel to_layout(const Cancel& x) { return {x.error, 0, 0}; }
void from_layout(const layout::Cancel& f, Cancel& x) { x.error = f.error; }
bool reserved_is_zero(const layout::Cancel& f) { return f.reserved == 0 && f.reserved2 == 0; }

layout::Lease to_layout(const Lease& x) {
  return {x.duration_us, count32(x.work_ids.size()), x.open_tokens};
}
void from_layout(const layout::Lease& f, Lease& x) {
  x.duration_us = f.duration_us;
  x.open_tokens = f.open_tokens;
}
bool reserved_is_zero(const layout::Lease&) { return true; }

layout::Tokens to_layout(const Tokens& x) {
  return {count32(x.entries.size()),
          x.top_count,
          static_cast<std::uint16_t>(x.finish),
          x.error,
          detail_bytes(x.detail),
          x.cached_tokens,
          x.prompt_done,
          0,
          x.queue_us};
}
void from_layout(const layout::Tokens& f, Tokens& x) {
  x.top_count = f.top_count;
  x.finish = static_cast<Finish>(f.finish);
  x.error = f.error;
  x.cached_tokens = f.cached_tokens;
  x.prompt_done = f.prompt_done;
  x.queue_us = f.queue_us;
}
bool reserved_is_zero(const layout::Tokens& f) { return f.reserved == 0; }

layout::PromptLogprobs to_layout(const PromptLogprobs& x) {
  return {x.first_position, count32(x.entries.size()), x.top_count, count16(x.ranks.size())};
}
void from_layout(const layout::PromptLogprobs& f, PromptLogprobs& x) {
  x.first_position = f.first_position;
  x.top_count = f.top_count;
}
bool reserved_is_zero(const layout::PromptLogprobs&) { return true; }

layout::Rows to_layout(const Rows& x) {
  layout::Rows f{};
  f.micro_batch = x.micro_batch;
  set_rows(x.rows, f);
  return f;
}
layout::Rows to_layout(const Combined& x) { return to_layout(Rows{x.micro_batch, x.rows}); }
void from_layout(const layout::Rows& f, Rows& x) { x = {f.micro_batch, get_rows(f)}; }
void from_layout(const layout::Rows& f, Combined& x) { x = {f.micro_batch, get_rows(f)}; }
bool reserved_is_zero(const layout::Rows& f) { return f.reserved == 0; }

layout::ExpertRows to_layout(const ExpertRows& x) {
  layout::ExpertRows f{};
  f.micro_batch = x.micro_batch;
  set_rows(x.rows, f);
  f.pairs = count32(x.pairs.size());
  return f;
}
void from_layout(const layout::ExpertRows& f, ExpertRows& x) {
  x.micro_batch = f.micro_batch;
  x.rows = get_rows(f);
}
bool reserved_is_zero(const layout::ExpertRows& f) { return f.reserved == 0 && f.reserved2 == 0; }

layout::ExpertReply to_layout(const ExpertReply& x) {
  layout::ExpertReply f{};
  f.newest_term = x.newest_term;
  f.newest_epoch = x.newest_epoch;
  f.micro_batch = x.micro_batch;
  set_rows(x.rows, f);
  f.pairs = count32(x.pairs.size());
  return f;
}
void from_layout(const layout::ExpertReply& f, ExpertReply& x) {
  x.micro_batch = f.micro_batch;
  x.newest_term = f.newest_term;
  x.newest_epoch = f.newest_epoch;
  x.rows = get_rows(f);
}
bool reserved_is_zero(const layout::ExpertReply& f) { return f.reserved == 0 && f.reserved2 == 0; }

layout::Logits to_layout(const Logits& x) {
  return {count32(x.positions.size()), x.vocab, x.source, 0};
}
void from_layout(const layout::Logits& f, Logits& x) {
  x.source = f.source;
  x.vocab = f.vocab;
}
bool reserved_is_zero(const layout::Logits& f) { return f.reserved == 0; }

layout::Failed to_layout(const Failed& x) {
  return {x.error, detail_bytes(x.detail), x.retry_after_ms};
}
void from_layout(const layout::Failed& f, Failed& x) {
  x.error = f.error;
  x.retry_after_ms = f.retry_after_ms;
}
bool reserved_is_zero(const layout::Failed&) { return true; }

}  // namespace troupe::proto::detail
