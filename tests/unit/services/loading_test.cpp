// What people and programs are told while weights load, and the metrics that move meanwhile.
#include "services/process/loading.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "services/process/service_metrics.hpp"

namespace troupe::services {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

std::vector<std::string> logged(Logger::Format format, int steps) {
  std::vector<std::string> lines;
  Logger log({"expert", 1}, format, LogLevel::info,
             [&](std::string_view line) { lines.emplace_back(line); });
  Loading loading(log, false);
  loading.show();  // nothing is known yet: nothing is said
  for (int i = 0; i <= steps; ++i) {
    const auto done =
        static_cast<std::uint64_t>(i) * 642 * kGiB / static_cast<std::uint64_t>(steps);
    loading.report({61 * i / steps, 61, done, 642 * kGiB});
    loading.show();
    loading.show();
  }
  loading.finish();
  return lines;
}

TEST(Loading, LogsOneLinePerTenPercent) {
  const auto lines = logged(Logger::Format::json, 100);
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_NE(lines[4].find(R"("event":"loading")"), std::string::npos) << lines[4];
  EXPECT_NE(lines[4].find("loading layer 30/61  321.0/642.0 GiB"), std::string::npos) << lines[4];
  EXPECT_NE(lines[4].find(R"("layer":30,"layers":61,"bytes":)"), std::string::npos) << lines[4];
  EXPECT_EQ(logged(Logger::Format::human, 3).size(), 3u) << "steps of a third are said once each";
}

TEST(Loading, TextOfProbesNamesLayerAndBytes) {
  EXPECT_EQ(loading_text({}), "reading the model");
  EXPECT_EQ(loading_text({31, 61, 413 * kGiB, 642 * kGiB}),
            "loading, layer 31 of 61  413.0/642.0 GiB");
  EXPECT_DOUBLE_EQ(loaded_share({31, 61, 321 * kGiB, 642 * kGiB}), 0.5);
  EXPECT_DOUBLE_EQ(loaded_share({}), 0);
}

model::ModelConfig tiny_config() {
  model::ModelConfig config;
  config.num_layers = 2;
  config.first_k_dense = 1;
  config.routed_experts = 4;
  return config;
}

TEST(ServiceMetrics, WeightsMoveBeforeTheRoleRuns) {
  ServiceMetrics metrics("m");
  metrics.declare({.experts = {3}, .expert_ranks = 4}, tiny_config());
  model::LoadProgress::Snapshot now{0, 1, 10, 40};
  metrics.attach({.loading = [&](std::uint32_t) { return now; }});
  const std::string ratio = "troupe_expert_weights_load_progress_ratio{rank=\"3\"} ";
  EXPECT_NE(metrics.text().find(ratio + "0.25\n"), std::string::npos) << metrics.text();
  now.bytes_done = 40;
  EXPECT_NE(metrics.text().find(ratio + "1\n"), std::string::npos) << metrics.text();
}

TEST(ServiceMetrics, RolesThatDoNotAnswerKeepTheirLastValues) {
  ServiceMetrics metrics("m");
  metrics.declare({.attention = {0, 1}, .experts = {}}, tiny_config());
  actors::RoleStatuses statuses;
  actors::AttentionStatus one;
  one.rows_total = 7;
  statuses.attention = {{0, one}, {1, one}};
  metrics.attach({.statuses = [&] { return statuses; }});
  metrics.text();
  statuses.attention.pop_back();
  statuses.attention[0].second.rows_total = 9;
  const std::string text = metrics.text();
  EXPECT_NE(text.find("troupe_attention_rows_total{model=\"m\",shard=\"0\"} 9\n"), text.npos)
      << text;
  EXPECT_NE(text.find("troupe_attention_rows_total{model=\"m\",shard=\"1\"} 7\n"), text.npos)
      << text;
}

}  // namespace
}  // namespace troupe::services
