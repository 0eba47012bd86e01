// Copies fields; decides nothing.
#include "services/gateway/grpc/messages.hpp"

namespace troupe::services {
namespace {

template <class Target, class Value>
void take(bool present, Value value, std::optional<Target>& target) {
  if (present) target = static_cast<Target>(value);
}

SamplingFields to_fields(const v1::SamplingParams& params) {
  SamplingFields fields;
  take(params.has_temperature(), params.temperature(), fields.temperature);
  take(params.has_top_p(), params.top_p(), fields.top_p);
  take(params.has_top_k(), params.top_k(), fields.top_k);
  take(params.has_min_p(), params.min_p(), fields.min_p);
  take(params.has_frequency_penalty(), params.frequency_penalty(), fields.frequency_penalty);
  take(params.has_presence_penalty(), params.presence_penalty(), fields.presence_penalty);
  take(params.has_repetition_penalty(), params.repetition_penalty(), fields.repetition_penalty);
  take(params.has_seed(), params.seed(), fields.seed);
  take(params.has_n(), params.n(), fields.n);
  take(params.has_max_tokens(), params.max_tokens(), fields.max_tokens);
  take(params.has_min_tokens(), params.min_tokens(), fields.min_tokens);
  take(params.has_logprobs(), params.logprobs(), fields.logprobs);
  take(params.has_prompt_logprobs(), params.prompt_logprobs(), fields.prompt_logprobs);
  fields.stop.assign(params.stop().begin(), params.stop().end());
  fields.stop_token_ids.assign(params.stop_token_ids().begin(), params.stop_token_ids().end());
  fields.include_stop = params.include_stop_str_in_output();
  fields.ignore_eos = params.ignore_eos();
  const auto& allowed = params.allowed_token_ids();
  fields.allowed_token_ids.assign(allowed.begin(), allowed.end());
  fields.bad_words.assign(params.bad_words().begin(), params.bad_words().end());
  fields.logit_bias.insert(params.logit_bias().begin(), params.logit_bias().end());
  return fields;
}

void take_input(const v1::GenerateRequest& request, GenerateCall& call) {
  switch (request.input_case()) {
    case v1::GenerateRequest::kText: call.input = request.text(); break;
    case v1::GenerateRequest::kTokenIds:
      call.input = GenerateCall::IdsInput(request.token_ids().ids().begin(),
                                          request.token_ids().ids().end());
      break;
    case v1::GenerateRequest::kChat: call.input = to_call(request.chat()); break;
    case v1::GenerateRequest::INPUT_NOT_SET: break;
  }
}

void take_format(const v1::ResponseFormat& format, GenerateCall& call) {
  using Kind = model::GrammarSpec::Kind;
  switch (format.format_case()) {
    case v1::ResponseFormat::kJsonSchema:
      call.format = {{Kind::json_schema, format.json_schema()}, "response_format.json_schema"};
      break;
    case v1::ResponseFormat::kRegex:
      call.format = {{Kind::regex, format.regex()}, "response_format.regex"};
      break;
    case v1::ResponseFormat::kJsonObject:
      if (format.json_object()) call.format = {{Kind::json_object, ""}, "response_format"};
      break;
    case v1::ResponseFormat::kGrammar: call.not_served.push_back("response_format.grammar"); break;
    case v1::ResponseFormat::FORMAT_NOT_SET: break;
  }
}

v1::FinishReason to_reason(const AnswerFinish& finish) {
  switch (finish.reason) {
    case AnswerFinish::Reason::stop: return v1::FINISH_REASON_STOP;
    case AnswerFinish::Reason::length: return v1::FINISH_REASON_LENGTH;
    case AnswerFinish::Reason::tool_calls: return v1::FINISH_REASON_TOOL_CALLS;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

template <class Message>
void set_stop_match(const AnswerFinish& finish, Message& message) {
  if (finish.stop_string) message.mutable_stop_match()->set_stop(*finish.stop_string);
  if (finish.stop_id) message.mutable_stop_match()->set_token_id(*finish.stop_id);
}

v1::TokenLogprob to_message(std::int32_t token, float logprob,
                            std::span<const model::TokenLogprob> top) {
  v1::TokenLogprob message;
  message.set_token_id(token);
  message.set_logprob(logprob);
  for (const model::TokenLogprob& one : top) {
    auto* added = message.add_top();
    added->set_token_id(one.token);
    added->set_logprob(one.logprob);
  }
  return message;
}

template <class Message>
void set_tokens(const AnswerPiece& piece, Message& message) {
  message.mutable_token_ids()->Add(piece.ids.begin(), piece.ids.end());
  message.set_text(piece.text);
  message.set_reasoning_text(piece.reasoning);
  for (std::size_t i = 0; i < piece.logprobs.size(); ++i) {
    *message.add_logprobs() = to_message(piece.ids[i], piece.logprobs[i], piece.top_of(i));
  }
}

/// Ids and texts in one; each piece of a call in one of its own but the first.
void add_deltas(const AnswerPiece& piece, const std::string& request_id, std::size_t choice,
                std::vector<v1::GenerateResponse>& out) {
  const auto index = static_cast<std::int32_t>(choice);
  v1::Delta first;
  first.set_index(index);
  set_tokens(piece, first);
  for (const ToolCallPiece& call : piece.calls) {
    v1::ToolCallDelta& delta = *first.mutable_tool_call_delta();
    delta.set_index(call.index);
    delta.set_name(call.name);
    delta.set_arguments_json(call.arguments);
    if (!call.name.empty()) delta.set_id(tool_call_id(request_id, choice, call.index));
    *out.emplace_back().mutable_delta() = std::move(first);
    first.Clear();
    first.set_index(index);
  }
  const bool more =
      first.token_ids_size() > 0 || !first.text().empty() || !first.reasoning_text().empty();
  if (more) *out.emplace_back().mutable_delta() = std::move(first);
}

/// A word, or the name of a tool.
ToolChoice to_tool_choice(const std::string& text) {
  using Kind = ToolChoice::Kind;
  if (text.empty() || text == "auto") return {};
  if (text == "none") return {Kind::none};
  if (text == "required") return {Kind::required};
  return {Kind::named, text};
}

}  // namespace

ChatCall to_call(const v1::ChatInput& chat) {
  ChatCall call;
  for (int i = 0; i < chat.messages_size(); ++i) {
    const v1::ChatMessage& message = chat.messages(i);
    ChatMessage& added = call.messages.emplace_back();
    added.role = message.role();
    added.content = message.content();
    added.name = message.name();
    added.tool_call_id = message.tool_call_id();
    for (const v1::ToolCall& made : message.tool_calls())
      added.tool_calls.push_back({made.id(), made.name(), made.arguments_json()});
  }
  call.tools.assign(chat.tools().begin(), chat.tools().end());
  call.choice = to_tool_choice(chat.tool_choice());
  call.parallel_calls = !chat.has_parallel_tool_calls() || chat.parallel_tool_calls();
  call.variables_json = chat.template_variables_json();
  call.add_generation_prompt = !chat.has_add_generation_prompt() || chat.add_generation_prompt();
  return call;
}

GenerateCall to_call(const v1::GenerateRequest& request) {
  GenerateCall call;
  call.request_id = request.request_id();
  call.model = request.model();
  call.sampling = to_fields(request.sampling());
  call.prompt_progress = request.include_prompt_progress();
  take_format(request.response_format(), call);
  call.priority = request.priority();
  call.cache_salt = request.cache_salt();
  if (request.has_resume_position()) call.resume_position = request.resume_position();
  take_input(request, call);
  return call;
}

v1::Started to_message(const StartedCall& started, const ServedModel& model) {
  v1::Started message;
  message.set_request_id(started.request_id);
  message.set_prompt_tokens(started.prompt_tokens);
  message.set_cached_tokens(started.cached_tokens);
  message.set_model_revision(model.model().checkpoint.revision());
  if (started.drawn_seed) message.set_drawn_seed(*started.drawn_seed);
  message.set_system_fingerprint(model.fingerprint());
  return message;
}

v1::Usage usage_of(const AnswerSums& sums) {
  v1::Usage usage;
  usage.set_prompt_tokens(sums.prompt_tokens);
  usage.set_completion_tokens(sums.generated_tokens);
  usage.set_cached_tokens(sums.cached_tokens);
  return usage;
}

v1::Timings timings_of(const AnswerFinish& finish) {
  v1::Timings timings;
  timings.set_time_to_first_token_s(finish.time_to_first_token_s);
  timings.set_duration_s(finish.duration_s);
  return timings;
}

void set_prompt_logprobs(const AnswerPiece& piece,
                         google::protobuf::RepeatedPtrField<v1::TokenLogprob>& out) {
  for (const actors::PromptLogprob& one : piece.prompt) {
    v1::TokenLogprob& message = *out.Add();
    message = to_message(one.token, one.logprob, one.top);
    message.set_rank(one.rank);
    for (int i = 0; i < message.top_size(); ++i) message.mutable_top(i)->set_rank(i + 1);
  }
}

std::vector<v1::GenerateResponse> to_responses(const AnswerSet::Event& event,
                                               const std::string& request_id,
                                               const AnswerSet& answers) {
  std::vector<v1::GenerateResponse> out;
  const auto index = static_cast<std::int32_t>(event.answer);
  if (const auto* progress = std::get_if<PromptProgress>(&event.event)) {
    auto* message = out.emplace_back().mutable_prompt_progress();
    message->set_done(progress->done);
    message->set_total(progress->total);
    message->set_cached_tokens(progress->cached_tokens);
  } else if (const auto* piece = std::get_if<AnswerPiece>(&event.event)) {
    if (!piece->prompt.empty()) {
      auto* message = out.emplace_back().mutable_prompt_logprobs();
      set_prompt_logprobs(*piece, *message->mutable_tokens());
    }
    add_deltas(*piece, request_id, event.answer, out);
  } else if (const auto* finish = std::get_if<AnswerFinish>(&event.event)) {
    v1::Finished& message = *out.emplace_back().mutable_finished();
    message.set_index(index);
    message.set_finish_reason(to_reason(*finish));
    set_stop_match(*finish, message);
    *message.mutable_usage() = usage_of(answers.sums());
    *message.mutable_timings() = timings_of(*finish);
  }
  return out;
}

v1::Choice to_choice(const WholeChoice& whole) {
  v1::Choice choice;
  choice.set_index(static_cast<std::int32_t>(whole.index));
  set_tokens(whole.text, choice);
  for (const ToolCallPiece& call : whole.text.calls) {
    v1::ToolCall& made = *choice.add_tool_calls();
    made.set_id(tool_call_id(whole.request_id, whole.index, call.index));
    made.set_name(call.name);
    made.set_arguments_json(call.arguments);
  }
  choice.set_finish_reason(to_reason(whole.finish));
  set_stop_match(whole.finish, choice);
  return choice;
}

v1::Model describe(const ServedModel& model) {
  const model::ModelConfig& config = model.model().config();
  v1::Model out;
  out.set_id(model.name());
  out.set_context_length(model.model().context());
  out.set_vocabulary_size(config.vocab_size);
  out.set_layers(config.num_layers);
  out.set_routed_experts(config.routed_experts);
  out.set_experts_per_token(config.experts_per_token);
  out.set_revision(model.model().checkpoint.revision());
  out.set_dtype(std::string(model::to_string(model.settings().mode)));
  out.mutable_capabilities()->set_text(model.tokenizer() != nullptr);
  out.mutable_capabilities()->set_chat(model.has_chat());
  out.set_system_fingerprint(model.fingerprint());
  return out;
}

}  // namespace troupe::services
