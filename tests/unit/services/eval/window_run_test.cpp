// A window's numbers are kept once, and an engine that gives too few is found out.
#include "services/eval/window_run.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace troupe::services {
namespace {

constexpr std::int64_t kVocabulary = 5;

/// Gives logits 0, 1, 2, ... row by row, `rows_missing` rows too few, and log-probabilities of -1.
class CountingEngine final : public actors::RequestEngine {
 public:
  explicit CountingEngine(std::int64_t rows_missing = 0) : rows_missing_(rows_missing) {}

  Expected<actors::RequestId> submit(actors::GenerateRequest request,
                                     std::shared_ptr<actors::RequestListener> listener) override {
    const auto rows = static_cast<std::int64_t>(request.prompt.size()) - rows_missing_;
    for (std::int64_t row = 0; request.prompt_logits && row < rows; ++row) {
      std::vector<float> logits;
      for (std::int64_t id = 0; id < kVocabulary; ++id)
        logits.push_back(static_cast<float>(row * kVocabulary + id));
      listener->on_prompt_logits(row, 1, logits);
    }
    const actors::PromptLogprob one{.token = 0, .logprob = -1, .top = {}};
    for (std::int64_t row = 1; request.prompt_logprobs && row < rows; ++row)
      listener->on_prompt_logprobs(row, std::span(&one, 1));
    listener->on_finished(actors::FinishReason::length, {}, {});
    return actors::RequestId{};
  }
  void cancel(actors::RequestId) override {}
  actors::Readiness readiness() const override { return {}; }
  std::uint64_t numerics_id() const override { return 0; }

 private:
  std::int64_t rows_missing_;
};

PromptWait no_hurry() {
  return {[] { return false; }, [](std::int64_t) {}};
}

TEST(WindowRun, KeepsTheLogitsInTheMemoryThatTheyNeed) {
  CountingEngine engine;
  const auto logits = prompt_logits(engine, {7, 8, 9}, kVocabulary, no_hurry());
  ASSERT_TRUE(logits) << logits.error().detail;
  ASSERT_EQ(logits->size(), 15u);
  EXPECT_EQ(logits->back(), 14);
  EXPECT_EQ(logits->capacity(), 15u) << "growing row by row would take up to twice that";
}

TEST(WindowRun, FindsOutThatNumbersAreMissing) {
  CountingEngine engine(1);
  const auto logits = prompt_logits(engine, {7, 8, 9}, kVocabulary, no_hurry());
  ASSERT_FALSE(logits);
  EXPECT_EQ(logits.error().code, Errc::internal);
  EXPECT_NE(logits.error().detail.find("10 numbers for a prompt that has 15"), std::string::npos)
      << logits.error().detail;
  const auto likely = prompt_log_probabilities(engine, {7, 8, 9}, kVocabulary, no_hurry());
  ASSERT_FALSE(likely);
  EXPECT_EQ(likely.error().code, Errc::internal);
  CountingEngine whole;
  EXPECT_EQ(prompt_log_probabilities(whole, {7, 8, 9}, kVocabulary, no_hurry())->size(), 2u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they end the process instead
TEST(WindowRun, SaysWhatMemoryIsMissing) {
  CountingEngine engine;
  const auto logits = prompt_logits(engine, {7, 8}, std::int64_t{1} << 58, no_hurry());
  ASSERT_FALSE(logits);
  EXPECT_EQ(logits.error().code, Errc::resource_exhausted);
  EXPECT_NE(logits.error().detail.find("Lower --context"), std::string::npos);
}
#endif

}  // namespace
}  // namespace troupe::services
