// Probabilities and distances of rows against values worked out by hand.
#include "services/eval/logit_scores.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace troupe::services {
namespace {

using Row = std::vector<float>;

TEST(LogitScores, ProbabilitiesAreThoseOfTheSoftmax) {
  // Powers of two: 1/8, 1/8, 1/4, 1/2.
  const auto ln2 = std::log(2.0F);
  const Row logits{0, 0, ln2, 2 * ln2};
  EXPECT_NEAR(log_probability(logits, 0), std::log(1 / 8.0), 1e-7);
  EXPECT_NEAR(log_probability(logits, 3), std::log(1 / 2.0), 1e-7);
}

TEST(LogitScores, AConstantAddedToARowChangesNothing) {
  const Row logits{1, 2, 3};
  const Row raised{80001, 80002, 80003};
  EXPECT_NEAR(log_probability(raised, 1), log_probability(logits, 1), 1e-12);
  EXPECT_NEAR(row_distance(logits, raised).kl, 0, 1e-12);
}

TEST(LogitScores, EqualRowsAreNotApart) {
  const Row logits{0.1F, -7, 3.25F, 11};
  EXPECT_EQ(row_distance(logits, logits).kl, 0);
  EXPECT_TRUE(row_distance(logits, logits).same_top);
}

TEST(LogitScores, TheDistanceIsThatFromTheReference) {
  const auto ln3 = std::log(3.0F);
  const Row reference{0, ln3};  // 1/4, 3/4
  const Row tested{0, 0};       // 1/2, 1/2
  EXPECT_NEAR(row_distance(reference, tested).kl, 0.25 * std::log(0.5) + 0.75 * std::log(1.5),
              1e-7);
  EXPECT_NEAR(row_distance(tested, reference).kl, 0.5 * std::log(2.0) + 0.5 * std::log(2 / 3.0),
              1e-7);
}

TEST(LogitScores, WhatTheReferenceRulesOutDoesNotCount) {
  const Row reference{0, -10000};
  EXPECT_NEAR(row_distance(reference, Row{0, 0}).kl, std::log(2.0), 1e-12);
  EXPECT_GT(row_distance(Row{0, 0}, reference).kl, 4000);
}

TEST(LogitScores, TiesGoToTheLowerId) {
  EXPECT_TRUE(row_distance(Row{1, 5, 5}, Row{1, 9, 2}).same_top);
  EXPECT_FALSE(row_distance(Row{1, 5, 5}, Row{1, 2, 9}).same_top);
}

TEST(LogitScores, ARowThatIsNoNumberHasNoDistance) {
  EXPECT_FALSE(std::isfinite(row_distance(Row{0, NAN}, Row{0, 1}).kl));
  EXPECT_FALSE(std::isfinite(row_distance(Row{0, 1}, Row{NAN, 1}).kl));
  EXPECT_FALSE(std::isfinite(row_distance(Row{0, 1}, Row{0, INFINITY}).kl));
}

TEST(RunningMean, HasTheMeanItsErrorAndTheLargest) {
  RunningMean mean;
  EXPECT_EQ(mean.error(), 0);
  mean.add(-2);
  EXPECT_EQ(mean.largest(), -2);
  EXPECT_EQ(mean.error(), 0);
  for (const double value : {4.0, 1.0, 5.0}) mean.add(value);
  EXPECT_EQ(mean.count(), 4);
  EXPECT_DOUBLE_EQ(mean.mean(), 2);
  EXPECT_EQ(mean.largest(), 5);
  // Squares of distances: 16 + 4 + 1 + 9 = 30; 30 / 3 = 10; sqrt(10 / 4).
  EXPECT_DOUBLE_EQ(mean.error(), std::sqrt(2.5));
}

}  // namespace
}  // namespace troupe::services
