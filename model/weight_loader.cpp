// Weight access with one place for errors, and the parallel scan for NaN codes.
#include "model/weight_loader.hpp"

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "model/checkpoint/files.hpp"

namespace troupe::model {
namespace {

constexpr std::int64_t kPartBytes = 4 << 20;

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
  files_.add(checkpoint_.mapping_of(*checkpoint_.find_weight(name)));
  if (found->group_scales != nullptr)
    files_.add(checkpoint_.mapping_of(*checkpoint_.find(name + "_scale")));
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

std::vector<WeightLoader::Part> WeightLoader::parts() const {
  std::vector<Part> parts;
  for (std::size_t i = 0; i < to_scan_.size(); ++i) {
    const auto& matrix = to_scan_[i].second;
    const std::int64_t step = std::max<std::int64_t>(1, kPartBytes / matrix.row_bytes());
    for (std::int64_t row = 0; row < matrix.rows; row += step)
      parts.push_back({i, {row, std::min(row + step, matrix.rows)}});
  }
  return parts;
}

Expected<void> WeightLoader::scan(const Part& part) const {
  const auto& [name, matrix] = to_scan_[part.matrix];
  const auto bytes =
      static_cast<std::size_t>((part.rows.last - part.rows.first) * matrix.row_bytes());
  populate({matrix.data + part.rows.first * matrix.row_bytes(), bytes});
  auto fine = check_codes(name, matrix, part.rows);
  if (progress_ != nullptr) progress_->finish(name, bytes);
  if (fine) return fine;
  return at(checkpoint_.find_weight(name)->file, fine.error());
}

void WeightLoader::scan() {
  if (error_) return;
  const auto all = parts();
  std::mutex mutex;
  std::size_t first_bad = all.size();
  engine_.pool->parallel_for(
      static_cast<std::int64_t>(all.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          auto fine = scan(all[i]);
          if (fine) continue;
          std::lock_guard lock(mutex);
          if (i < first_bad) {  // the same error whichever thread finds one first
            first_bad = i;
            error_ = fine.error();
          }
        }
      });
  if (const auto whole = checkpoint_.check_sizes(); !whole && !error_) error_ = whole.error();
}

}  // namespace troupe::model
