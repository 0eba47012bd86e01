// The text of metrics, counters that only grow, and the page that lists them all.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "services/gateway/gateway_metrics.hpp"
#include "services/process/revision.hpp"
#include "services/process/service_metrics.hpp"
#include "services/runtime/metrics/metrics_page.hpp"
#include "services/runtime/metrics/transports.hpp"
#include "tests/support/metric_lines.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::services {
namespace {

constexpr MetricSpec kCalls{"t_calls_total", MetricKind::counter, "model, code", "Calls"};
constexpr MetricSpec kDepth{"t_depth", MetricKind::gauge, "", "Depth"};
constexpr MetricSpec kTime{"t_time_seconds", MetricKind::histogram, "rank", "Time", kMicroBounds};

/// A model of which only the layers and experts matter.
model::ModelConfig tiny_config() {
  model::ModelConfig config;
  config.num_layers = 3;
  config.first_k_dense = 1;
  config.routed_experts = 4;
  return config;
}

std::vector<MetricSection> sections() {
  return {{"Gateway", kGatewayMetrics},
          {"Attention shard", kAttentionMetrics},
          {"Router", kRouterMetrics},
          {"Expert service", kExpertMetrics},
          {"Every service", kClusterMetrics}};
}

TEST(MetricBook, WritesExactCountersAndEscapedLabels) {
  MetricBook book;
  book.add(kCalls, {"a\"b\\c", "OK"}, 16777217);
  book.add(kCalls, {"a\"b\\c", "OK"}, 1e12);
  book.set(kDepth, {}, 0.5);
  const std::string text = book.text();
  expect_line(text, "# TYPE t_calls_total counter");
  expect_line(text, "# HELP t_depth Depth");
  expect_line(text, R"(t_calls_total{model="a\"b\\c",code="OK"} 1000016777217)");
  expect_line(text, "t_depth 0.5");
}

TEST(MetricBook, BucketsAreCumulativeAndEndAtInfinity) {
  MetricBook book;
  book.observe(kTime, {"0"}, 20e-6, 2);
  book.observe(kTime, {"0"}, 1.0);
  const std::string text = book.text();
  expect_line(text, R"(t_time_seconds_count{rank="0"} 3)");
  expect_line(text, R"(t_time_seconds_bucket{rank="0",le="+Inf"} 3)");
  EXPECT_NE(text.find(R"(le="1e-05"} 0)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(le="0.05"} 2)"), std::string::npos) << text;
}

TEST(MetricBook, ShowsWhatIsDeclaredAndHasNoValueYet) {
  MetricBook book;
  const MetricSpec* specs[]{&kDepth};
  book.declare(specs);
  expect_line(book.text(), "# TYPE t_depth gauge");
}

TEST(Growth, OnlyGrowsWhenItsSourceBeginsAnew) {
  Growth<std::int64_t> growth;
  std::int64_t exported = 0;
  for (const std::int64_t total : {0, 5, 9, 9, 2, 3}) {
    const auto news = growth.take(total);
    EXPECT_GE(news, 0);
    exported += news;
  }
  EXPECT_EQ(exported, 9 + 3);
}

TEST(RoleMetrics, LabelSetsAreThereFromTheStartAndOnlyMoeLayersCount) {
  MetricBook book;
  ExpertMetrics expert(book, "m", 2, tiny_config());
  RouterMetrics router(book, "m", 2, tiny_config());
  AttentionMetrics attention(book, "m", 1);
  GatewayMetrics gateway(book, "m");
  const std::string text = book.text();
  EXPECT_EQ(text.find(R"(layer="0")"), std::string::npos);
  expect_line(text, R"(troupe_expert_rank_tokens_total{model="m",layer="1",rank="2"} 0)");
  expect_line(text, R"(troupe_expert_uncovered{model="m",layer="2"} 0)");
  expect_line(text, R"(troupe_router_rank_last_total{rank="1"} 0)");
  expect_line(text, R"(troupe_attention_kv_pages{model="m",shard="1",state="free"} 0)");
  expect_line(text, R"(troupe_gateway_finish_total{model="m",reason="cancelled"} 0)");
  for (const MetricSection& section : sections())
    for (const MetricSpec* metric : section.metrics)
      if (section.title != "Every service") {
        EXPECT_NE(text.find("\n" + std::string(metric->name)), std::string::npos) << metric->name;
      }
}

TEST(RoleMetrics, ExpertTokensAreSummedByLayerAndSurviveARejoin) {
  MetricBook book;
  ExpertMetrics metrics(book, "m", 0, tiny_config());
  actors::ExpertStatus status;
  status.tokens = {0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 7};
  metrics.take(status);
  status.tokens = {0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};  // a new life of the role
  metrics.take(status);
  expect_line(book.text(), R"(troupe_expert_rank_tokens_total{model="m",layer="1",rank="0"} 11)");
  expect_line(book.text(), R"(troupe_expert_rank_tokens_total{model="m",layer="2",rank="0"} 7)");
}

TEST(RoleMetrics, RouterTimesGoToTheTransportInUse) {
  MetricBook book;
  RouterMetrics metrics(book, "m", 1, tiny_config());
  actors::RouterStatus status;
  status.dispatch_seconds.observe(1e-3);
  metrics.take(status, "ucx_tcp");
  status.dispatch_seconds.observe(1e-3);
  metrics.take(status, "ucx_shm");
  const std::string text = book.text();
  const std::string name = "troupe_router_dispatch_duration_seconds_count{model=\"m\",transport=";
  expect_line(text, name + "\"ucx_tcp\"} 1");
  expect_line(text, name + "\"ucx_shm\"} 1");
  expect_line(text, name + "\"inproc\"} 0");
}

TEST(RoleMetrics, RoutersOfOneProcessAddUp) {
  MetricBook book;
  RouterMetrics first(book, "m", 1, tiny_config()), second(book, "m", 1, tiny_config());
  actors::RouterStatus status;
  status.pairs_sent_total = 5;
  status.items_open = 3;
  status.failovers_total = 2;
  first.take(status, "inproc");
  status.items_open = 2;
  second.take(status, "inproc");
  status.items_open = 1;
  first.take(status, "inproc");
  expect_line(book.text(), R"(troupe_router_dispatched_tokens_total{model="m"} 10)");
  expect_line(book.text(), R"(troupe_router_items_open{model="m"} 3)");
  expect_line(book.text(), R"(troupe_router_failovers_total{model="m",reason="lost"} 4)");
}

TEST(RoleMetrics, WeightsOfARankFollowTheLoading) {
  MetricBook book;
  ExpertMetrics metrics(book, "m", 1, tiny_config());
  expect_line(book.text(), R"(troupe_expert_weights_load_progress_ratio{rank="1"} 0)");
  metrics.take_load({.layers_done = 1, .layers_total = 3, .bytes_done = 25, .bytes_total = 100});
  const std::string text = book.text();
  expect_line(text, R"(troupe_expert_weights_load_progress_ratio{rank="1"} 0.25)");
  expect_line(text, R"(troupe_expert_weights_bytes{rank="1",state="resident"} 25)");
  expect_line(text, R"(troupe_expert_weights_bytes{rank="1",state="loading"} 75)");
}

TEST(RoleMetrics, GatewayCountsCallsByApiAndCode) {
  MetricBook book;
  GatewayMetrics metrics(book, "m");
  CallRecord call;
  call.api = "grpc_generate";
  call.code = "OK";
  call.finish = "length";
  call.prompt_tokens = 3;
  call.generated_tokens = 5;
  call.time_to_first_token_s = 0.1;
  call.duration_s = 0.5;
  for (const double gap : {0.002, 0.002, 0.2, 0.002}) call.token_gaps.observe(gap);
  metrics.record(call);
  call.code = "SOMETHING_NEW";
  metrics.record(call);
  call.api = "no_such_api";
  metrics.record(call);
  const std::string text = book.text();
  expect_line(text, R"(troupe_gateway_requests_total{model="m",api="grpc_generate",code="OK"} 1)");
  expect_line(text,
              R"(troupe_gateway_requests_total{model="m",api="grpc_generate",code="UNKNOWN"} 1)");
  expect_line(text, R"(troupe_gateway_generated_tokens_total{model="m"} 10)");
  expect_line(text, R"(troupe_gateway_inter_token_latency_seconds_count{model="m"} 8)");
  expect_line(text,
              R"(troupe_gateway_inter_token_latency_seconds_bucket{model="m",le="0.1"} 6)");
  EXPECT_EQ(text.find("no_such_api"), std::string::npos);
}

TEST(RoleMetrics, GatewayShowsOpenCallsByApi) {
  MetricBook book;
  GatewayMetrics metrics(book, "m");
  OpenCalls open;
  open.enter("chat");
  open.enter("chat");
  open.enter("grpc_generate");
  open.leave("grpc_generate");
  open.enter("something");
  EXPECT_EQ(open.total(), 3);
  metrics.take({}, open.counts());
  const std::string text = book.text();
  const std::string name = R"(troupe_gateway_requests_in_flight{model="m",api=)";
  expect_line(text, name + R"("chat"} 2)");
  expect_line(text, name + R"("completions"} 0)");
  expect_line(text, name + R"("grpc_generate"} 0)");
  EXPECT_EQ(text.find("something"), std::string::npos);
}

TEST(ClusterMetrics, AddsUpLinksByTransportAndPeer) {
  MetricBook book;
  ClusterMetrics metrics(book, "m");
  actors::RoleStatuses status;
  status.epoch = 3;
  actors::LinkReport link;
  link.peer = actors::peer_id(proto::Role::expert, 0);
  link.lanes = "posix cma";
  link.stats.bytes_sent_total = 100;
  link.stats.stale_total = 2;
  status.links = {link, link};
  status.links[1].peer = actors::peer_id(proto::Role::expert, 1);
  metrics.take(status);
  metrics.take({});                             // the links are gone
  status.links[0].stats.bytes_sent_total = 10;  // made anew
  metrics.take(status);
  const std::string text = book.text();
  const std::string labels = R"({transport="ucx_shm",direction="tx",peer_role="expert"} )";
  expect_line(text, "troupe_transport_bytes_total" + labels + "210");
  expect_line(text, R"(troupe_transport_frames_dropped_total{reason="stale"} 4)");
  expect_line(text, R"(troupe_transport_endpoints{transport="ucx_shm",state="open"} 2)");
  expect_line(text, R"(troupe_placement_epoch{model="m"} 3)");
}

TEST(ClusterMetrics, CountsHowLinksEndedAndCameBack) {
  MetricBook book;
  ClusterMetrics metrics(book, "m");
  actors::RoleStatuses status;
  actors::LinkEndings endings{
      actors::peer_id(proto::Role::expert, 0), "posix cma", {1, 2, 0, 4}, {0, 1, 0, 3}};
  status.link_endings = {endings, endings};
  status.link_endings[1].self = actors::peer_id(proto::Role::router, 0);
  metrics.take(status);
  metrics.take(status);  // nothing new
  const std::string text = book.text();
  const auto line = [](const char* name, const char* reason, const char* value) {
    return std::string(name) + R"({transport="ucx_shm",reason=")" + reason + "\"} " + value;
  };
  expect_line(text, line("troupe_transport_errors_total", "lost", "2"));
  expect_line(text, line("troupe_transport_errors_total", "malformed", "4"));
  expect_line(text, line("troupe_transport_errors_total", "cut_off", "0"));
  expect_line(text, line("troupe_transport_reconnects_total", "malformed", "2"));
  expect_line(text, line("troupe_transport_reconnects_total", "left", "6"));
  EXPECT_EQ(text.find(line("troupe_transport_errors_total", "left", "")), std::string::npos);
}

TEST(ClusterMetrics, SaysWhatIsRunning) {
  MetricBook book;
  ClusterMetrics metrics(book, "m");
  const std::string text = book.text();
  const auto at = text.find("\ntroupe_build_info{");
  ASSERT_NE(at, std::string::npos);
  const std::string line = text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  EXPECT_NE(line.find(std::string("revision=\"") + kRevision + '"'), std::string::npos) << line;
  EXPECT_NE(line.find("ucx=\"1."), std::string::npos) << line;
}

TEST(ClusterMetrics, KnowsItsOwnProcess) {
  MetricBook book;
  ClusterMetrics metrics(book, "m");
  metrics.take_process();
  const std::string text = book.text();
  for (const char* name : {"process_resident_memory_bytes", "process_open_fds", "process_threads",
                           "process_start_time_seconds"}) {
    const auto at = text.find("\n" + std::string(name) + " ");
    ASSERT_NE(at, std::string::npos) << name;
    EXPECT_GT(std::stod(text.substr(at + std::string(name).size() + 2)), 0) << name;
  }
}

TEST(Transports, LanesHaveOneNameEach) {
  EXPECT_EQ(transport_of("inproc"), "inproc");
  EXPECT_EQ(transport_of("posix cma"), "ucx_shm");
  EXPECT_EQ(transport_of("tcp"), "ucx_tcp");
  EXPECT_EQ(transport_of("rc_mlx5/mlx5_0:1"), "ucx_rc");
}

TEST(Catalogue, NamesFollowTheRules) {
  std::set<std::string_view> names;
  for (const MetricSection& section : sections())
    for (const MetricSpec* metric : section.metrics) {
      const std::string_view name = metric->name;
      EXPECT_TRUE(names.insert(name).second) << name;
      EXPECT_TRUE(name.starts_with("troupe_") || name.starts_with("process_")) << name;
      EXPECT_EQ(metric->kind == MetricKind::counter, name.ends_with("_total")) << name;
      EXPECT_EQ(metric->kind == MetricKind::histogram, !metric->bounds.empty()) << name;
      EXPECT_FALSE(metric->help.ends_with(".")) << name;
      EXPECT_EQ(metric->help.find('|'), std::string_view::npos) << name;
    }
}

TEST(Catalogue, PageInDocsListsWhatIsDeclared) {
  const std::string path = std::string(troupe::kSourceDir) + "/docs/metrics.md";
  const std::string page = metrics_page(sections());
  if (std::getenv("TROUPE_WRITE_DOCS") != nullptr) std::ofstream(path) << page;
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), page) << "write it again: TROUPE_WRITE_DOCS=1 tests/unit/unit_services";
}

}  // namespace
}  // namespace troupe::services
