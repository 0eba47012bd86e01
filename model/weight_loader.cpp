// Weight access with one place for errors, and the parallel scan that checks or repacks.
#include "model/weight_loader.hpp"

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "model/checkpoint/files.hpp"
#include "model/checkpoint/transposed_weight.hpp"

namespace troupe::model {
namespace {

constexpr std::int64_t kPartBytes = 4 << 20;

std::uint64_t byte_count(const kernels::WeightMatrix& matrix) {
  return static_cast<std::uint64_t>(matrix.bytes());
}

}  // namespace

kernels::WeightMatrix WeightLoader::keep(Matrix matrix) {
  if (progress_ != nullptr) progress_->expect(matrix.name, byte_count(matrix.view));
  return to_scan_.emplace_back(std::move(matrix)).view;
}

kernels::WeightMatrix WeightLoader::repacked(const std::string& name, const StoredWeight& stored,
                                             std::int64_t rows, std::int64_t cols) {
  auto copy = RepackedWeight::prepare(stored, checkpoint_.config().quantisation, rows, cols);
  if (!copy) {
    error_ = at(stored.codes.file, copy.error()).error;
    return {};
  }
  repacked_.push_back(*std::move(copy));
  return keep({name, repacked_.back().matrix(), repacked_.size() - 1});
}

kernels::WeightMatrix WeightLoader::matrix(const std::string& name, std::int64_t rows,
                                           std::int64_t cols) {
  if (error_) return {};
  const auto stored = checkpoint_.stored(name, rows, cols);
  if (stored && is_transposed(stored->format)) return repacked(name, *stored, rows, cols);
  auto found = checkpoint_.matrix(name, rows, cols);
  if (!found) {
    error_ = found.error();
    return {};
  }
  files_.add(checkpoint_.mapping_of(*checkpoint_.find_weight(name)));
  reads_.emplace_back(found->data, static_cast<std::size_t>(found->bytes()));
  if (found->group_scales != nullptr) {
    const TensorView& scales = *checkpoint_.find(name + "_scale");
    files_.add(checkpoint_.mapping_of(scales));
    reads_.emplace_back(scales.data, scales.bytes);
  }
  return keep({name, *found});
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
    const kernels::WeightMatrix& matrix = to_scan_[i].view;
    std::int64_t count = matrix.rows;
    std::int64_t step = std::max<std::int64_t>(1, kPartBytes / matrix.row_bytes());
    if (to_scan_[i].repacked) {
      constexpr std::int64_t kColumns = RepackedWeight::kColumnsAtOnce;
      count = matrix.cols;
      step = std::max<std::int64_t>(1, kPartBytes / (kColumns / 2 * matrix.rows)) * kColumns;
    }
    for (std::int64_t first = 0; first < count; first += step)
      parts.push_back({i, first, std::min(first + step, count)});
  }
  return parts;
}

Expected<void> WeightLoader::repack(const Part& part) {
  const auto& [name, matrix, place] = to_scan_[part.matrix];
  const std::int64_t columns = part.last - part.first;
  RepackedWeight& copy = repacked_[*place];
  const auto fine = copy.repack({part.first, part.last});
  if (columns_left_[*place].fetch_sub(columns) == columns) copy.forget_source();
  if (progress_ != nullptr)
    progress_->finish(name, static_cast<std::uint64_t>(columns * matrix.rows / 2));
  if (fine) return fine;
  return at(checkpoint_.find_weight(name)->file, fine.error());
}

Expected<void> WeightLoader::scan(const Part& part) {
  const auto& [name, matrix, place] = to_scan_[part.matrix];
  if (place) return repack(part);
  const auto bytes = static_cast<std::size_t>((part.last - part.first) * matrix.row_bytes());
  auto fine = bring_in({matrix.data + part.first * matrix.row_bytes(), bytes}, checkpoint_.pages());
  if (fine) fine = check_codes(name, matrix, {part.first, part.last});
  if (progress_ != nullptr) progress_->finish(name, bytes);
  if (fine) return fine;
  return at(checkpoint_.find_weight(name)->file, fine.error());
}

template <class Work>
void WeightLoader::for_each(std::size_t count, const Work& work) {
  std::mutex mutex;
  std::size_t first_bad = count;
  engine_.pool->parallel_for(
      static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          auto fine = work(i);
          if (fine) continue;
          std::lock_guard lock(mutex);
          if (i < first_bad) {  // the same error whichever thread finds one first
            first_bad = i;
            error_ = fine.error();
          }
        }
      });
}

std::vector<WeightCopies> WeightLoader::reserve_copies() {
  std::vector<WeightCopies> copies;
  std::vector<std::span<const std::byte>> ranges;
  for (const SafetensorsFile& file : checkpoint_.files()) {
    auto some = WeightCopies::reserve(file.mapping(), reads_, checkpoint_.pages().huge);
    if (!some) {
      error_ = some.error();
      return {};
    }
    const auto more = some->ranges();
    ranges.insert(ranges.end(), more.begin(), more.end());
    copies.push_back(*std::move(some));
  }
  if (const auto fine = check_mappings(ranges.size()); !fine) error_ = fine.error();
  reads_ = std::move(ranges);  // what is between the tensors, too, lest it be forgotten
  return copies;
}

void WeightLoader::make_copies(std::vector<WeightCopies> copies) {
  // They belong to no layer, for a piece may hold some of many.
  for (const WeightCopies& of_file : copies)
    if (progress_ != nullptr) progress_->expect("", of_file.bytes());
  // File by file: copies of an earlier load make room for these.
  for (WeightCopies& of_file : copies) {
    for_each(of_file.pieces(), [&](std::size_t piece) {
      auto fine = of_file.fill(piece);
      if (progress_ != nullptr) progress_->finish("", of_file.bytes_of(piece));
      return fine;
    });
    if (error_) return;
    if (const auto fine = of_file.put_in_place(); !fine) error_ = fine.error();
    if (error_) return;
  }
}

void WeightLoader::scan() {
  if (error_) return;
  std::vector<WeightCopies> copies;
  if (checkpoint_.pages().copied) copies = reserve_copies();
  if (error_) return;
  checkpoint_.will_read(reads_);
  make_copies(std::move(copies));
  if (error_) return;
  const auto all = parts();
  columns_left_ = std::vector<std::atomic<std::int64_t>>(repacked_.size());
  for (std::size_t i = 0; i < repacked_.size(); ++i) columns_left_[i] = repacked_[i].matrix().cols;
  for_each(all.size(), [&](std::size_t i) { return scan(all[i]); });
  checkpoint_.let_go_of_the_rest();
  if (const auto whole = checkpoint_.check_sizes(); !whole && !error_) error_ = whole.error();
}

}  // namespace troupe::model
