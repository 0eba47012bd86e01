// INT8 and INT4 checkpoints compute what their dequantised weights would, on every level and chunk.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "model/checkpoint/cast.hpp"
#include "tests/support/dequantised.hpp"
#include "tests/support/golden_arrays.hpp"
#include "tests/support/local_forward.hpp"

namespace troupe {
namespace {

using model::ActivationMode;
using model::Int4Layers;
using model::WeightFormat;

struct Target {
  const char* name;
  WeightFormat format;
  Int4Layers layers = Int4Layers::experts;
};

struct Computing {
  int threads = 1;
  std::string_view level = "auto";
  std::int64_t chunk = 1000;
};

/// Mean KL divergence, in nats, of the rows of `got` from those of `want`.
double mean_kl(const std::vector<float>& want, const std::vector<float>& got, std::int64_t vocab) {
  const auto width = static_cast<std::size_t>(vocab);
  const auto log_sum = [&](const float* row) {
    const double top = *std::max_element(row, row + width);
    double sum = 0;
    for (std::size_t v = 0; v < width; ++v) sum += std::exp(row[v] - top);
    return top + std::log(sum);
  };
  double kl = 0;
  for (std::size_t at = 0; at < want.size(); at += width) {
    const double shift = log_sum(&got[at]) - log_sum(&want[at]);
    for (std::size_t v = at; v < at + width; ++v)
      kl += std::exp(want[v] - log_sum(&want[at])) * (want[v] - got[v] + shift);
  }
  return kl / static_cast<double>(want.size() / width);
}

class QuantisedModel : public ::testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    const auto source = testing::golden_dir("v3-mini") / "model";
    const auto report = model::cast_checkpoint(
        source, dir_ / "model", {.to = GetParam().format, .int4_layers = GetParam().layers});
    ASSERT_TRUE(report) << report.error().detail;
    auto opened = model::Checkpoint::open(dir_ / "model");
    ASSERT_TRUE(opened) << opened.error().detail;
    checkpoint_.emplace(*std::move(opened));
    tokens_ = testing::GoldenArrays("v3-mini").ints("s129.tokens");
  }

  std::vector<float> logits(const model::Checkpoint& checkpoint, ActivationMode mode,
                            const Computing& setup = {}) {
    kernels::ComputePool pool({.threads = setup.threads, .jobs_max = 4});
    const kernels::Engine engine{*kernels::select_level(setup.level), &pool};
    return testing::LocalForward(checkpoint, {mode}, engine).logits(tokens_, setup.chunk);
  }

  testing::TempDir dir_;
  std::optional<model::Checkpoint> checkpoint_;
  std::vector<std::int32_t> tokens_;
};

TEST_P(QuantisedModel, ComputesWithTheDequantisedWeights) {
  testing::write_dequantised(*checkpoint_, dir_ / "plain");
  const auto plain = model::Checkpoint::open(dir_ / "plain");
  ASSERT_TRUE(plain) << plain.error().detail;
  const auto got = logits(*checkpoint_, ActivationMode::f32);
  const auto want = logits(*plain, ActivationMode::f32);
  ASSERT_EQ(got.size(), want.size());
  if (GetParam().format == WeightFormat::int4_groups) {
    EXPECT_EQ(got, want) << "4-bit codes and their scales are exact in F32";
    return;
  }
  const double limit =
      1e-4 * testing::standard_deviation(want);  // the f32 tolerance of the goldens
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::isfinite(got[i])) << i;
    ASSERT_NEAR(got[i], want[i], limit) << i;
  }
}

TEST_P(QuantisedModel, HasTheSameBitsOnEveryLevelThreadAndChunk) {
  for (const auto mode : {ActivationMode::bf16, ActivationMode::int8_act}) {
    const auto want = logits(*checkpoint_, mode);
    for (const kernels::KernelTable* level : kernels::available_levels())
      EXPECT_EQ(logits(*checkpoint_, mode, {2, level->name, 7}), want)
          << level->name << ", " << to_string(mode);
    EXPECT_EQ(logits(*checkpoint_, mode, {3, "auto", 64}), want) << to_string(mode);
    EXPECT_EQ(logits(*checkpoint_, mode, {1, "auto", 1}), want) << to_string(mode);
  }
}

TEST_P(QuantisedModel, QuantisingActivationsToFp8ChangesNoBit) {
  // Only e4m3 weights read rows of e4m3, and none is left.
  EXPECT_EQ(logits(*checkpoint_, ActivationMode::fp8_act),
            logits(*checkpoint_, ActivationMode::bf16));
}

// No other program has this mode; FP8 of the model's own weights is the yardstick. Of a block of
// normally distributed elements e4m3 (4 significant bits) keeps all but about 2.6% rms, INT8 (steps
// of the largest, some 2.7 deviations, over 127) all but 0.6 to 0.9%: a ninth of the squared error,
// and so of the KL. A quarter allows for blocks with a larger largest.
TEST_P(QuantisedModel, ActivationsInInt8CostAQuarterOfWhatFp8DoesOrLess) {
  const auto source = model::Checkpoint::open(testing::golden_dir("v3-mini") / "model");
  ASSERT_TRUE(source) << source.error().detail;
  const auto cost = [&](const model::Checkpoint& checkpoint, ActivationMode mode) {
    return mean_kl(logits(checkpoint, ActivationMode::bf16), logits(checkpoint, mode),
                   checkpoint.config().vocab_size);
  };
  const double got = cost(*checkpoint_, ActivationMode::int8_act);
  EXPECT_GT(got, 0) << "nothing was quantised";
  EXPECT_LT(got, cost(*source, ActivationMode::fp8_act) / 4);
}

TEST_P(QuantisedModel, HasARevisionOfItsOwn) {
  const auto source = model::Checkpoint::open(testing::golden_dir("v3-mini") / "model");
  EXPECT_NE(checkpoint_->revision(), source->revision());
  EXPECT_EQ(checkpoint_->config().quantisation.format, GetParam().format);
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantisedModel,
                         ::testing::Values(Target{"Int8Blocks", WeightFormat::int8_blocks},
                                           Target{"Int8Channel", WeightFormat::int8_channel},
                                           Target{"Int4", WeightFormat::int4_groups},
                                           Target{"Int4All", WeightFormat::int4_groups,
                                                  Int4Layers::all}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace troupe
