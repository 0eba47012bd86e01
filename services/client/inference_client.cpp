// Generate as a stream that a thread reads.
#include "services/client/inference_client.hpp"

#include <troupe/inference/v1/inference.grpc.pb.h>

#include <thread>

#include "services/client/channel.hpp"
#include "services/client/event_queue.hpp"

namespace troupe::services {
namespace {

namespace v1 = ::troupe::inference::v1;
using Clock = std::chrono::steady_clock;

template <class Value, class Set>
void give(const std::optional<Value>& value, Set set) {
  if (value) set(*value);
}

v1::SamplingParams to_params(const SamplingFields& fields) {
  v1::SamplingParams params;
  give(fields.temperature, [&](float value) { params.set_temperature(value); });
  give(fields.top_p, [&](float value) { params.set_top_p(value); });
  give(fields.top_k, [&](std::int32_t value) { params.set_top_k(value); });
  give(fields.min_p, [&](float value) { params.set_min_p(value); });
  give(fields.frequency_penalty, [&](float value) { params.set_frequency_penalty(value); });
  give(fields.presence_penalty, [&](float value) { params.set_presence_penalty(value); });
  give(fields.repetition_penalty, [&](float value) { params.set_repetition_penalty(value); });
  give(fields.seed, [&](std::uint64_t value) { params.set_seed(value); });
  give(fields.max_tokens, [&](std::int32_t value) { params.set_max_tokens(value); });
  give(fields.min_tokens, [&](std::int32_t value) { params.set_min_tokens(value); });
  params.set_ignore_eos(fields.ignore_eos);
  params.mutable_logit_bias()->insert(fields.logit_bias.begin(), fields.logit_bias.end());
  return params;
}

v1::ChatInput to_input(const ChatCall& chat) {
  v1::ChatInput input;
  for (const ChatMessage& message : chat.messages) {
    v1::ChatMessage& added = *input.add_messages();
    added.set_role(message.role);
    added.set_content(message.content);
    added.set_name(message.name);
    added.set_tool_call_id(message.tool_call_id);
    for (const ChatToolCall& made : message.tool_calls) {
      v1::ToolCall& call = *added.add_tool_calls();
      call.set_id(made.id);
      call.set_name(made.name);
      call.set_arguments_json(made.arguments);
    }
  }
  for (const std::string& tool : chat.tools) input.add_tools(tool);
  input.set_template_variables_json(chat.variables_json);
  return input;
}

v1::GenerateRequest to_request(const GenerateCall& call) {
  v1::GenerateRequest request;
  request.set_model(call.model);
  *request.mutable_sampling() = to_params(call.sampling);
  if (const auto* text = std::get_if<GenerateCall::TextInput>(&call.input)) {
    request.set_text(*text);
  } else if (const auto* ids = std::get_if<GenerateCall::IdsInput>(&call.input)) {
    request.mutable_token_ids()->mutable_ids()->Add(ids->begin(), ids->end());
  } else if (const auto* chat = std::get_if<ChatCall>(&call.input)) {
    *request.mutable_chat() = to_input(*chat);
  }
  return request;
}

ClientPiece to_piece(const v1::Delta& delta) {
  ClientPiece piece{
      {delta.token_ids().begin(), delta.token_ids().end()}, delta.text(), delta.reasoning_text()};
  if (delta.has_tool_call_delta()) {
    const v1::ToolCallDelta& call = delta.tool_call_delta();
    piece.tool_call = ClientToolCall{call.index(), call.name(), call.arguments_json(), call.id()};
  }
  return piece;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class GrpcStream final : public ClientStream {
 public:
  GrpcStream(std::shared_ptr<grpc::Channel> channel, const std::string& api_key,
             v1::GenerateRequest request)
      : channel_(std::move(channel)), request_(std::move(request)) {
    authorize(context_, api_key);
    reader_ = std::thread([this] { read(); });
  }
  ~GrpcStream() override {
    cancel();
    reader_.join();
  }

  std::optional<ClientEvent> next(std::chrono::milliseconds patience) override {
    return events_.take(patience);
  }
  void cancel() override { context_.TryCancel(); }

 private:
  void read() {
    await_connection(*channel_);
    const auto stub = v1::InferenceService::NewStub(channel_);
    const auto stream = stub->Generate(&context_, request_);
    ClientEnd end;
    v1::GenerateResponse response;
    while (stream->Read(&response)) take(response, end);
    const grpc::Status status = stream->Finish();
    if (!status.ok()) end.failure = to_failure(status);
    end.ignored = ignored_fields();
    if (end.duration_s == 0) end.duration_s = seconds_since(started_);
    events_.push(std::move(end));
  }

  std::string ignored_fields() const {
    std::string list;
    const auto& trailers = context_.GetServerTrailingMetadata();
    const auto [begin, end] = trailers.equal_range("x-troupe-ignored-fields");
    for (auto one = begin; one != end; ++one) {
      if (!list.empty()) list += ", ";
      list.append(one->second.data(), one->second.size());
    }
    return list;
  }

  void take(const v1::GenerateResponse& response, ClientEnd& end) {
    if (response.has_started()) {
      const v1::Started& started = response.started();
      end.prompt_tokens = started.prompt_tokens();
      events_.push(ClientStart{started.has_drawn_seed() ? std::optional(started.drawn_seed())
                                                        : std::nullopt});
    } else if (response.has_delta()) {
      const v1::Delta& delta = response.delta();
      if (end.generated_tokens == 0) end.time_to_first_token_s = seconds_since(started_);
      end.generated_tokens += delta.token_ids_size();
      events_.push(to_piece(delta));
    } else if (response.has_finished()) {
      end.generated_tokens = response.finished().usage().completion_tokens();
      end.time_to_first_token_s = response.finished().timings().time_to_first_token_s();
      end.duration_s = response.finished().timings().duration_s();
    }
  }

  std::shared_ptr<grpc::Channel> channel_;
  v1::GenerateRequest request_;
  grpc::ClientContext context_;
  const Clock::time_point started_ = Clock::now();
  EventQueue events_;
  std::thread reader_;  // last: it uses all of the above
};

}  // namespace

struct InferenceClient::Channel {
  std::shared_ptr<grpc::Channel> channel;
  std::string api_key;
};

InferenceClient::InferenceClient(const ServerAccess& access)
    : channel_(std::make_unique<Channel>(Channel{open_channel(access), access.api_key})) {}
InferenceClient::~InferenceClient() = default;

std::unique_ptr<ClientStream> InferenceClient::generate(const GenerateCall& call) const {
  return std::make_unique<GrpcStream>(channel_->channel, channel_->api_key, to_request(call));
}

Answered<ClientModel, ClientFailure> InferenceClient::describe(const std::string& model) const {
  await_connection(*channel_->channel);
  grpc::ClientContext context;
  authorize(context, channel_->api_key);
  v1::GetModelRequest request;
  request.set_model(model);
  v1::GetModelResponse response;
  const auto stub = v1::InferenceService::NewStub(channel_->channel);
  const grpc::Status status = stub->GetModel(&context, request, &response);
  if (!status.ok()) return to_failure(status);
  const v1::Model& found = response.model();
  return ClientModel{found.id(), found.capabilities().text(), found.vocabulary_size(),
                     found.context_length()};
}

}  // namespace troupe::services
