// An AWQ or GPTQ layer turned into rows of output features with zero points, as kernels read them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/expected.hpp"
#include "kernels/ops/weight_matrix.hpp"
#include "model/checkpoint/tensor_checks.hpp"

namespace troupe::model {

/// Columns [first, last) of a matrix.
struct ColumnSpan {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// Owns 4 bits per weight and 4 bytes per group; the file is read once. Every value is exactly
/// (code - zero point) * scale. *Source*: specification 4.8.
class RepackedWeight {
 public:
  /// Columns that one pass turns together; parts begin at multiples of it.
  static constexpr std::int64_t kColumnsAtOnce = 128;

  /// Memory for `stored`, which `require_transposed` has checked, untouched as yet. Reads g_idx:
  /// where that lets groups have columns from all over the row (desc_act), columns are kept in the
  /// order of the groups, and `matrix` says so.
  /// *Errors*: `malformed` for a g_idx whose groups do not have the columns they should have.
  static Expected<RepackedWeight> prepare(const StoredWeight& stored, const Quantisation& how,
                                          std::int64_t rows, std::int64_t cols);

  /// Valid as long as this or what it was moved into lives; holds values once all columns have been
  /// repacked.
  const kernels::WeightMatrix& matrix() const { return matrix_; }
  /// Of the copy.
  std::int64_t bytes() const;

  /// Fills columns in, and the scales of the groups that begin among them.
  /// *Errors*: `malformed`, naming tensor, group and feature, for a scale that is NaN, infinite or
  /// 2^65 or more. *Threading*: any, spans must not overlap; blocks on the disk.
  Expected<void> repack(ColumnSpan columns);
  Expected<void> repack() { return repack({0, matrix_.cols}); }
  /// Lets the kernel take the pages of the file back, when everything is repacked.
  void forget_source() const;

 private:
  RepackedWeight() = default;
  Expected<void> order_columns();
  std::span<const std::byte> source_of(ColumnSpan columns) const;
  void fill_words(std::int64_t word, ColumnSpan features, std::uint32_t* out) const;
  Expected<void> fill_groups(ColumnSpan columns);
  std::uint32_t zero_point(std::int64_t group, std::int64_t feature) const;

  StoredWeight stored_;
  bool awq_ = false;
  bool zeros_less_one_ = false;
  kernels::WeightMatrix matrix_;
  std::unique_ptr<std::byte[]> codes_;            // [rows, cols / 2]
  std::unique_ptr<std::uint32_t[]> group_words_;  // [rows, groups]
  std::vector<std::int32_t> order_;               // [cols], or empty
};

}  // namespace troupe::model
