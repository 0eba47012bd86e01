// Figures of a load test, from samples that are known.
#include "services/load/bench_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

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
  result.outcomes = {answered(0.5, {0.25F, 0.75F}, 1.75), failed, {}, failed, other,
                     answered(1.5, {}, 1.5)};
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

}  // namespace
}  // namespace troupe::services
