// How perplexity and KL are written down.
#include "services/eval/eval_report.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

RunningMean mean_of(std::initializer_list<double> values) {
  RunningMean mean;
  for (const double value : values) mean.add(value);
  return mean;
}

KlResult some_kl() {
  return {.model = "a",
          .reference = "b",
          .mode = "bf16",
          .reference_mode = "f32",
          .kv_cache = "fp8",
          .reference_kv_cache = "auto",
          .span = {2, 512},
          .kl = mean_of({0.25, 0.5, 0.75, 0.5}),
          .same_top = 3,
          .surprise = mean_of({std::log(2.0), std::log(2.0)}),
          .reference_surprise = mean_of({0})};
}

TEST(EvalReport, PerplexityIsExpOfTheMean) {
  const Perplexity found = perplexity_of(mean_of({std::log(2.0), std::log(8.0)}));
  EXPECT_DOUBLE_EQ(found.value, 4);
  // Deviation log 2 * sqrt(2), over sqrt(2) values.
  EXPECT_NEAR(found.error, 4 * std::log(2.0), 1e-12);
}

TEST(EvalReport, PerplexityAsText) {
  const PerplexityResult result{"a", {2, 512}, mean_of({std::log(4.0), std::log(4.0)})};
  EXPECT_EQ(perplexity_text(result),
            "perplexity 4.0000 ± 0.0000\n"
            "2 tokens in 2 windows of 512, mean -log p 1.386294 nats\n");
}

TEST(EvalReport, KlAsText) {
  EXPECT_EQ(kl_text(some_kl()),
            "mean KL 0.500000 ± 0.102062 nats, largest 0.750000; same top token 75.00%\n"
            "perplexity 2.0000 ± 0.0000, reference 1.0000 ± 0.0000\n"
            "4 tokens in 2 windows of 512\n");
}

TEST(EvalReport, JsonHasEveryFigure) {
  const auto json = model::parse_json(kl_json(some_kl()));
  ASSERT_TRUE(json) << json.error().detail;
  EXPECT_EQ(*json->find("model")->string(), "a");
  EXPECT_EQ(*json->find("reference")->string(), "b");
  EXPECT_EQ(*json->find("reference_mode")->string(), "f32");
  EXPECT_EQ(*json->find("kv_cache")->string(), "fp8");
  EXPECT_EQ(*json->find("reference_kv_cache")->string(), "auto");
  EXPECT_EQ(json->find("tokens")->integer(), 4);
  EXPECT_EQ(json->find("windows")->integer(), 2);
  EXPECT_EQ(json->find("window_length")->integer(), 512);
  EXPECT_DOUBLE_EQ(*json->find("kl")->number(), 0.5);
  EXPECT_DOUBLE_EQ(*json->find("kl_max")->number(), 0.75);
  EXPECT_DOUBLE_EQ(*json->find("same_top")->number(), 0.75);
  EXPECT_NEAR(*json->find("perplexity")->number(), 2, 1e-12);
  EXPECT_DOUBLE_EQ(*json->find("reference_nll")->number(), 0);
}

TEST(EvalReport, APerplexityPastAllNumbersIsNull) {
  const auto json = model::parse_json(perplexity_json({"a", {1, 512}, mean_of({1000, 1000})}));
  ASSERT_TRUE(json) << json.error().detail;
  EXPECT_TRUE(json->find("perplexity")->is_null());
  EXPECT_DOUBLE_EQ(*json->find("nll")->number(), 1000);
}

}  // namespace
}  // namespace troupe::services
