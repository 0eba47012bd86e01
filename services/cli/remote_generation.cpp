// Flags to calls, events to printed answers.
#include "services/cli/remote_generation.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

namespace troupe::services {
namespace {

std::int64_t number_of(const ClientFailure& failure, const char* key) {
  const auto found = failure.metadata.find(key);
  std::int64_t value = 0;
  if (found == failure.metadata.end()) return value;
  const std::string& text = found->second;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

actors::Clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<actors::Clock::duration>(
      std::chrono::duration<double>(seconds));
}

template <class Target, class Value>
void assign(const std::optional<Value>& given, std::optional<Target>& target) {
  if (given) target = static_cast<Target>(*given);
}

SamplingFields to_fields(const SamplingOptions& options) {
  SamplingFields fields;
  assign(options.temperature, fields.temperature);
  assign(options.top_p, fields.top_p);
  assign(options.top_k, fields.top_k);
  assign(options.min_p, fields.min_p);
  assign(options.frequency_penalty, fields.frequency_penalty);
  assign(options.presence_penalty, fields.presence_penalty);
  assign(options.repetition_penalty, fields.repetition_penalty);
  assign(options.seed, fields.seed);
  assign(options.max_tokens, fields.max_tokens);
  assign(options.min_tokens, fields.min_tokens);
  fields.ignore_eos = options.ignore_eos;
  fields.logit_bias.insert(options.logit_bias.begin(), options.logit_bias.end());
  return fields;
}

}  // namespace

Fault client_fault(const ClientFailure& failure) {
  if (failure.reason == "CONTEXT_LENGTH_EXCEEDED") return Fault::prompt_too_long;
  if (failure.reason == "TOKENIZER_MISSING") return Fault::tokenizer_missing;
  if (failure.reason == "CHAT_TEMPLATE_MISSING") return Fault::chat_template;
  const bool ids = std::any_of(failure.fields.begin(), failure.fields.end(), [](const auto& field) {
    return field.starts_with("token_ids.") || field.starts_with("sampling.logit_bias");
  });
  if (ids) return Fault::token_out_of_range;
  switch (failure.code) {
    case ApiCode::invalid_argument: return Fault::bad_value;
    case ApiCode::not_found: return Fault::model_missing;
    case ApiCode::unauthenticated:
    case ApiCode::permission_denied: return Fault::key_refused;
    case ApiCode::deadline_exceeded: return Fault::timed_out;
    case ApiCode::aborted:
    case ApiCode::resource_exhausted: return Fault::try_later;
    case ApiCode::unavailable:
      return failure.reason.empty() ? Fault::cannot_connect : Fault::try_later;
    case ApiCode::unimplemented:
      return failure.reason.empty() ? Fault::cannot_connect : Fault::bad_value;
    default: return Fault::engine_failed;
  }
}

std::string client_message(const ClientFailure& failure, const std::string& url) {
  if (client_fault(failure) == Fault::key_refused) {
    return url + " refuses: " + failure.message +
           ". Give a key that may with --api-key, or in TROUPE_API_KEY";
  }
  if (!failure.reason.empty()) return failure.message;
  if (failure.untrusted)
    return "no answer from " + url + ": " + failure.message + ". " + kTrustHint;
  if (client_fault(failure) != Fault::cannot_connect) return url + ": " + failure.message;
  if (failure.message.find("http1.x server") != std::string::npos) {
    return url +
           " answers in HTTP/1.1, and this command speaks gRPC. Give the gateway's gRPC port, " +
           "which it names at its start (--grpc-listen)";
  }
  return "no answer from " + url + ": " + failure.message +
         ". Check that a gateway listens there; `troupe serve` starts one";
}

RemoteAnswer::RemoteAnswer(std::unique_ptr<ClientStream> stream, bool as_ids)
    : stream_(std::move(stream)) {
  if (as_ids) ids_.emplace(nullptr, std::vector<std::int32_t>{});
}

std::optional<AnswerSource::Event> RemoteAnswer::next(std::chrono::milliseconds patience) {
  if (end_) return *std::exchange(end_, std::nullopt);
  auto event = stream_->next(patience);
  if (!event) return std::nullopt;
  if (const auto* start = std::get_if<ClientStart>(&*event)) {
    if (start->drawn_seed) {
      std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(*start->drawn_seed));
    }
    return AnswerText{};
  }
  if (auto* end = std::get_if<ClientEnd>(&*event)) {
    end_ = to_answer(std::move(*end));
    return AnswerText{"", 0, begin_aside(Aside::none)};
  }
  auto& piece = std::get<ClientPiece>(*event);
  AnswerText more{std::move(piece.text), static_cast<std::int64_t>(piece.ids.size()),
                  aside_of(piece)};
  if (!ids_) return more;
  more.text.clear();
  for (const std::int32_t id : piece.ids) more.text += ids_->push(id);
  return more;
}

/// Thoughts as they are, behind a line that says so; tool calls as name(arguments).
std::string RemoteAnswer::aside_of(const ClientPiece& piece) {
  std::string aside;
  if (piece.tool_call) {
    const ClientToolCall& call = *piece.tool_call;
    keep(call);
    if (!call.name.empty()) aside += begin_aside(Aside::tool_call) + call.name + "(";
    aside += call.arguments;
  } else if (!piece.reasoning.empty()) {
    if (aside_ != Aside::thoughts) aside += begin_aside(Aside::thoughts);
    aside += piece.reasoning;
  } else if (!piece.text.empty()) {
    aside += begin_aside(Aside::none);
  }
  return aside;
}

void RemoteAnswer::keep(const ClientToolCall& piece) {
  ChatToolCall& call = calls_[piece.index];
  call.id += piece.id;
  call.name += piece.name;
  call.arguments += piece.arguments;
}

std::vector<ChatToolCall> RemoteAnswer::calls() const {
  std::vector<ChatToolCall> all;
  for (const auto& [index, call] : calls_) all.push_back(call);
  return all;
}

/// Ends what was going on.
std::string RemoteAnswer::begin_aside(Aside next) {
  const Aside before = std::exchange(aside_, next);
  const std::string end = before == Aside::tool_call  ? ")\n"
                          : before == Aside::thoughts ? "\n"
                                                      : "";
  return end + (next == Aside::tool_call  ? "tool call: "
                : next == Aside::thoughts ? "thinking: "
                                          : "");
}

void RemoteAnswer::cancel() {
  cancelled_ = true;
  stream_->cancel();
}

Answer RemoteAnswer::to_answer(ClientEnd end) {
  Answer answer;
  ignored_ = std::move(end.ignored);
  answer.usage.prompt_tokens = end.prompt_tokens;
  answer.usage.generated_tokens = end.generated_tokens;
  answer.usage.time_to_first_token = to_duration(end.time_to_first_token_s);
  answer.usage.duration = to_duration(end.duration_s);
  if (!end.failure) {
    answer.reason = actors::FinishReason::stop;
  } else if (cancelled_) {
    answer.reason = actors::FinishReason::cancelled;
  } else {
    const ClientFailure& failure = *end.failure;
    answer.error = {Errc::unavailable, failure.message};
    answer.fault = client_fault(failure);
    const auto room = number_of(failure, "context_length") - number_of(failure, "prompt_tokens");
    if (room > 0) room_ = static_cast<std::int32_t>(room);
    if (failure.reason.empty()) answer.error.code = Errc::io;  // not the gateway's words
    failure_ = failure;
  }
  return answer;
}

RemoteGeneration::RemoteGeneration(const GenerationFlags& flags, std::int64_t max_tokens_default)
    : flags_(flags), max_tokens_default_(max_tokens_default), client_(open_client(flags.server)) {}

/// The answer, printed; why there is none, in words for a user of this URL.
PrintedAnswer RemoteGeneration::ask(RemoteAnswer& answer) const {
  PrintedAnswer printed = print_answer(answer, progress_style(flags_.engine.no_progress));
  const auto& failure = answer.failure();
  const bool ours =
      printed.answer.fault == Fault::cannot_connect || printed.answer.fault == Fault::key_refused;
  if (failure && ours) printed.answer.error.detail = client_message(*failure, flags_.server.url);
  return printed;
}

Generation::Result RemoteGeneration::answer(GenerateCall call, bool as_ids) {
  call.model = flags_.model;
  call.sampling = to_fields(flags_.sampling);
  const bool soft = !call.sampling.max_tokens;
  if (soft) call.sampling.max_tokens = static_cast<std::int32_t>(max_tokens_default_);
  RemoteAnswer first(client_->generate(call), as_ids);
  PrintedAnswer printed = ask(first);
  if (soft && printed.answer.fault == Fault::prompt_too_long && first.room()) {
    // Nobody asked for that many tokens: what there is room for will do.
    call.sampling.max_tokens = *first.room();
    RemoteAnswer again(client_->generate(call), as_ids);
    printed = ask(again);
    return finish(std::move(printed), again);
  }
  return finish(std::move(printed), first);
}

Generation::Result RemoteGeneration::finish(PrintedAnswer printed,
                                            const RemoteAnswer& answer) const {
  Generation::Result result = conclude(std::move(printed));
  result.calls = answer.calls();
  if (!answer.ignored().empty())
    warn(flags_.server.url + " took without effect: " + answer.ignored());
  return result;
}

Answered<bool, int> RemoteGeneration::speaks_text() {
  const auto answered = client_->describe(flags_.model);
  if (const auto* failure = std::get_if<ClientFailure>(&answered)) {
    return report(client_fault(*failure), client_message(*failure, flags_.server.url));
  }
  return std::get<ClientModel>(answered).text;
}

}  // namespace troupe::services
