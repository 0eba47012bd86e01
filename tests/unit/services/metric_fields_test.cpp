// Each field of a status or of a finished call moves its own metric, by its own value, and no
// other: no two values here are alike.
#include <gtest/gtest.h>

#include "services/attention/attention_metrics.hpp"
#include "services/gateway/gateway_metrics.hpp"
#include "tests/support/metric_lines.hpp"

namespace troupe::services {
namespace {

actors::AttentionStatus attention_status() {
  actors::AttentionStatus status;
  status.running = 2;
  status.waiting = 3;
  status.kv_pages_used = 5;
  status.kv_pages_cached = 7;
  status.kv_pages_max = 100;
  status.preemptions_total = 11;
  status.cached_tokens_total = 13;
  status.steps_total = 17;
  status.cut_steps_total = 19;
  status.rows_total = 23;
  status.work_items_resent_total = 29;
  status.stale_frames_total = 31;
  status.stage_seconds_total = {.attention = 37,
                                .shared_expert = 41,
                                .wait_experts = 43,
                                .head = 47,
                                .sample = 53};
  status.prefill.step_seconds.observe(0.5, 59);
  status.prefill.batch_tokens.observe(100, 61);
  status.decode.step_seconds.observe(2, 67);
  status.decode.batch_tokens.observe(6, 71);
  return status;
}

void expect_attention_lines(const std::string& text) {
  const auto line = [&](const std::string& name, const std::string& more, const char* value) {
    expect_line(text, "troupe_attention_" + name + R"({model="m",shard="1")" + more + "} " + value);
  };
  line("sequences_running", "", "2");
  line("sequences_waiting", "", "3");
  line("kv_pages", R"(,state="used")", "5");
  line("kv_pages", R"(,state="cached")", "7");
  line("kv_pages", R"(,state="free")", "88");
  line("preemptions_total", "", "11");
  line("cut_steps_total", "", "19");
  line("rows_total", "", "23");
  line("work_resent_total", "", "29");
  line("stage_seconds_total", R"(,stage="attention")", "37");
  line("stage_seconds_total", R"(,stage="shared_expert")", "41");
  line("stage_seconds_total", R"(,stage="wait_experts")", "43");
  line("stage_seconds_total", R"(,stage="head")", "47");
  line("stage_seconds_total", R"(,stage="sample")", "53");
  line("step_duration_seconds_count", R"(,phase="prefill")", "59");
  line("step_duration_seconds_sum", R"(,phase="prefill")", "29.5");
  line("batch_tokens_count", R"(,phase="prefill")", "61");
  line("batch_tokens_sum", R"(,phase="prefill")", "6100");
  line("step_duration_seconds_count", R"(,phase="decode")", "67");
  line("step_duration_seconds_sum", R"(,phase="decode")", "134");
  line("batch_tokens_count", R"(,phase="decode")", "71");
  line("batch_tokens_sum", R"(,phase="decode")", "426");
}

CallRecord call_record() {
  CallRecord call;
  call.api = "chat";
  call.code = "200";
  call.finish = "length";
  call.finishes = {{"stop", 2}, {"length", 3}, {"tool_calls", 5}, {"cancelled", 7}, {"error", 11}};
  call.prompt_tokens = 13;
  call.generated_tokens = 17;
  call.cached_tokens = 19;
  call.replay_mismatches = 23;
  call.queue_time_s = 29;
  call.time_to_first_token_s = 31;
  call.token_gaps.observe(0.5, 37);
  call.duration_s = 41;
  call.waited_s = 43;
  return call;
}

TEST(MetricFields, EachOfAnAttentionStatusMovesItsOwnMetric) {
  MetricBook book;
  AttentionMetrics metrics(book, "m", 1);
  metrics.take(attention_status());
  expect_attention_lines(book.text());
  metrics.take(attention_status());  // nothing new
  expect_attention_lines(book.text());
}

TEST(MetricFields, EachOfACallMovesItsOwnMetric) {
  MetricBook book;
  GatewayMetrics metrics(book, "m");
  metrics.record(call_record());
  const std::string text = book.text();
  const auto line = [&](const std::string& name, const std::string& labels, const char* value) {
    expect_line(text, "troupe_gateway_" + name + "{" + labels + "} " + value);
  };
  const std::string model = R"(model="m")", chat = R"(model="m",api="chat")";
  line("requests_total", chat + R"(,code="200")", "1");
  line("finish_total", model + R"(,reason="stop")", "2");
  line("finish_total", model + R"(,reason="length")", "3");
  line("finish_total", model + R"(,reason="tool_calls")", "5");
  line("finish_total", model + R"(,reason="cancelled")", "7");
  line("finish_total", model + R"(,reason="error")", "11");
  line("prompt_tokens_total", model, "13");
  line("generated_tokens_total", model, "17");
  line("cached_prompt_tokens_total", model, "19");
  line("replay_mismatch_total", model, "23");
  line("queue_time_seconds_count", model, "1");
  line("queue_time_seconds_sum", model, "29");
  line("time_to_first_token_seconds_count", model, "1");
  line("time_to_first_token_seconds_sum", model, "31");
  line("inter_token_latency_seconds_count", model, "37");
  line("inter_token_latency_seconds_sum", model, "18.5");
  line("request_duration_seconds_count", chat, "1");
  line("request_duration_seconds_sum", chat, "41");
  line("stream_backpressure_seconds_total", R"(api="chat")", "43");
  line("stream_backpressure_seconds_total", R"(api="completions")", "0");
}

TEST(MetricFields, EachOfAGatewaysStatusMovesItsOwnMetric) {
  MetricBook book;
  GatewayMetrics metrics(book, "m");
  actors::GatewayStatus status;
  status.requests_open = 2;
  status.requests_queued = 3;
  status.requests_total = 5;
  status.replays_total = 7;
  status.shards = 11;
  status.stale_frames_total = 13;
  for (int i = 0; i < 2; ++i) {  // the second time nothing is new
    metrics.take(status, {{"chat", 17}, {"completions", 19}});
    const std::string text = book.text();
    expect_line(text, R"(troupe_gateway_requests_queued{model="m"} 3)");
    expect_line(text, R"(troupe_gateway_replays_total{model="m"} 7)");
    expect_line(text, R"(troupe_gateway_requests_in_flight{model="m",api="chat"} 17)");
    expect_line(text, R"(troupe_gateway_requests_in_flight{model="m",api="completions"} 19)");
  }
}

}  // namespace
}  // namespace troupe::services
