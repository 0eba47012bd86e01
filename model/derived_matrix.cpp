// Encodes derived rows and views parts of weights.
#include "model/derived_matrix.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/check.hpp"
#include "model/checkpoint/dequantise.hpp"
#include "model/checkpoint/quantise_rows.hpp"

namespace troupe::model {
namespace {

constexpr std::int64_t kRowsTogether = 64;  // that one thread dequantises and encodes at a time

}  // namespace

DerivedMatrix::DerivedMatrix(DType dtype, std::int64_t rows, std::int64_t cols)
    : view_{.dtype = dtype, .rows = rows, .cols = cols} {
  values_.resize(static_cast<std::size_t>(view_.bytes()));
  if (dtype != DType::i8) return;
  view_.scale_shape = kernels::ScaleShape::row;
  scales_.resize(static_cast<std::size_t>(rows));
}

kernels::WeightMatrix DerivedMatrix::view() const {
  kernels::WeightMatrix view = view_;
  view.data = values_.data();
  if (!scales_.empty()) view.scales = scales_.data();
  return view;
}

std::int64_t DerivedMatrix::bytes() const {
  return static_cast<std::int64_t>(values_.size() + scales_.size() * sizeof(float));
}

bool DerivedMatrix::set_rows(const kernels::KernelTable& table, std::int64_t first,
                             std::span<const float> values) {
  const std::int64_t count = static_cast<std::int64_t>(values.size()) / view_.cols;
  std::byte* out = values_.data() + first * view_.row_bytes();
  if (view_.dtype == DType::i8)
    return quantise_int8_rows({values, count, view_.cols},
                              {reinterpret_cast<std::int8_t*>(out), values.size()},
                              {scales_.data() + first, static_cast<std::size_t>(count)});
  if (view_.dtype == DType::bf16) {
    table.pack_bf16(values.data(), out, count * view_.cols);
  } else {
    TROUPE_CHECK(view_.dtype == DType::f32, "derived rows are F32, BF16 or INT8");
    std::memcpy(out, values.data(), values.size_bytes());
  }
  return true;
}

Expected<DerivedMatrix> int8_rows_of(const kernels::WeightMatrix& stored,
                                     const kernels::Engine& engine) {
  DerivedMatrix out(DType::i8, stored.rows, stored.cols);
  std::atomic<bool> fine = true;
  engine.pool->parallel_for(stored.rows, kRowsTogether, [&](std::int64_t begin, std::int64_t end) {
    const auto cols = static_cast<std::size_t>(stored.cols);
    std::vector<float> rows(static_cast<std::size_t>(kRowsTogether) * cols);
    for (std::int64_t first = begin; first < end; first += kRowsTogether) {
      const std::int64_t count = std::min(kRowsTogether, end - first);
      for (std::int64_t r = 0; r < count; ++r)
        dequantise_row(stored, first + r,
                       std::span(rows).subspan(static_cast<std::size_t>(r) * cols, cols));
      const auto values = std::span(rows).first(static_cast<std::size_t>(count) * cols);
      if (!out.set_rows(*engine.table, first, values)) fine = false;
    }
  });
  if (!fine) return unexpected(Errc::malformed, "has a value that is NaN or infinite");
  return out;
}

kernels::WeightMatrix rows_of(const kernels::WeightMatrix& w, std::int64_t begin,
                              std::int64_t count) {
  kernels::WeightMatrix part = w;
  part.data = w.data + begin * w.row_bytes();
  part.rows = count;
  if (w.scales == nullptr) return part;
  if (w.scale_shape == kernels::ScaleShape::row) {
    part.scales = w.scales + begin;
    return part;
  }
  TROUPE_CHECK(begin % kernels::kScaleBlock == 0, "a part begins inside of a scale block");
  part.scales = w.scales + begin / kernels::kScaleBlock * kernels::scale_blocks(w.cols);
  return part;
}

}  // namespace troupe::model
