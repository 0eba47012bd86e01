// One allocation, filled by copies of a MiB of normal codes.
#include "services/bench/weight_pool.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include "core/check.hpp"
#include "kernels/huge_pages.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kPageBytes = 4096;
// The largest matrix of a preset, the head of Kimi K2 [163840, 7168], has 1280 x 56 blocks.
constexpr std::size_t kScalesMax = std::size_t{1} << 17;
constexpr std::uint32_t kMiddleCode = 8;  // of 0 to 15

std::vector<std::byte> some_codes() {
  constexpr float kSpread = 100;
  // Bit 6 of every byte is cleared: below 2 as e4m3, and neither infinite nor NaN as BF16 or F32.
  constexpr unsigned kMask = 0xbf;
  // Upper bytes of BF16 and F32 have these bits set: 2^-15 to 2, as weights are, no subnormals.
  constexpr unsigned kUpper = 0x38;
  std::vector<std::byte> codes(std::size_t{1} << 20);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, kSpread);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const unsigned code = f32_to_e4m3(normal(random)) & kMask;
    codes[i] = static_cast<std::byte>(i % 2 == 0 ? code : code | kUpper);
  }
  return codes;
}

}  // namespace

std::int64_t last_level_cache_bytes() {
  const std::int64_t third = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  const std::int64_t second = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  const std::int64_t largest = std::max(third, second);
  return largest > 0 ? largest : std::int64_t{32} << 20;
}

void WeightPool::Unmap::operator()(std::byte* memory) const { ::munmap(memory, bytes); }

Expected<WeightPool> WeightPool::make(std::int64_t bytes) {
  WeightPool pool;
  pool.bytes_ = bytes;
  const std::size_t rounded =
      (static_cast<std::size_t>(bytes) + kPageBytes - 1) / kPageBytes * kPageBytes;
  void* memory =
      ::mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return unexpected(Errc::resource_exhausted,
                      std::to_string(bytes >> 20) +
                          " MiB for weights could not be had. Free memory, or "
                          "choose smaller cases by --filter");
  }
  pool.memory_ = {static_cast<std::byte*>(memory), Unmap{rounded}};
  kernels::ask_for_huge_pages({pool.memory_.get(), rounded});
  const auto codes = some_codes();
  for (std::size_t i = 0; i < rounded; i += codes.size())
    std::memcpy(pool.memory_.get() + i, codes.data(), std::min(codes.size(), rounded - i));
  pool.scales_.assign(kScalesMax, 0.01F);
  constexpr std::int64_t kGroupBytes = kZeroedGroup / 2;
  pool.zeroed_scales_.assign(static_cast<std::size_t>(bytes / kGroupBytes),
                             kernels::zeroed_scale(0.01F, kMiddleCode));
  return pool;
}

const std::byte* WeightPool::next(std::int64_t count) {
  TROUPE_CHECK(count <= bytes_, std::to_string(count) + " of " + std::to_string(bytes_) + " bytes");
  if (at_ + count > bytes_) at_ = 0;
  const std::byte* found = memory_.get() + at_;
  at_ += count;
  return found;
}

kernels::WeightMatrix WeightPool::matrix(DType dtype, std::int64_t rows, std::int64_t cols) {
  kernels::WeightMatrix matrix{.dtype = dtype, .rows = rows, .cols = cols};
  matrix.data = next(matrix.bytes());
  if (dtype == DType::i32) matrix.group_scales = next(2 * rows * kernels::scale_groups(cols));
  if (dtype != DType::f8_e4m3 && dtype != DType::i8) return matrix;
  const auto blocks =
      static_cast<std::size_t>(kernels::scale_blocks(rows) * kernels::scale_blocks(cols));
  TROUPE_CHECK(blocks <= kScalesMax, std::to_string(blocks) + " blocks");
  matrix.scales = scales_.data();
  return matrix;
}

kernels::WeightMatrix WeightPool::channel_matrix(std::int64_t rows, std::int64_t cols) {
  auto matrix = this->matrix(DType::i8, rows, cols);
  TROUPE_CHECK(rows <= static_cast<std::int64_t>(kScalesMax), std::to_string(rows) + " rows");
  matrix.scale_shape = kernels::ScaleShape::row;
  return matrix;
}

kernels::WeightMatrix WeightPool::zeroed_matrix(std::int64_t rows, std::int64_t cols) {
  TROUPE_CHECK(cols % kZeroedGroup == 0, std::to_string(cols) + " columns");
  kernels::WeightMatrix matrix{.dtype = DType::i32, .rows = rows, .cols = cols};
  matrix.data = next(matrix.bytes());
  matrix.group_cols = kZeroedGroup;
  const auto groups = static_cast<std::size_t>(rows * (cols / kZeroedGroup));
  if (zeroed_at_ + groups > zeroed_scales_.size()) zeroed_at_ = 0;
  matrix.zeroed_scales = zeroed_scales_.data() + zeroed_at_;
  zeroed_at_ += groups;
  return matrix;
}

}  // namespace troupe::services
