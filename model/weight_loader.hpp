// Reads the weights of one role from a checkpoint and remembers the first failure.
#pragma once
#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/engine.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/checkpoint/repacked_weight.hpp"
#include "model/checkpoint/weight_copies.hpp"
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

  /// A [rows, cols] weight, mapped. Its codes are scanned for NaN by `scan`. One of AWQ or GPTQ is
  /// a copy in memory, which `scan` fills and `take_repacked` gives away.
  kernels::WeightMatrix matrix(const std::string& name, std::int64_t rows, std::int64_t cols);
  std::vector<float> vector(const std::string& name, std::int64_t size);
  /// gate_proj, up_proj [inner, hidden] and down_proj [hidden, inner] under `prefix`.
  MlpWeights mlp(const std::string& prefix, std::int64_t hidden, std::int64_t inner);

  /// Brings every matrix that was asked for into memory and scans or repacks it, over all threads
  /// and a few MiB at a time, then looks whether the files are still whole. Nothing else of them is
  /// touched, and what has been repacked is not kept of them. Where pages are to be `copied`, what
  /// was asked for is by then. Call once, before `error`.
  void scan();
  /// The files of the matrices that were asked for since the last call.
  WeightFiles take_files() { return std::exchange(files_, {}); }
  /// The copies that matrices point into, after `scan`; they must live as long as these are used.
  std::vector<RepackedWeight> take_repacked() { return std::move(repacked_); }
  const std::optional<Error>& error() const { return error_; }

 private:
  /// What one thread scans or repacks.
  struct Part {
    std::size_t matrix = 0;  // in to_scan_
    std::int64_t first = 0;  // rows that are scanned, columns that are repacked
    std::int64_t last = 0;
  };
  /// A matrix; `repacked` is its place in repacked_, if it is one of these.
  struct Matrix {
    std::string name;
    kernels::WeightMatrix view;
    std::optional<std::size_t> repacked = std::nullopt;
  };
  kernels::WeightMatrix keep(Matrix matrix);
  kernels::WeightMatrix repacked(const std::string& name, const StoredWeight& stored,
                                 std::int64_t rows, std::int64_t cols);
  std::vector<Part> parts() const;
  Expected<void> scan(const Part& part);
  Expected<void> repack(const Part& part);
  /// Of what is read, file by file; then that is what is copied.
  std::vector<WeightCopies> reserve_copies();
  void make_copies(std::vector<WeightCopies> copies);
  /// Calls work(i) for all i below `count` over all threads, and keeps the first one's error.
  template <class Work>
  void for_each(std::size_t count, const Work& work);

  const Checkpoint& checkpoint_;
  const kernels::Engine& engine_;
  LoadProgress* progress_;
  std::vector<Matrix> to_scan_;
  std::vector<RepackedWeight> repacked_;
  std::vector<std::atomic<std::int64_t>> columns_left_;  // of each repacked one
  std::vector<std::span<const std::byte>> reads_;        // of mapped files
  WeightFiles files_;
  std::optional<Error> error_;
};

}  // namespace troupe::model
