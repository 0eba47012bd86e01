// An answer between an engine that does not wait and a reader that may.
#include "services/gateway/answer_stream.hpp"

#include <gtest/gtest.h>

#include "tests/unit/services/gateway/fake_engine.hpp"
#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

using actors::FinishReason;

class AnswerStreamTest : public ::testing::Test {
 protected:
  static PlannedRequest plan() {
    PlannedRequest plan;
    plan.request.prompt = {1, 2, 3};
    plan.form.tokenizer = &*tiny_model().tokenizer;
    return plan;
  }
  static std::int32_t id(const char* text) {
    return tiny_model().tokenizer->encode(text).value().front();
  }
  std::optional<ApiError> start(PlannedRequest planned = plan()) {
    return AnswerStream::start(stream, std::move(planned), reader);
  }
  template <class Event>
  Event next() {
    auto event = stream->take();
    if (!event || !std::holds_alternative<Event>(*event)) {
      ADD_FAILURE() << "another event, " << (event ? std::to_string(event->index()) : "none");
      return {};
    }
    return std::get<Event>(*std::move(event));
  }
  bool nothing_more() { return !stream->take().has_value(); }
  void finish(FinishReason reason, Error error = {Errc::ok, ""}) {
    stream->on_finished(reason, error, {});
  }

  FakeEngine engine;
  std::shared_ptr<CountingReader> reader = std::make_shared<CountingReader>();
  std::shared_ptr<AnswerStream> stream =
      std::make_shared<AnswerStream>(engine, AnswerStream::Limits{256});
};

TEST_F(AnswerStreamTest, WhatWaitsIsJoined) {
  ASSERT_EQ(start(), std::nullopt);
  stream->on_token({3, id("a"), 0, {}});
  stream->on_token({4, id("b"), 0, {}});
  EXPECT_EQ(next<AnswerPiece>().text, "ab");
  EXPECT_TRUE(nothing_more());
}

TEST_F(AnswerStreamTest, TheReaderIsToldOnceAfterItFoundNothing) {
  ASSERT_EQ(start(), std::nullopt);
  stream->on_token({3, id("a"), 0, {}});
  EXPECT_EQ(reader->told, 0);  // it has not looked yet
  next<AnswerPiece>();
  EXPECT_TRUE(nothing_more());
  stream->on_token({4, id("b"), 0, {}});
  stream->on_token({5, id("c"), 0, {}});
  EXPECT_EQ(reader->told, 1);
}

TEST_F(AnswerStreamTest, TheEndComesLastAndOnce) {
  ASSERT_EQ(start(), std::nullopt);
  stream->on_token({3, id("a"), 0, {}});
  finish(FinishReason::length);
  EXPECT_EQ(next<AnswerPiece>().text, "a");
  const auto done = next<AnswerFinish>();
  EXPECT_EQ(done.reason, AnswerFinish::Reason::length);
  EXPECT_EQ(done.prompt_tokens, 3);
  EXPECT_EQ(done.generated_tokens, 1);
  EXPECT_FALSE(next<AnswerEnd>().error.has_value());
  EXPECT_TRUE(nothing_more());
  stream->on_token({4, id("b"), 0, {}});
  EXPECT_TRUE(nothing_more());
  EXPECT_EQ(reader->told, 0);
}

TEST_F(AnswerStreamTest, TheEngineMayAnswerBeforeSubmitReturns) {
  PlannedRequest planned = plan();
  planned.form.stops = {"a"};
  engine.at_once = [](auto& listener) { listener.on_token({3, id("a"), 0, {}}); };
  ASSERT_EQ(start(std::move(planned)), std::nullopt);
  EXPECT_EQ(engine.cancelled, std::vector<actors::RequestId>{7});
}

TEST_F(AnswerStreamTest, AStopStringWithdrawsTheRequestAndCompletesTheAnswer) {
  PlannedRequest planned = plan();
  planned.form.stops = {"b"};
  ASSERT_EQ(start(std::move(planned)), std::nullopt);
  stream->on_token({3, id("a"), 0, {}});
  stream->on_token({4, id("b"), 0, {}});
  stream->on_token({5, id("c"), 0, {}});
  finish(FinishReason::cancelled);
  EXPECT_EQ(engine.cancelled, std::vector<actors::RequestId>{7});
  EXPECT_EQ(next<AnswerPiece>().text, "a");
  const auto done = next<AnswerFinish>();
  EXPECT_EQ(done.reason, AnswerFinish::Reason::stop);
  EXPECT_EQ(done.stop_string, "b");
  EXPECT_EQ(done.generated_tokens, 2);
  EXPECT_FALSE(next<AnswerEnd>().error.has_value());
}

TEST_F(AnswerStreamTest, AReaderThatIsTooSlowEndsItsOwnStreamOnly) {
  ASSERT_EQ(start(), std::nullopt);
  for (int i = 0; i < 100; ++i) stream->on_token({3 + i, id("a"), 0, {}});
  EXPECT_EQ(engine.cancelled, std::vector<actors::RequestId>{7});
  EXPECT_LE(next<AnswerPiece>().bytes(), 256u + 8u);
  const auto end = next<AnswerEnd>();
  ASSERT_TRUE(end.error.has_value());
  EXPECT_EQ(end.error->code, ApiCode::resource_exhausted);
  EXPECT_EQ(end.error->reason, "SLOW_READER");
}

TEST_F(AnswerStreamTest, CancellingEndsItWhateverTheEngineDoes) {
  ASSERT_EQ(start(), std::nullopt);
  EXPECT_TRUE(nothing_more());
  stream->cancel();
  stream->cancel();
  EXPECT_EQ(reader->told, 1);
  EXPECT_EQ(engine.cancelled, std::vector<actors::RequestId>{7});
  EXPECT_EQ(next<AnswerEnd>().error->code, ApiCode::cancelled);
  finish(FinishReason::cancelled);
  EXPECT_TRUE(nothing_more());
}

TEST_F(AnswerStreamTest, CancelledBeforeItBeganItIsNotSubmitted) {
  stream->cancel();
  EXPECT_EQ(start()->code, ApiCode::cancelled);
  EXPECT_TRUE(engine.asked.prompt.empty());
}

TEST_F(AnswerStreamTest, CancelledPastItsDeadlineItSaysSo) {
  PlannedRequest planned = plan();
  planned.request.deadline = actors::Clock::duration(1);
  ASSERT_EQ(start(std::move(planned)), std::nullopt);
  stream->cancel();
  EXPECT_EQ(next<AnswerEnd>().error->code, ApiCode::deadline_exceeded);
}

TEST_F(AnswerStreamTest, ABudgetOfTheClusterIsNotTheClientsDeadline) {
  ASSERT_EQ(start(), std::nullopt);
  finish(FinishReason::error, {Errc::deadline_exceeded, "no answer within the hop's budget"});
  EXPECT_EQ(next<AnswerEnd>().error->reason, "SERVICE_LOST");
}

TEST_F(AnswerStreamTest, ErrorsOfTheEngineEndIt) {
  ASSERT_EQ(start(), std::nullopt);
  stream->on_token({3, id("a"), 0, {}});
  finish(FinishReason::error, {Errc::overloaded, "full"});
  EXPECT_EQ(next<AnswerPiece>().text, "a");
  EXPECT_EQ(next<AnswerEnd>().error->reason, "QUEUE_FULL");
}

TEST_F(AnswerStreamTest, AnEngineThatEndsIsAGatewayThatDrains) {
  ASSERT_EQ(start(), std::nullopt);
  finish(FinishReason::cancelled);
  EXPECT_EQ(next<AnswerEnd>().error->reason, "DRAINING");
}

TEST_F(AnswerStreamTest, AnEngineThatRefusesIsAnAnswer) {
  engine.refusal = {Errc::unavailable, "no attention shard"};
  const auto error = start();
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, ApiCode::unavailable);
  EXPECT_EQ(error->reason, "MODEL_LOADING");
  EXPECT_TRUE(error->retry_after.has_value());
}

TEST_F(AnswerStreamTest, AnEngineThatRefusesNamesWhoIsLost) {
  engine.refusal = {Errc::unavailable, "not now"};
  engine.now = {actors::Readiness::State::expert_lost, "expert 2 is LOST since 3.1 s"};
  const auto error = start();
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->reason, "EXPERT_UNCOVERED");
  EXPECT_NE(error->message.find("expert 2"), std::string::npos) << error->message;
}

TEST_F(AnswerStreamTest, ProgressIsToldOnlyWhenAskedForAndOnlyTheLatest) {
  ASSERT_EQ(start(), std::nullopt);
  stream->on_prompt_progress(1, 3);
  EXPECT_TRUE(nothing_more());
  stream = std::make_shared<AnswerStream>(engine, AnswerStream::Limits{});
  PlannedRequest planned = plan();
  planned.prompt_progress = true;
  ASSERT_EQ(start(std::move(planned)), std::nullopt);
  stream->on_started(1, {});
  stream->on_prompt_progress(1, 3);
  stream->on_prompt_progress(2, 3);
  const auto told = next<PromptProgress>();
  EXPECT_EQ(told.done, 2);
  EXPECT_EQ(told.cached_tokens, 1);
}

TEST_F(AnswerStreamTest, WhatWasCachedIsToldAtTheEnd) {
  ASSERT_EQ(start(), std::nullopt);
  stream->on_started(2, {});
  EXPECT_TRUE(nothing_more());
  finish(FinishReason::length);
  EXPECT_EQ(next<AnswerFinish>().cached_tokens, 2);
}

TEST_F(AnswerStreamTest, LogprobsOfThePromptAreJoinedAndNeverTooMany) {
  ASSERT_EQ(start(), std::nullopt);
  const std::vector<actors::PromptLogprob> some(100, {2, -1.0f, {{2, -1.0f}, {5, -2.0f}}});
  stream->on_prompt_logprobs(1, some);
  stream->on_prompt_logprobs(101, some);
  stream->on_token({3, id("a"), 0, {}});
  const auto piece = next<AnswerPiece>();
  EXPECT_EQ(piece.prompt.size(), 200u);
  EXPECT_EQ(piece.prompt.back(), some.back());
  EXPECT_EQ(piece.text, "a");
}

TEST_F(AnswerStreamTest, ItEndsWithItsOnlyCallAndSaysSo) {
  PlannedRequest planned = plan();
  const auto& tokenizer = *tiny_model().tokenizer;
  planned.form.parts = model::AnswerOptions{{model::ToolCallFormat::deepseek_v31, false}, false, 0};
  planned.form.one_call = true;
  ASSERT_EQ(start(std::move(planned)), std::nullopt);
  const auto ids = tokenizer
                       .encode(
                           "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}"
                           "<｜tool▁call▁end｜><｜tool▁call▁begin｜>g")
                       .value();
  for (const auto token : ids) stream->on_token({3, token, 0, {}});
  EXPECT_EQ(engine.cancelled, std::vector<actors::RequestId>{7});
  const auto piece = next<AnswerPiece>();
  ASSERT_EQ(piece.calls.size(), 1u);
  EXPECT_EQ(piece.calls[0].arguments, "{}");
  EXPECT_EQ(next<AnswerFinish>().reason, AnswerFinish::Reason::tool_calls);
}

TEST_F(AnswerStreamTest, CountsTheGapsBetweenTokens) {
  ASSERT_EQ(start(), std::nullopt);
  EXPECT_EQ(stream->gaps().count(), 0u);
  for (std::uint64_t token = 0; token < 4; ++token) {
    stream->on_token({3, id("a"), 0, {}});
    EXPECT_EQ(stream->gaps().count(), token);
  }
}

TEST_F(AnswerStreamTest, AGatewayCanGiveItUp) {
  ASSERT_EQ(start(), std::nullopt);
  stream->abort(draining());
  stream->abort(draining());
  EXPECT_EQ(next<AnswerEnd>().error->reason, "DRAINING");
  EXPECT_EQ(engine.cancelled, std::vector<actors::RequestId>{7});
}

}  // namespace
}  // namespace troupe::services
