// The frame decoder on any bytes: it must say what is wrong, and what it accepts must be readable.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "proto/frames/codec.hpp"
#include "tests/fuzz/fuzz_target.hpp"
#include "tests/support/frame_samples.hpp"

namespace {

using namespace troupe;

/// What was accepted must encode to the same bytes: every byte of a frame means something.
void check_frame(std::span<const std::byte> bytes) {
  const auto decoded = proto::decode(bytes);
  if (!decoded) {
    if (decoded.malformed().text.empty()) std::abort();
    return;
  }
  const proto::Frame& frame = decoded.frame();
  std::visit(
      [&](const auto& body) {
        std::vector<std::byte> again(proto::encoded_bytes(body));
        proto::encode(frame.header, body, again);
        if (!std::ranges::equal(again, bytes)) std::abort();
      },
      frame.body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  check_frame(bytes);
  if (size < proto::kHeaderBytes) return 0;
  // Most mutations break the header. Mend it, so that the body's decoder is reached too; one byte
  // in front makes every integer misaligned.
  std::vector<std::byte> mended(size + 1);
  std::memcpy(mended.data() + 1, data, size);
  proto::FrameHeader header;
  std::memcpy(&header, data, sizeof header);
  header.magic = proto::kFrameMagic;
  header.version = proto::kProtocolVersion;
  header.kind = static_cast<std::uint16_t>(1 + header.kind % proto::kFrameKindMax);
  header.total_bytes = static_cast<std::uint32_t>(size);
  header.lane %= 2;
  header.reserved = 0;
  std::memcpy(mended.data() + 1, &header, sizeof header);
  check_frame(std::span<const std::byte>(mended).subspan(1));
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const auto& sample : testing::encoded_samples()) {
    seeds.emplace_back(reinterpret_cast<const char*>(sample.bytes.data()), sample.bytes.size());
  }
  return seeds;
}
