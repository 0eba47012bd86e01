// The fixed part of each frame's body, as it lies after the header. Internal to proto/frames.
//
// Little-endian; every `reserved` is 0; counts announce the sections that follow in the order of
// proto/frames/sections.hpp.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "proto/frames/header.hpp"

namespace troupe::proto::layout {

struct Hello {
  std::uint16_t role, protocol_min, protocol_max, reserved;
  std::uint32_t index, decode_rows, prefill_rows, reserved2;
  std::array<std::byte, kJoinTokenBytes> join_token;
};
static_assert(sizeof(Hello) == 56 && offsetof(Hello, index) == 8);
static_assert(offsetof(Hello, join_token) == 24);

struct Goodbye {
  std::uint16_t error, detail_bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(Goodbye) == 8);

struct Submit {
  std::uint64_t seed;
  float temperature, top_p, min_p, frequency_penalty, presence_penalty, repetition_penalty;
  std::int32_t top_k;
  std::uint32_t choice;
  std::int32_t priority;
  std::uint32_t max_tokens, min_tokens, valid_vocab, flags;
  std::int32_t logprobs;
  std::uint32_t prompt_tokens, token_count, logit_bias_count;
  std::uint16_t stop_count, request_id_bytes;
  std::uint64_t tenant, cache_salt;
  std::uint32_t choices;
  std::int32_t prompt_logprobs;
  std::uint16_t grammar_kind, bad_word_count;
  std::uint32_t grammar_bytes;
  std::int32_t grammar_after;
  std::uint32_t allowed_count;
};
static_assert(sizeof(Submit) == 120 && offsetof(Submit, temperature) == 8);
static_assert(offsetof(Submit, top_k) == 32 && offsetof(Submit, max_tokens) == 44);
static_assert(offsetof(Submit, logprobs) == 60 && offsetof(Submit, token_count) == 68);
static_assert(offsetof(Submit, stop_count) == 76 && offsetof(Submit, tenant) == 80);
static_assert(offsetof(Submit, choices) == 96 && offsetof(Submit, grammar_kind) == 104);
static_assert(offsetof(Submit, grammar_bytes) == 108 && offsetof(Submit, grammar_after) == 112);

struct Cancel {
  std::uint16_t error, reserved;
  std::uint32_t reserved2;
};
static_assert(sizeof(Cancel) == 8);

struct Lease {
  std::uint64_t duration_us;
  std::uint32_t count, open_tokens;
};
static_assert(sizeof(Lease) == 16 && offsetof(Lease, count) == 8);

struct Tokens {
  std::uint32_t count;
  std::uint16_t top_count, finish, error, detail_bytes;
  std::uint32_t cached_tokens, prompt_done, reserved;
  std::uint64_t queue_us;
};
static_assert(sizeof(Tokens) == 32 && offsetof(Tokens, top_count) == 4);
static_assert(offsetof(Tokens, finish) == 6 && offsetof(Tokens, cached_tokens) == 12);
static_assert(offsetof(Tokens, prompt_done) == 16 && offsetof(Tokens, queue_us) == 24);

struct PromptLogprobs {
  std::uint32_t first_position, count;
  std::uint16_t top_count, rank_count;
};
static_assert(sizeof(PromptLogprobs) == 12 && offsetof(PromptLogprobs, top_count) == 8);

/// The same for Rows and Combined.
struct Rows {
  std::uint32_t micro_batch, rows, width;
  std::uint16_t dtype, reserved;
};
static_assert(sizeof(Rows) == 16 && offsetof(Rows, dtype) == 12);

struct ExpertRows {
  std::uint32_t micro_batch, rows, width;
  std::uint16_t dtype, reserved;
  std::uint32_t pairs, reserved2;
};
static_assert(sizeof(ExpertRows) == 24 && offsetof(ExpertRows, pairs) == 16);

struct ExpertReply {
  std::uint64_t newest_term, newest_epoch;
  std::uint32_t micro_batch, rows, width;
  std::uint16_t dtype, reserved;
  std::uint32_t pairs, reserved2;
};
static_assert(sizeof(ExpertReply) == 40 && offsetof(ExpertReply, rows) == 20);
static_assert(offsetof(ExpertReply, dtype) == 28 && offsetof(ExpertReply, pairs) == 32);

struct Logits {
  std::uint32_t rows, vocab, source, reserved;
};
static_assert(sizeof(Logits) == 16 && offsetof(Logits, source) == 8);

struct Failed {
  std::uint16_t error, detail_bytes;
  std::uint32_t retry_after_ms;
};
static_assert(sizeof(Failed) == 8 && offsetof(Failed, retry_after_ms) == 4);

}  // namespace troupe::proto::layout
