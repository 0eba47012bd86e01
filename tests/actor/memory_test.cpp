// Jobs that there is no memory for: they are done in smaller parts, or their requests hear it.
#include <gtest/gtest.h>

#include "tests/support/actor_stage.hpp"
#include "tests/support/failing_new.hpp"

namespace troupe::actors {
namespace {

using namespace testing;
using troupe::testing::NoMemoryFor;

constexpr std::size_t kRow = 256 * sizeof(float);  // of v3-mini, as jobs take it
constexpr std::size_t kReplies = 4 * kRow;         // to one row

/// A stage on which the jobs of one role have no memory while a test says so.
struct Short {
  Short(PeerId role, std::size_t bytes_min, std::size_t bytes_max = SIZE_MAX) {
    StageOptions options;
    options.run_job = [=, this](PeerId whose, const ComputeLane::Work& job) {
      if (whose != role || !armed) return job();
      const NoMemoryFor none(bytes_min, bytes_max);
      job();
      failures += none.failures();
    };
    stage.emplace(options);
  }
  std::shared_ptr<Recorder> ask(const GenerateRequest& asked) {
    auto heard = stage->submit(asked);
    EXPECT_TRUE(stage->run(heard));
    return heard;
  }
  void expect_nothing_open() {
    EXPECT_EQ(stage->routers[0]->status().items_open, 0);
    EXPECT_EQ(stage->experts[0]->status().queued_rows, 0);
  }

  bool armed = false;
  int failures = 0;
  std::optional<Stage> stage;
};

TEST(WithoutMemory, RowsAreComputedInSmallerPartsWithTheSameBits) {
  for (const PeerId role : {expert_id(0), router_id(0)}) {
    std::vector<std::shared_ptr<Recorder>> calm;
    for (const bool armed : {false, true}) {
      Short with(role, 9 * kRow);
      auto& stage = *with.stage;
      auto decodes = stage.submit(greedy({5, 6}, 12));
      ASSERT_TRUE(stage.run_until([&] { return decodes->tokens.size() == 3; }));
      with.armed = armed;
      const auto prompt = stage.submit(greedy(counting_prompt(40), 4));  // in the other's steps
      std::int64_t most = 0;
      ASSERT_TRUE(stage.run_until([&] {
        most = std::max(most, stage.routers[0]->status().items_open);
        return prompt->finished() && decodes->finished();
      }));
      EXPECT_EQ(most, 1) << "one part at a time";
      with.expect_nothing_open();
      EXPECT_EQ(with.failures > 0, armed);
      if (!armed) calm = {decodes, prompt};
      EXPECT_EQ(decodes->logprob_bits, calm[0]->logprob_bits) << decodes->error.detail;
      EXPECT_EQ(prompt->logprob_bits, calm[1]->logprob_bits) << prompt->error.detail;
      EXPECT_EQ(prompt->reason, FinishReason::length);
    }
  }
}

TEST(WithoutMemory, AStepOfAttentionEndsTheRequestsWithRowsInItAndNoOthers) {
  constexpr std::int64_t kRows = 40;
  // More rows than in any step before: what they take is claimed before it is used.
  Short with(attention_id(0), 4 * kRow * kRows);
  auto& stage = *with.stage;
  const auto pages = [&] { return stage.shards[0]->status().kv_pages_used; };
  auto decodes = stage.submit(greedy({5, 6}, 12));
  ASSERT_TRUE(stage.run_until([&] { return decodes->tokens.size() == 3; }));
  with.armed = true;
  const auto prompt = stage.submit(greedy(counting_prompt(kRows), 4));  // in the other's step
  ASSERT_TRUE(stage.run_until([&] { return prompt->finished() && decodes->finished(); }));
  EXPECT_GT(with.failures, 0);
  for (const auto& heard : {decodes, prompt}) {
    EXPECT_EQ(heard->error.code, Errc::resource_exhausted);
    EXPECT_NE(heard->error.detail.find("no memory for another step"), std::string::npos)
        << heard->error.detail;
  }
  with.expect_nothing_open();
  EXPECT_EQ(pages(), 0);
  const auto small = with.ask(greedy({8, 9, 7}, 4));  // has what steps before it had
  EXPECT_EQ(small->reason, FinishReason::length) << small->error.detail;
  with.armed = false;
  EXPECT_EQ(with.ask(greedy(counting_prompt(kRows), 4))->reason, FinishReason::length);
}

struct Case {
  const char* name;
  PeerId role;
  std::size_t bytes_min, bytes_max;
  const char* says;
};

struct NoRowFits : ::testing::TestWithParam<Case> {};

TEST_P(NoRowFits, ItsRequestHearsItAndTheNextOneIsAnswered) {
  const auto& one = GetParam();
  Short with(one.role, one.bytes_min, one.bytes_max);
  const auto asked = greedy({5, 6, 7}, 4);
  const auto calm = with.ask(asked)->tokens;
  EXPECT_EQ(calm.size(), 4u);
  with.armed = true;
  const auto heard = with.ask(greedy({8, 9, 7}, 4));
  EXPECT_GT(with.failures, 0);
  EXPECT_EQ(heard->error.code, Errc::resource_exhausted);
  EXPECT_NE(heard->error.detail.find(one.says), std::string::npos) << heard->error.detail;
  with.expect_nothing_open();
  with.armed = false;
  EXPECT_EQ(with.ask(asked)->tokens, calm);
}

INSTANTIATE_TEST_SUITE_P(
    Jobs, NoRowFits,
    ::testing::Values(
        Case{"expert", expert_id(0), kRow, SIZE_MAX, "expert 0: no memory for another batch"},
        Case{"gate", router_id(0), kRow, SIZE_MAX, "router 0: no memory for another gate"},
        Case{"combination", router_id(0), kReplies, kReplies,
             "router 0: no memory for another combination"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace troupe::actors
