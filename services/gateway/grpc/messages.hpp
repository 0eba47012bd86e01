// Between the messages of troupe.inference.v1 and what the gateway works with.
#pragma once
#include <troupe/inference/v1/inference.pb.h>

#include <optional>
#include <string>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/generate_call.hpp"
#include "services/gateway/served_model.hpp"

namespace troupe::services {

namespace v1 = ::troupe::inference::v1;

/// Nothing is checked here but which fields need a later feature.
GenerateCall to_call(const v1::GenerateRequest& request);
/// `field` is where `chat` stands; paths of fields that need a later feature go to `not_served`.
ChatCall to_call(const v1::ChatInput& chat, const std::string& field,
                 std::vector<std::string>& not_served);

struct StartedCall {
  std::string request_id;
  std::int64_t prompt_tokens = 0;
  std::optional<std::uint64_t> drawn_seed;
};
v1::Started to_message(const StartedCall& started, const ServedModel& model);
v1::Delta to_message(const AnswerPiece& piece);
v1::Finished to_message(const AnswerFinish& finish);
/// An event of the stream; `AnswerEnd` is none.
v1::GenerateResponse to_response(const AnswerEvent& event);
v1::Usage usage_of(const AnswerFinish& finish);
v1::Timings timings_of(const AnswerFinish& finish);
v1::Choice to_choice(const AnswerPiece& whole, const AnswerFinish& finish);
v1::Model describe(const ServedModel& model);

}  // namespace troupe::services
