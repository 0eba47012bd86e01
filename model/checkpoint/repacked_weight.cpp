// Transposes packed codes 8 x 8 at a time and joins scales with zero points.
#include "model/checkpoint/repacked_weight.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "core/dtype.hpp"
#include "model/checkpoint/mapped_files.hpp"
#include "model/checkpoint/transposed_weight.hpp"

namespace troupe::model {
namespace {

constexpr std::int64_t kCodesPerWord = kernels::kCodesPerWord;
constexpr float kScaleLimit = 0x1p65f;  // ADR 0001

/// Code j of an AWQ word belongs to this one of its 8 outputs.
constexpr std::array<int, 8> kAwqOutput{0, 2, 4, 6, 1, 3, 5, 7};
/// The other way round.
constexpr std::array<int, 8> kAwqCode{0, 4, 1, 5, 2, 6, 3, 7};

std::uint32_t word_at(const TensorView& tensor, std::int64_t i) {
  std::uint32_t word = 0;
  std::memcpy(&word, tensor.data + 4 * i, sizeof word);
  return word;
}

float scale_at(const TensorView& tensor, std::int64_t i) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, tensor.data + 2 * i, sizeof bits);
  return tensor.dtype == DType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

/// Exchanges code j of word i with code i of word j: squares of 4, of 2, of 1 codes.
void transpose_codes(std::array<std::uint32_t, 8>& words) {
  constexpr std::array<std::uint32_t, 3> kLow{0x0000ffff, 0x00ff00ff, 0x0f0f0f0f};
  std::size_t apart = 4;
  for (const std::uint32_t low : kLow) {
    const auto shift = static_cast<unsigned>(4 * apart);
    for (std::size_t i = 0; i < words.size(); ++i) {
      if ((i & apart) != 0) continue;
      const std::uint32_t moved = ((words[i] >> shift) ^ words[i + apart]) & low;
      words[i + apart] ^= moved;
      words[i] ^= moved << shift;
    }
    apart /= 2;
  }
}

}  // namespace

Expected<RepackedWeight> RepackedWeight::prepare(const StoredWeight& stored,
                                                 const Quantisation& how, std::int64_t rows,
                                                 std::int64_t cols) {
  RepackedWeight weight;
  weight.stored_ = stored;
  weight.awq_ = how.format == WeightFormat::awq;
  weight.zeros_less_one_ = how.zeros_less_one;
  kernels::WeightMatrix& matrix = weight.matrix_;
  matrix = {.dtype = DType::i32, .rows = rows, .cols = cols};
  matrix.group_cols = columns_of_group(how, cols);
  if (const auto ordered = weight.order_columns(); !ordered) return unexpected(ordered.error());
  if (!weight.order_.empty()) matrix.column_order = weight.order_.data();
  // Not cleared: the threads that fill the pages touch them first.
  weight.codes_ =
      std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(matrix.bytes()));
  weight.group_words_ = std::make_unique_for_overwrite<std::uint32_t[]>(
      static_cast<std::size_t>(rows * stored.scale->shape[0]));
  matrix.data = weight.codes_.get();
  matrix.zeroed_scales = weight.group_words_.get();
  return weight;
}

std::int64_t RepackedWeight::bytes() const {
  return matrix_.bytes() + 4 * matrix_.rows * stored_.scale->shape[0] +
         static_cast<std::int64_t>(4 * order_.size());
}

/// Columns by group, ascending inside of each, which is no change unless desc_act was at work.
Expected<void> RepackedWeight::order_columns() {
  if (stored_.group_index == nullptr) return {};
  const TensorView& index = *stored_.group_index;
  const std::int64_t groups = stored_.scale->shape[0];
  const auto damaged = [&](const std::string& what) {
    return unexpected(Errc::malformed, "tensor " + std::string(index.name) + " " + what +
                                           "; download it again, or quantise again with a "
                                           "group_size that divides the inputs");
  };
  std::vector<std::int64_t> filled(static_cast<std::size_t>(groups));
  std::vector<std::int32_t> order(static_cast<std::size_t>(matrix_.cols), -1);
  bool changed = false;
  for (std::int64_t col = 0; col < matrix_.cols; ++col) {
    const std::int64_t group = static_cast<std::int32_t>(word_at(index, col));
    if (group < 0 || group >= groups)
      return damaged("holds group " + std::to_string(group) + " at " + std::to_string(col) +
                     ", but there are " + std::to_string(groups));
    const std::int64_t begin = group * matrix_.group_cols;
    const std::int64_t size = std::min(matrix_.group_cols, matrix_.cols - begin);
    const std::int64_t at = begin + filled[static_cast<std::size_t>(group)]++;
    if (at >= begin + size)
      return damaged("gives group " + std::to_string(group) + " more than its " +
                     std::to_string(size) + " columns");
    order[static_cast<std::size_t>(at)] = static_cast<std::int32_t>(col);
    changed = changed || at != col;
  }
  if (changed) order_ = std::move(order);
  return {};
}

/// The bytes of the file that hold the codes of `columns`; in another order they are anywhere.
std::span<const std::byte> RepackedWeight::source_of(ColumnSpan columns) const {
  const TensorView& codes = stored_.codes;
  if (!order_.empty()) return {codes.data, codes.bytes};
  const auto per_column = static_cast<std::uint64_t>(matrix_.rows / 2);  // in both formats
  return {codes.data + static_cast<std::uint64_t>(columns.first) * per_column,
          static_cast<std::uint64_t>(columns.last - columns.first) * per_column};
}

/// Word `word` of the rows of `features`: columns 8 * word to 8 * word + 7.
void RepackedWeight::fill_words(std::int64_t word, ColumnSpan features, std::uint32_t* out) const {
  const std::int64_t col = kCodesPerWord * word;
  const TensorView& codes = stored_.codes;
  if (awq_) {
    const std::int64_t words = matrix_.rows / kCodesPerWord;
    for (std::int64_t f = features.first; f < features.last; f += kCodesPerWord) {
      std::array<std::uint32_t, 8> square;
      for (std::size_t i = 0; i < square.size(); ++i)
        square[i] =
            word_at(codes, (col + static_cast<std::int64_t>(i)) * words + f / kCodesPerWord);
      transpose_codes(square);
      for (std::size_t j = 0; j < square.size(); ++j)
        out[f - features.first + kAwqOutput[j]] = square[j];
    }
    return;
  }
  const auto count = static_cast<std::size_t>(features.last - features.first);
  if (order_.empty()) {
    std::memcpy(out, codes.data + 4 * (word * matrix_.rows + features.first), 4 * count);
    return;
  }
  std::fill_n(out, count, 0u);
  for (std::int64_t j = 0; j < kCodesPerWord; ++j) {
    const std::int64_t input = order_[static_cast<std::size_t>(col + j)];
    const auto from = static_cast<unsigned>(4 * (input % kCodesPerWord));
    const std::int64_t first = input / kCodesPerWord * matrix_.rows + features.first;
    for (std::size_t f = 0; f < count; ++f)
      out[f] |= (word_at(codes, first + static_cast<std::int64_t>(f)) >> from & 15u)
                << static_cast<unsigned>(4 * j);
  }
}

std::uint32_t RepackedWeight::zero_point(std::int64_t group, std::int64_t feature) const {
  const std::uint32_t word =
      word_at(*stored_.zeros, (group * matrix_.rows + feature) / kCodesPerWord);
  const auto at = static_cast<std::size_t>(feature % kCodesPerWord);
  const auto code = static_cast<std::size_t>(awq_ ? kAwqCode[at] : static_cast<int>(at));
  return (word >> (4 * code) & 15u) + (zeros_less_one_ ? 1 : 0);
}

Expected<void> RepackedWeight::fill_groups(ColumnSpan columns) {
  const std::int64_t groups = stored_.scale->shape[0];
  const auto group_at = [&](std::int64_t col) {
    return (col + matrix_.group_cols - 1) / matrix_.group_cols;
  };
  for (std::int64_t group = group_at(columns.first); group < group_at(columns.last); ++group)
    for (std::int64_t feature = 0; feature < matrix_.rows; ++feature) {
      const float scale = scale_at(*stored_.scale, group * matrix_.rows + feature);
      if (!(std::fabs(scale) < kScaleLimit))
        return unexpected(Errc::malformed,
                          "tensor " + std::string(stored_.scale->name) +
                              " holds NaN, infinity or a scale of 2^65 or more at group " +
                              std::to_string(group) + ", feature " + std::to_string(feature) +
                              "; the file is damaged, download it again");
      group_words_[static_cast<std::size_t>(feature * groups + group)] =
          kernels::zeroed_scale(scale, zero_point(group, feature));
    }
  return {};
}

Expected<void> RepackedWeight::repack(ColumnSpan columns) {
  constexpr std::int64_t kFeatures = 256;  // 16 KB of words: they stay in the level-1 cache
  constexpr std::int64_t kWords = kColumnsAtOnce / kCodesPerWord;
  std::array<std::array<std::uint32_t, kFeatures>, kWords> square;
  populate(source_of(columns));
  for (std::int64_t col = columns.first; col < columns.last; col += kColumnsAtOnce)
    for (std::int64_t f = 0; f < matrix_.rows; f += kFeatures) {
      const ColumnSpan features{f, std::min(f + kFeatures, matrix_.rows)};
      const std::int64_t words =
          (std::min(col + kColumnsAtOnce, columns.last) - col) / kCodesPerWord;
      for (std::int64_t w = 0; w < words; ++w)
        fill_words(col / kCodesPerWord + w, features, square[static_cast<std::size_t>(w)].data());
      for (std::int64_t i = 0; i < features.last - f; ++i) {
        std::array<std::uint32_t, kWords> row;
        for (std::size_t w = 0; w < static_cast<std::size_t>(words); ++w)
          row[w] = square[w][static_cast<std::size_t>(i)];
        std::memcpy(codes_.get() + (f + i) * matrix_.row_bytes() + col / 2, row.data(),
                    static_cast<std::size_t>(4 * words));
      }
    }
  return fill_groups(columns);
}

void RepackedWeight::forget_source() const {
  for (const TensorView* part : {&stored_.codes, stored_.scale, stored_.zeros, stored_.group_index})
    if (part != nullptr) forget_tensor({part->data, part->bytes});
}

}  // namespace troupe::model
