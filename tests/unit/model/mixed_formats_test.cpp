// Mode int8-act where weights of several formats read one input: each reads it as its format wants.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

#include "model/checkpoint/cast.hpp"
#include "model/expert_model.hpp"
#include "model/linear_layer.hpp"
#include "tests/support/dequantised.hpp"
#include "tests/support/golden_arrays.hpp"

namespace troupe {
namespace {

using model::ActivationMode;

constexpr std::int64_t kRows = 5;
constexpr int kLayer = 1;

std::string expert_name(int expert) {
  return "model.layers." + std::to_string(kLayer) + ".mlp.experts." + std::to_string(expert) + ".";
}

/// An INT4 checkpoint in which some linears of some experts are plain.
class MixedFormats : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto source = testing::golden_dir("v3-mini") / "model";
    const auto cast =
        model::cast_checkpoint(source, dir_ / "int4", {.to = model::WeightFormat::int4_groups});
    ASSERT_TRUE(cast) << cast.error().detail;
    const auto int4 = model::Checkpoint::open(dir_ / "int4");
    ASSERT_TRUE(int4) << int4.error().detail;
    testing::write_dequantised(
        *int4, dir_ / "mixed",
        {expert_name(1) + "up_proj.weight", expert_name(2) + "gate_proj.weight",
         expert_name(3) + "down_proj.weight", expert_name(4) + "gate_proj.weight",
         expert_name(4) + "up_proj.weight"});
    auto mixed = model::Checkpoint::open(dir_ / "mixed");
    ASSERT_TRUE(mixed) << mixed.error().detail;
    checkpoint_.emplace(*std::move(mixed));
    hidden_ = checkpoint_->config().hidden_size;
    inner_ = checkpoint_->config().moe_intermediate_size;
    std::mt19937 random(20261128);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < kRows * hidden_; ++i)
      rows_.push_back(round_to_bf16(normal(random)));
  }

  kernels::WeightMatrix weight(int expert, const std::string& part, std::int64_t rows,
                               std::int64_t cols) {
    const auto matrix = checkpoint_->matrix(expert_name(expert) + part + ".weight", rows, cols);
    EXPECT_TRUE(matrix) << matrix.error().detail;
    return *matrix;
  }

  model::MlpWeights mlp_of(int expert) {
    return {weight(expert, "gate_proj", inner_, hidden_),
            weight(expert, "up_proj", inner_, hidden_),
            weight(expert, "down_proj", hidden_, inner_)};
  }

  /// y = x W^T of rows quantised for W alone, if it is INT4.
  std::vector<float> product(const kernels::WeightMatrix& w, const std::vector<float>& x) {
    const auto blocks = static_cast<std::size_t>(kernels::scale_blocks(w.cols));
    std::vector<std::int8_t> codes(static_cast<std::size_t>(kRows * kernels::padded_codes(w.cols)));
    std::vector<float> scales(kRows * blocks);
    std::vector<float> y(static_cast<std::size_t>(kRows * w.rows));
    kernels::LinearArgs args{.x = x.data(),
                             .x_stride = w.cols,
                             .w = w,
                             .y = y.data(),
                             .y_stride = w.rows,
                             .tokens = kRows};
    if (w.dtype == DType::i32) {
      engine_.quantise_int8({x.data(), w.cols, codes.data(), scales.data(), kRows, w.cols});
      args.x_codes = codes.data();
      args.x_scales = scales.data();
    }
    engine_.linear(args);
    return y;
  }

  /// What the expert says of `rows_`, linear by linear.
  std::vector<float> expected(int expert) {
    const model::MlpWeights w = mlp_of(expert);
    std::vector<float> gate = product(w.gate, rows_);
    const std::vector<float> up = product(w.up, rows_);
    engine_.swiglu({.gate = gate.data(),
                    .up = up.data(),
                    .y = gate.data(),
                    .rows = kRows,
                    .width = inner_,
                    .round_to_bf16 = true});
    return product(w.down, gate);
  }

  testing::TempDir dir_;
  kernels::ComputePool pool_{{.threads = 2, .jobs_max = 4}};
  kernels::Engine engine_{*kernels::select_level("auto"), &pool_};
  std::optional<model::Checkpoint> checkpoint_;
  std::int64_t hidden_ = 0;
  std::int64_t inner_ = 0;
  std::vector<float> rows_;
};

TEST_F(MixedFormats, OfOneFeedForwardEachReadItsOwnInput) {
  model::Scratch scratch;
  const model::Compute compute{engine_, {ActivationMode::int8_act}, false, scratch};
  for (int expert = 0; expert < 5; ++expert) {
    std::vector<float> y(static_cast<std::size_t>(kRows * hidden_));
    model::mlp(compute, mlp_of(expert),
               {.x = rows_.data(), .stride = hidden_, .tokens = kRows, .width = hidden_}, y.data());
    EXPECT_EQ(y, expected(expert)) << "expert " << expert;
  }
}

TEST_F(MixedFormats, OfExpertsInOneBatchEachReadItsOwnInput) {
  const auto experts = model::ExpertModel::load(*checkpoint_, {ActivationMode::int8_act}, engine_,
                                                {0, checkpoint_->config().routed_experts});
  ASSERT_TRUE(experts) << experts.error().detail;
  std::vector<model::RowExpert> pairs;
  for (std::int32_t row = 0; row < kRows; ++row)
    for (const std::int32_t expert : {4, 1, 0, 3, 2}) pairs.push_back({row, expert});
  std::vector<float> out(pairs.size() * static_cast<std::size_t>(hidden_));
  experts->run(kLayer, {.rows = rows_.data(),
                        .row_scales = nullptr,
                        .unique = kRows,
                        .pairs = pairs,
                        .out = out.data()});
  for (int expert = 0; expert < 5; ++expert) {
    std::vector<float> want = expected(expert);
    for (float& value : want) value = round_to_bf16(value);
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (pairs[i].expert != expert) continue;
      const auto* got = out.data() + static_cast<std::ptrdiff_t>(i) * hidden_;
      const auto* row = want.data() + pairs[i].row * hidden_;
      EXPECT_TRUE(std::equal(row, row + hidden_, got)) << "expert " << expert << ", pair " << i;
    }
  }
}

/// One linear of every format against a sum in F64 over the weights' and the rows' values.
class QuantisedRows : public ::testing::TestWithParam<model::CastOptions> {};

TEST_P(QuantisedRows, AreMultipliedAsTheirCodesAndScalesSay) {
  testing::TempDir dir;
  const auto cast =
      model::cast_checkpoint(testing::golden_dir("v3-mini") / "model", dir / "model", GetParam());
  ASSERT_TRUE(cast) << cast.error().detail;
  const auto checkpoint = model::Checkpoint::open(dir / "model");
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  const std::string name = expert_name(0) + "gate_proj.weight";
  const auto values = testing::linear_values(*checkpoint, name);
  const std::int64_t cols = checkpoint->config().hidden_size;
  const auto w = checkpoint->matrix(name, static_cast<std::int64_t>(values.size()) / cols, cols);
  ASSERT_TRUE(w) << w.error().detail;

  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(kRows * cols));
  for (float& value : x) value = normal(random);
  std::vector<float> y(static_cast<std::size_t>(kRows * w->rows));
  kernels::ComputePool pool({.threads = 1, .jobs_max = 1});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  model::Scratch scratch;
  const model::Compute compute{engine, {ActivationMode::int8_act}, false, scratch};
  model::LinearInput input{.x = x.data(), .stride = cols, .tokens = kRows, .width = cols};
  model::quantise_for(compute, *w, input);
  ASSERT_TRUE(input.has_codes_for(*w));
  engine.linear(model::linear_args(input, *w, y.data(), w->rows));

  std::vector<float> kept = x;  // what INT8 codes keep of it
  for (std::size_t begin = 0; begin < kept.size(); begin += 128) {
    float largest = 0;
    for (std::size_t k = begin; k < begin + 128; ++k) largest = std::max(largest, std::abs(x[k]));
    const float scale = largest / 127;
    for (std::size_t k = begin; k < begin + 128; ++k)
      kept[k] = std::nearbyint(x[k] / scale) * scale;
  }
  for (std::int64_t row = 0; row < kRows; ++row)
    for (std::int64_t feature = 0; feature < w->rows; ++feature) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t k = 0; k < cols; ++k) {
        const double term = double{kept[static_cast<std::size_t>(row * cols + k)]} *
                            double{values[static_cast<std::size_t>(feature * cols + k)]};
        sum += term;
        magnitude += std::abs(term);
      }
      // Roundings of 2^-24: kept, values, a_s * w_s, a channel's scale; one a block, 4 of the tree.
      EXPECT_NEAR(y[static_cast<std::size_t>(row * w->rows + feature)], sum,
                  magnitude * std::ldexp(4 + static_cast<double>(cols) / 128 + 4, -24));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, QuantisedRows,
    ::testing::Values(model::CastOptions{.to = model::WeightFormat::int8_blocks},
                      model::CastOptions{.to = model::WeightFormat::int8_channel},
                      model::CastOptions{.to = model::WeightFormat::int4_groups}),
    [](const auto& info) {
      std::string name(to_string(info.param.to));
      std::erase(name, '-');
      return name;
    });

}  // namespace
}  // namespace troupe
