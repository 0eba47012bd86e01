// One method per RPC. Requests come as bytes, so that what cannot be parsed is answered by us.
#include "services/gateway/grpc/inference_service.hpp"

#include <troupe/inference/v1/inference.grpc.pb.h>

#include "services/gateway/grpc/call.hpp"
#include "services/gateway/grpc/generate_call.hpp"
#include "services/gateway/grpc/messages.hpp"

namespace troupe::services {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using Base = v1::InferenceService;

constexpr Right kTokenize = Right::tokenize;

template <class Message>
using Outcome = Answered<Message>;

Outcome<v1::TokenizeResponse> tokenize(const ServedModel& model, const v1::TokenizeRequest& asked) {
  if (auto refused = model.refuse_name(asked.model())) return *std::move(refused);
  const RawText how{!asked.has_add_bos() || asked.add_bos(), asked.parse_special_tokens()};
  auto ids = model.encode(asked.text(), how, "text");
  if (auto* error = std::get_if<ApiError>(&ids)) return std::move(*error);
  const auto& list = std::get<std::vector<std::int32_t>>(ids);
  v1::TokenizeResponse response;
  response.mutable_token_ids()->Add(list.begin(), list.end());
  return response;
}

Outcome<v1::DetokenizeResponse> detokenize(const ServedModel& model,
                                           const v1::DetokenizeRequest& asked) {
  if (auto refused = model.refuse_name(asked.model())) return *std::move(refused);
  if (auto refused = model.refuse_text()) return *std::move(refused);
  const std::vector<std::int32_t> ids(asked.token_ids().begin(), asked.token_ids().end());
  if (auto refused = model.refuse_ids(ids, "token_ids")) return *std::move(refused);
  v1::DetokenizeResponse response;
  response.set_text(model.tokenizer()->decode(ids, asked.skip_special_tokens()));
  return response;
}

Outcome<v1::ApplyChatTemplateResponse> apply_chat_template(
    const ServedModel& model, const v1::ApplyChatTemplateRequest& asked) {
  if (auto refused = model.refuse_name(asked.model())) return *std::move(refused);
  auto encoded = model.encode(to_call(asked.chat()));
  if (auto* error = std::get_if<ApiError>(&encoded)) return std::move(*error);
  const auto& prompt = std::get<ServedPrompt>(encoded);
  v1::ApplyChatTemplateResponse response;
  response.set_prompt(prompt.text);
  response.mutable_token_ids()->Add(prompt.ids.begin(), prompt.ids.end());
  return response;
}

Outcome<v1::ListModelsResponse> list_models(const ServedModel& model,
                                            const v1::ListModelsRequest&) {
  v1::ListModelsResponse response;
  *response.add_models() = describe(model);
  return response;
}

Outcome<v1::GetModelResponse> get_model(const ServedModel& model,
                                        const v1::GetModelRequest& asked) {
  if (auto refused = model.refuse_name(asked.model())) return *std::move(refused);
  v1::GetModelResponse response;
  *response.mutable_model() = describe(model);
  return response;
}

/// Answers on the calling thread. `right` null: any key will do.
template <class Request, class Response>
ServerUnaryReactor* answer(GatewayState& state, CallbackServerContext* context, const char* api,
                           const Right* right, const ByteBuffer& bytes, ByteBuffer& out,
                           Outcome<Response> (*work)(const ServedModel&, const Request&)) {
  Call call(state, *context, api);
  auto* reactor = context->DefaultReactor();
  std::optional<ApiError> error;
  const auto fault = exception_of([&] {
    Request request;
    error = call.authorize(right);
    if (!error) error = parse_message(bytes, request);
    if (error) return;
    auto outcome = work(state.model, request);
    if (auto* failed = std::get_if<ApiError>(&outcome))
      error = std::move(*failed);
    else
      out = serialize_message(std::get<Response>(outcome));
  });
  reactor->Finish(call.close(fault ? fault : error));
  return reactor;
}

using Raw = Base::WithRawCallbackMethod_Generate<
    Base::WithRawCallbackMethod_Tokenize<Base::WithRawCallbackMethod_Detokenize<
        Base::WithRawCallbackMethod_ApplyChatTemplate<Base::WithRawCallbackMethod_ListModels<
            Base::WithRawCallbackMethod_GetModel<Base::Service>>>>>>;
constexpr int kGenerateUnary = 1;  // its place among the service's methods

class InferenceService final : public Raw {
 public:
  InferenceService(GatewayState& state, InferenceSettings settings)
      : state_(state), settings_(std::move(settings)) {
    // On the wire a unary call is a stream of one message. As a stream it tells when the message
    // has gone out, which a unary reactor does not.
    using Handler = grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>;
    MarkMethodRawCallback(kGenerateUnary,
                          new Handler([this](CallbackServerContext* context, const ByteBuffer* in) {
                            return answer_whole(state_, settings_, *context, *in);
                          }));
  }

  grpc::ServerWriteReactor<ByteBuffer>* Generate(CallbackServerContext* context,
                                                 const ByteBuffer* in) override {
    return answer_as_stream(state_, settings_, *context, *in);
  }
  ServerUnaryReactor* Tokenize(CallbackServerContext* context, const ByteBuffer* in,
                               ByteBuffer* out) override {
    return answer(state_, context, "grpc_tokenize", &kTokenize, *in, *out, tokenize);
  }
  ServerUnaryReactor* Detokenize(CallbackServerContext* context, const ByteBuffer* in,
                                 ByteBuffer* out) override {
    return answer(state_, context, "grpc_detokenize", &kTokenize, *in, *out, detokenize);
  }
  ServerUnaryReactor* ApplyChatTemplate(CallbackServerContext* context, const ByteBuffer* in,
                                        ByteBuffer* out) override {
    return answer(state_, context, "grpc_apply_chat_template", &kTokenize, *in, *out,
                  apply_chat_template);
  }
  ServerUnaryReactor* ListModels(CallbackServerContext* context, const ByteBuffer* in,
                                 ByteBuffer* out) override {
    return answer(state_, context, "grpc_list_models", nullptr, *in, *out, list_models);
  }
  ServerUnaryReactor* GetModel(CallbackServerContext* context, const ByteBuffer* in,
                               ByteBuffer* out) override {
    return answer(state_, context, "grpc_get_model", nullptr, *in, *out, get_model);
  }

 private:
  GatewayState& state_;
  const InferenceSettings settings_;
};

}  // namespace

NamedService make_inference_service(GatewayState& state, InferenceSettings settings) {
  return {Base::service_full_name(),
          std::make_shared<InferenceService>(state, std::move(settings))};
}

}  // namespace troupe::services
