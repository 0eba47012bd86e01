// HMAC-SHA-256, RFC 2104.
#include "core/hmac.hpp"

#include <array>
#include <cstring>

namespace troupe {
namespace {

constexpr std::size_t kBlockBytes = 64;  // of SHA-256

}  // namespace

Sha256::Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message) {
  std::array<std::byte, kBlockBytes> padded{};
  if (key.size() > kBlockBytes) {
    const auto digest = Sha256().add(key).digest();
    std::memcpy(padded.data(), digest.data(), digest.size());
  } else if (!key.empty()) {
    std::memcpy(padded.data(), key.data(), key.size());
  }
  const auto masked = [&padded](std::byte mask) {
    auto block = padded;
    for (auto& byte : block) byte ^= mask;
    return block;
  };
  const auto inner = Sha256().add(masked(std::byte{0x36})).add(message).digest();
  return Sha256().add(masked(std::byte{0x5c})).add(std::as_bytes(std::span(inner))).digest();
}

bool equal_in_constant_time(std::span<const std::byte> a, std::span<const std::byte> b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= std::to_integer<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace troupe
