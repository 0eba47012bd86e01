// Reads the weights of one role from a checkpoint and remembers the first failure.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/engine.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/checkpoint/weight_files.hpp"
#include "model/linear_layer.hpp"
#include "model/load_progress.hpp"

namespace troupe::model {

/// Collects many tensors without a check after each: after the first failure every further call
/// returns an empty value, and `error` tells what it was.
class WeightLoader {
 public:
  /// `progress`, if there is one, hears of every matrix: expected when it is asked for, finished
  /// when it has been scanned.
  WeightLoader(const Checkpoint& checkpoint, const kernels::Engine& engine, LoadProgress* progress)
      : checkpoint_(checkpoint), engine_(engine), progress_(progress) {}

  /// A [rows, cols] weight, mapped. Its codes are scanned for NaN by `scan`.
  kernels::WeightMatrix matrix(const std::string& name, std::int64_t rows, std::int64_t cols);
  std::vector<float> vector(const std::string& name, std::int64_t size);
  /// gate_proj, up_proj [inner, hidden] and down_proj [hidden, inner] under `prefix`.
  MlpWeights mlp(const std::string& prefix, std::int64_t hidden, std::int64_t inner);

  /// Brings every matrix that was asked for into memory and scans it, over all threads and a few
  /// MiB at a time, then looks whether the files are still whole. Nothing else of them is touched.
  /// Call once, before `error`.
  void scan();
  /// The files of the matrices that were asked for since the last call.
  WeightFiles take_files() { return std::exchange(files_, {}); }
  const std::optional<Error>& error() const { return error_; }

 private:
  /// Rows of a matrix that one thread scans.
  struct Part {
    std::size_t matrix = 0;  // in to_scan_
    RowSpan rows;
  };
  std::vector<Part> parts() const;
  Expected<void> scan(const Part& part) const;

  const Checkpoint& checkpoint_;
  const kernels::Engine& engine_;
  LoadProgress* progress_;
  std::vector<std::pair<std::string, kernels::WeightMatrix>> to_scan_;
  WeightFiles files_;
  std::optional<Error> error_;
};

}  // namespace troupe::model
