// One step of an attention shard: which rows of which sequences, and the buffers they flow through.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "model/kv_pages.hpp"
#include "model/scratch.hpp"

namespace troupe::model {

/// Consecutive new rows of one sequence. Its earlier positions are in its pages already; `pages`
/// cover all positions up to first_position + rows - 1.
struct SequenceSlice {
  std::int64_t first_position = 0;
  std::int64_t rows = 0;
  std::vector<PageId> pages;
};

/// What a step computes: the rows of the slices, one after the other.
struct StepBatch {
  std::vector<std::int32_t> tokens;  // [rows]
  std::vector<SequenceSlice> slices;

  std::int64_t rows() const { return static_cast<std::int64_t>(tokens.size()); }
};

/// Buffers of a step in flight; H = hidden size. Reused from step to step.
struct StepState {
  StepBatch batch;
  std::vector<float> x;         // [rows, H] residual
  std::vector<float> u;         // [rows, H] normed input of the feed-forward part
  std::vector<float> shared;    // [rows, H] shared expert, F32
  std::vector<float> combined;  // [rows, H] weighted routed experts, as the wire brought them
  std::vector<float> cos, sin;  // [rows, rope / 2]
  Scratch scratch;              // of the stage that runs now

  std::int64_t rows_fitted = 0;  // the most for which all this was there
};

/// Leaves `rows` of the step, which are ascending and become rows 0, 1, 2, ...: each as it was, but
/// for `shared` and `combined`, which a layer writes behind its attention.
void keep_rows(StepState& state, std::span<const std::int64_t> rows);

}  // namespace troupe::model
