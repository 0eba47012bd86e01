// From finished calls and the status of a gateway to its metrics.
#include "services/gateway/gateway_metrics.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

namespace troupe::services {
namespace {

using Words = std::span<const char* const>;

constexpr std::array kHttpApis{"chat",   "completions", "tokenize", "detokenize", "apply_template",
                               "models", "props",       "cluster",  "unknown"};
constexpr std::array kHttpCodes{"200", "400", "401", "403", "404", "405", "408",
                                "409", "413", "414", "415", "416", "417", "429",
                                "431", "499", "500", "503", "504"};
constexpr std::array kGrpcApis{"grpc_generate",   "grpc_generate_unary",      "grpc_tokenize",
                               "grpc_detokenize", "grpc_apply_chat_template", "grpc_list_models",
                               "grpc_get_model"};
constexpr std::array kGrpcCodes{
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
constexpr std::array kGenerating{"chat", "completions", "grpc_generate", "grpc_generate_unary"};

/// An API with the codes that it answers with; a code that is none of them counts as `other`.
struct Face {
  Words apis, codes;
  const char* other;
};
const std::array kFaces{Face{kHttpApis, kHttpCodes, "500"}, Face{kGrpcApis, kGrpcCodes, "UNKNOWN"}};

constexpr std::array kReasons{"stop", "length", "tool_calls", "cancelled", "error"};

/// Label sets are closed: what is none of theirs gets no series.
bool is_one_of(Words set, std::string_view word) {
  return std::any_of(set.begin(), set.end(), [&](const char* one) { return word == one; });
}

}  // namespace

GatewayMetrics::GatewayMetrics(MetricBook& book, std::string model)
    : book_(book), model_(std::move(model)) {
  book_.declare(kGatewayMetrics);
  for (const Face& face : kFaces) {
    for (const char* api : face.apis) {
      for (const char* code : face.codes) book_.add(kGatewayRequests, {model_, api, code}, 0);
      book_.observe(kGatewayDuration, {model_, api}, Histogram(kLatencyBounds));
    }
  }
  for (const char* api : kGenerating) book_.add(kGatewayBackpressure, {api}, 0);
  for (const char* reason : kReasons) book_.add(kGatewayFinish, {model_, reason}, 0);
  for (const auto* metric : {&kGatewayPromptTokens, &kGatewayGeneratedTokens,
                             &kGatewayReplayMismatch, &kGatewayCachedTokens})
    book_.add(*metric, {model_}, 0);
  for (const auto* metric : {&kGatewayFirstToken, &kGatewayInterToken, &kGatewayQueueTime})
    book_.observe(*metric, {model_}, Histogram(kLatencyBounds));
  take({}, {});
}

void GatewayMetrics::record(const CallRecord& call) {
  const auto* face = std::find_if(kFaces.begin(), kFaces.end(),
                                  [&](const Face& one) { return is_one_of(one.apis, call.api); });
  if (face == kFaces.end()) return;
  const std::string code = is_one_of(face->codes, call.code) ? call.code : face->other;
  book_.add(kGatewayRequests, {model_, call.api, code}, 1);
  book_.observe(kGatewayDuration, {model_, call.api}, call.duration_s);
  for (const auto& [reason, choices] : call.finishes)
    if (is_one_of(kReasons, reason))
      book_.add(kGatewayFinish, {model_, std::string(reason)}, static_cast<double>(choices));
  if (!is_one_of(kReasons, call.finish)) return;
  book_.add(kGatewayPromptTokens, {model_}, static_cast<double>(call.prompt_tokens));
  book_.add(kGatewayGeneratedTokens, {model_}, static_cast<double>(call.generated_tokens));
  book_.add(kGatewayReplayMismatch, {model_}, static_cast<double>(call.replay_mismatches));
  book_.add(kGatewayCachedTokens, {model_}, static_cast<double>(call.cached_tokens));
  if (is_one_of(kGenerating, call.api)) book_.add(kGatewayBackpressure, {call.api}, call.waited_s);
  if (call.generated_tokens < 1) return;
  book_.observe(kGatewayQueueTime, {model_}, call.queue_time_s);
  book_.observe(kGatewayFirstToken, {model_}, call.time_to_first_token_s);
  book_.observe(kGatewayInterToken, {model_}, call.token_gaps);
}

void GatewayMetrics::take(const actors::GatewayStatus& status, const OpenCalls::Counts& open) {
  book_.set(kGatewayQueued, {model_}, static_cast<double>(status.requests_queued));
  for (const Face& face : kFaces)
    for (const char* api : face.apis) {
      const auto found = open.find(api);
      book_.set(kGatewayInFlight, {model_, api},
                found == open.end() ? 0 : static_cast<double>(found->second));
    }
  book_.add(kGatewayReplays, {model_}, static_cast<double>(replays_.take(status.replays_total)));
}

}  // namespace troupe::services
