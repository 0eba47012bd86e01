// Rows that a step does not need any more.
#include "model/step.hpp"

#include <algorithm>
#include <functional>

#include "core/check.hpp"

namespace troupe::model {
namespace {

/// Slices of the kept rows: one for each run of neighbours in one sequence.
std::vector<SequenceSlice> kept_slices(std::vector<SequenceSlice>& slices,
                                       std::span<const std::int64_t> rows) {
  std::vector<SequenceSlice> kept;
  std::int64_t first_row = 0;
  auto next = rows.begin();
  for (auto& slice : slices) {
    const std::int64_t end = first_row + slice.rows;
    bool joins = false;
    for (; next != rows.end() && *next < end; ++next) {
      const std::int64_t position = slice.first_position + *next - first_row;
      joins = joins && kept.back().first_position + kept.back().rows == position;
      if (joins)
        ++kept.back().rows;
      else
        kept.push_back({position, 1, slice.pages});
      joins = true;
    }
    first_row = end;
  }
  return kept;
}

template <class T>
void keep_rows_of(std::vector<T>& values, std::int64_t width, std::span<const std::int64_t> rows) {
  for (std::int64_t i = 0; i < std::ssize(rows); ++i) {
    const std::int64_t from = rows[static_cast<std::size_t>(i)];
    if (from != i) std::copy_n(values.begin() + from * width, width, values.begin() + i * width);
  }
  values.resize(rows.size() * static_cast<std::size_t>(width));
}

}  // namespace

void keep_rows(StepState& state, std::span<const std::int64_t> rows) {
  const std::int64_t before = state.batch.rows();
  TROUPE_CHECK(std::ranges::adjacent_find(rows, std::greater_equal()) == rows.end() &&
                   (rows.empty() || (rows.front() >= 0 && rows.back() < before)),
               "rows to keep are rows of the step, ascending");
  if (std::ssize(rows) == before) return;
  state.batch.slices = kept_slices(state.batch.slices, rows);
  keep_rows_of(state.batch.tokens, 1, rows);
  for (auto* values : {&state.x, &state.u, &state.cos, &state.sin})
    keep_rows_of(*values, std::ssize(*values) / before, rows);
  for (auto* unwritten : {&state.shared, &state.combined})
    unwritten->resize(unwritten->size() / static_cast<std::size_t>(before) * rows.size());
}

}  // namespace troupe::model
