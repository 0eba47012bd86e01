// The preamble of a control port: its bytes, and every way in which they can be wrong.
#include "proto/control/preamble.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace troupe::proto {
namespace {

template <std::size_t kBytes>
std::string hex(const std::array<std::byte, kBytes>& bytes) {
  std::string text;
  for (const auto byte : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<int>(byte) >> 4];
    text += kDigits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

template <std::size_t kBytes>
std::array<std::byte, kBytes> counted(int from) {
  std::array<std::byte, kBytes> bytes{};
  for (std::size_t i = 0; i < kBytes; ++i)
    bytes[i] = static_cast<std::byte>(from + static_cast<int>(i));
  return bytes;
}

Greeting greeting() {
  Greeting greeting;
  greeting.protocol_oldest = 0x0102;
  greeting.protocol_newest = 0x0304;
  greeting.role = 5;
  greeting.index = 0x06070809;
  greeting.pid = 0x0a0b0c0d;
  greeting.cluster_id = 0x1112131415161718;
  greeting.cluster_name = preamble_name("blue");
  greeting.nonce = counted<kPreambleNonceBytes>(0x80);
  return greeting;
}

std::string zeros(std::size_t bytes) { return std::string(2 * bytes, '0'); }

const std::string kMagic = "5452504a4f494e01";
const std::string kNonce = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";

TEST(Preamble, GreetingHasTheseBytes) {
  EXPECT_EQ(hex(encode(greeting())), kMagic + "0201" + "0403" + "05" + zeros(3) + "09080706" +
                                         "0d0c0b0a" + "1817161514131211" + "626c7565" + zeros(60) +
                                         kNonce);
}

TEST(Preamble, ChallengeHasTheseBytes) {
  const Challenge challenge{0x0102, 0x0304, 3, counted<kPreambleNonceBytes>(0x80)};
  EXPECT_EQ(hex(encode(challenge)), kMagic + "0201" + "0403" + "03" + zeros(3) + kNonce);
}

TEST(Preamble, ProofAndVerdictHaveTheseBytes) {
  EXPECT_EQ(hex(encode(Proof{counted<kPreambleMacBytes>(0x80)})), kNonce);
  const Verdict verdict{2, preamble_name("blue"), counted<kPreambleMacBytes>(0x80)};
  EXPECT_EQ(hex(encode(verdict)), "02" + zeros(7) + "626c7565" + zeros(60) + kNonce);
}

TEST(Preamble, ReadsWhatItHasWritten) {
  Greeting read;
  const auto bytes = encode(greeting());
  ASSERT_EQ(decode(bytes, read), PreambleFault::none);
  EXPECT_EQ(encode(read), bytes);
  EXPECT_EQ(text_of(read.cluster_name), "blue");
}

TEST(Preamble, KnowsAnotherProgramByItsFirstByteAndAnotherVersionByItsEighth) {
  auto bytes = encode(greeting());
  EXPECT_EQ(look_at({}), PreambleFault::none);
  for (std::size_t seen = 1; seen <= bytes.size(); ++seen)
    EXPECT_EQ(look_at(std::span(bytes).first(seen)), PreambleFault::none);
  for (std::size_t at = 0; at < kPreambleMagic.size(); ++at) {
    auto other = bytes;
    other[at] ^= std::byte{1};
    const auto expected = at == 7 ? PreambleFault::version : PreambleFault::foreign;
    EXPECT_EQ(look_at(std::span(other).first(at)), PreambleFault::none);
    EXPECT_EQ(look_at(std::span(other).first(at + 1)), expected) << at;
    Greeting unread;
    Challenge challenge;
    EXPECT_EQ(decode(other, unread), expected);
    EXPECT_EQ(decode(std::span(other).first(kChallengeBytes), challenge), expected);
  }
}

TEST(Preamble, RefusesReservedBytesThatAreNotZero) {
  for (const std::size_t at : {13, 14, 15}) {
    auto greeted = encode(greeting());
    greeted[at] = std::byte{1};
    Greeting unread;
    EXPECT_EQ(decode(greeted, unread), PreambleFault::layout) << at;
    auto challenged = encode(Challenge{});
    challenged[at] = std::byte{1};
    Challenge challenge;
    EXPECT_EQ(decode(challenged, challenge), PreambleFault::layout) << at;
  }
  for (std::size_t at = 1; at < 8; ++at) {
    auto told = encode(Verdict{});
    told[at] = std::byte{1};
    Verdict verdict;
    EXPECT_EQ(decode(told, verdict), PreambleFault::layout) << at;
  }
}

TEST(Preamble, RefusesEveryOtherSize) {
  const std::vector<std::byte> bytes(300, std::byte{0});
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const auto some = std::span(bytes).first(size);
    Proof proof;
    Verdict verdict;
    EXPECT_EQ(decode(some, proof) == PreambleFault::none, size == kProofBytes);
    EXPECT_EQ(decode(some, verdict) == PreambleFault::none, size == kVerdictBytes);
  }
  const auto whole = encode(greeting());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Greeting unread;
    EXPECT_EQ(decode(std::span(whole).first(size), unread), PreambleFault::layout) << size;
  }
}

TEST(Preamble, TakesAnyBytesWithoutReadingPastThem) {
  constexpr unsigned kSeed = 20251127;
  std::mt19937 random(kSeed);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes(random() % 200);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    if (random() % 2 == 0)
      std::copy_n(kPreambleMagic.begin(), std::min(bytes.size(), kPreambleMagic.size()),
                  bytes.begin());
    Greeting greeting;
    Challenge challenge;
    Proof proof;
    Verdict verdict;
    const auto fits = [&](PreambleFault fault, std::size_t size) {
      return fault != PreambleFault::none || bytes.size() == size;
    };
    EXPECT_TRUE(fits(decode(bytes, greeting), kGreetingBytes)) << kSeed << ' ' << round;
    EXPECT_TRUE(fits(decode(bytes, challenge), kChallengeBytes)) << kSeed << ' ' << round;
    EXPECT_TRUE(fits(decode(bytes, proof), kProofBytes)) << kSeed << ' ' << round;
    EXPECT_TRUE(fits(decode(bytes, verdict), kVerdictBytes)) << kSeed << ' ' << round;
  }
}

TEST(Preamble, CutsNamesAtTheirBound) {
  const std::string name(100, 'n');
  EXPECT_EQ(text_of(preamble_name(name)), name.substr(0, kPreambleNameBytes));
  EXPECT_EQ(text_of(preamble_name("")), "");
}

}  // namespace
}  // namespace troupe::proto
