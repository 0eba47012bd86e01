// From a client's request to what the engine is asked and how the answer is put together.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "actors/request.hpp"
#include "services/gateway/answer_assembler.hpp"
#include "services/gateway/api_error.hpp"
#include "services/gateway/generate_call.hpp"
#include "services/gateway/served_model.hpp"

namespace troupe::services {

struct PlannedRequest {
  actors::GenerateRequest request;  // without a deadline, which is the call's
  AnswerForm form;
  std::optional<std::uint64_t> drawn_seed;  // none: the client's, or nothing is drawn
  bool prompt_progress = false;
  std::vector<std::string> ignored;  // paths of given fields without effect
  bool echo = false;                 // every choice tells the prompt's logprobs, not only the first
};

/// Checks everything that needs no engine: the name, fields not served, ranges, the context.
/// *Threading*: any; tokenizes, which takes time in proportion to the text.
Answered<PlannedRequest> plan_request(const ServedModel& model, const GenerateCall& call);

/// The n choices of a request, as one engine request each. What is known of the prompt alone is
/// told by the first one, where it is no echo.
std::vector<PlannedRequest> choices_of(PlannedRequest plan);

/// Whether planning it compiles a grammar, which may take a while.
bool has_form(const GenerateCall& call);

/// Ranges of all fields, those of `call.input` apart; empty when all is well.
std::vector<FieldViolation> check_fields(const GenerateCall& call, std::int64_t vocab_size);

/// Nothing, or why `id` cannot be a request's id. Empty is well: one is made.
std::optional<FieldViolation> check_request_id(const std::string& id);

/// "req-" and 32 hexadecimal digits, never the same twice.
std::string make_request_id();

}  // namespace troupe::services
