// Weights that are made at load from stored ones, and own their memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/expected.hpp"
#include "kernels/engine.hpp"
#include "kernels/huge_pages.hpp"
#include "model/config/model_config.hpp"
#include "model/numerics.hpp"

namespace troupe::model {

/// A [rows, cols] weight in memory of its own. Movable; its views stay valid.
class DerivedMatrix {
 public:
  DerivedMatrix() = default;
  /// Zeros of `dtype`: F32, BF16, or I8 with a scale for each row.
  DerivedMatrix(DType dtype, std::int64_t rows, std::int64_t cols);

  kernels::WeightMatrix view() const;
  std::int64_t bytes() const;

  /// Rows [first, first + values.size() / cols), rounded once. False when a value is NaN or
  /// infinite and the dtype I8. *Threading*: several threads for disjoint rows.
  bool set_rows(const kernels::KernelTable& table, std::int64_t first,
                std::span<const float> values);

 private:
  std::vector<std::byte, kernels::HugePageAllocator<std::byte>> values_;
  std::vector<float> scales_;
  kernels::WeightMatrix view_;  // without its pointers
};

/// Whether W_UK, W_UV and the head are INT8: in mode int8-act, where the model's other linears are
/// INT8 or INT4. *Source*: docs/adr/0005.
inline bool derives_int8(const ModelConfig& config, const Numerics& numerics) {
  return numerics.quantises_to_int8() && takes_int8_rows(config.quantisation.format);
}

/// `stored` with one INT8 scale for each row. *Errors*: `malformed`, not naming the tensor, when a
/// value is NaN or infinite. *Source*: specification 4.8; docs/adr/0005.
Expected<DerivedMatrix> int8_rows_of(const kernels::WeightMatrix& stored,
                                     const kernels::Engine& engine);

/// Rows [begin, begin + count) of `w`. Where `w` has scales of blocks, `begin` is a whole number of
/// blocks.
kernels::WeightMatrix rows_of(const kernels::WeightMatrix& w, std::int64_t begin,
                              std::int64_t count);

}  // namespace troupe::model
