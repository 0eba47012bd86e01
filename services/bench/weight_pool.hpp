// Memory that stands for weights: so much that no cache holds the next matrix.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/expected.hpp"
#include "kernels/ops/weight_matrix.hpp"

namespace troupe::services {

/// Columns that share a scale and a zero point: what AWQ and GPTQ checkpoints have.
inline constexpr std::int64_t kZeroedGroup = 128;

/// Bytes of the largest cache level as the system tells; 32 MiB when it does not.
std::int64_t last_level_cache_bytes();

/// Hands out its bytes round and round. They read as e4m3, BF16 or F32 of moderate size, with
/// about as many subnormal e4m3 codes as real weights have, and as any INT8 and INT4 codes.
class WeightPool {
 public:
  /// *Errors*: `resource_exhausted` when the memory cannot be had.
  static Expected<WeightPool> make(std::int64_t bytes);

  /// A matrix behind the last one, with scales: those of blocks for e4m3 and i8; for i32, which is
  /// INT4, those of groups, behind its codes. Neither must be larger than the pool.
  kernels::WeightMatrix matrix(DType dtype, std::int64_t rows, std::int64_t cols);
  /// INT8 with one scale per output feature, likewise.
  kernels::WeightMatrix channel_matrix(std::int64_t rows, std::int64_t cols);
  /// INT4 with zero points, likewise; `cols` is a multiple of kZeroedGroup.
  kernels::WeightMatrix zeroed_matrix(std::int64_t rows, std::int64_t cols);
  /// The next `count` bytes, likewise.
  const std::byte* next(std::int64_t count);
  std::int64_t bytes() const { return bytes_; }

 private:
  struct Unmap {
    std::size_t bytes;  // without a value of its own: what holds it is complete only later
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Unmap> memory_;
  std::int64_t bytes_ = 0;
  std::int64_t at_ = 0;
  std::vector<float> scales_;
  std::vector<std::uint32_t> zeroed_scales_;  // of a pool full of codes, gone through as they are
  std::size_t zeroed_at_ = 0;
};

}  // namespace troupe::services
