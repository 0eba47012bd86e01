// The metrics of a gateway.
#pragma once
#include <string>

#include "actors/gateway/gateway_role.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/runtime/metrics/metric_book.hpp"

namespace troupe::services {

inline constexpr MetricSpec kGatewayRequests{
    "troupe_gateway_requests_total", MetricKind::counter, "model, api, code",
    "Finished calls; code: the HTTP status, or gRPC's by name"};
inline constexpr MetricSpec kGatewayInFlight{"troupe_gateway_requests_in_flight", MetricKind::gauge,
                                             "model, api", "Calls being answered"};
inline constexpr MetricSpec kGatewayQueued{"troupe_gateway_requests_queued", MetricKind::gauge,
                                           "model", "Requests no shard has begun to compute yet"};
inline constexpr MetricSpec kGatewayQueueTime{
    "troupe_gateway_queue_time_seconds", MetricKind::histogram, "model",
    "What a request waited on its shard before its first step", kLatencyBounds};
inline constexpr MetricSpec kGatewayCachedTokens{
    "troupe_gateway_cached_prompt_tokens_total", MetricKind::counter, "model",
    "Prompt tokens of finished requests that were not computed again"};
inline constexpr MetricSpec kGatewayPromptTokens{"troupe_gateway_prompt_tokens_total",
                                                 MetricKind::counter, "model",
                                                 "Prompt tokens of finished requests"};
inline constexpr MetricSpec kGatewayGeneratedTokens{"troupe_gateway_generated_tokens_total",
                                                    MetricKind::counter, "model",
                                                    "Tokens generated for finished requests"};
inline constexpr MetricSpec kGatewayFirstToken{"troupe_gateway_time_to_first_token_seconds",
                                               MetricKind::histogram, "model",
                                               "From the call to its first token", kLatencyBounds};
inline constexpr MetricSpec kGatewayInterToken{
    "troupe_gateway_inter_token_latency_seconds", MetricKind::histogram, "model",
    "Between two tokens of a choice, as they came from the shard", kLatencyBounds};
inline constexpr MetricSpec kGatewayDuration{"troupe_gateway_request_duration_seconds",
                                             MetricKind::histogram, "model, api",
                                             "From the call to its status", kLatencyBounds};
inline constexpr MetricSpec kGatewayFinish{
    "troupe_gateway_finish_total", MetricKind::counter, "model, reason",
    "Choices by why they ended; reason: stop, length, tool_calls, cancelled, error"};
inline constexpr MetricSpec kGatewayBackpressure{"troupe_gateway_stream_backpressure_seconds_total",
                                                 MetricKind::counter, "api",
                                                 "Time that tokens waited for clients to read"};
inline constexpr MetricSpec kGatewayReplays{"troupe_gateway_replays_total", MetricKind::counter,
                                            "model", "Attempts after the loss of a shard"};
inline constexpr MetricSpec kGatewayReplayMismatch{
    "troupe_gateway_replay_mismatch_total", MetricKind::counter, "model",
    "Tokens that a replay drew otherwise; must stay 0"};
inline constexpr const MetricSpec* kGatewayMetrics[]{
    &kGatewayRequests,     &kGatewayInFlight,    &kGatewayPromptTokens,   &kGatewayGeneratedTokens,
    &kGatewayFirstToken,   &kGatewayInterToken,  &kGatewayDuration,       &kGatewayFinish,
    &kGatewayBackpressure, &kGatewayReplays,     &kGatewayReplayMismatch, &kGatewayQueued,
    &kGatewayQueueTime,    &kGatewayCachedTokens};

/// *Threading*: `record` from any thread; `take` by one caller at a time.
class GatewayMetrics {
 public:
  /// Creates every label set at 0. `book` must outlive this.
  GatewayMetrics(MetricBook& book, std::string model);
  void record(const CallRecord& call);
  void take(const actors::GatewayStatus& status, const OpenCalls::Counts& open);

 private:
  MetricBook& book_;
  std::string model_;
  Growth<std::int64_t> replays_;
};

}  // namespace troupe::services
