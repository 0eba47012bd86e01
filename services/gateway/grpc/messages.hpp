// Between the messages of troupe.inference.v1 and what the gateway works with.
#pragma once
#include <troupe/inference/v1/inference.pb.h>

#include <optional>
#include <string>

#include "services/gateway/answer_set.hpp"
#include "services/gateway/generate_call.hpp"
#include "services/gateway/served_model.hpp"

namespace troupe::services {

namespace v1 = ::troupe::inference::v1;

/// Nothing is checked here but which fields need a later feature.
GenerateCall to_call(const v1::GenerateRequest& request);
ChatCall to_call(const v1::ChatInput& chat);

struct StartedCall {
  std::string request_id;
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::optional<std::uint64_t> drawn_seed;
};
v1::Started to_message(const StartedCall& started, const ServedModel& model);
/// What a stream of `answers` sends of an event, nothing for those that it does not show.
std::vector<v1::GenerateResponse> to_responses(const AnswerSet::Event& event,
                                               const std::string& request_id,
                                               const AnswerSet& answers);
v1::Usage usage_of(const AnswerSums& sums);
v1::Timings timings_of(const AnswerFinish& finish);
struct WholeChoice {
  const std::string& request_id;
  std::size_t index = 0;
  const AnswerPiece& text;
  const AnswerFinish& finish;
};
v1::Choice to_choice(const WholeChoice& whole);
/// Logprobs of a prompt, from its second token on.
void set_prompt_logprobs(const AnswerPiece& piece,
                         google::protobuf::RepeatedPtrField<v1::TokenLogprob>& out);
v1::Model describe(const ServedModel& model);

}  // namespace troupe::services
