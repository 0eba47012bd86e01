// Tests of `troupe bench model`: what is asked of the engine, the clock, the report.
#include <gtest/gtest.h>

#include <set>

#include "actors/attention/batch_scheduler.hpp"
#include "model/config/json_value.hpp"
#include "services/bench/model_report.hpp"

namespace troupe::services {
namespace {

using Kind = ModelTest::Kind;

/// Ends every request at once, or holds it until it is cancelled.
class FakeEngine final : public actors::RequestEngine {
 public:
  Expected<actors::RequestId> submit(actors::GenerateRequest request,
                                     std::shared_ptr<actors::RequestListener> listener) override {
    asked.push_back(std::move(request));
    if (refuse_from <= asked.size()) return unexpected(Errc::overloaded, "no more");
    if (hold) {
      held.push_back(std::move(listener));
    } else if (fail) {
      listener->on_finished(actors::FinishReason::error, {Errc::internal, "broke"}, {});
    } else {
      actors::Usage usage;
      usage.cached_tokens = cached;
      listener->on_finished(actors::FinishReason::length, {Errc::ok, ""}, usage);
    }
    return asked.size();
  }
  void cancel(actors::RequestId request) override {
    cancelled.insert(request);
    held[request - 1]->on_finished(actors::FinishReason::cancelled, {Errc::cancelled, ""}, {});
  }
  actors::Readiness readiness() const override { return {}; }
  std::uint64_t numerics_id() const override { return 0; }

  std::size_t refuse_from = SIZE_MAX;
  bool hold = false, fail = false;
  std::int64_t cached = 0;
  std::vector<actors::GenerateRequest> asked;
  std::vector<std::shared_ptr<actors::RequestListener>> held;
  std::set<actors::RequestId> cancelled;
};

constexpr auto kGoOn = [] { return false; };

std::vector<actors::GenerateRequest> requests(const ModelTest& test, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  return requests_of(test, 100, random, {});
}

TEST(ModelTests, HaveTheNamesOfLlamaBench) {
  EXPECT_EQ((ModelTest{Kind::prompt, 512, 1}.name()), "pp512");
  EXPECT_EQ((ModelTest{Kind::generate, 128, 8}.name()), "tg128");
  EXPECT_EQ((ModelTest{Kind::generate, 128, 1, 8192}.name()), "tg128 @ d8192");
  EXPECT_EQ((ModelTest{Kind::generate, 128, 8, 64}.tokens_total()), 1024);
}

TEST(ModelTests, CacheIsForWholePages) {
  EXPECT_EQ((ModelTest{Kind::prompt, 512, 1}.kv_tokens()), 576);  // 513 positions, 9 pages of 64
  EXPECT_EQ((ModelTest{Kind::generate, 63, 8}.kv_tokens()), 8 * 64 + 64);
  // What the repetition before has generated stays until its room is needed.
  EXPECT_EQ((ModelTest{Kind::generate, 63, 8, 128}.kv_tokens()), 8 * (128 + 2 * 64) + 64);
}

/// Rows of each step of a test in a cache of just its kv_tokens().
std::vector<std::int64_t> rows_of_steps(const ModelTest& test) {
  model::KvPool pool({1, {DType::bf16, 6, 2}, model::KvPool::pages_for(test.kv_tokens())});
  actors::BatchScheduler::Settings settings;
  settings.chunk = settings.step_rows_max = settings.running_max = 4096;
  settings.pages.prefix_cache = false;
  settings.positions_max = settings.vocab_size = 4096;
  actors::BatchScheduler scheduler(settings, pool);
  const actors::TimePoint now{};
  actors::RequestId id = 0;
  for (const auto& asked : requests(test, 7)) {
    actors::SequenceRequest request;
    request.request = ++id;
    request.tokens = asked.prompt;
    request.prompt_tokens = std::ssize(asked.prompt);
    request.sampling = asked.sampling;
    EXPECT_TRUE(scheduler.admit(request, now));
  }
  std::vector<std::int64_t> rows;
  while (const auto plan = scheduler.next(now)) {
    rows.push_back(plan->batch.rows());
    std::vector<actors::PartOutcome> outcomes(plan->parts.size());
    for (std::size_t i = 0; i < outcomes.size(); ++i)
      if (plan->parts[i].samples) outcomes[i].sample = model::Sample{1, -1.0f, {}};
    scheduler.complete(outcomes);
  }
  return rows;
}

TEST(ModelTests, AllSequencesRunAtOnceInTheirCache) {
  for (const std::int64_t sequences : {1, 2, 8, 16, 17, 18, 32, 33, 256}) {
    for (const std::int64_t tokens : {1, 16, 62, 63, 64, 65, 128}) {
      SCOPED_TRACE(std::to_string(sequences) + " of " + std::to_string(tokens));
      EXPECT_EQ(rows_of_steps({Kind::generate, tokens, sequences}),
                std::vector<std::int64_t>(static_cast<std::size_t>(tokens), sequences));
      if (sequences * tokens > 4096) continue;
      EXPECT_EQ(rows_of_steps({Kind::prompt, tokens, sequences}),
                std::vector<std::int64_t>{sequences * tokens});
    }
  }
}

TEST(ModelTests, APromptIsComputedAndNothingDrawn) {
  const auto asked = requests({Kind::prompt, 5, 3}, 7);
  ASSERT_EQ(asked.size(), 3u);
  for (const auto& request : asked) {
    EXPECT_EQ(request.prompt.size(), 5u);
    EXPECT_EQ(request.sampling.max_tokens, 0);
    for (const std::int32_t id : request.prompt) EXPECT_TRUE(id >= 0 && id < 100) << id;
  }
  EXPECT_NE(asked[0].prompt, asked[1].prompt);
}

TEST(ModelTests, AGenerationBeginsWithOneIdAndIgnoresTheEnd) {
  const auto asked = requests({Kind::generate, 9, 2}, 7);
  for (const auto& request : asked) {
    EXPECT_EQ(request.prompt.size(), 1u);
    EXPECT_EQ(request.sampling.max_tokens, 9);
    EXPECT_EQ(request.sampling.temperature, 0);
    EXPECT_TRUE(request.sampling.ignore_eos);
  }
}

TEST(ModelTests, NewIdsFollowThoseThatAreCached) {
  const std::vector<std::vector<std::int32_t>> filled{std::vector<std::int32_t>(64, 3),
                                                      std::vector<std::int32_t>(64, 4),
                                                      std::vector<std::int32_t>(64, 5)};
  std::mt19937_64 random(7);
  for (const Kind kind : {Kind::prompt, Kind::generate}) {
    const auto asked = requests_of({kind, 9, 2, 64}, 100, random, filled);
    ASSERT_EQ(asked.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(asked[i].prompt.size(), 64u + (kind == Kind::prompt ? 9 : 1));
      EXPECT_TRUE(std::equal(filled[i].begin(), filled[i].end(), asked[i].prompt.begin()));
    }
  }
}

TEST(ModelTests, EqualSeedsGiveEqualIds) {
  const ModelTest test{Kind::prompt, 16, 2};
  EXPECT_EQ(requests(test, 1)[1].prompt, requests(test, 1)[1].prompt);
  EXPECT_NE(requests(test, 1)[1].prompt, requests(test, 2)[1].prompt);
}

TEST(SecondsOf, SubmitsAllAndWaitsForAll) {
  FakeEngine engine;
  const auto seconds = seconds_of(engine, requests({Kind::prompt, 4, 3}, 1), kGoOn);
  ASSERT_TRUE(seconds) << seconds.error().detail;
  EXPECT_GE(*seconds, 0);
  EXPECT_EQ(engine.asked.size(), 3u);
}

TEST(SecondsOf, TellsWhatARequestFailedOf) {
  FakeEngine engine;
  engine.fail = true;
  const auto seconds = seconds_of(engine, requests({Kind::prompt, 4, 2}, 1), kGoOn);
  ASSERT_FALSE(seconds);
  EXPECT_EQ(seconds.error(), (Error{Errc::internal, "broke"}));
}

TEST(SecondsOf, ARefusedRequestIsAFailureNotAWait) {
  FakeEngine engine;
  engine.refuse_from = 2;
  const auto seconds = seconds_of(engine, requests({Kind::prompt, 4, 3}, 1), kGoOn);
  ASSERT_FALSE(seconds);
  EXPECT_EQ(seconds.error().code, Errc::overloaded);
}

TEST(SecondsOf, WhatIsComputedAgainIsAFailure) {
  FakeEngine engine;
  engine.cached = 128;
  EXPECT_TRUE(seconds_of(engine, requests({Kind::prompt, 4, 2}, 1), kGoOn, 128));
  engine.cached = 64;
  const auto seconds = seconds_of(engine, requests({Kind::prompt, 4, 2}, 1), kGoOn, 128);
  ASSERT_FALSE(seconds);
  EXPECT_EQ(seconds.error().code, Errc::resource_exhausted);
  EXPECT_NE(seconds.error().detail.find("64 of 128 positions"), std::string::npos);
}

TEST(SecondsOf, AStopCancelsEveryRequest) {
  FakeEngine engine;
  engine.hold = true;
  const auto seconds = seconds_of(engine, requests({Kind::generate, 4, 3}, 1), [] { return true; });
  ASSERT_FALSE(seconds);
  EXPECT_EQ(seconds.error().code, Errc::cancelled);
  EXPECT_EQ(engine.cancelled, (std::set<actors::RequestId>{1, 2, 3}));
}

TEST(MeanDeviation, IsThatOfASample) {
  const auto found = mean_deviation({1, 2, 3, 4});
  EXPECT_DOUBLE_EQ(found.mean, 2.5);
  EXPECT_NEAR(found.deviation, 1.2909944487, 1e-9);  // sqrt(5 / 3)
  EXPECT_EQ(mean_deviation({7}).deviation, 0);
  EXPECT_EQ(mean_deviation({}).mean, 0);
}

/// 32 tokens of 8 sequences in half a second and a second: 512 and 256 tokens/s.
ModelResult some_result() {
  ModelResult result;
  result.test = {Kind::generate, 32, 8};
  result.limits = {2, "avx2", 36, 200, 200, 400};
  result.work = {.weight_bytes = 11e9, .cache_bytes = 1e9, .flops = 40e9};
  result.repetitions = {0.5, 1.0};
  return result;
}

TEST(ModelReport, RatesFollowTheMeanOfTokensPerSecond) {
  const ModelResult result = some_result();
  EXPECT_EQ(result.tokens_per_s(), (std::vector<double>{512, 256}));
  // 384 tokens/s are 1.5 times the work per second.
  EXPECT_DOUBLE_EQ(result.gb_per_s(), 18);
  EXPECT_DOUBLE_EQ(result.cache_gb_per_s(), 1.5);
  EXPECT_DOUBLE_EQ(result.gflops(), 60);
}

TEST(ModelReport, EachKindOfProductsHasItsOwnPeak) {
  ModelResult result = some_result();
  result.limits.bf16_gflops = 300;
  result.work.bf16_flops = 15e9;
  result.work.int8_flops = 20e9;
  // 1.5 times a second: 5 at 200, 15 at 300, 20 at 400.
  EXPECT_DOUBLE_EQ(result.peak_share(), 1.5 * (0.025 + 0.05 + 0.05));
  result.work.bf16_flops = 0;
  result.work.tile_flops = 15e9;
  EXPECT_EQ(result.peak_share(), 0) << "nobody knows what tiles can do";
  result.limits.tile_gflops = 1500;
  EXPECT_DOUBLE_EQ(result.peak_share(), 1.5 * (0.025 + 0.01 + 0.05));
  result.limits.int8_gops = 0;
  EXPECT_EQ(result.peak_share(), 0);
}

TEST(ModelReport, TheTableIsThatOfLlamaBench) {
  const ModelRun run{"bench-1b", std::uint64_t{3} << 29, {1.29e9, 0.25e9}, "bf16", "auto", 42};
  const std::string head = model_table_head(run);
  EXPECT_EQ(head.substr(0, head.find('\n')), "seed 42, mode bf16");
  ModelRun other = run;
  other.kv_cache = "fp8";
  EXPECT_TRUE(model_table_head(other).starts_with("seed 42, mode bf16, KV cache fp8\n"));
  EXPECT_EQ(model_table_line(run, some_result()),
            "| bench-1b             |   1.50 GiB |   1.29 B |       2 |     8 |            tg32 |"
            "    384.00 \u00b1   181.02 |    50% |     4% |    30% |\n");
  ModelResult quick = some_result();  // a small model, a machine busy now and then
  for (double& seconds : quick.repetitions) seconds /= 100;
  EXPECT_EQ(model_table_line(run, quick).size(), model_table_line(run, some_result()).size());
}

TEST(ModelReport, JsonHasEverySample) {
  const ModelRun run{"bench-1b", 1000, {10, 5}, "bf16", "fp8", 42};
  ModelResult result = some_result();
  result.limits.read_gbs = 0;  // could not be measured
  const auto json = model::parse_json(model_json(run, {result}));
  ASSERT_TRUE(json) << json.error().detail;
  EXPECT_EQ(json->find("seed")->integer(), 42);
  EXPECT_EQ(*json->find("kv_cache")->string(), "fp8");
  const auto& one = json->find("results")->array()->front();
  EXPECT_EQ(*one.find("test")->string(), "tg32");
  EXPECT_EQ(one.find("batch")->integer(), 8);
  EXPECT_EQ(one.find("samples")->array()->size(), 2u);
  EXPECT_DOUBLE_EQ(*one.find("tokens_per_s")->number(), 384);
  EXPECT_EQ(one.find("depth")->integer(), 0);
  EXPECT_DOUBLE_EQ(*one.find("bytes_per_token")->number(), 12e9 / 256);
  EXPECT_DOUBLE_EQ(*one.find("cache_bytes_per_token")->number(), 1e9 / 256);
  EXPECT_TRUE(one.find("cache_read_share")->is_null());
  EXPECT_TRUE(one.find("read_share")->is_null());
  EXPECT_DOUBLE_EQ(*one.find("fma_share")->number(), 0.3);
}

}  // namespace
}  // namespace troupe::services
