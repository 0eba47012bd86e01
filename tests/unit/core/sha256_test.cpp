// SHA-256 gives the digests of FIPS 180-4 and of an independent implementation.
#include "core/sha256.hpp"

#include <gtest/gtest.h>

#include "core/hexadecimal.hpp"

namespace troupe {
namespace {

std::string hash(std::string_view text) {
  Sha256 sha;
  return to_hex(sha.add(text).digest());
}

TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheInputIsCut) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const std::string_view whole = std::string_view(text).substr(0, length);
    const std::size_t cut = length / 3;
    Sha256 pieces;
    pieces.add(whole.substr(0, cut)).add(whole.substr(cut));
    EXPECT_EQ(to_hex(pieces.digest()), hash(whole)) << length;
  }
}

TEST(Sha256, NumbersAreEightLittleEndianBytes) {
  Sha256 number;
  number.add_u64(0x0102030405060708);
  EXPECT_EQ(to_hex(number.digest()), hash("\x08\x07\x06\x05\x04\x03\x02\x01"));
}

}  // namespace
}  // namespace troupe
