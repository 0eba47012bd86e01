// Rows that a step drops: what stays is as it was.
#include <gtest/gtest.h>

#include "model/step.hpp"

namespace troupe::model {
namespace {

/// Two slices of 3 and 4 rows of width 2; the values of row r are 10 r and 10 r + 1.
StepState some_state() {
  StepState state;
  state.batch.slices = {{64, 3, {7, 8}}, {0, 4, {9}}};
  for (int row = 0; row < 7; ++row) {
    state.batch.tokens.push_back(100 + row);
    state.cos.push_back(static_cast<float>(row));
    state.sin.push_back(static_cast<float>(-row));
    for (auto* values : {&state.x, &state.u, &state.shared, &state.combined}) {
      values->push_back(static_cast<float>(10 * row));
      values->push_back(static_cast<float>(10 * row + 1));
    }
  }
  return state;
}

TEST(KeepRows, CutsSlicesToRunsOfNeighbours) {
  StepState state = some_state();
  keep_rows(state, std::vector<std::int64_t>{0, 2, 3, 4, 6});
  EXPECT_EQ(state.batch.tokens, (std::vector<std::int32_t>{100, 102, 103, 104, 106}));
  ASSERT_EQ(state.batch.slices.size(), 4u);  // rows 2 and 3 are neighbours of two sequences
  const std::vector<std::pair<std::int64_t, std::int64_t>> expected{
      {64, 1}, {66, 1}, {0, 2}, {3, 1}};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& slice = state.batch.slices[i];
    EXPECT_EQ(std::pair(slice.first_position, slice.rows), expected[i]) << i;
    EXPECT_EQ(slice.pages, i < 2 ? (std::vector<PageId>{7, 8}) : std::vector<PageId>{9}) << i;
  }
  for (const auto* values : {&state.x, &state.u})
    EXPECT_EQ(*values, (std::vector<float>{0, 1, 20, 21, 30, 31, 40, 41, 60, 61}));
  for (const auto* values : {&state.shared, &state.combined}) EXPECT_EQ(values->size(), 10u);
  EXPECT_EQ(state.cos, (std::vector<float>{0, 2, 3, 4, 6}));
  EXPECT_EQ(state.sin, (std::vector<float>{0, -2, -3, -4, -6}));
}

TEST(KeepRows, AllOrNone) {
  StepState state = some_state();
  keep_rows(state, std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  EXPECT_EQ(state.batch.slices.size(), 2u);
  EXPECT_EQ(state.x, some_state().x);
  keep_rows(state, {});
  EXPECT_EQ(state.batch.rows(), 0);
  EXPECT_TRUE(state.batch.slices.empty());
  EXPECT_TRUE(state.x.empty());
}

TEST(KeepRowsDeathTest, RowsAreAscendingAndOfTheStep) {
  StepState state = some_state();
  EXPECT_DEATH(keep_rows(state, std::vector<std::int64_t>{2, 1}), "ascending");
  EXPECT_DEATH(keep_rows(state, std::vector<std::int64_t>{7}), "ascending");
}

}  // namespace
}  // namespace troupe::model
