// Cutting a step in two, and when that is done.
#include "actors/attention/micro_batches.hpp"

#include <gtest/gtest.h>

#include "tests/support/actor_stage.hpp"

namespace troupe::actors {
namespace {

using namespace testing;

/// A plan with parts of these sizes; token i is i, slice p begins at position 100 * p.
StepPlan plan_of(const std::vector<std::int64_t>& sizes) {
  StepPlan plan;
  for (const auto rows : sizes) {
    const auto first_position = 100 * static_cast<std::int64_t>(plan.parts.size());
    plan.parts.push_back({.first_row = plan.batch.rows(), .rows = rows});
    plan.batch.slices.push_back({first_position, rows, {}});
    for (std::int64_t i = 0; i < rows; ++i)
      plan.batch.tokens.push_back(static_cast<std::int32_t>(plan.batch.tokens.size()));
  }
  return plan;
}

TEST(CutInTwo, CutsBetweenSequencesNearTheMiddle) {
  const auto [first, second] = cut_in_two(plan_of({3, 2, 1, 4}));
  ASSERT_EQ(first.parts.size(), 2u);
  ASSERT_EQ(second.parts.size(), 2u);
  EXPECT_EQ(first.batch.tokens, (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(second.batch.tokens, (std::vector<std::int32_t>{5, 6, 7, 8, 9}));
  EXPECT_EQ(first.batch.slices.size(), 2u);
  ASSERT_EQ(second.batch.slices.size(), 2u);
  EXPECT_EQ(second.batch.slices[0].first_position, 200);
}

TEST(CutInTwo, RowsOfTheSecondHalfCountFromItsBegin) {
  const auto [first, second] = cut_in_two(plan_of({2, 2, 2, 2}));
  ASSERT_EQ(second.parts.size(), 2u);
  EXPECT_EQ(first.parts[1].first_row, 2);
  EXPECT_EQ(second.parts[0].first_row, 0);
  EXPECT_EQ(second.parts[1].first_row, 2);
}

TEST(CutInTwo, NeitherHalfIsEmptyHoweverUnevenTheParts) {
  for (const auto& sizes : {std::vector<std::int64_t>{1, 200}, {200, 1}, {1, 200, 1}}) {
    const auto [first, second] = cut_in_two(plan_of(sizes));
    EXPECT_GT(first.batch.rows(), 0);
    EXPECT_GT(second.batch.rows(), 0);
    EXPECT_EQ(first.parts.size() + second.parts.size(), sizes.size());
  }
}

/// Runs `steps` steps; a whole one takes `whole` and waits `waited` of it, a cut one `halves`.
/// Returns how many were cut.
int cuts(MicroBatchChoice& choice, int steps, double whole, double waited, double halves,
         StepSize size = {64, 64, false}) {
  int cut = 0;
  for (int i = 0; i < steps; ++i) {
    const bool two = choice.cut(size);
    choice.observe(size, two, two ? halves : whole, two ? 0 : waited);
    cut += two ? 1 : 0;
  }
  return cut;
}

TEST(MicroBatchChoice, CutsNearlyAllStepsWhereThatIsFaster) {
  MicroBatchChoice choice(MicroBatching::measured);
  cuts(choice, 64, 1.0, 0.5, 0.7);
  EXPECT_GT(cuts(choice, 1000, 1.0, 0.5, 0.7), 900);
}

TEST(MicroBatchChoice, TriesEverLessOftenWhereItIsSlower) {
  MicroBatchChoice choice(MicroBatching::measured);
  const int early = cuts(choice, 1000, 1.0, 0.5, 1.2);
  EXPECT_GT(early, 0);
  EXPECT_LE(early, 32);
  EXPECT_LE(cuts(choice, 10000, 1.0, 0.5, 1.2), 20);
}

TEST(MicroBatchChoice, ChangesItsMindWhenTheClusterDoes) {
  MicroBatchChoice choice(MicroBatching::measured);
  cuts(choice, 200, 1.0, 0.5, 1.2);
  cuts(choice, 2000, 1.0, 0.5, 0.6);
  EXPECT_GT(cuts(choice, 200, 1.0, 0.5, 0.6), 150);
  cuts(choice, 2000, 1.0, 0.5, 1.5);
  EXPECT_LT(cuts(choice, 200, 1.0, 0.5, 1.5), 50);
}

TEST(MicroBatchChoice, LeavesStepsAloneThatHardlyWait) {
  MicroBatchChoice choice(MicroBatching::measured);
  EXPECT_EQ(cuts(choice, 1000, 1.0, 0.05, 0.5), 0);
}

TEST(MicroBatchChoice, NeverCutsOneSequence) {
  MicroBatchChoice measured(MicroBatching::measured), always(MicroBatching::always);
  EXPECT_EQ(cuts(measured, 100, 1.0, 0.9, 0.1, {256, 1, true}), 0);
  EXPECT_EQ(cuts(always, 100, 1.0, 0.9, 0.1, {256, 1, true}), 0);
}

TEST(MicroBatchChoice, KnowsStepsOfEachSizeAndPhaseApart) {
  MicroBatchChoice choice(MicroBatching::measured);
  cuts(choice, 200, 1.0, 0.5, 0.5, {64, 64, false});
  EXPECT_FALSE(choice.cut({2, 2, false}));
  EXPECT_FALSE(choice.cut({64, 64, true}));
}

TEST(MicroBatchChoice, CanBeForced) {
  MicroBatchChoice never(MicroBatching::never), always(MicroBatching::always);
  EXPECT_EQ(cuts(never, 100, 1.0, 0.9, 0.1), 0);
  EXPECT_EQ(cuts(always, 100, 1.0, 0.0, 9.0), 100);
}

/// Three requests on a shard whose steps are all cut.
struct CutSteps : ::testing::Test {
  static GenerateRequest request(std::uint64_t seed) {
    auto request = greedy(counting_prompt(40), 10);
    request.sampling.temperature = 0.7f;
    request.sampling.seed = seed;
    return request;
  }
  static StageOptions options(int routers, int experts) {
    StageOptions options;
    options.routers = routers;
    options.experts = experts;
    options.shard.micro_batches = MicroBatching::always;
    return options;
  }
  void submit_all(Stage& stage) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) heard.push_back(stage.submit(request(seed)));
  }
  bool all_have(std::size_t tokens) const {
    return std::all_of(heard.begin(), heard.end(),
                       [&](const auto& one) { return one->tokens.size() >= tokens; });
  }
  bool all_finished() const {
    return std::all_of(heard.begin(), heard.end(), [](const auto& one) { return one->finished(); });
  }
  void expect_the_bits_of_each_alone() const {
    for (std::uint64_t seed = 1; seed <= heard.size(); ++seed) {
      const auto& one = *heard[seed - 1];
      Stage alone{StageOptions{}};
      const auto expected = alone.submit(request(seed));
      ASSERT_TRUE(alone.run(expected));
      EXPECT_EQ(one.reason, FinishReason::length) << one.error.detail;
      EXPECT_EQ(one.tokens, expected->tokens);
      EXPECT_EQ(one.logprob_bits, expected->logprob_bits);
    }
  }
  std::vector<std::shared_ptr<Recorder>> heard;
};

TEST_F(CutSteps, HaveTheBitsOfEachRequestAlone) {
  Stage stage{options(1, 2)};
  submit_all(stage);
  ASSERT_TRUE(stage.run_until([&] { return all_finished(); }));
  expect_the_bits_of_each_alone();
  const auto status = stage.shards[0]->status();
  EXPECT_GE(status.cut_steps_total, 9);  // all but those of a request that is alone by then
  EXPECT_EQ(status.stale_frames_total, 0);
  EXPECT_EQ(status.kv_pages_used, 0);
}

TEST_F(CutSteps, HaveBothHalvesOutAtOnce) {
  Stage stage{options(1, 1)};
  submit_all(stage);
  ASSERT_TRUE(stage.run_until([&] { return all_have(2); }));
  EXPECT_TRUE(stage.run_until([&] { return stage.routers[0]->status().items_open == 2; }));
}

TEST_F(CutSteps, GoOnThroughTheOtherRouterWhenOneIsLost) {
  Stage stage{options(2, 1)};
  submit_all(stage);
  ASSERT_TRUE(stage.run_until([&] { return all_have(3); }));
  stage.lose(router_id(0));
  ASSERT_TRUE(stage.run_until([&] { return all_finished(); }));
  expect_the_bits_of_each_alone();
}

TEST_F(CutSteps, EndClearlyInBothHalvesWhenTheOnlyHolderIsLost) {
  Stage stage{options(1, 2)};
  submit_all(stage);
  ASSERT_TRUE(stage.run_until([&] { return all_have(3); }));
  stage.lose(expert_id(1));
  ASSERT_TRUE(stage.run_until([&] { return all_finished(); }));
  for (const auto& one : heard) EXPECT_EQ(one->error.code, Errc::not_resident) << one->error.detail;
  EXPECT_EQ(stage.shards[0]->status().kv_pages_used, 0);
}

}  // namespace
}  // namespace troupe::actors
