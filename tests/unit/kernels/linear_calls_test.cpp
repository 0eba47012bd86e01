// Shares of a numbered call: the bits of the whole, from an input that is prepared once.
#include <gtest/gtest.h>

#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/engine.hpp"
#include "kernels/ops/linear.hpp"
#include "tests/unit/kernels/call_numbers.hpp"
#include "tests/unit/kernels/run_linear.hpp"
#include "tests/unit/kernels/stored_weight.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;

/// All features in three shares of the call of that number.
std::vector<float> run_shares(const KernelTable& level, const WeightMatrix& w,
                              const std::vector<float>& x, std::uint64_t call) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / w.cols;
  std::vector<float> y(static_cast<std::size_t>(tokens * w.rows));
  const LinearArgs args{.x = x.data(),
                        .x_stride = w.cols,
                        .w = w,
                        .y = y.data(),
                        .y_stride = w.rows,
                        .tokens = tokens,
                        .call = call};
  level.linear(args, 0, 7);
  level.linear(args, 7, 16);
  level.linear(args, 16, w.rows);
  return y;
}

TEST(Linear, GivesSharesOfANumberedCallTheBitsOfTheWhole) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kRows = 21;
  for (const WeightFormat& format : kFormats)
    for (const std::int64_t tokens : {1, 2, 5, 8, 20, 130}) {
      const std::int64_t cols = format.width(275);
      const StoredWeight w = random_weight(random, format, kRows, cols, normal_floats);
      const StoredWeight other = random_weight(random, format, kRows, cols, normal_floats);
      const std::vector<float> first = normal_floats(random, tokens * cols);
      const std::vector<float> second = normal_floats(random, tokens * cols);
      for (const KernelTable* level : available_levels()) {
        const std::vector<float> of_first = run_linear(*level, w.view, first.data(), tokens);
        const std::vector<float> of_second = run_linear(*level, w.view, second.data(), tokens);
        const std::vector<float> of_other = run_linear(*level, other.view, first.data(), tokens);
        // From here on nothing comes between: what is kept is found unless its number is another.
        std::vector<float> x = first;
        const auto expect = [&](const WeightMatrix& weight, std::uint64_t call,
                                const std::vector<float>& want) {
          EXPECT_EQ(run_shares(*level, weight, x, call), want)
              << level->name << " " << format.name << " tokens " << tokens << " seed " << kSeed;
        };
        const std::uint64_t call = next_call_number();
        expect(w.view, call, of_first);
        expect(other.view, call, of_other);
        expect(w.view, call, of_first);
        std::copy(second.begin(), second.end(), x.begin());  // at the same place
        expect(w.view, next_call_number(), of_second);
        std::copy(first.begin(), first.end(), x.begin());
        expect(w.view, 0, of_first);
        std::copy(second.begin(), second.end(), x.begin());
        expect(w.view, 0, of_second);
      }
    }
}

/// What a thread has kept of one input is nothing to the next, whatever they have in common.
void expect_told_apart(std::span<LinearArgs> inputs) {
  for (const KernelTable* level : available_levels()) {
    const auto result = [&](const LinearArgs& input) {
      std::vector<float> y(static_cast<std::size_t>(input.tokens * input.w.rows));
      LinearArgs args = input;
      args.y = y.data();
      args.y_stride = args.w.rows;
      level->linear(args, 0, args.w.rows);
      return y;
    };
    std::vector<std::vector<float>> want;
    for (const LinearArgs& input : inputs) want.push_back(result(input));
    const std::uint64_t call = next_call_number();
    for (LinearArgs& input : inputs) input.call = call;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      for (std::size_t before = 0; before < inputs.size(); ++before) {
        result(inputs[before]);
        EXPECT_EQ(result(inputs[i]), want[i]) << level->name << " tokens " << inputs[i].tokens
                                              << " input " << i << " after " << before;
      }
    for (LinearArgs& input : inputs) input.call = 0;
  }
}

TEST(Linear, TellsTheInputsOfANumberedCallApart) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kCols = 160;
  const StoredWeight w = random_weight(random, kInt4Zeroed96, 16, kCols, normal_floats);
  const StoredWeight narrow = random_weight(random, kInt4Zeroed32, 16, kCols - 32, normal_floats);
  for (const std::int64_t tokens : {4, 40}) {
    const std::vector<float> x = normal_floats(random, (tokens + 2) * (kCols + 1));
    LinearArgs args{.x = x.data(), .x_stride = kCols, .w = w.view, .tokens = tokens};
    args.w.column_order = nullptr;
    std::array<LinearArgs, 6> inputs;
    inputs.fill(args);
    inputs[1].x += kCols;
    inputs[2].x_stride += 1;
    inputs[3].tokens -= 1;
    inputs[4].w = narrow.view;
    inputs[5].w = w.view;  // its columns in another order
    expect_told_apart(inputs);
  }
}

TEST(Linear, TellsTheFormatsOfANumberedCallApart) {
  std::mt19937 random(kSeed);
  std::vector<StoredWeight> weights;
  for (const WeightFormat& format : kFormats)
    weights.push_back(random_weight(random, format, 16, 160, normal_floats));
  for (const std::int64_t tokens : {1, 4, 40}) {
    std::vector<float> x = normal_floats(random, tokens * 160);
    for (float& value : x) value = bf16_to_f32(f32_to_bf16(value));
    std::vector<LinearArgs> inputs;
    for (const StoredWeight& w : weights)
      inputs.push_back({.x = x.data(), .x_stride = 160, .w = w.view, .tokens = tokens});
    expect_told_apart(inputs);
  }
}

TEST(Linear, TellsTheCallsOfAnEngineApart) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kTokens = 3;
  const StoredWeight w = random_weight(random, kBf16, 21, 64, normal_floats);
  const std::vector<float> first = normal_floats(random, kTokens * 64);
  const std::vector<float> second = normal_floats(random, kTokens * 64);
  for (const KernelTable* level : available_levels()) {
    const Engine engine{.table = level};
    const std::vector<float> of_first = run_linear(*level, w.view, first.data(), kTokens);
    const std::vector<float> of_second = run_linear(*level, w.view, second.data(), kTokens);
    for (const bool grouped : {false, true}) {
      std::vector<float> x = first;
      std::vector<float> y(of_first.size());
      const std::array group{LinearArgs{.x = x.data(),
                                        .x_stride = 64,
                                        .w = w.view,
                                        .y = y.data(),
                                        .y_stride = 21,
                                        .tokens = kTokens}};
      const auto compute = [&] { grouped ? engine.linears(group) : engine.linear(group[0]); };
      compute();
      EXPECT_EQ(y, of_first) << level->name;
      std::copy(second.begin(), second.end(), x.begin());  // at the same place
      compute();
      EXPECT_EQ(y, of_second) << level->name;
    }
  }
}

TEST(Linear, PreparesXOnceForAllSharesOfANumberedCall) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kRows = 21;
  for (const WeightFormat& format : {kE4m3, kBf16, kF32, kInt8Blocks, kInt4})
    for (const std::int64_t tokens : {1, 5, 130}) {
      const StoredWeight w = random_weight(random, format, kRows, 256, normal_floats);
      std::vector<float> x = normal_floats(random, tokens * 256);
      for (float& value : x) value = bf16_to_f32(f32_to_bf16(value));
      for (const KernelTable* level : available_levels()) {
        if (level->name == std::string_view("reference")) continue;
        const std::vector<float> want = run_linear(*level, w.view, x.data(), tokens);
        std::vector<float> y(want.size());
        const std::vector<float> kept = x;
        LinearArgs args{.x = x.data(),
                        .x_stride = 256,
                        .w = w.view,
                        .y = y.data(),
                        .y_stride = kRows,
                        .tokens = tokens,
                        .call = next_call_number()};
        level->linear(args, 0, 16);
        for (float& value : x) value = 1;  // which no caller may do: what shows that nobody looks
        level->linear(args, 16, kRows);
        EXPECT_EQ(y, want) << level->name << " " << format.name << " tokens " << tokens;
        args.call = 0;
        level->linear(args, 0, kRows);
        EXPECT_NE(y, want) << level->name << " " << format.name << " tokens " << tokens;
        x = kept;
      }
    }
}

}  // namespace
}  // namespace troupe::kernels
