// What the counts hear of the choices of one call.
#include "services/gateway/answer_set.hpp"

#include <gtest/gtest.h>

#include "tests/unit/services/gateway/fake_engine.hpp"
#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

using actors::FinishReason;
using Finishes = std::map<std::string_view, std::int64_t>;

class AnswerSetTest : public ::testing::Test {
 protected:
  /// Starts `count` choices; each has one token.
  void start(int count) {
    const std::int32_t id = tiny_model().tokenizer->encode("a").value().front();
    for (int i = 0; i < count; ++i) {
      PlannedRequest plan;
      plan.request.prompt = {1, 2, 3};
      plan.request.sampling.choice = static_cast<std::uint32_t>(i);
      plan.form.tokenizer = &*tiny_model().tokenizer;
      ASSERT_EQ(answers.start(std::move(plan), reader), std::nullopt);
      engine.listeners.back()->on_token({3, id, 0, {}});
    }
  }
  void finish(std::size_t choice, FinishReason reason) {
    engine.listeners.at(choice)->on_finished(reason, {Errc::ok, ""}, {});
  }
  CallRecord record(const std::optional<ApiError>& error) {
    while (answers.take()) {
    }
    CallRecord record;
    answers.record(record, error);
    answers.record(record, error);  // as where the last write fails: each choice counts once
    return record;
  }

  FakeEngine engine;
  GatewayState state{tiny_served(), engine, {}, {}};
  std::shared_ptr<CountingReader> reader = std::make_shared<CountingReader>();
  AnswerSet answers{state, AnswerStream::Limits{}};
};

TEST_F(AnswerSetTest, EveryChoiceCountsWithItsOwnReason) {
  start(4);
  finish(0, FinishReason::stop);
  finish(1, FinishReason::length);
  finish(2, FinishReason::stop);
  finish(3, FinishReason::length);
  const CallRecord whole = record(std::nullopt);
  EXPECT_EQ(whole.finishes, (Finishes{{"stop", 2}, {"length", 2}}));
  EXPECT_EQ(whole.generated_tokens, 4);
}

TEST_F(AnswerSetTest, ChoicesThatWereCutShortCountAsThat) {
  start(3);
  finish(1, FinishReason::length);
  const CallRecord broken = record(from_engine({Errc::unavailable, "lost"}));
  EXPECT_EQ(broken.finishes, (Finishes{{"length", 1}, {"error", 2}}));
  EXPECT_STREQ(broken.finish, "error");
  const CallRecord gone = record(from_engine({Errc::cancelled, ""}));
  EXPECT_EQ(gone.finishes, (Finishes{{"length", 1}, {"cancelled", 2}}));
  EXPECT_STREQ(gone.finish, "cancelled");
}

TEST_F(AnswerSetTest, ACallRefusedBeforeItBeganHasNoChoices) {
  const CallRecord refused = record(invalid_fields({{"temperature", "is hot"}}));
  EXPECT_TRUE(refused.finishes.empty());
  EXPECT_STREQ(refused.finish, "");
}

}  // namespace
}  // namespace troupe::services
