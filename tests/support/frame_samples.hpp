// One small frame of every kind, with every field different from its default.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "proto/frames/codec.hpp"

namespace troupe::testing {

inline proto::FrameHeader sample_header() {
  proto::FrameHeader header;
  header.lane = static_cast<std::uint16_t>(proto::Lane::prefill);
  header.cluster_id = 0x0102030405060708;
  header.numerics_id = 0x1112131415161718;
  header.sender_incarnation = 0x2122232425262728;
  header.work_id = 0x3132333435363738;
  header.attempt = 0x41424344;
  header.layer = 3;
  header.term = 5;
  header.epoch = 0x7172737475767778;
  header.remaining_us = 2000000;
  return header;
}

template <class X>
std::vector<std::byte> encoded(const X& x, const proto::FrameHeader& header = sample_header()) {
  std::vector<std::byte> bytes(proto::encoded_bytes(x));
  proto::encode(header, x, bytes);
  return bytes;
}

/// Owns what the sample bodies look at.
struct FrameSamples {
  std::vector<std::int32_t> token_ids{0, 17, 128799};
  std::vector<proto::LogitBias> biases{{5, -1.5f}, {6, 100.0f}};
  std::vector<std::int32_t> stop_ids{1};
  std::vector<std::int32_t> allowed_ids{3, 5, 8};
  std::vector<std::int32_t> bad_words{6, 7, -1};
  std::vector<std::uint64_t> work_ids{7, 0x8182838485868788};
  std::vector<proto::TokenEntry> entries{{40, 9, -0.5f}, {41, 10, -2.0f}};
  std::vector<proto::TokenLogprob> top{{9, -0.5f}, {8, -1.0f}, {10, -2.0f}, {11, -3.0f}};
  std::vector<std::uint32_t> ranks{1, 129280};
  std::vector<std::uint32_t> positions{2, 3};
  std::vector<proto::ExpertPair> pairs{{1, 4}, {0, 9}, {1, 9}};
  std::vector<proto::ReplyPair> reply_pairs{{1, 4, 0, 0}, {0, 9, 1, 0}, {1, 9, 2, 0}};
  std::vector<std::byte> row_bytes;

  FrameSamples() {
    for (int i = 0; i < 64; ++i) row_bytes.push_back(static_cast<std::byte>(0xa0 + i));
  }
  proto::RowBlock rows(std::uint32_t rows, std::uint32_t width, proto::WireDtype dtype) const {
    const std::size_t bytes = proto::row_block_bytes(rows, width, dtype);
    return {rows, width, dtype, std::span(row_bytes).first(bytes)};
  }

  proto::Hello hello() const {
    proto::Hello x;
    x.role = proto::Role::expert;
    x.index = 2;
    x.decode_rows = 512;
    x.prefill_rows = 1024;
    for (std::size_t i = 0; i < 32; ++i) x.join_token[i] = static_cast<std::byte>(i + 1);
    return x;
  }
  proto::HelloAck hello_ack() const { return {hello()}; }
  proto::Goodbye goodbye() const { return {11, "draining"}; }
  proto::Submit submit() const {
    proto::Submit x;
    x.request_id = "req-7";
    x.token_ids = token_ids;
    x.prompt_tokens = 2;
    x.sampling.seed = 0x9192939495969798;
    x.sampling.temperature = 0.5f;
    x.sampling.top_p = 0.75f;
    x.sampling.min_p = 0.125f;
    x.sampling.frequency_penalty = 0.25f;
    x.sampling.presence_penalty = -0.25f;
    x.sampling.repetition_penalty = 1.5f;
    x.sampling.top_k = 40;
    x.sampling.choice = 1;
    x.sampling.logit_bias = biases;
    x.max_tokens = 100;
    x.min_tokens = 2;
    x.valid_vocab = 128815;
    x.logprobs = 5;
    x.priority = -1;
    x.flags = proto::kWantPromptLogits | proto::kIgnoreEos;
    x.stop_ids = stop_ids;
    x.tenant = 0xa1a2a3a4a5a6a7a8;
    x.cache_salt = 0xb1b2b3b4b5b6b7b8;
    x.choices = 4;
    x.prompt_logprobs = 3;
    x.grammar = proto::GrammarKind::regex;
    x.grammar_text = "[0-9]+";
    x.grammar_after = 128799;
    return x;
  }
  /// With what senders of before had no words for.
  proto::Submit bounded_submit() const {
    proto::Submit x = submit();
    x.allowed_ids = allowed_ids;
    x.bad_words = bad_words;
    return x;
  }
  proto::Cancel cancel() const { return {10}; }
  proto::Lease lease() const { return {3000000, work_ids, 5000}; }
  proto::Tokens tokens() const {
    return {entries, 2, top, 64, 96, proto::Finish::error, 9, "too late", 1500};
  }
  proto::Rows rows_frame() const { return {6, rows(2, 4, proto::WireDtype::bf16)}; }
  proto::ExpertRows expert_rows() const {
    return {6, pairs, rows(2, 5, proto::WireDtype::e4m3_block128)};
  }
  proto::ExpertReply expert_reply() const {
    return {6, 7, 8, reply_pairs, rows(1, 4, proto::WireDtype::f32)};
  }
  proto::Combined combined() const { return {6, rows(2, 4, proto::WireDtype::f32)}; }
  proto::Logits logits() const {
    return {proto::kPromptLogits | proto::kGeneratedLogits, 4, positions,
            std::span(row_bytes).first(32)};
  }
  proto::Failed failed() const { return {8, 250, "queue full"}; }
  proto::PromptLogprobs prompt_logprobs() const {
    return {17, 2, std::span(top).first(2), top, {}};
  }
  /// For gateways that asked for ranks.
  proto::PromptLogprobs ranked_prompt_logprobs() const {
    proto::PromptLogprobs x = prompt_logprobs();
    x.ranks = ranks;
    return x;
  }

  /// Calls `visit(name, body)` for one body of each kind, in the order of FrameKind.
  template <class Visit>
  void for_each(Visit visit) const {
    visit("hello", hello());
    visit("hello_ack", hello_ack());
    visit("goodbye", goodbye());
    visit("submit", submit());
    visit("cancel", cancel());
    visit("lease", lease());
    visit("tokens", tokens());
    visit("rows", rows_frame());
    visit("expert_rows", expert_rows());
    visit("expert_reply", expert_reply());
    visit("combined", combined());
    visit("logits", logits());
    visit("failed", failed());
    visit("prompt_logprobs", prompt_logprobs());
  }
};

struct EncodedSample {
  std::string name;
  std::vector<std::byte> bytes;
};

inline std::vector<EncodedSample> encoded_samples() {
  std::vector<EncodedSample> samples;
  FrameSamples().for_each([&](const char* name, const auto& body) {
    samples.push_back({name, encoded(body)});
  });
  return samples;
}

}  // namespace troupe::testing
