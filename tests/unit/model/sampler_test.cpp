// The sampler's order of operations, its ties, its noise and its distribution.
#include "model/sampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace troupe::model {
namespace {

class SamplerTest : public ::testing::Test {
 protected:
  Expected<Sample> try_draw(std::int64_t position = 0) {
    return sample(*table_, logits_, params_,
                  {.prompt = prompt_,
                   .generated = generated_,
                   .position = position,
                   .valid_vocab = valid_ > 0 ? valid_ : static_cast<std::int64_t>(logits_.size()),
                   .allowed = allowed_});
  }
  Sample draw(std::int64_t position = 0) {
    const auto drawn = try_draw(position);
    if (drawn) return *drawn;
    ADD_FAILURE() << drawn.error().detail;
    return {.token = -1};
  }
  void expect_fault(Errc code, const std::string& says) {
    const auto drawn = try_draw(17);
    ASSERT_FALSE(drawn) << "drew " << drawn->token;
    EXPECT_EQ(drawn.error().code, code);
    EXPECT_NE(drawn.error().detail.find(says), std::string::npos) << drawn.error().detail;
    EXPECT_NE(drawn.error().detail.find("position 17"), std::string::npos);
  }
  // Tokens drawn at many positions, with their counts.
  std::map<std::int32_t, int> draws(int count) {
    std::map<std::int32_t, int> seen;
    for (int i = 0; i < count; ++i) ++seen[draw(i).token];
    return seen;
  }
  std::set<std::int32_t> support(int count) {
    std::set<std::int32_t> tokens;
    for (const auto& [token, times] : draws(count)) tokens.insert(token);
    return tokens;
  }

  const kernels::KernelTable* table_ = *kernels::select_level("reference");
  std::vector<float> logits_{1.0f, 3.0f, 2.0f, 3.0f, -1.0f};
  std::vector<std::int32_t> prompt_, generated_;
  std::int64_t valid_ = 0;
  std::span<const std::uint64_t> allowed_;
  SamplingParams params_{.seed = 42, .max_tokens = 16};
};

TEST_F(SamplerTest, GreedyTakesTheLowestIdOnTies) {
  params_.temperature = 0;
  EXPECT_EQ(draw().token, 1);
}

TEST_F(SamplerTest, NothingIsDrawnFromLogitsThatAreNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const float temperature : {0.0f, 1.0f}) {
      params_.temperature = temperature;
      logits_ = {1.0f, 3.0f, bad, 2.0f};
      expect_fault(Errc::malformed, "1 of 4 logits");
      logits_.assign(1000, bad);
      expect_fault(Errc::malformed, "1000 of 1000 logits");
    }
  }
  logits_ = {1.0f, 3.0f, std::numeric_limits<float>::quiet_NaN()};
  valid_ = 2;
  params_.temperature = 0;
  EXPECT_EQ(draw().token, 1) << "a padding row is nobody's business";
}

TEST_F(SamplerTest, NothingIsDrawnWhenEveryIdIsForbidden) {
  params_.min_tokens = 2;
  params_.stop_token_ids = {0, 1, 2, 3, 4};
  for (const float temperature : {0.0f, 1.0f}) {
    params_.temperature = temperature;
    expect_fault(Errc::invalid_argument, "min_tokens");
  }
}

TEST_F(SamplerTest, PaddingRowsAreNeverDrawnAndDoNotCount) {
  logits_ = {0.0f, 0.0f, 50.0f};
  valid_ = 2;
  EXPECT_EQ(support(200), (std::set<std::int32_t>{0, 1}));
  EXPECT_NEAR(draw().logprob, -std::log(2.0f), 1e-6);
}

TEST_F(SamplerTest, LogprobsOfAllTokensSumToOne) {
  double sum = 0;
  for (std::int32_t t = 0; t < 5; ++t) sum += std::exp(logprob_of(*table_, logits_, 5, t));
  EXPECT_NEAR(sum, 1, 1e-6);
}

TEST_F(SamplerTest, LogprobsAreOfTheRawLogits) {
  const float raw = logprob_of(*table_, logits_, 5, 4);
  params_.logit_bias = {{4, 100.0f}};
  params_.temperature = 0.5f;
  const auto drawn = draw();
  EXPECT_EQ(drawn.token, 4);
  EXPECT_EQ(drawn.logprob, raw);
}

TEST_F(SamplerTest, TopKKeepsWhatTiesWithTheKthLargest) {
  params_.top_k = 1;
  EXPECT_EQ(support(200), (std::set<std::int32_t>{1, 3}));
  params_.top_k = 2;
  EXPECT_EQ(support(200), (std::set<std::int32_t>{1, 3}));
  params_.top_k = 3;
  EXPECT_EQ(support(400), (std::set<std::int32_t>{1, 2, 3}));
  logits_ = {2.0f, 2.0f, 2.0f, 2.0f};
  EXPECT_EQ(support(400), (std::set<std::int32_t>{0, 1, 2, 3}));
}

TEST_F(SamplerTest, TopPKeepsTheSmallestPrefixThatReachesTheMass) {
  logits_ = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  params_.top_p = 0.5f;
  EXPECT_EQ(support(300), (std::set<std::int32_t>{0}));
  params_.top_p = 0.51f;
  EXPECT_EQ(support(300), (std::set<std::int32_t>{0, 1}));
  params_.top_p = 1.0f;
  EXPECT_EQ(support(300), (std::set<std::int32_t>{0, 1, 2}));
}

TEST_F(SamplerTest, TopPWorksPastItsFirstSortedHead) {
  logits_.assign(5000, 0.0f);
  params_.top_p = 0.5f;
  for (int i = 0; i < 50; ++i) EXPECT_LT(draw(i).token, 2500);
}

TEST_F(SamplerTest, MinPIsRelativeToTheLargestProbability) {
  logits_ = {std::log(0.6f), std::log(0.31f), std::log(0.09f)};
  params_.min_p = 0.5f;
  EXPECT_EQ(support(300), (std::set<std::int32_t>{0, 1}));
}

TEST_F(SamplerTest, PenaltiesFollowTheTokenList) {
  params_.temperature = 0;
  logits_ = {2.0f, 1.9f, -1.0f};
  prompt_ = {0};
  params_.repetition_penalty = 1.2f;  // 2.0 / 1.2 < 1.9
  EXPECT_EQ(draw().token, 1);
  params_.repetition_penalty = 1.0f;
  params_.presence_penalty = 0.2f;  // the prompt does not count
  EXPECT_EQ(draw().token, 0);
  generated_ = {0};
  EXPECT_EQ(draw().token, 1);
  params_.presence_penalty = 0;
  params_.frequency_penalty = 0.06f;
  EXPECT_EQ(draw().token, 0);
  generated_ = {0, 0};
  EXPECT_EQ(draw().token, 1);
}

TEST_F(SamplerTest, RepetitionPenaltyMultipliesNegativeLogits) {
  params_.temperature = 0;
  logits_ = {-1.0f, -1.5f};
  prompt_ = {0};
  params_.repetition_penalty = 2.0f;
  EXPECT_EQ(draw().token, 1);
}

TEST_F(SamplerTest, StopIdsWaitForMinTokens) {
  params_.temperature = 0;
  params_.min_tokens = 2;
  params_.stop_token_ids = {1, 3};
  EXPECT_EQ(draw().token, 2);
  generated_ = {2, 2};
  EXPECT_EQ(draw().token, 1);
}

TEST_F(SamplerTest, OnlyAllowedIdsAreDrawn) {
  params_.allowed_token_ids = {4, 0, 4, 77};
  EXPECT_EQ(support(2000), (std::set<std::int32_t>{0, 4}));
  const std::vector<std::uint64_t> grammar{0b00101};
  allowed_ = grammar;
  EXPECT_EQ(support(100), (std::set<std::int32_t>{0})) << "both masks hold";
  params_.allowed_token_ids = {4};
  expect_fault(Errc::invalid_argument, "the grammar, allowed_token_ids");
  params_.stop_token_ids = {2};
  EXPECT_EQ(support(100), (std::set<std::int32_t>{2})) << "the answer is complete";
}

TEST_F(SamplerTest, ABadWordIsForbiddenWhereItWouldBeComplete) {
  params_.temperature = 0;
  const auto best = draw().token;
  params_.bad_words = {{best}};
  const auto second = draw().token;
  EXPECT_NE(second, best);
  params_.bad_words = {{0, 3, best}};
  EXPECT_EQ(draw().token, best) << "not begun";
  generated_ = {0};
  EXPECT_EQ(draw().token, best);
  generated_ = {2, 0, 3};
  EXPECT_EQ(draw().token, second);
  generated_ = {0, 3, 2};
  EXPECT_EQ(draw().token, best) << "broken off";
  prompt_ = {0};
  generated_ = {3};
  EXPECT_EQ(draw().token, best) << "the prompt is not the answer";
}

TEST_F(SamplerTest, BadWordsThatForbidEverythingAreNamed) {
  params_.bad_words = {{0}, {1}, {2}, {3}, {4}};
  expect_fault(Errc::invalid_argument, "bad_words");
}

TEST_F(SamplerTest, NoiseDependsOnSeedPositionAndTokenOnly) {
  const auto first = draws(100);
  EXPECT_EQ(draws(100), first);
  params_.seed = 43;
  EXPECT_NE(draws(100), first);
  for (int i = 0; i < 1000; ++i) {
    const double u = uniform_noise(7, i, i * 31);
    EXPECT_GT(u, 0);
    EXPECT_LT(u, 1);
  }
}

TEST_F(SamplerTest, DrawsFollowTheSoftmax) {
  constexpr int kDraws = 100000;
  logits_ = {0.0f, 1.0f, -0.5f, 2.0f, 0.3f, -2.0f, 1.1f, 0.7f};
  params_.temperature = 0.8f;
  double total = 0;
  for (const float l : logits_) total += std::exp(l / 0.8);
  auto seen = draws(kDraws);
  double chi_squared = 0;
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    const double expected = kDraws * std::exp(logits_[i] / 0.8) / total;
    const double difference = seen[static_cast<std::int32_t>(i)] - expected;
    chi_squared += difference * difference / expected;
  }
  EXPECT_LT(chi_squared, 24.32);  // p = 0.001 at 7 degrees of freedom; seed 42
}

TEST_F(SamplerTest, AlternativesAreTheLikeliestRawLogprobsWithTiesByLowerId) {
  params_.top_logprobs = 3;
  params_.logit_bias = {{4, 100.0f}};
  const auto drawn = draw();
  EXPECT_EQ(drawn.token, 4);
  ASSERT_EQ(drawn.top.size(), 3u);
  const std::int32_t best[]{1, 3, 2};
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(drawn.top[i], (TokenLogprob{best[i], logprob_of(*table_, logits_, 5, best[i])}));
  params_.top_logprobs = 20;
  valid_ = 4;
  params_.logit_bias = {};
  EXPECT_EQ(draw().top.size(), 4u) << "no more than there are";
  params_.top_logprobs = 0;
  EXPECT_TRUE(draw().top.empty());
}

TEST_F(SamplerTest, AlternativesOfALongRowAreThoseOfAFullSort) {
  logits_.clear();
  for (int i = 0; i < 5000; ++i)
    logits_.push_back(std::floor(static_cast<float>(uniform_noise(3, i, 0)) * 400) / 16);
  std::vector<std::int32_t> order(logits_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) {
    return logits_[static_cast<std::size_t>(a)] > logits_[static_cast<std::size_t>(b)];
  });
  params_.top_logprobs = 20;
  const auto top = draw().top;
  ASSERT_EQ(top.size(), 20u);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(top[i].token, order[i]) << i;
}

TEST_F(SamplerTest, ScoringAGivenTokenEqualsDrawingIt) {
  params_.top_logprobs = 2;
  const auto drawn = draw();
  const auto given =
      score(*table_, logits_, {.token = drawn.token, .position = 7, .valid_vocab = 5, .top = 2});
  ASSERT_TRUE(given);
  EXPECT_EQ(given->logprob, drawn.logprob);
  EXPECT_EQ(given->top, drawn.top);
  logits_[2] = std::numeric_limits<float>::quiet_NaN();
  const auto damaged = score(*table_, logits_, {.token = 1, .position = 7, .valid_vocab = 5});
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, Errc::malformed);
  EXPECT_NE(damaged.error().detail.find("position 7"), std::string::npos);
}

TEST_F(SamplerTest, TheRankOfAGivenTokenIsItsPlaceInAFullSort) {
  logits_.clear();
  for (int i = 0; i < 1000; ++i)  // a hundred values: ties everywhere
    logits_.push_back(std::floor(static_cast<float>(uniform_noise(5, i, 0)) * 100) / 8);
  logits_.push_back(99);  // padding
  std::vector<std::int32_t> order(1000);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) {
    return logits_[static_cast<std::size_t>(a)] > logits_[static_cast<std::size_t>(b)];
  });
  for (std::size_t place = 0; place < order.size(); ++place) {
    const auto given = score(*table_, logits_, {.token = order[place], .valid_vocab = 1000});
    ASSERT_TRUE(given);
    EXPECT_EQ(given->rank, static_cast<std::int32_t>(place) + 1) << "token " << order[place];
  }
}

TEST_F(SamplerTest, AGrammarMaskComesBeforeBiasAndLeavesLogprobsRaw) {
  const std::vector<std::uint64_t> allowed{0b10100};  // ids 2 and 4
  allowed_ = allowed;
  EXPECT_EQ(support(300), (std::set<std::int32_t>{2, 4}));
  params_.logit_bias = {{1, 100.0f}};
  EXPECT_EQ(support(300), (std::set<std::int32_t>{2, 4})) << "a bias allows nothing";
  params_.temperature = 0;
  const auto drawn = draw();
  EXPECT_EQ(drawn.token, 2);
  EXPECT_EQ(drawn.logprob, logprob_of(*table_, logits_, 5, 2));
}

TEST_F(SamplerTest, AGrammarThatLeavesNothingIsNamed) {
  const std::vector<std::uint64_t> none{0};
  allowed_ = none;
  expect_fault(Errc::invalid_argument, "grammar");
}

TEST_F(SamplerTest, AGrammarThatLeavesOnlyStopIdsEndsTheAnswerWhateverMinTokensSays) {
  const std::vector<std::uint64_t> allowed{0b00010};  // id 1
  allowed_ = allowed;
  params_.min_tokens = 2;
  params_.stop_token_ids = {1, 4};
  EXPECT_EQ(draw().token, 1);
  const std::vector<std::uint64_t> more{0b00110};
  allowed_ = more;
  EXPECT_EQ(support(100), (std::set<std::int32_t>{2}));
}

TEST_F(SamplerTest, ChoicesDrawWithNoiseOfTheirOwn) {
  std::set<std::map<std::int32_t, int>> all;
  for (params_.choice = 0; params_.choice < 4; ++params_.choice) all.insert(draws(200));
  EXPECT_EQ(all.size(), 4u);
  params_.choice = 3;
  const auto third = draws(200);
  EXPECT_EQ(third, draws(200));
  params_.seed = seed_of_choice(42, 3);
  params_.choice = 0;
  EXPECT_EQ(draws(200), third) << "a choice is a seed";
  EXPECT_EQ(seed_of_choice(42, 0), 42u) << "choice 0 draws as if alone";
}

TEST_F(SamplerTest, EveryLevelDrawsTheSameBits) {
  for (int i = 0; i < 300; ++i) logits_.push_back(static_cast<float>(uniform_noise(1, i, 0)) * 8);
  const auto reference = draw(5);
  for (const auto* level : kernels::available_levels()) {
    table_ = level;
    const auto drawn = draw(5);
    EXPECT_EQ(drawn.token, reference.token) << level->name;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(drawn.logprob),
              std::bit_cast<std::uint32_t>(reference.logprob))
        << level->name;
  }
}

TEST(SamplingParams, OutOfRangeValuesAreNamed) {
  const auto detail = [](SamplingParams p) { return validate(p).error().detail; };
  const SamplingParams good{.max_tokens = 1};
  EXPECT_TRUE(validate(good));
  auto bad = good;
  bad.temperature = -0.1f;
  EXPECT_NE(detail(bad).find("temperature"), std::string::npos);
  bad = good;
  bad.temperature = NAN;
  EXPECT_FALSE(validate(bad));
  bad = good;
  bad.top_p = 0;
  EXPECT_NE(detail(bad).find("top_p"), std::string::npos);
  bad = good;
  bad.top_k = -2;
  EXPECT_NE(detail(bad).find("top_k"), std::string::npos);
  bad = good;
  bad.min_p = 1.5f;
  EXPECT_NE(detail(bad).find("min_p"), std::string::npos);
  bad = good;
  bad.repetition_penalty = 0;
  EXPECT_NE(detail(bad).find("repetition_penalty"), std::string::npos);
  bad = good;
  bad.logit_bias = {{1, 101.0f}};
  EXPECT_NE(detail(bad).find("logit_bias"), std::string::npos);
  bad = good;
  bad.max_tokens = -1;
  EXPECT_NE(detail(bad).find("max_tokens"), std::string::npos);
  bad = good;
  bad.min_tokens = 2;
  EXPECT_NE(detail(bad).find("min_tokens"), std::string::npos);
  for (const std::int32_t count : {-1, 21}) {
    bad = good;
    bad.top_logprobs = count;
    EXPECT_NE(detail(bad).find("top_logprobs"), std::string::npos);
  }
}

}  // namespace
}  // namespace troupe::model
