// The order of the sampler's operations against a plain second writing of specification 8.2.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <iomanip>
#include <random>
#include <sstream>

#include "tests/unit/model/sampling_reference.hpp"

namespace troupe::model {
namespace {

constexpr std::uint64_t kSeed = 42;

Expected<Sample> draw(const SamplingSetting& setting, std::int64_t position) {
  static const auto* table = *kernels::select_level("reference");
  std::vector<std::uint64_t> bits;
  if (setting.allowed) {
    bits.assign(1, 0);
    for (const auto id : *setting.allowed) bits[0] |= std::uint64_t{1} << id;
  }
  return sample(*table, setting.logits, setting.params,
                {.prompt = setting.prompt,
                 .generated = setting.generated,
                 .position = position,
                 .valid_vocab = kVocab,
                 .allowed = bits});
}

/// Positions at which the noise of kSeed is so much for one id that this one is drawn wherever it
/// is kept and not a thousand times less likely than others.
const std::array<std::int64_t, kVocab>& decisive_positions() {
  static const auto found = [] {
    std::array<std::int64_t, kVocab> positions{};
    std::set<std::int32_t> open;
    for (std::int32_t id = 0; id < kVocab; ++id) open.insert(id);
    for (std::int64_t position = 0; !open.empty(); ++position)
      for (const auto id : std::vector(open.begin(), open.end()))
        if (uniform_noise(kSeed, position, id) > 1 - 1e-5) {
          positions[static_cast<std::size_t>(id)] = position;
          open.erase(id);
        }
    return positions;
  }();
  return found;
}

/// The ids that are drawn where the noise is for them.
std::set<std::int32_t> kept_by_sampler(const SamplingSetting& setting) {
  std::set<std::int32_t> kept;
  for (std::int32_t id = 0; id < kVocab; ++id) {
    const auto drawn = draw(setting, decisive_positions()[static_cast<std::size_t>(id)]);
    if (drawn && drawn->token == id) kept.insert(id);
  }
  return kept;
}

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}
  bool one_in(std::uint64_t count) { return random_() % count == 0; }
  /// From low up to but not including high.
  std::int32_t whole(std::int32_t low, std::int32_t high) {
    return low + static_cast<std::int32_t>(random_() % static_cast<std::uint64_t>(high - low));
  }
  float number(double low, double high) {
    const double share = static_cast<double>(random_() >> 11) * 0x1p-53;
    return static_cast<float>(low + (high - low) * share);
  }
  std::vector<std::int32_t> ids(std::int32_t count_max) {
    std::vector<std::int32_t> all(static_cast<std::size_t>(whole(0, count_max + 1)));
    for (auto& id : all) id = whole(0, kVocab);
    return all;
  }

 private:
  std::mt19937_64 random_;
};

/// Most are about to be complete. None ends with id 0.
std::vector<std::vector<std::int32_t>> random_words(Draw& draw,
                                                    const std::vector<std::int32_t>& generated) {
  std::vector<std::vector<std::int32_t>> words(static_cast<std::size_t>(draw.whole(1, 6)));
  for (auto& word : words) {
    const auto begun = std::min(static_cast<std::ptrdiff_t>(draw.whole(0, 3)),
                                static_cast<std::ptrdiff_t>(generated.size()));
    word.assign(generated.end() - begun, generated.end());
    if (draw.one_in(4)) word.insert(word.begin(), draw.whole(0, kVocab));
    word.push_back(draw.whole(1, kVocab));
  }
  return words;
}

/// Each parameter is off in a third of the settings.
SamplingSetting random_setting(std::uint64_t seed) {
  Draw draw(seed);
  SamplingSetting setting;
  const bool ties = draw.one_in(3);
  for (std::int32_t id = 0; id < kVocab; ++id)
    setting.logits.push_back(ties ? static_cast<float>(draw.whole(-4, 5)) : draw.number(-4, 4));
  for (int i = 0; i < 3; ++i) setting.logits.push_back(50);
  setting.prompt = draw.ids(6);
  setting.generated = draw.ids(8);
  SamplingParams& params = setting.params;
  params.seed = kSeed;
  params.max_tokens = 100;
  params.temperature = draw.one_in(8) ? 0 : draw.number(0.1, 2);
  if (!draw.one_in(3)) params.top_k = draw.whole(-1, kVocab + 2);
  if (!draw.one_in(3)) params.top_p = draw.number(0.1, 1);
  if (!draw.one_in(3)) params.min_p = draw.one_in(2) ? draw.number(0, 1) : draw.number(0, 0.05);
  if (!draw.one_in(3)) params.repetition_penalty = draw.number(0.5, 2);
  if (!draw.one_in(3)) params.frequency_penalty = draw.number(-2, 2);
  if (!draw.one_in(3)) params.presence_penalty = draw.number(-2, 2);
  if (!draw.one_in(3)) {
    std::set<std::int32_t> biased;
    for (const auto id : draw.ids(6)) biased.insert(id);
    for (const auto id : biased)
      params.logit_bias.emplace_back(id,
                                     draw.one_in(8) ? draw.number(-100, 100) : draw.number(-4, 4));
  }
  if (!draw.one_in(3)) {  // id 0 is left, whatever is forbidden
    params.min_tokens = draw.whole(0, 10);
    for (const auto id : draw.ids(4))
      if (id != 0) params.stop_token_ids.push_back(id);
  }
  if (draw.one_in(3)) {
    const auto ids = draw.ids(12);
    setting.allowed.emplace(ids.begin(), ids.end());
    setting.allowed->insert(0);
  }
  if (!draw.one_in(3)) {
    params.allowed_token_ids = draw.ids(40);
    params.allowed_token_ids.push_back(0);
  }
  if (!draw.one_in(3)) params.bad_words = random_words(draw, setting.generated);
  return setting;
}

std::string shown(const SamplingSetting& setting) {
  std::ostringstream out;
  const SamplingParams& p = setting.params;
  const auto list = [&](const char* name, const auto& values) {
    out << "\n" << name << ":";
    for (const auto& value : values) out << ' ' << value;
  };
  out << std::setprecision(9) << "temperature " << p.temperature << ", top_k " << p.top_k
      << ", top_p " << p.top_p << ", min_p " << p.min_p << ", repetition " << p.repetition_penalty
      << ", frequency " << p.frequency_penalty << ", presence " << p.presence_penalty
      << ", min_tokens " << p.min_tokens;
  list("logits", setting.logits);
  list("prompt", setting.prompt);
  list("generated", setting.generated);
  list("stop ids", p.stop_token_ids);
  for (const auto& [id, bias] : p.logit_bias) out << "\nbias of " << id << ": " << bias;
  if (setting.allowed) list("allowed", *setting.allowed);
  list("allowed ids", p.allowed_token_ids);
  for (const auto& word : p.bad_words) list("bad word", word);
  return out.str();
}

TEST(SamplerOrder, RandomSettingsKeepAndDrawWhatTheSpecificationSays) {
  constexpr std::uint64_t kFirst = 20261129, kSettings = 4000;
  std::uint64_t unclear = 0, draws = 0, truncated = 0;
  for (std::uint64_t seed = kFirst; seed < kFirst + kSettings; ++seed) {
    SamplingSetting setting = random_setting(seed);
    const SamplingReference reference(setting);
    if (!reference.clear()) {
      ++unclear;
      continue;
    }
    truncated += reference.kept().size() > 1 && reference.kept().size() < kVocab;
    std::vector<std::int64_t> positions(decisive_positions().begin(), decisive_positions().end());
    for (std::int64_t position = 0; position < 8; ++position) positions.push_back(position);
    for (const auto position : positions) {
      const auto expected = reference.draw(kSeed, position);
      if (!expected) continue;
      const auto drawn = draw(setting, position);
      ASSERT_TRUE(drawn) << drawn.error().detail;
      ASSERT_EQ(drawn->token, *expected) << "seed " << seed << ", position " << position << "\n"
                                         << shown(setting);
      ++draws;
    }
  }
  EXPECT_LT(unclear, kSettings / 10) << "near a border of rounding";
  EXPECT_GT(truncated, kSettings / 3) << "to more than one id and fewer than all";
  EXPECT_GT(draws, (kSettings - unclear) * (kVocab + 8) * 9 / 10);
}

TEST(SamplerOrder, LogprobsOfRandomSettingsAreThoseOfTheRawLogits) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SamplingSetting setting = random_setting(seed);
    setting.params.top_logprobs = 3;
    const std::vector<double> raw(setting.logits.begin(), setting.logits.begin() + kVocab);
    double sum = 0;
    for (const double logit : raw) sum += std::exp(logit);
    const auto logprob = [&](std::int32_t id) {
      return raw[static_cast<std::size_t>(id)] - std::log(sum);
    };
    const auto drawn = draw(setting, 0);
    ASSERT_TRUE(drawn) << drawn.error().detail;
    EXPECT_NEAR(drawn->logprob, logprob(drawn->token), 1e-5) << "seed " << seed;
    ASSERT_EQ(drawn->top.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(drawn->top[i].token, descending(raw)[i]) << "seed " << seed;
      EXPECT_NEAR(drawn->top[i].logprob, logprob(drawn->top[i].token), 1e-5) << "seed " << seed;
    }
  }
}

using Ids = std::set<std::int32_t>;

/// Settings by hand in which every exchange of two operations keeps other ids.
class SamplerOrderTest : public ::testing::Test {
 protected:
  SamplerOrderTest() { setting_.params = {.seed = kSeed, .max_tokens = 100}; }

  /// Logits of the first ids; those after them are out of reach.
  void logits(std::vector<float> first) {
    setting_.logits = std::move(first);
    setting_.logits.resize(kVocab, -60);
  }
  /// As logits, from probabilities.
  void probabilities(const std::vector<double>& first) {
    std::vector<float> logs;
    for (const double p : first) logs.push_back(static_cast<float>(std::log(p)));
    logits(std::move(logs));
  }
  void expect_kept(const Ids& by_hand) {
    EXPECT_EQ(kept_by_sampler(setting_), by_hand);
    const SamplingReference reference(setting_);
    Ids likely;  // -60 is kept where nothing truncates, but never drawn
    for (const auto id : reference.kept())
      if (setting_.logits[static_cast<std::size_t>(id)] > -50) likely.insert(id);
    EXPECT_EQ(likely, by_hand) << "the reference";
  }

  SamplingSetting setting_;
  SamplingParams& params_ = setting_.params;
};

TEST_F(SamplerOrderTest, TemperatureComesBeforeMinP) {
  logits({2, 1, -1});
  params_.min_p = 0.5f;  // e^-1 is below it, e^-0.5 is not
  expect_kept({0});
  params_.temperature = 2;
  expect_kept({0, 1});
}

TEST_F(SamplerOrderTest, TemperatureComesBeforeTopP) {
  probabilities({0.6, 0.3, 0.1});
  params_.top_p = 0.55f;
  expect_kept({0});
  params_.temperature = 2;  // 0.47, 0.33, 0.19
  expect_kept({0, 1});
}

TEST_F(SamplerOrderTest, TopKComesBeforeTopP) {
  probabilities({0.4, 0.35, 0.15, 0.1});
  params_.top_k = 2;
  params_.top_p = 0.5f;  // of two, the first has 0.53; of four, 0.4
  expect_kept({0});
}

TEST_F(SamplerOrderTest, TopKKeepsTiesAndTopPCutsThem) {
  probabilities({0.4, 0.2, 0.2, 0.2});
  params_.top_k = 2;
  expect_kept({0, 1, 2, 3});
  params_.top_p = 0.5f;  // of four; of two, the first has 0.67
  expect_kept({0, 1});
}

TEST_F(SamplerOrderTest, MinPComesBeforeTopP) {
  probabilities({0.4, 0.35, 0.15, 0.1});
  params_.min_p = 0.5f;
  params_.top_p = 0.5f;
  expect_kept({0});
}

TEST_F(SamplerOrderTest, BiasComesBeforeTheRepetitionPenalty) {
  logits({1, 2.5});
  setting_.prompt = {0};
  params_.temperature = 0;
  params_.logit_bias = {{0, 3.0f}};
  params_.repetition_penalty = 2;  // (1 + 3) / 2 = 2, the other way 1 / 2 + 3 = 3.5
  expect_kept({1});
}

TEST_F(SamplerOrderTest, TheRepetitionPenaltyComesBeforeThatOfFrequency) {
  logits({4, 0.75});
  setting_.generated = {0, 0};
  params_.temperature = 0;
  params_.repetition_penalty = 2;
  params_.frequency_penalty = 0.75f;  // 4 / 2 - 1.5 = 0.5, the other way (4 - 1.5) / 2 = 1.25
  expect_kept({1});
}

TEST_F(SamplerOrderTest, TheRepetitionPenaltyComesBeforeThatOfPresence) {
  logits({4, 0.75});
  setting_.generated = {0, 0};
  params_.temperature = 0;
  params_.repetition_penalty = 2;
  params_.presence_penalty = 1.5f;
  expect_kept({1});
}

TEST_F(SamplerOrderTest, PenaltiesComeBeforeTheTemperature) {
  logits({2, 1, -1});
  setting_.generated = {0};
  params_.temperature = 0.5f;
  params_.presence_penalty = 1.5f;  // (2 - 1.5) / 0.5 = 1 and 2; the other way 4 - 1.5 and 2
  params_.top_k = 1;
  expect_kept({1});
}

TEST_F(SamplerOrderTest, BiasComesBeforeTheTemperature) {
  logits({2, 1, -1});
  params_.temperature = 0.5f;
  params_.logit_bias = {{1, 1.5f}};  // (1 + 1.5) / 0.5 = 5 and 4; the other way 3.5 and 4
  params_.top_k = 1;
  expect_kept({1});
}

TEST_F(SamplerOrderTest, WhatAGrammarForbidsCountsForNoTruncation) {
  probabilities({0.5, 0.25, 0.15, 0.1});
  setting_.allowed = Ids{1, 2, 3};
  params_.top_k = 2;
  expect_kept({1, 2});
  params_.top_k = 0;
  params_.top_p = 0.45f;  // of those allowed, the first has 0.5
  expect_kept({1});
  params_.top_p = 1;
  params_.min_p = 0.5f;  // of 0.25, not of 0.5
  expect_kept({1, 2});
}

TEST_F(SamplerOrderTest, IdsThatAreNotAllowedCountForNoTruncation) {
  probabilities({0.5, 0.25, 0.15, 0.1});
  params_.allowed_token_ids = {1, 2, 3};
  params_.top_k = 2;
  expect_kept({1, 2});
  params_.logit_bias = {{0, 100.0f}};  // allows nothing
  expect_kept({1, 2});
}

TEST_F(SamplerOrderTest, BadWordsCountForNoTruncation) {
  probabilities({0.5, 0.25, 0.15, 0.1});
  setting_.generated = {2, 3};
  params_.bad_words = {{2, 3, 0}, {3, 2, 1}};
  params_.top_k = 2;
  expect_kept({1, 2});
  params_.logit_bias = {{0, 100.0f}};
  expect_kept({1, 2});
}

TEST_F(SamplerOrderTest, StopIdsThatHaveToWaitCountForNoTruncation) {
  probabilities({0.5, 0.25, 0.15, 0.1});
  params_.stop_token_ids = {0};
  params_.min_tokens = 2;
  setting_.generated = {3};
  params_.top_k = 2;
  expect_kept({1, 2});
  setting_.generated = {3, 3};
  expect_kept({0, 1});
}

TEST_F(SamplerOrderTest, NoBiasBringsBackAStopIdThatHasToWait) {
  logits({2, 1});
  params_.stop_token_ids = {0};
  params_.min_tokens = 1;
  params_.logit_bias = {{0, 100.0f}};
  params_.temperature = 0;
  expect_kept({1});
}

TEST_F(SamplerOrderTest, BiasComesBeforeTruncation) {
  probabilities({0.5, 0.25, 0.15, 0.1});
  params_.logit_bias = {{3, 5.0f}};
  params_.top_k = 1;
  expect_kept({3});
  params_.top_k = 0;
  params_.top_p = 0.5f;
  expect_kept({3});
}

}  // namespace
}  // namespace troupe::model
