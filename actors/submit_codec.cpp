// Field by field between GenerateRequest, Submit and SequenceRequest.
#include "actors/submit_codec.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace troupe::actors {
namespace {

using Kind = model::GrammarSpec::Kind;

proto::GrammarKind wire_grammar(Kind kind) {
  switch (kind) {
    case Kind::none: return proto::GrammarKind::none;
    case Kind::json_object: return proto::GrammarKind::json_object;
    case Kind::json_schema: return proto::GrammarKind::json_schema;
    case Kind::regex: return proto::GrammarKind::regex;
    case Kind::tool_calls: return proto::GrammarKind::tool_calls;
  }
  return proto::GrammarKind::none;
}

Kind read_grammar(proto::GrammarKind kind) {
  switch (kind) {
    case proto::GrammarKind::none: return Kind::none;
    case proto::GrammarKind::json_object: return Kind::json_object;
    case proto::GrammarKind::json_schema: return Kind::json_schema;
    case proto::GrammarKind::regex: return Kind::regex;
    case proto::GrammarKind::tool_calls: return Kind::tool_calls;
  }
  return Kind::none;
}

constexpr std::int32_t kWordEnd = -1;

std::vector<std::int32_t> joined(const std::vector<std::vector<std::int32_t>>& words) {
  std::vector<std::int32_t> ids;
  for (const auto& word : words) {
    ids.insert(ids.end(), word.begin(), word.end());
    ids.push_back(kWordEnd);
  }
  return ids;
}

std::vector<std::vector<std::int32_t>> parted(const proto::PackedArray<std::int32_t>& ids) {
  std::vector<std::vector<std::int32_t>> words;
  bool begins = true;
  for (const std::int32_t id : ids) {
    if (std::exchange(begins, id == kWordEnd)) words.emplace_back();
    if (id != kWordEnd) words.back().push_back(id);
  }
  return words;
}

}  // namespace

SubmitBody::SubmitBody(const GenerateRequest& request, RequestId id,
                       std::span<const std::int32_t> tokens)
    : name_(std::to_string(id)),
      tokens_(tokens.begin(), tokens.end()),
      stop_ids_(request.sampling.stop_token_ids),
      allowed_ids_(request.sampling.allowed_token_ids),
      bad_words_(joined(request.sampling.bad_words)) {
  const auto& sampling = request.sampling;
  for (const auto& [token, bias] : sampling.logit_bias) bias_.push_back({token, bias});
  body_.request_id = name_;
  body_.token_ids = tokens_;
  body_.prompt_tokens = static_cast<std::uint32_t>(request.prompt.size());
  body_.sampling = {.seed = sampling.seed,
                    .temperature = sampling.temperature,
                    .top_p = sampling.top_p,
                    .min_p = sampling.min_p,
                    .frequency_penalty = sampling.frequency_penalty,
                    .presence_penalty = sampling.presence_penalty,
                    .repetition_penalty = sampling.repetition_penalty,
                    .top_k = std::max(sampling.top_k, 0),
                    .choice = sampling.choice,
                    .logit_bias = bias_};
  body_.max_tokens = static_cast<std::uint32_t>(sampling.max_tokens);
  body_.min_tokens = static_cast<std::uint32_t>(sampling.min_tokens);
  body_.valid_vocab = static_cast<std::uint32_t>(request.valid_vocab);
  body_.logprobs = sampling.top_logprobs;
  body_.prompt_logprobs = request.prompt_logprobs.value_or(-1);
  body_.tenant = request.tenant;
  body_.cache_salt = request.cache_salt;
  body_.priority = request.priority;
  body_.choices = request.choices;
  body_.grammar = wire_grammar(request.grammar.kind);
  body_.grammar_text = grammar_text_ = request.grammar.text;
  body_.grammar_after = request.grammar_after;
  if (request.prompt_logits) body_.flags |= proto::kWantPromptLogits;
  if (request.generated_logits) body_.flags |= proto::kWantGeneratedLogits;
  if (sampling.ignore_eos) body_.flags |= proto::kIgnoreEos;
  if (request.prompt_logprobs) body_.flags |= proto::kWantPromptRanks;
  body_.stop_ids = stop_ids_;
  body_.allowed_ids = allowed_ids_;
  body_.bad_words = bad_words_;
}

Expected<void> SubmitBody::check() const {
  if (auto fault = proto::find_fault(body_))
    return unexpected(Errc::invalid_argument, "the request cannot be sent: " + fault->text);
  return {};
}

SequenceRequest read_submit(const proto::FrameHeader& header, const proto::Submit& submit,
                            GatewayIndex gateway, TimePoint now) {
  SequenceRequest request;
  request.gateway = gateway;
  request.arrived = now;
  request.request = header.work_id;
  request.attempt = header.attempt;
  request.tokens = submit.token_ids.to_vector();
  request.prompt_tokens = submit.prompt_tokens;
  auto& sampling = request.sampling;
  sampling.temperature = submit.sampling.temperature;
  sampling.top_p = submit.sampling.top_p;
  sampling.top_k = submit.sampling.top_k;
  sampling.min_p = submit.sampling.min_p;
  sampling.presence_penalty = submit.sampling.presence_penalty;
  sampling.frequency_penalty = submit.sampling.frequency_penalty;
  sampling.repetition_penalty = submit.sampling.repetition_penalty;
  for (const auto& bias : submit.sampling.logit_bias)
    sampling.logit_bias.emplace_back(bias.token, bias.bias);
  sampling.seed = submit.sampling.seed;
  sampling.max_tokens = static_cast<std::int32_t>(submit.max_tokens);
  sampling.min_tokens = static_cast<std::int32_t>(submit.min_tokens);
  sampling.ignore_eos = (submit.flags & proto::kIgnoreEos) != 0;
  sampling.stop_token_ids = submit.stop_ids.to_vector();
  sampling.allowed_token_ids = submit.allowed_ids.to_vector();
  sampling.bad_words = parted(submit.bad_words);
  sampling.choice = submit.sampling.choice;
  sampling.top_logprobs = std::max(submit.logprobs, 0);
  request.valid_vocab = submit.valid_vocab;
  if (submit.prompt_logprobs >= 0) request.prompt_logprobs = submit.prompt_logprobs;
  request.prompt_ranks = (submit.flags & proto::kWantPromptRanks) != 0;
  request.tenant = submit.tenant;
  request.cache_salt = submit.cache_salt;
  request.priority = submit.priority;
  request.choices = submit.choices;
  request.grammar_after = submit.grammar_after;
  request.grammar = {read_grammar(submit.grammar), std::string(submit.grammar_text)};
  request.prompt_logits = (submit.flags & proto::kWantPromptLogits) != 0;
  request.generated_logits = (submit.flags & proto::kWantGeneratedLogits) != 0;
  if (header.remaining_us > 0)
    request.deadline = now + std::chrono::microseconds(header.remaining_us);
  return request;
}

proto::Finish wire_finish(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop: return proto::Finish::stop;
    case FinishReason::length: return proto::Finish::length;
    case FinishReason::cancelled: return proto::Finish::cancelled;
    case FinishReason::error: return proto::Finish::error;
  }
  return proto::Finish::error;
}

FinishReason read_finish(proto::Finish finish) {
  switch (finish) {
    case proto::Finish::stop: return FinishReason::stop;
    case proto::Finish::length: return FinishReason::length;
    case proto::Finish::cancelled: return FinishReason::cancelled;
    default: return FinishReason::error;
  }
}

}  // namespace troupe::actors
