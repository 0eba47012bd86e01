// Any bytes of CAF's protocol: the watch stops exactly at the first message that is too large,
// however the bytes are cut.
#include <algorithm>
#include <span>
#include <string>

#include "actors/control/basp_watch.hpp"
#include "core/check.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using troupe::actors::BaspWatch;

namespace {

constexpr std::uint32_t kPayloadMax = 4096;
constexpr std::size_t kLengthAt = 4;

using Bytes = std::span<const std::uint8_t>;

std::uint32_t length_in(Bytes header) {
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < 4; ++i) length = length << 8 | header[kLengthAt + i];
  return length;
}

/// With all bytes in hand: whether each header announces a payload within the bound.
bool all_fit(Bytes bytes) {
  while (bytes.size() >= BaspWatch::kHeaderBytes) {
    const std::size_t length = length_in(bytes);
    if (length > kPayloadMax) return false;
    bytes = bytes.subspan(std::min(BaspWatch::kHeaderBytes + length, bytes.size()));
  }
  return true;
}

bool taken(Bytes bytes, std::size_t piece) {
  BaspWatch watch(kPayloadMax);
  bool fine = true;
  while (!bytes.empty()) {
    const Bytes next = bytes.first(std::min(piece, bytes.size()));
    const bool good = watch.take(std::as_bytes(next));
    TROUPE_CHECK(fine || !good, "a broken connection goes on");
    TROUPE_CHECK(good == (watch.announced() <= kPayloadMax), std::to_string(watch.announced()));
    fine = good;
    bytes = bytes.subspan(next.size());
  }
  return fine;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  const bool expected = all_fit(bytes);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{32}, size + 1})
    TROUPE_CHECK(taken(bytes, piece) == expected, std::to_string(piece));
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  const auto message = [](std::uint32_t length, std::size_t payload) {
    std::string bytes(BaspWatch::kHeaderBytes, '\1');
    for (std::size_t i = 0; i < 4; ++i)
      bytes[kLengthAt + i] = static_cast<char>(length >> (24 - 8 * i) & 0xff);
    return bytes + std::string(payload, '\0');
  };
  return {message(0, 0) + message(5, 5) + message(40, 40), message(64, 20), message(kPayloadMax, 3),
          message(1, 1) + message(kPayloadMax + 1, 9)};
}
