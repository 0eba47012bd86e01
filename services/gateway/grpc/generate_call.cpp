// Reactors between an AnswerStream and gRPC. Neither blocks; no thread belongs to a stream.
#include "services/gateway/grpc/generate_call.hpp"

#include <atomic>
#include <deque>
#include <exception>

#include "services/gateway/grpc/call.hpp"
#include "services/gateway/grpc/messages.hpp"
#include "services/gateway/one_at_a_time.hpp"

namespace troupe::services {
namespace {

constexpr Right kGenerate = Right::generate;
constexpr std::chrono::milliseconds kRetryAfter{1000};  // where no thread can be had

/// A request from its message to the start of its answers. `cancel` may come at any time.
class Asked {
 public:
  Asked(GatewayState& state, Call& call, AnswerSet& answers)
      : state_(state), call_(call), answers_(answers) {}

  /// Whether whoever may ask may ask this, which takes no time.
  Answered<GenerateCall> admit(const v1::GenerateRequest& request) {
    call_.set_request_id(request.request_id());
    if (auto refused = call_.refuse_priority(request.priority())) return *std::move(refused);
    if (auto refused = call_.admit()) return *std::move(refused);
    GenerateCall asked = to_call(request);
    state_.give_owner(asked, call_.record().key_name);
    return asked;
  }

  /// Starts its choices; `reader` hears of their events.
  Answered<StartedCall> start(const GenerateCall& asked,
                              const std::weak_ptr<AnswerReader>& reader) {
    if (cancelled_) return from_engine({Errc::cancelled, "the call was cancelled"});
    auto planned = plan_request(state_.model, asked);
    if (auto* error = std::get_if<ApiError>(&planned)) return std::move(*error);
    auto started = start_choices(std::get<PlannedRequest>(std::move(planned)), reader);
    started_ = true;
    if (cancelled_) answers_.cancel();
    return started;
  }

  void cancel() {
    cancelled_ = true;
    if (started_) answers_.cancel();
  }

 private:
  Answered<StartedCall> start_choices(PlannedRequest plan,
                                      const std::weak_ptr<AnswerReader>& reader) {
    call_.set_ignored(plan.ignored);
    plan.request.deadline = call_.remaining();
    if (plan.request.deadline && plan.request.deadline->count() <= 0) {
      return from_engine({Errc::deadline_exceeded, "the deadline passed before the request began"});
    }
    const StartedCall started{call_.request_id(),
                              static_cast<std::int64_t>(plan.request.prompt.size()), 0,
                              plan.drawn_seed};
    call_.record().prompt_tokens = started.prompt_tokens;
    for (PlannedRequest& choice : choices_of(std::move(plan))) {
      auto error = answers_.start(std::move(choice), reader);
      if (!error) continue;
      answers_.cancel();
      return *std::move(error);
    }
    return started;
  }

  GatewayState& state_;
  Call& call_;
  AnswerSet& answers_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> started_{false};  // all choices are, so others may cancel them
};

/// Makes `part` of a call; an exception ends the call.
template <class Answer, class Part>
void make(Answer& answer, const Part& part) {
  if (auto fault = exception_of(part)) answer.finish(*std::move(fault));
}

/// Has `answer` start what `asked` asks for: elsewhere, if a form has to be compiled for that.
template <class Answer>
void start_where_it_may(const std::shared_ptr<Answer>& answer, GenerateCall asked,
                        const InferenceSettings& settings) {
  const bool elsewhere = has_form(asked);
  const auto start = [answer, asked = std::move(asked)] {
    make(*answer, [&] { answer->start(asked); });
  };
  if (!elsewhere) return start();
  if (!settings.run_elsewhere(start)) answer->finish(queue_full(0, kRetryAfter));
}

/// Whoever takes events or has written makes the next step; one at a time.
class StreamedAnswer final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                             public AnswerReader,
                             public std::enable_shared_from_this<StreamedAnswer> {
 public:
  StreamedAnswer(GatewayState& state, const InferenceSettings& settings,
                 grpc::CallbackServerContext& context)
      : state_(state),
        settings_(settings),
        call_(state, context, "grpc_generate"),
        answers_(state, settings.stream) {}

  void begin(const grpc::ByteBuffer& bytes) {
    self_ = shared_from_this();
    if (auto error = call_.authorize(&kGenerate)) return finish(error);
    v1::GenerateRequest request;
    if (auto error = parse_message(bytes, request)) return finish(error);
    auto asked = asked_.admit(request);
    if (auto* error = std::get_if<ApiError>(&asked)) return finish(std::move(*error));
    start_where_it_may(self_, std::get<GenerateCall>(std::move(asked)), settings_);
  }
  /// Once, on any thread.
  void start(const GenerateCall& asked) {
    auto started = asked_.start(asked, weak_from_this());
    if (auto* error = std::get_if<ApiError>(&started)) return finish(std::move(*error));
    *unsent_.emplace_back().mutable_started() =
        to_message(std::get<StartedCall>(started), state_.model);
    pump();  // the first one: nothing was taken yet
  }

  void finish(std::optional<ApiError> error) {
    finished_ = true;
    error = call_.cause_of(std::move(error));
    if (error) answers_.cancel();
    answers_.record(call_.record(), error);
    Finish(call_.close(error));
  }

  void on_events() override { pump(); }
  void OnWriteDone(bool ok) override {
    if (!ok) {
      broken_ = true;
      answers_.cancel();
    }
    writing_ = false;
    pump();
  }
  void OnCancel() override { asked_.cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  void pump() {
    steps_.run([this] { make(*this, [this] { step(); }); });
  }
  void step() {
    if (finished_ || writing_) return;
    if (broken_) unsent_.clear();
    while (unsent_.empty()) {
      auto next = answers_.take();
      if (!next && answers_.ended()) return finish(unread());
      if (!next) return;
      auto* end = std::get_if<AnswerEnd>(&next->event);
      if (end != nullptr && end->error) return finish(std::move(end->error));
      if (broken_ || end != nullptr) continue;
      for (auto& response : to_responses(*next, call_.request_id(), answers_))
        unsent_.push_back(std::move(response));
    }
    out_ = serialize_message(unsent_.front());
    unsent_.pop_front();
    writing_ = true;
    StartWrite(&out_);
  }
  /// Why an answer that ended well did not reach its client; nothing: it did.
  std::optional<ApiError> unread() const {
    if (!broken_) return std::nullopt;
    return from_engine({Errc::cancelled, ""});
  }

  GatewayState& state_;
  const InferenceSettings& settings_;
  Call call_;
  AnswerSet answers_;
  Asked asked_{state_, call_, answers_};
  std::shared_ptr<StreamedAnswer> self_;  // until OnDone
  OneAtATime steps_;
  std::deque<v1::GenerateResponse> unsent_;
  grpc::ByteBuffer out_;
  bool finished_ = false;
  std::atomic<bool> writing_{false};
  std::atomic<bool> broken_{false};  // the client takes nothing any more
};

class WholeAnswer final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public AnswerReader,
                          public std::enable_shared_from_this<WholeAnswer> {
 public:
  WholeAnswer(GatewayState& state, const InferenceSettings& settings,
              grpc::CallbackServerContext& context)
      : state_(state),
        settings_(settings),
        call_(state, context, "grpc_generate_unary"),
        answers_(state, AnswerStream::Limits{}) {}

  void begin(const grpc::ByteBuffer& bytes) {
    self_ = shared_from_this();
    if (auto error = call_.authorize(&kGenerate)) return finish(*std::move(error));
    v1::GenerateUnaryRequest request;
    if (auto error = parse_message(bytes, request)) return finish(*std::move(error));
    auto asked = asked_.admit(request.request());
    if (auto* error = std::get_if<ApiError>(&asked)) return finish(std::move(*error));
    start_where_it_may(self_, std::get<GenerateCall>(std::move(asked)), settings_);
  }
  /// Once, on any thread.
  void start(const GenerateCall& asked) {
    auto started = asked_.start(asked, weak_from_this());
    if (auto* error = std::get_if<ApiError>(&started)) return finish(std::move(*error));
    started_ = std::get<StartedCall>(started);
    wholes_.resize(answers_.size());
    pump();
  }

  void finish(ApiError error) {
    finished_ = true;
    end(std::move(error));
  }

  void on_events() override { pump(); }
  void OnWriteDone(bool ok) override {
    const auto gone = ok ? std::nullopt : std::optional(from_engine({Errc::cancelled, ""}));
    make(*this, [&] { end(gone); });
  }
  void OnCancel() override { asked_.cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  void pump() {
    steps_.run([this] { make(*this, [this] { step(); }); });
  }
  void step() {
    if (finished_) return;
    while (auto next = answers_.take()) {
      auto* end = std::get_if<AnswerEnd>(&next->event);
      if (end != nullptr && end->error) return finish(*std::move(end->error));
      if (auto* piece = std::get_if<AnswerPiece>(&next->event))
        wholes_[next->answer].append(*piece);
    }
    if (!answers_.ended()) return;
    finished_ = true;
    out_ = serialize_message(response());
    StartWrite(&out_);
  }
  void end(std::optional<ApiError> error) {
    error = call_.cause_of(std::move(error));
    if (error) answers_.cancel();
    answers_.record(call_.record(), error);
    Finish(call_.close(error));
  }
  v1::GenerateUnaryResponse response() {
    v1::GenerateUnaryResponse response;
    const AnswerSums sums = answers_.sums();
    started_.cached_tokens = sums.cached_tokens;
    *response.mutable_started() = to_message(started_, state_.model);
    for (std::size_t i = 0; i < wholes_.size(); ++i)
      *response.add_choices() = to_choice({call_.request_id(), i, wholes_[i], *answers_.finish(i)});
    set_prompt_logprobs(wholes_.front(), *response.mutable_prompt_logprobs());
    *response.mutable_usage() = usage_of(sums);
    *response.mutable_timings() = timings_of(answers_.last_finish());
    return response;
  }

  GatewayState& state_;
  const InferenceSettings& settings_;
  Call call_;
  AnswerSet answers_;
  Asked asked_{state_, call_, answers_};
  std::shared_ptr<WholeAnswer> self_;  // until OnDone
  OneAtATime steps_;
  grpc::ByteBuffer out_;
  StartedCall started_;
  std::vector<AnswerPiece> wholes_;
  bool finished_ = false;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* answer_as_stream(GatewayState& state,
                                                             const InferenceSettings& settings,
                                                             grpc::CallbackServerContext& context,
                                                             const grpc::ByteBuffer& request) {
  auto answer = std::make_shared<StreamedAnswer>(state, settings, context);
  make(*answer, [&] { answer->begin(request); });
  return answer.get();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* answer_whole(GatewayState& state,
                                                         const InferenceSettings& settings,
                                                         grpc::CallbackServerContext& context,
                                                         const grpc::ByteBuffer& request) {
  auto answer = std::make_shared<WholeAnswer>(state, settings, context);
  make(*answer, [&] { answer->begin(request); });
  return answer.get();
}

}  // namespace troupe::services
