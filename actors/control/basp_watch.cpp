// Counts through headers and payloads.
#include "actors/control/basp_watch.hpp"

#include <algorithm>

namespace troupe::actors {
namespace {

constexpr std::size_t kLengthAt = 4;

}  // namespace

bool BaspWatch::take(std::span<const std::byte> bytes) {
  while (!bytes.empty() && !broken_) {
    if (payload_left_ > 0) {
      const auto skipped = std::min<std::uint64_t>(payload_left_, bytes.size());
      payload_left_ -= skipped;
      bytes = bytes.subspan(static_cast<std::size_t>(skipped));
      continue;
    }
    const std::size_t taken = std::min(kHeaderBytes - header_have_, bytes.size());
    std::copy_n(bytes.begin(), taken, header_.begin() + static_cast<std::ptrdiff_t>(header_have_));
    header_have_ += taken;
    bytes = bytes.subspan(taken);
    if (header_have_ < kHeaderBytes) continue;
    header_have_ = 0;
    announced_ = 0;
    for (std::size_t i = 0; i < 4; ++i)
      announced_ = announced_ << 8 | std::to_integer<std::uint32_t>(header_[kLengthAt + i]);
    payload_left_ = announced_;
    broken_ = announced_ > payload_max_;
  }
  return !broken_;
}

}  // namespace troupe::actors
