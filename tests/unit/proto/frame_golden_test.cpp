// The bytes of every frame kind, as committed: a changed byte is a new protocol version.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>

#include "tests/support/frame_samples.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<int>(byte) >> 4];
    text += kDigits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

std::map<std::string, std::string> golden_frames() {
  std::ifstream file(std::string(troupe::kSourceDir) + "/tests/goldens/frames/v1.txt");
  std::map<std::string, std::string> frames;
  for (std::string name, digits; file >> name >> digits;) frames[name] = digits;
  return frames;
}

TEST(FrameGolden, EveryKindHasTheCommittedBytes) {
  const auto golden = golden_frames();
  ASSERT_EQ(golden.size(), proto::kFrameKindMax);
  for (const auto& sample : testing::encoded_samples()) {
    ASSERT_TRUE(golden.contains(sample.name)) << sample.name;
    EXPECT_EQ(hex(sample.bytes), golden.at(sample.name))
        << sample.name << ": the wire format changed; that needs a new protocol version";
  }
}

}  // namespace
}  // namespace troupe
