// HMAC-SHA-256: proof that whoever wrote a message knows a key.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/sha256.hpp"

namespace troupe {

/// *Source*: RFC 2104, RFC 4231.
Sha256::Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message);

/// Whether both hold the same bytes. Looks at all of them whatever it finds, so that the time it
/// takes tells nothing but the sizes.
bool equal_in_constant_time(std::span<const std::byte> a, std::span<const std::byte> b);

}  // namespace troupe
