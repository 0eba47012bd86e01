// Reads the headers of CAF's protocol as its bytes pass, and stops at a message that is too large.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe::actors {

/// The largest payload of one message between two processes. What needs most room:
///   report     4096 members * < 1 KiB (three names of at most 255 bytes, numbers)      4 MiB
///   placement  2^20 lists * 2 bytes * (1 + 3 replicas)                                 8 MiB
///              (DeepSeek-V3: 61 layers * 256 experts * 2 bytes * (1 + 3) = 122 KiB)
///   loads      2^20 counts * 8 bytes (DeepSeek-V3: 122 KiB), 4096 ranks * 30 bytes     8.1 MiB
///   connect    a worker address of at most 64 KiB
///   roster     4096 members * 25 bytes                                               100 KiB
/// Almost twice the largest, and 1/256 of what a header can announce.
inline constexpr std::uint32_t kBaspPayloadMax = 16 << 20;

/// Follows the headers in one direction of one connection. *Source*: BASP 3,
/// caf/io/basp/header.hpp: 32 bytes, the length of the payload big-endian at offset 4, then the
/// payload.
class BaspWatch {
 public:
  static constexpr std::size_t kHeaderBytes = 32;

  explicit BaspWatch(std::uint32_t payload_max = kBaspPayloadMax) : payload_max_(payload_max) {}

  /// False once a header has announced more than the bound: none of `bytes` may be used.
  bool take(std::span<const std::byte> bytes);
  /// Payload of the newest header.
  std::uint32_t announced() const { return announced_; }
  std::uint32_t payload_max() const { return payload_max_; }

 private:
  std::uint32_t payload_max_;
  std::array<std::byte, kHeaderBytes> header_{};
  std::size_t header_have_ = 0;
  std::uint64_t payload_left_ = 0;
  std::uint32_t announced_ = 0;
  bool broken_ = false;
};

}  // namespace troupe::actors
