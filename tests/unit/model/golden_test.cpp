// The model functions reproduce the reference arrays of every preset, in every mode it has, at
// every level.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "model/checkpoint/cast.hpp"
#include "tests/support/golden_arrays.hpp"
#include "tests/support/local_forward.hpp"
#include "tests/support/temp_dir.hpp"

namespace troupe {
namespace {

using kernels::Engine;
using model::ActivationMode;
using model::Int4Layers;
using model::KvCache;
using model::Numerics;
using model::WeightFormat;
using testing::GoldenArrays;

/// |got - want|; infinite for what is no number, which std::max would skip.
double apart(double got, double want) {
  const double difference = std::abs(got - want);
  return std::isfinite(difference) ? difference : std::numeric_limits<double>::infinity();
}

// Left out together: 300 tokens without vectors take longer than all the rest.
constexpr std::string_view kSlowSequence = "s300";
constexpr std::string_view kSlowLevel = "reference";

class GoldenTest : public ::testing::TestWithParam<const char*> {
 protected:
  GoldenTest() : preset_(GetParam()), arrays_(preset_), pool_({.threads = 2, .jobs_max = 4}) {
    std::ifstream file(testing::golden_dir(preset_) / "golden.json");
    golden_ = nlohmann::json::parse(file);
    checkpoint_.emplace(*model::Checkpoint::open(testing::golden_dir(preset_) / "model"));
  }

  /// Calls `check` with an engine of each level that this machine has, the slowest first.
  template <class Check>
  void at_every_level(const Check& check) {
    for (const kernels::KernelTable* level : kernels::available_levels()) {
      SCOPED_TRACE(level->name);
      check(Engine{level, &pool_});
    }
  }

  testing::LocalForward forward(ActivationMode mode) {
    const Engine engine{*kernels::select_level("auto"), &pool_};
    return {*checkpoint_, {mode}, engine};
  }

  /// Logits of `sequence`, which are expected to have the same bits at every level.
  std::vector<float> logits(const model::Checkpoint& checkpoint, const Numerics& numerics,
                            const std::string& sequence) {
    const auto tokens = arrays_.ints(sequence + ".tokens");
    std::vector<float> want;
    at_every_level([&](const Engine& engine) {
      if (sequence == kSlowSequence && engine.table->name == kSlowLevel) return;
      const auto got = testing::LocalForward(checkpoint, numerics, engine).logits(tokens, 1000);
      if (want.empty()) want = got;
      EXPECT_TRUE(got == want) << sequence << ", mode " << to_string(numerics.mode);
    });
    return want;
  }

  // Largest |difference| over the golden's standard deviation, of rows that pass `margin_min`.
  double error(const std::string& sequence, const std::vector<float>& logits, double margin_min) {
    const auto golden = arrays_.floats(sequence + ".logits");
    const auto positions = arrays_.ints(sequence + ".positions");
    const auto margins = arrays_.floats(sequence + ".row_margin");
    const std::size_t vocab = golden.size() / positions.size();
    double worst = 0;
    for (std::size_t row = 0; row < positions.size(); ++row) {
      if (margins[row] < margin_min) continue;
      for (std::size_t v = 0; v < vocab; ++v) {
        const double got = logits[static_cast<std::size_t>(positions[row]) * vocab + v];
        worst = std::max(worst, apart(got, golden[row * vocab + v]));
      }
    }
    return worst / testing::standard_deviation(golden);
  }

  double last_row_error(const std::string& array, const std::vector<float>& logits) {
    const auto golden = arrays_.floats(array);
    double worst = 0;
    for (std::size_t v = 0; v < golden.size(); ++v)
      worst = std::max(worst, apart(logits[logits.size() - golden.size() + v], golden[v]));
    return worst / testing::standard_deviation(golden);
  }

  /// What the weight of the unit case `array` makes of its rows.
  std::vector<float> fp8_linear(const Engine& engine, ActivationMode mode,
                                const std::string& array) {
    const std::string weight = array.substr(9) + ".weight";
    const auto& shape = checkpoint_->find(weight)->shape;
    const auto w = *checkpoint_->matrix(weight, shape[0], shape[1]);
    const auto x = arrays_.floats(array + ".x");
    model::Scratch scratch;
    const auto rows = static_cast<std::int64_t>(x.size()) / w.cols;
    std::vector<float> y(static_cast<std::size_t>(rows * w.rows));
    const model::Compute compute{
        engine, {mode}, checkpoint_->config().quantisation.scale_fmt_ue8m0, scratch};
    model::LinearInput input{.x = x.data(), .stride = w.cols, .tokens = rows, .width = w.cols};
    model::quantise_for(compute, w, input);
    engine.linear(model::linear_args(input, w, y.data(), w.rows));
    return y;
  }

  std::string preset_;
  GoldenArrays arrays_;
  nlohmann::json golden_;
  kernels::ComputePool pool_;
  std::optional<model::Checkpoint> checkpoint_;
};

constexpr const char* kSequences[] = {"s1", "s17", "s129", "s300"};

TEST_P(GoldenTest, LogitsAgreeInF32) {
  for (const char* sequence : kSequences) {
    EXPECT_LT(error(sequence, logits(*checkpoint_, {ActivationMode::f32}, sequence), 0),
              golden_["tolerances"]["f32_engine"].get<double>())
        << sequence;
  }
}

TEST_P(GoldenTest, LogitsAgreeInBf16WhereRoutingIsDecided) {
  for (const auto mode : {ActivationMode::bf16, ActivationMode::bf16_tiles})
    for (const char* sequence : kSequences) {
      EXPECT_LT(error(sequence, logits(*checkpoint_, {mode}, sequence), 0.005),
                golden_["tolerances"]["bf16_engine_logits"].get<double>())
          << sequence << ", mode " << to_string(mode);
    }
}

TEST_P(GoldenTest, SumsInTheOrderOfTilesHaveBitsOfTheirOwn) {
  const auto tokens = arrays_.ints("s17.tokens");
  EXPECT_NE(forward(ActivationMode::bf16).logits(tokens, 1000),
            forward(ActivationMode::bf16_tiles).logits(tokens, 1000));
}

TEST_P(GoldenTest, ExpertsAndGatesSumInTheOrderOfTilesToo) {
  const Engine engine{*kernels::select_level("auto"), &pool_};
  const model::ModelConfig& config = checkpoint_->config();
  constexpr std::int64_t kRows = 256;  // rounding to BF16 hides most differences of experts
  std::mt19937 random(20261130);
  std::normal_distribution<float> normal;
  std::vector<float> rows(static_cast<std::size_t>(kRows * config.hidden_size));
  for (float& v : rows) v = round_to_bf16(normal(random));
  const std::int64_t layer = config.num_layers - 1;  // of experts in every preset
  ASSERT_TRUE(config.is_moe(layer));
  std::vector<model::RowExpert> pairs;
  for (std::int32_t row = 0; row < kRows; ++row)
    for (std::int32_t expert = 0; expert < config.routed_experts; ++expert)
      pairs.push_back({row, expert});
  const auto experts = [&](ActivationMode mode) {
    std::vector<float> out(pairs.size() * static_cast<std::size_t>(config.hidden_size));
    const auto loaded =
        model::ExpertModel::load(*checkpoint_, {mode}, engine, {0, config.routed_experts});
    loaded->run(layer, {.rows = rows.data(), .unique = kRows, .pairs = pairs, .out = out.data()});
    return out;
  };
  const auto gate = [&](ActivationMode mode) {
    const auto loaded = model::RouterModel::load(*checkpoint_, {mode}, engine);
    return loaded->gate(layer, rows.data(), kRows).weights;
  };
  EXPECT_FALSE(experts(ActivationMode::bf16) == experts(ActivationMode::bf16_tiles));
  EXPECT_NE(gate(ActivationMode::bf16), gate(ActivationMode::bf16_tiles));
}

TEST_P(GoldenTest, ActivationsQuantisedAgreeLoosely) {
  if (!arrays_.has("s17.logits_last.fp8-act-absorbed")) GTEST_SKIP() << "no FP8 weights";
  for (const std::string name : kSequences) {
    EXPECT_LT(last_row_error(name + ".logits_last.fp8-act-absorbed",
                             logits(*checkpoint_, {ActivationMode::fp8_act}, name)),
              golden_["tolerances"]["fp8_act_engine_logits"].get<double>())
        << name;
  }
}

TEST_P(GoldenTest, EveryLevelGivesTheSameBitsWithTheFp8Cache) {
  (void)logits(*checkpoint_, {ActivationMode::bf16, KvCache::fp8}, "s129");
}

TEST_P(GoldenTest, EveryLevelGivesTheSameBitsInEachFormatThatIsCastTo) {
  const model::CastOptions casts[] = {
      {.to = WeightFormat::plain},
      {.to = WeightFormat::int8_blocks},
      {.to = WeightFormat::int8_channel},
      {.to = WeightFormat::int4_groups},
      {.to = WeightFormat::int4_groups, .int4_layers = Int4Layers::all}};
  for (const model::CastOptions& cast : casts) {
    SCOPED_TRACE(to_string(cast.to));
    const testing::TempDir dir;
    const auto report =
        cast_checkpoint(testing::golden_dir(preset_) / "model", dir / "model", cast);
    ASSERT_TRUE(report) << report.error().detail;
    const auto checkpoint = model::Checkpoint::open(dir / "model");
    ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
    for (const auto mode : {ActivationMode::f32, ActivationMode::bf16, ActivationMode::int8_act,
                            ActivationMode::bf16_tiles})
      (void)logits(*checkpoint, {mode}, "s17");
  }
}

TEST_P(GoldenTest, WithoutFp8WeightsQuantisingToFp8ChangesNoBit) {
  if (arrays_.has("s17.logits_last.fp8-act-absorbed")) GTEST_SKIP() << "has FP8 weights";
  auto plain = forward(ActivationMode::bf16);
  auto quantising = forward(ActivationMode::fp8_act);
  const auto tokens = arrays_.ints("s129.tokens");
  EXPECT_EQ(plain.logits(tokens, 1000), quantising.logits(tokens, 1000));
}

TEST_P(GoldenTest, WithoutInt8AndInt4WeightsQuantisingToInt8ChangesNoBit) {
  auto plain = forward(ActivationMode::bf16);
  auto quantising = forward(ActivationMode::int8_act);
  const auto tokens = arrays_.ints("s129.tokens");
  EXPECT_EQ(plain.logits(tokens, 1000), quantising.logits(tokens, 1000));
}

TEST_P(GoldenTest, RoutesLikeTheReference) {
  for (const auto mode : {ActivationMode::f32, ActivationMode::bf16, ActivationMode::bf16_tiles}) {
    auto local = forward(mode);
    (void)local.logits(arrays_.ints("s17.tokens"), 1000);
    std::size_t moe = 0;
    for (int layer = 0; layer < checkpoint_->config().num_layers; ++layer) {
      if (!checkpoint_->config().is_moe(layer)) continue;
      const std::string name = "s17.router." + std::to_string(layer);
      const auto& routing = local.routings.at(moe++);
      EXPECT_EQ(routing.experts, arrays_.ints(name + ".ids")) << name;
      const auto weights = arrays_.floats(name + ".weights");
      for (std::size_t i = 0; i < weights.size(); ++i)
        EXPECT_NEAR(routing.weights[i], weights[i], mode == ActivationMode::f32 ? 1e-5 : 2e-2);
    }
    EXPECT_EQ(moe, local.routings.size());
  }
}

TEST_P(GoldenTest, ChunksChangeNoBit) {
  for (const auto mode : {ActivationMode::bf16, ActivationMode::bf16_tiles}) {
    auto local = forward(mode);
    const auto tokens = arrays_.ints("s300.tokens");
    const auto whole = local.logits(tokens, 1000);
    for (const std::int64_t chunk : {1, 7, 64})
      EXPECT_EQ(local.logits(tokens, chunk), whole) << chunk << ", mode " << to_string(mode);
  }
}

TEST_P(GoldenTest, SingleFp8LinearsAgree) {
  bool any = false;
  for (const auto& name : arrays_.names()) {
    if (!name.starts_with("unit.fp8.") || !name.ends_with(".xq")) continue;
    any = true;
    const std::string array = name.substr(0, name.size() - 3);
    for (const auto mode : {ActivationMode::f32, ActivationMode::fp8_act}) {
      const auto golden =
          arrays_.floats(array + (mode == ActivationMode::f32 ? ".y_w_dequant" : ".y"));
      at_every_level([&](const Engine& engine) {
        const auto y = fp8_linear(engine, mode, array);
        double worst = 0;
        for (std::size_t i = 0; i < y.size(); ++i) worst = std::max(worst, apart(y[i], golden[i]));
        EXPECT_LT(worst / testing::standard_deviation(golden), 1e-5) << array;
      });
    }
  }
  if (!any) GTEST_SKIP() << "no FP8 weights";
}

INSTANTIATE_TEST_SUITE_P(Presets, GoldenTest,
                         ::testing::Values("v3-mini", "v31-mini", "moonlight-mini", "kimi-mini",
                                           "neg-bias-mini"),
                         [](const auto& preset) {
                           std::string name = preset.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace troupe
