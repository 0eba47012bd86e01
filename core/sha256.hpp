// SHA-256 of a stream of bytes.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

/// Feed bytes with `add`, in pieces of any size, then take the digest once.
/// *Source*: FIPS 180-4.
class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  Sha256& add(std::span<const std::byte> bytes);
  Sha256& add(std::string_view text);
  /// Eight bytes, little-endian: separates fields of variable length.
  Sha256& add_u64(std::uint64_t value);
  Digest digest();

 private:
  void compress(const std::uint8_t* block);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace troupe
