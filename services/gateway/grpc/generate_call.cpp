// Reactors between an AnswerStream and gRPC. Neither blocks; no thread belongs to a stream.
#include "services/gateway/grpc/generate_call.hpp"

#include <mutex>

#include "services/gateway/grpc/call.hpp"
#include "services/gateway/grpc/messages.hpp"

namespace troupe::services {
namespace {

/// Starts `request` on `stream`; the reader hears of its events.
Answered<StartedCall> start_answer(GatewayState& state, Call& call,
                                   const v1::GenerateRequest& request,
                                   const std::shared_ptr<AnswerStream>& stream,
                                   std::weak_ptr<AnswerReader> reader) {
  call.set_request_id(request.request_id());
  constexpr Right right = Right::generate;
  if (auto refused = call.authorize(&right)) return *std::move(refused);
  if (auto refused = state.refuse_now()) return *std::move(refused);
  if (auto full = call.admit()) return *std::move(full);
  auto planned = plan_request(state.model, to_call(request));
  if (auto* error = std::get_if<ApiError>(&planned)) return std::move(*error);
  auto& plan = std::get<PlannedRequest>(planned);
  plan.request.deadline = call.remaining();
  if (plan.request.deadline && plan.request.deadline->count() <= 0) {
    return from_engine({Errc::deadline_exceeded, "the deadline passed before the request began"});
  }
  const StartedCall started{call.request_id(),
                            static_cast<std::int64_t>(plan.request.prompt.size()), plan.drawn_seed};
  call.record().prompt_tokens = started.prompt_tokens;
  state.answers.add(stream);
  if (auto error = AnswerStream::start(stream, std::move(plan), std::move(reader))) {
    return *std::move(error);
  }
  return started;
}

/// What the counts want to know of the end of an answer.
void record_end(Call& call, const AnswerStream& stream, const std::optional<AnswerFinish>& finish,
                const std::optional<ApiError>& error) {
  CallRecord& record = call.record();
  record.waited_s = std::chrono::duration<double>(stream.waited()).count();
  record.replay_mismatches = stream.replay_mismatches();
  record.queue_time_s = stream.queue_time_s();
  if (finish) {
    record.finish = finish->reason == AnswerFinish::Reason::stop ? "stop" : "length";
    record.generated_tokens = finish->generated_tokens;
    record.cached_tokens = finish->cached_tokens;
    record.time_to_first_token_s = finish->time_to_first_token_s;
  } else if (error) {
    record.finish = error->code == ApiCode::cancelled ? "cancelled" : "error";
  }
}

class StreamedAnswer final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                             public AnswerReader,
                             public std::enable_shared_from_this<StreamedAnswer> {
 public:
  StreamedAnswer(GatewayState& state, AnswerStream::Limits limits,
                 grpc::CallbackServerContext& context)
      : state_(state),
        call_(state, context, "grpc_generate"),
        stream_(std::make_shared<AnswerStream>(state.engine, limits)) {}

  void begin(const grpc::ByteBuffer& bytes) {
    self_ = shared_from_this();
    v1::GenerateRequest request;
    if (auto error = parse_message(bytes, request)) return finish(error);
    auto started = start_answer(state_, call_, request, stream_, weak_from_this());
    if (auto* error = std::get_if<ApiError>(&started)) return finish(std::move(*error));
    v1::GenerateResponse first;
    *first.mutable_started() = to_message(std::get<StartedCall>(started), state_.model);
    write(first);
  }

  void on_events() override { pump(); }
  void OnWriteDone(bool ok) override {
    if (!ok) {
      broken_ = true;
      stream_->cancel();
    }
    pump();
  }
  void OnCancel() override { stream_->cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  /// At most one caller at a time: whoever completed a write, or the engine after `take` gave
  /// nothing.
  void pump() {
    while (auto event = stream_->take()) {
      if (auto* end = std::get_if<AnswerEnd>(&*event)) return finish(std::move(end->error));
      if (auto* done = std::get_if<AnswerFinish>(&*event)) finish_ = *done;
      if (broken_) continue;
      return write(to_response(*event));
    }
  }
  void write(const v1::GenerateResponse& response) {
    out_ = serialize_message(response);
    StartWrite(&out_);
  }
  void finish(std::optional<ApiError> error) {
    record_end(call_, *stream_, finish_, error);
    Finish(call_.close(error));
  }

  GatewayState& state_;
  Call call_;
  std::shared_ptr<AnswerStream> stream_;
  std::shared_ptr<StreamedAnswer> self_;  // until OnDone
  grpc::ByteBuffer out_;
  std::optional<AnswerFinish> finish_;
  bool broken_ = false;  // the client takes nothing any more
};

class WholeAnswer final : public grpc::ServerUnaryReactor,
                          public AnswerReader,
                          public std::enable_shared_from_this<WholeAnswer> {
 public:
  WholeAnswer(GatewayState& state, grpc::CallbackServerContext& context, grpc::ByteBuffer& response)
      : state_(state),
        call_(state, context, "grpc_generate_unary"),
        stream_(std::make_shared<AnswerStream>(state.engine, AnswerStream::Limits{})),
        response_(response) {}

  void begin(const grpc::ByteBuffer& bytes) {
    self_ = shared_from_this();
    v1::GenerateUnaryRequest request;
    if (auto error = parse_message(bytes, request)) return finish(error);
    auto started = start_answer(state_, call_, request.request(), stream_, weak_from_this());
    if (auto* error = std::get_if<ApiError>(&started)) return finish(std::move(*error));
    started_ = std::get<StartedCall>(started);
    pump();
  }

  void on_events() override { pump(); }
  void OnCancel() override { stream_->cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  void pump() {
    while (auto event = stream_->take()) {
      if (auto* end = std::get_if<AnswerEnd>(&*event)) return finish(std::move(end->error));
      if (auto* done = std::get_if<AnswerFinish>(&*event)) finish_ = *done;
      if (auto* piece = std::get_if<AnswerPiece>(&*event)) whole_.append(*piece);
    }
  }
  void finish(std::optional<ApiError> error) {
    record_end(call_, *stream_, finish_, error);
    if (!error && finish_) {
      v1::GenerateUnaryResponse response;
      *response.mutable_started() = to_message(started_, state_.model);
      *response.add_choices() = to_choice(whole_, *finish_);
      *response.mutable_usage() = usage_of(*finish_);
      *response.mutable_timings() = timings_of(*finish_);
      response_ = serialize_message(response);
    }
    Finish(call_.close(error));
  }

  GatewayState& state_;
  Call call_;
  std::shared_ptr<AnswerStream> stream_;
  std::shared_ptr<WholeAnswer> self_;  // until OnDone
  grpc::ByteBuffer& response_;
  StartedCall started_;
  AnswerPiece whole_;
  std::optional<AnswerFinish> finish_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* answer_as_stream(GatewayState& state,
                                                             AnswerStream::Limits limits,
                                                             grpc::CallbackServerContext& context,
                                                             const grpc::ByteBuffer& request) {
  auto answer = std::make_shared<StreamedAnswer>(state, limits, context);
  answer->begin(request);
  return answer.get();
}

grpc::ServerUnaryReactor* answer_whole(GatewayState& state, grpc::CallbackServerContext& context,
                                       const grpc::ByteBuffer& request,
                                       grpc::ByteBuffer& response) {
  auto answer = std::make_shared<WholeAnswer>(state, context, response);
  answer->begin(request);
  return answer.get();
}

}  // namespace troupe::services
