// Planning of one request.
#include "services/gateway/request_planner.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/sha256.hpp"
#include "model/chat/answer/answer_format.hpp"
#include "model/chat/answer/answer_parser.hpp"
#include "services/gateway/tool_calls.hpp"
#include "services/prompt/generation_defaults.hpp"

namespace troupe::services {
namespace {

constexpr float kGreedyBelow = 1e-5f;  // specification 8.1

/// The first field that asks for what is not there yet.
std::optional<ApiError> refuse_not_served(const GenerateCall& call) {
  if (!call.not_served.empty()) return not_served(call.not_served.front());
  return std::nullopt;
}

struct Prompt {
  std::vector<std::int32_t> ids;
  bool opens_reasoning = false;  // the answer begins with thoughts
  std::vector<std::string> ignored = {};
};

/// How the answer to a conversation is taken apart; nothing: it is all content.
std::optional<model::AnswerOptions> parts_of(const ServedModel& model, const ChatCall& chat,
                                             const Prompt& prompt) {
  model::AnswerOptions options{model.answer_format(), prompt.opens_reasoning,
                               model::spelled_markers(*model.tokenizer())};
  if (!chat.may_call()) options.format.tool_calls = model::ToolCallFormat::none;
  if (options.format == model::AnswerFormat{}) return std::nullopt;
  return options;
}

/// Answers of ServedModel::encode as prompts of their own.
Answered<Prompt> as_prompt(Answered<std::vector<std::int32_t>> ids) {
  if (auto* error = std::get_if<ApiError>(&ids)) return std::move(*error);
  return Prompt{std::get<std::vector<std::int32_t>>(std::move(ids))};
}

Answered<Prompt> prompt_of(const ServedModel& model, const GenerateCall& call) {
  using Ids = std::vector<std::int32_t>;
  if (const auto* text = std::get_if<GenerateCall::TextInput>(&call.input)) {
    if (auto refused = model.refuse_text()) return *std::move(refused);
    if (text->empty()) return invalid_fields({{call.names.text, "is empty"}});
    return as_prompt(model.encode(*text, {.bos = true, .added_tokens = false}, call.names.text));
  }
  if (const auto* chat = std::get_if<ChatCall>(&call.input)) {
    auto encoded = model.encode(*chat);
    if (auto* error = std::get_if<ApiError>(&encoded)) return std::move(*error);
    auto& rendered = std::get<ServedPrompt>(encoded);
    return Prompt{std::move(rendered.ids), model::opens_reasoning(rendered.text),
                  std::move(rendered.ignored)};
  }
  const auto* ids = std::get_if<Ids>(&call.input);
  if (ids == nullptr) return invalid_fields({{"input", "is absent: text, token_ids or chat"}});
  if (ids->empty()) return invalid_fields({{call.names.ids, "is empty"}});
  if (auto refused = model.refuse_ids(*ids, call.names.ids)) return *std::move(refused);
  return Prompt{*ids};
}

ContextNames context_names(const GenerateCall& call) {
  const auto* chat = std::get_if<ChatCall>(&call.input);
  const bool text = std::holds_alternative<GenerateCall::TextInput>(call.input);
  return {chat != nullptr ? chat->names.messages
          : text          ? call.names.text
                          : call.names.ids,
          call.names.sampling + call.names.max_tokens};
}

void assign(const auto& given, auto& target) {
  if (given) target = *given;
}

model::SamplingParams sampling_of(const ServedModel& model, const SamplingFields& fields) {
  model::SamplingParams params = model.model().defaults.sampling;
  assign(fields.temperature, params.temperature);
  assign(fields.top_p, params.top_p);
  assign(fields.top_k, params.top_k);
  assign(fields.min_p, params.min_p);
  assign(fields.presence_penalty, params.presence_penalty);
  assign(fields.frequency_penalty, params.frequency_penalty);
  assign(fields.repetition_penalty, params.repetition_penalty);
  assign(fields.max_tokens, params.max_tokens);
  assign(fields.min_tokens, params.min_tokens);
  params.top_logprobs = fields.logprobs.value_or(0);
  params.seed = fields.seed ? *fields.seed : draw_seed();
  params.logit_bias.assign(fields.logit_bias.begin(), fields.logit_bias.end());
  params.ignore_eos = fields.ignore_eos;
  params.allowed_token_ids = fields.allowed_token_ids;
  params.stop_token_ids = fields.stop_token_ids;
  if (!fields.ignore_eos) {
    const auto ends = stop_ids(model.model().defaults, model.model().config().eos_token_ids);
    params.stop_token_ids.insert(params.stop_token_ids.end(), ends.begin(), ends.end());
  }
  return params;
}

/// The ids of each text at the begin of an answer and behind a space, as vLLM has them.
Expected<std::vector<std::vector<std::int32_t>>> bad_words_of(
    const model::Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<std::vector<std::int32_t>> words;
  for (const std::string& text : texts) {
    for (const char* space : {"", " "}) {
      auto ids = tokenizer.encode(space + text);
      if (!ids) return unexpected(ids.error());
      words.push_back(*std::move(ids));
    }
  }
  return words;
}

/// No salt of a client without an owner is that of one with an owner.
std::string salt_of(const GenerateCall& call) {
  if (!call.cache_owner.empty()) return "key " + call.cache_owner + '\n' + call.cache_salt;
  return call.cache_salt.empty() ? "" : "salt " + call.cache_salt;
}

/// 64 bits that nobody can find another text for; 0 for none.
std::uint64_t hashed(const std::string& text) {
  if (text.empty()) return 0;
  const auto digest = Sha256().add(text).digest();
  std::uint64_t bits = 0;
  std::copy_n(digest.begin(), sizeof bits, reinterpret_cast<std::uint8_t*>(&bits));
  return bits;
}

/// An echo with logprobs has those of the prompt as well.
std::optional<std::int32_t> prompt_logprobs_of(const GenerateCall& call) {
  const SamplingFields& fields = call.sampling;
  if (!call.echo || !fields.logprobs) return fields.prompt_logprobs;
  return std::max(*fields.logprobs, fields.prompt_logprobs.value_or(0));
}

/// Nothing, or why prompt and answer do not fit. Sets the bound where none was given.
std::optional<ApiError> bound_answer(const GenerateCall& call, std::int64_t context,
                                     actors::GenerateRequest& request) {
  const auto tokens = static_cast<std::int64_t>(request.prompt.size());
  const auto wanted = static_cast<std::int64_t>(call.sampling.max_tokens.value_or(1));
  if (tokens + wanted > context) {
    return context_exceeded(tokens, call.sampling.max_tokens.value_or(0), context,
                            context_names(call));
  }
  if (!call.sampling.max_tokens)
    request.sampling.max_tokens = static_cast<std::int32_t>(context - tokens);
  return std::nullopt;
}

/// Nothing, or why the rest of an answer cannot be told: it would not be the same answer.
std::optional<ApiError> refuse_resuming(const GenerateCall& call, bool draws) {
  if (!call.resume_position) return std::nullopt;
  if (call.sampling.n.value_or(1) > 1)
    return invalid_fields({{"resume_position", "does not go with several choices. Ask for one"}});
  if (!draws || call.sampling.seed) return std::nullopt;
  return invalid_fields(
      {{"resume_position",
        "needs " + call.names.sampling + "seed: the request's own, or the one that Started told"}});
}

bool forces_calls(const GenerateCall& call) {
  const auto* chat = std::get_if<ChatCall>(&call.input);
  return chat != nullptr && chat->choice.forces();
}

/// What form the text must have: calls where the request forces them, which leaves no content that
/// another form could be of.
FormatCall form_of(const ServedModel& model, const GenerateCall& call) {
  if (!forces_calls(call)) return call.format;
  return form_of_calls(std::get<ChatCall>(call.input), model.answer_format().tool_calls);
}

/// The form of the answer, behind the thoughts if it begins with some.
std::optional<ApiError> form_answer(const ServedModel& model, const GenerateCall& call,
                                    const Prompt& prompt, actors::GenerateRequest& request) {
  FormatCall form = form_of(model, call);
  if (form.grammar.kind == model::GrammarSpec::Kind::none) return std::nullopt;
  if (auto refused = model.refuse_format(form)) return refused;
  request.grammar = std::move(form.grammar);
  if (!prompt.opens_reasoning) return std::nullopt;
  const auto end = model.tokenizer()->id_of(model::text_of(model::Marker::think_end));
  if (!end || !model.tokenizer()->is_added(*end)) {
    return invalid_fields({{form.field,
                            "does not go with thinking: where thoughts end is no token of this "
                            "model. Set thinking to false"}});
  }
  request.grammar_after = *end;
  return std::nullopt;
}

}  // namespace

Answered<PlannedRequest> plan_request(const ServedModel& model, const GenerateCall& call) {
  if (auto refused = model.refuse_name(call.model)) return *std::move(refused);
  const OpenModel& opened = model.model();
  if (auto wrong = check_fields(call, opened.config().vocab_size); !wrong.empty()) {
    return invalid_fields(std::move(wrong));
  }
  if (auto refused = refuse_not_served(call)) return *std::move(refused);
  if (!call.sampling.stop.empty() || !call.sampling.bad_words.empty()) {
    if (auto refused = model.refuse_text()) return *std::move(refused);
  }
  auto prompted = prompt_of(model, call);
  if (auto* error = std::get_if<ApiError>(&prompted)) return std::move(*error);
  auto& prompt = std::get<Prompt>(prompted);

  PlannedRequest plan;
  if (auto refused = form_answer(model, call, prompt, plan.request)) return *std::move(refused);
  plan.prompt_progress = call.prompt_progress;
  if (const auto* chat = std::get_if<ChatCall>(&call.input)) {
    plan.form.parts = parts_of(model, *chat, prompt);
    plan.form.one_call = !chat->parallel_calls;
    plan.form.reasoning = call.reasoning;
  }
  plan.ignored = std::move(prompt.ignored);
  plan.request.prompt = std::move(prompt.ids);
  plan.request.sampling = sampling_of(model, call.sampling);
  plan.request.valid_vocab = opened.valid_vocab();
  model::SamplingParams& sampling = plan.request.sampling;
  if (!call.sampling.bad_words.empty()) {
    auto words = bad_words_of(*model.tokenizer(), call.sampling.bad_words);
    if (!words) return invalid_fields({{call.names.sampling + "bad_words", words.error().detail}});
    sampling.bad_words = *std::move(words);
  }
  if (auto refused = bound_answer(call, opened.context(), plan.request)) return *std::move(refused);
  if (sampling.min_tokens > sampling.max_tokens) {  // of which the call says nothing
    const std::string& prefix = call.names.sampling;
    return invalid_fields(
        {{prefix + "min_tokens", "takes at most " + prefix + call.names.max_tokens +
                                     ", which is what the context has room for, " +
                                     std::to_string(sampling.max_tokens) + ", not " +
                                     std::to_string(sampling.min_tokens)}});
  }
  if (const auto valid = model::validate(sampling); !valid) {
    return invalid_fields({{"sampling", valid.error().detail}});
  }
  const bool draws = sampling.temperature >= kGreedyBelow;
  if (auto refused = refuse_resuming(call, draws)) return *std::move(refused);
  plan.form.told = call.resume_position.value_or(0);
  if (!call.sampling.seed && draws) plan.drawn_seed = sampling.seed;
  plan.form.tokenizer = model.tokenizer();
  plan.form.silent_ids = sampling.stop_token_ids;
  plan.form.stops = call.sampling.stop;
  plan.form.include_stop = call.sampling.include_stop;
  plan.form.min_tokens = sampling.min_tokens;
  plan.form.logprobs = call.sampling.logprobs.has_value();
  plan.echo = call.echo;
  if (plan.form.told == 0) plan.request.prompt_logprobs = prompt_logprobs_of(call);
  plan.request.choices = static_cast<std::uint32_t>(call.sampling.n.value_or(1));
  plan.request.priority = call.priority;
  plan.request.cache_salt = hashed(salt_of(call));
  plan.request.tenant = hashed(call.tenant);
  return plan;
}

bool has_form(const GenerateCall& call) {
  return forces_calls(call) || call.format.grammar.kind != model::GrammarSpec::Kind::none;
}

std::vector<PlannedRequest> choices_of(PlannedRequest plan) {
  const std::uint32_t count = plan.request.choices;
  std::vector<PlannedRequest> choices(count, plan);
  for (std::uint32_t i = 1; i < count; ++i) {
    choices[i].request.sampling.choice = i;
    choices[i].prompt_progress = false;
    if (!plan.echo) choices[i].request.prompt_logprobs.reset();
  }
  return choices;
}

std::string make_request_id() {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "req-%016llx%016llx",
                static_cast<unsigned long long>(draw_seed()),
                static_cast<unsigned long long>(draw_seed()));
  return text.data();
}

}  // namespace troupe::services
