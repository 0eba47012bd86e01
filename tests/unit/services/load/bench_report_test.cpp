// Figures of a load test, from samples that are known.
#include "services/load/bench_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

RequestOutcome answered(double first_token_s, std::vector<float> gaps_s, double whole_s) {
  RequestOutcome one;
  one.sent = true;
  one.prompt_tokens = 10;
  one.generated_tokens = static_cast<std::int64_t>(gaps_s.size()) + 1;
  one.first_token_s = first_token_s;
  one.gaps_s = std::move(gaps_s);
  one.whole_s = whole_s;
  return one;
}

TEST(Percentiles, AreByNearestRank) {
  std::vector<double> values(200);
  std::iota(values.begin(), values.end(), 1);
  std::shuffle(values.begin(), values.end(), std::mt19937(7));  // seed 7; the order is nothing
  const Percentiles of = percentiles_of(values);
  EXPECT_EQ(of.count, 200u);
  EXPECT_EQ(of.mean, 100.5);
  EXPECT_EQ(of.p50, 100);
  EXPECT_EQ(of.p90, 180);
  EXPECT_EQ(of.p99, 198);
  EXPECT_EQ(of.max, 200);
}

TEST(Percentiles, OfFewAreAmongThem) {
  const Percentiles of = percentiles_of({3, 1, 2});
  EXPECT_EQ(of.p50, 2);  // rank 1.5, rounded up
  EXPECT_EQ(of.p90, 3);
  EXPECT_EQ(of.p99, 3);
  const Percentiles one = percentiles_of({4});
  EXPECT_EQ(one.p50, 4);
  EXPECT_EQ(one.max, 4);
  EXPECT_EQ(percentiles_of({}).count, 0u);
  EXPECT_EQ(percentiles_of({}).p99, 0);
}

TEST(LoadReport, AddsUpAnswersAndCountsTheOthersByTheirWords) {
  LoadResult result;
  result.duration_s = 4;
  RequestOutcome failed, other;
  failed.sent = other.sent = true;
  failed.failure = "QUEUE_FULL: later";
  other.failure = "away";
  failed.whole_s = 99;  // counts nowhere
  result.outcomes = {
      answered(0.5, {0.25F, 0.75F}, 1.75), failed, {}, failed, other, answered(1.5, {}, 1.5)};
  const LoadReport report = summarize(result);
  EXPECT_EQ(report.completed, 2);
  EXPECT_EQ(report.failed, 3);
  EXPECT_EQ(report.not_sent, 1);
  EXPECT_EQ(report.failures,
            (std::map<std::string, std::int64_t>{{"QUEUE_FULL: later", 2}, {"away", 1}}));
  EXPECT_EQ(report.prompt_tokens, 20);
  EXPECT_EQ(report.generated_tokens, 4);
  EXPECT_EQ(report.first_token_s.p50, 0.5);
  EXPECT_EQ(report.first_token_s.max, 1.5);
  EXPECT_EQ(report.gap_s.count, 2u);
  EXPECT_EQ(report.gap_s.p50, 0.25);
  EXPECT_EQ(report.gap_s.max, 0.75);
  EXPECT_EQ(report.per_token_s.count, 1u);  // of an answer of one token there is none
  EXPECT_EQ(report.per_token_s.max, 0.625);
  EXPECT_EQ(report.whole_s.p50, 1.5);
  EXPECT_EQ(report.whole_s.max, 1.75);
}

/// Figures of which no two are equal: seconds from `first` on.
Percentiles figures(double first) {
  return {.count = 9,
          .mean = first,
          .p50 = first + 0.001,
          .p90 = first + 0.002,
          .p99 = first + 0.003,
          .max = first + 0.004};
}

LoadReport unlike_figures() {
  LoadReport report;
  report.first_token_s = figures(1);
  report.gap_s = figures(2);
  report.per_token_s = figures(3);
  report.whole_s = figures(4);
  return report;
}

TEST(LoadReport, EveryFigureOfTheJsonHasItsName) {
  const auto json = model::parse_json(load_json(unlike_figures(), {}));
  ASSERT_TRUE(json) << json.error().detail;
  double first = 1;
  for (const char* name :
       {"time_to_first_token_s", "inter_token_latency_s", "time_per_output_token_s", "request_s"}) {
    ASSERT_NE(json->find(name), nullptr) << name;
    const auto& one = *json->find(name);
    double expected = first++;
    for (const char* figure : {"mean", "p50", "p90", "p99", "max"}) {
      ASSERT_NE(one.find(figure), nullptr) << name << " " << figure;
      EXPECT_DOUBLE_EQ(one.find(figure)->number().value_or(-1), expected) << name << " " << figure;
      expected += 0.001;
    }
  }
}

TEST(LoadReport, EveryFigureOfTheTableStandsUnderItsName) {
  const std::string table = load_table(unlike_figures(), {});
  for (const char* line :
       {"milliseconds                  mean       p50       p90       p99       max\n",
        "time to first token        1000.00   1001.00   1002.00   1003.00   1004.00\n",
        "between tokens             2000.00   2001.00   2002.00   2003.00   2004.00\n",
        "per token after first      3000.00   3001.00   3002.00   3003.00   3004.00\n",
        "whole request              4000.00   4001.00   4002.00   4003.00   4004.00\n"})
    EXPECT_NE(table.find(line), std::string::npos) << line << table;
}

}  // namespace
}  // namespace troupe::services
