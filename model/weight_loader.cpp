// Weight access with one place for errors, and the parallel scan for NaN codes.
#include "model/weight_loader.hpp"

#include <mutex>

namespace troupe::model {
namespace {

std::uint64_t byte_count(const kernels::WeightMatrix& matrix) {
  return static_cast<std::uint64_t>(matrix.bytes());
}

}  // namespace

kernels::WeightMatrix WeightLoader::matrix(const std::string& name, std::int64_t rows,
                                           std::int64_t cols) {
  if (error_) return {};
  auto found = checkpoint_.matrix(name, rows, cols);
  if (!found) {
    error_ = found.error();
    return {};
  }
  to_scan_.emplace_back(name, *found);
  if (progress_ != nullptr) progress_->expect(name, byte_count(*found));
  files_.add(checkpoint_.mapping_of(*checkpoint_.find(name)));
  return *found;
}

std::vector<float> WeightLoader::vector(const std::string& name, std::int64_t size) {
  if (error_) return {};
  auto found = checkpoint_.vector(name, size);
  if (!found) {
    error_ = found.error();
    return {};
  }
  return *std::move(found);
}

MlpWeights WeightLoader::mlp(const std::string& prefix, std::int64_t hidden, std::int64_t inner) {
  return {matrix(prefix + "gate_proj.weight", inner, hidden),
          matrix(prefix + "up_proj.weight", inner, hidden),
          matrix(prefix + "down_proj.weight", hidden, inner)};
}

void WeightLoader::scan() {
  if (error_) return;
  std::mutex mutex;
  std::size_t first_bad = to_scan_.size();
  engine_.pool->parallel_for(
      static_cast<std::int64_t>(to_scan_.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          const auto& [name, matrix] = to_scan_[i];
          auto ok = check_codes(name, matrix);
          if (progress_ != nullptr) progress_->finish(name, byte_count(matrix));
          if (ok) continue;
          std::lock_guard lock(mutex);
          if (i < first_bad) {  // the same error whichever thread finds one first
            first_bad = i;
            error_ = ok.error();
          }
        }
      });
  if (const auto whole = checkpoint_.check_sizes(); !whole && !error_) error_ = whole.error();
}

}  // namespace troupe::model
