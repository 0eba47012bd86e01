// Pages of a latent cache with random contents, and what an entry stands for in plain words.
#pragma once
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/ops/latent_cache.hpp"
#include "kernels/registry.hpp"
#include "tests/unit/kernels/guarded_memory.hpp"

namespace troupe::kernels {

inline constexpr std::array kCacheDtypes{DType::bf16, DType::f32, DType::f8_e4m3};

/// Positions in pages; the last page ends at a guard page after its last used entry.
struct CachePages {
  CacheEntry entry;
  std::vector<std::unique_ptr<GuardedMemory>> memory;
  std::vector<const void*> pointers;

  CachePages(const CacheEntry& layout, std::int64_t positions) : entry(layout) {
    for (std::int64_t first = 0; first < positions; first += kPageTokens) {
      const std::int64_t count = std::min(kPageTokens, positions - first);
      memory.push_back(std::make_unique<GuardedMemory>(
          static_cast<std::size_t>(count * entry.bytes()), GuardedMemory::Edge::end));
      pointers.push_back(memory.back()->data());
    }
  }
  std::byte* at(std::int64_t position) const {
    return memory[static_cast<std::size_t>(position / kPageTokens)]->data() +
           position % kPageTokens * entry.bytes();
  }
  /// x [positions, latent + rope] into the first positions.
  void write(const KernelTable& level, const std::vector<float>& x) const {
    std::vector<std::byte*> entries;
    const auto rows = static_cast<std::int64_t>(x.size()) / entry.width();
    for (std::int64_t i = 0; i < rows; ++i) entries.push_back(at(i));
    level.write_cache({.x = x.data(), .entry = entry, .at = entries.data(), .rows = rows}, 0, rows);
  }
};

/// What column `column` of the entry at `at` reads as: said a second time, not asked of a kernel.
inline float cached_value(const CacheEntry& entry, const std::byte* at, std::int64_t column) {
  const auto load = [&](std::int64_t offset, auto value) {
    std::memcpy(&value, at + offset, sizeof(value));
    return value;
  };
  if (entry.dtype == DType::f32) return load(4 * column, float{});
  if (entry.dtype == DType::bf16) return bf16_to_f32(load(2 * column, Bf16{}));
  if (column < entry.latent) {
    const auto scale = load(entry.latent + 4 * (column / 128), float{});
    return e4m3_to_f32(load(column, std::uint8_t{})) * scale;
  }
  const std::int64_t scales = (entry.latent + 127) / 128;
  return bf16_to_f32(load(entry.latent + 4 * scales + 2 * (column - entry.latent), Bf16{}));
}

}  // namespace troupe::kernels
