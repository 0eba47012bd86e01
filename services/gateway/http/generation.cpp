// The life of one completion over HTTP.
#include "services/gateway/http/generation.hpp"

#include "services/gateway/http/answer_group.hpp"
#include "services/gateway/http/completion_reply.hpp"

namespace troupe::services::http {
namespace {

std::int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string event_text(const std::string& json) { return "data: " + json + "\n\n"; }

/// Shared by the handler that starts it and the stream that ends it.
class Generation {
 public:
  Generation(GatewayState& state, const GenerationSettings& settings, HttpCall& call,
             const CompletionRequest& request, int socket, GatewayState::Entry entry)
      : state_(state),
        entry_(std::move(entry)),
        settings_(settings),
        call_(call),
        frame_{state.model, request.form, call.request_id(),
               (request.form.chat ? "chatcmpl-" : "cmpl-") + call.request_id(), unix_time()},
        group_(state, settings.stream, socket) {}

  std::optional<ApiError> start(CompletionRequest& request);
  Reply whole();
  /// Waits for the first event. Nothing, or the error that it was.
  std::optional<ApiError> begin();
  /// True: to its end, which may be an error.
  bool stream(BodySink& sink);
  const std::optional<std::uint64_t>& drawn_seed() const { return drawn_seed_; }
  /// To be kept until the client can have the whole answer.
  IdempotencyKeys::Hold take_key() { return std::move(entry_.key); }

 private:
  std::optional<ApiError> plan_one(const GenerateCall& one, std::vector<PlannedRequest>& plans);
  ApiError refuse(ApiError error);
  ApiError fail(ApiError error);
  ReplyUsage usage() const;
  std::optional<std::string> chunk_of(std::size_t answer, const AnswerEvent& event);
  bool send_events(BodySink& sink);

  GatewayState& state_;
  GatewayState::Entry entry_;
  const GenerationSettings& settings_;
  HttpCall& call_;
  ReplyFrame frame_;
  AnswerGroup group_;
  std::vector<ChoiceState> choices_;
  std::optional<std::uint64_t> drawn_seed_;
  std::optional<AnswerGroup::Event> first_;
};

/// A prompt as the reply repeats it.
std::string echo_of(const ServedModel& model, const GenerateCall& call,
                    const std::vector<std::int32_t>& ids) {
  if (const auto* text = std::get_if<GenerateCall::TextInput>(&call.input)) return *text;
  return model.tokenizer() == nullptr ? "" : model.tokenizer()->decode(ids, true);
}

std::optional<ApiError> Generation::plan_one(const GenerateCall& one,
                                             std::vector<PlannedRequest>& plans) {
  auto planned = plan_request(frame_.model, one);
  if (auto* error = std::get_if<ApiError>(&planned)) return std::move(*error);
  auto& plan = std::get<PlannedRequest>(planned);
  plan.request.deadline = settings_.request_time_max;
  ChoiceState choice;
  if (frame_.form.echo) choice.echo = echo_of(frame_.model, one, plan.request.prompt);
  choice.prompt_ids = std::make_shared<const std::vector<std::int32_t>>(plan.request.prompt);
  choice.silent_ids = plan.form.silent_ids;
  call_.record().prompt_tokens += static_cast<std::int64_t>(plan.request.prompt.size());
  if (plan.drawn_seed) drawn_seed_ = plan.drawn_seed;
  for (PlannedRequest& each : choices_of(std::move(plan))) {
    choice.index = choices_.size();
    choices_.push_back(choice);
    plans.push_back(std::move(each));
  }
  return std::nullopt;
}

/// Before any of it is answered.
ApiError Generation::refuse(ApiError error) {
  state_.admission.end(std::move(entry_.place), error);
  return error;
}

/// All are planned before one is started. One drawn seed is for all of them, so that the reply can
/// report it.
std::optional<ApiError> Generation::start(CompletionRequest& request) {
  std::vector<PlannedRequest> plans;
  for (GenerateCall one : request.calls) {
    state_.give_owner(one, call_.record().key_name);
    if (auto error = plan_one(one, plans)) return refuse(*std::move(error));
    const auto& ignored = plans.back().ignored;
    request.ignored.insert(request.ignored.end(), ignored.begin(), ignored.end());
  }
  for (PlannedRequest& plan : plans) {
    if (drawn_seed_) plan.request.sampling.seed = *drawn_seed_;
    if (auto error = group_.start(std::move(plan))) {
      group_.cancel();
      return refuse(*std::move(error));
    }
  }
  return std::nullopt;
}

/// The counts hear of it, what is open is withdrawn.
ApiError Generation::fail(ApiError error) {
  group_.cancel();
  while (group_.next()) {
  }
  state_.admission.end(std::move(entry_.place), error);
  entry_.key.reset();  // nothing runs any more; who has the answer can use it again
  group_.answers().record(call_.record(), error);
  return error;
}

ReplyUsage Generation::usage() const {
  const AnswerSums sums = group_.answers().sums();
  return {sums.prompt_tokens, sums.generated_tokens, sums.cached_tokens};
}

Reply Generation::whole() {
  while (auto next = group_.next()) {
    ChoiceState& choice = choices_[next->answer];
    if (auto* piece = std::get_if<AnswerPiece>(&next->event)) choice.whole.append(*piece);
    if (auto* finish = std::get_if<AnswerFinish>(&next->event)) choice.finish = *finish;
    auto* end = std::get_if<AnswerEnd>(&next->event);
    if (end != nullptr && end->error) return call_.fail(fail(*std::move(end->error)));
  }
  group_.answers().record(call_.record(), std::nullopt);
  Reply reply;
  reply.body = whole_reply(frame_, choices_, usage());
  return reply;
}

std::optional<ApiError> Generation::begin() {
  first_ = group_.next();
  if (!first_) return std::nullopt;
  auto* end = std::get_if<AnswerEnd>(&first_->event);
  if (end == nullptr || !end->error) return std::nullopt;
  return fail(*std::move(end->error));
}

std::optional<std::string> Generation::chunk_of(std::size_t answer, const AnswerEvent& event) {
  ChoiceState& choice = choices_[answer];
  if (const auto* progress = std::get_if<PromptProgress>(&event)) {
    return progress_chunk(frame_, *progress);
  }
  if (const auto* piece = std::get_if<AnswerPiece>(&event)) {
    return piece_chunk(frame_, choice, *piece);
  }
  if (const auto* finish = std::get_if<AnswerFinish>(&event)) {
    choice.finish = *finish;
    return finish_chunk(frame_, choice);
  }
  return std::nullopt;
}

/// False: the client takes no more. An error of the engine is sent as the last event.
bool Generation::send_events(BodySink& sink) {
  for (ChoiceState& choice : choices_) {
    if (!sink.write(event_text(first_chunk(frame_, choice)))) return false;
  }
  for (auto next = std::move(first_); next; next = group_.next()) {
    auto* end = std::get_if<AnswerEnd>(&next->event);
    if (end != nullptr && end->error) {
      if (end->error->code == ApiCode::cancelled) return false;
      const HttpError error = to_http(fail(*std::move(end->error)));
      call_.note(error);
      return sink.write(event_text(error_body(error, call_.request_id())));
    }
    const auto chunk = chunk_of(next->answer, next->event);
    if (chunk && !sink.write(event_text(*chunk))) return false;
  }
  group_.answers().record(call_.record(), std::nullopt);
  std::string last;
  entry_.key.reset();
  if (frame_.form.include_usage) last = event_text(usage_chunk(frame_, usage()));
  return sink.write(last + "data: [DONE]\n\n");
}

bool Generation::stream(BodySink& sink) {
  if (send_events(sink)) return true;
  call_.note(to_http(fail(from_engine({Errc::cancelled, ""}))));
  return false;
}

}  // namespace

Reply complete(GatewayState& state, const GenerationSettings& settings, HttpCall& call,
               CompletionRequest& request, const Request& from) {
  for (const GenerateCall& one : request.calls) {
    if (auto refused = call.refuse_priority(one.priority)) return call.fail(*refused);
  }
  auto entry = state.enter(call.record().key_name, {kIdempotencyKey, from.idempotency_keys});
  if (auto* refused = std::get_if<ApiError>(&entry)) return call.fail(*refused);
  auto generation = std::make_shared<Generation>(state, settings, call, request, from.socket,
                                                 std::get<GatewayState::Entry>(std::move(entry)));
  if (auto error = generation->start(request)) return call.fail(*error);
  Reply reply;
  if (!request.form.stream) {
    reply = generation->whole();
    // Null where it failed, too.
    if (auto key = std::make_shared<IdempotencyKeys::Hold>(generation->take_key()); *key)
      reply.before_last = [key] { key->reset(); };
  } else if (auto error = generation->begin()) {
    reply = call.fail(*error);
  } else {
    reply.content_type = "text/event-stream; charset=utf-8";
    reply.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    reply.stream = [generation](BodySink& sink) { return generation->stream(sink); };
  }
  if (const auto seed = generation->drawn_seed(); seed && reply.status == 200) {
    reply.headers.emplace_back("x-troupe-seed", std::to_string(*seed));
  }
  return reply;
}

}  // namespace troupe::services::http
