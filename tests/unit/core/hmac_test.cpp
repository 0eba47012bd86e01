// HMAC-SHA-256 gives the values of RFC 4231, and comparing looks at every byte.
#include "core/hmac.hpp"

#include <gtest/gtest.h>

#include <string>

#include "core/hexadecimal.hpp"

namespace troupe {
namespace {

std::string mac(const std::string& key, const std::string& message) {
  return to_hex(hmac_sha256(std::as_bytes(std::span(key)), std::as_bytes(std::span(message))));
}

TEST(Hmac, GivesThePublishedValues) {
  EXPECT_EQ(mac(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(mac("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(mac(std::string(20, '\xaa'), std::string(50, '\xdd')),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}

TEST(Hmac, HashesAKeyLongerThanABlock) {
  EXPECT_EQ(mac(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hmac, TakesAnEmptyKey) { EXPECT_NE(mac("", "words"), mac("", "word")); }

TEST(EqualInConstantTime, SeesEveryDifference) {
  const std::string text(32, 'a');
  const auto bytes = [](const std::string& from) { return std::as_bytes(std::span(from)); };
  EXPECT_TRUE(equal_in_constant_time(bytes(text), bytes(std::string(text))));
  EXPECT_TRUE(equal_in_constant_time({}, {}));
  for (std::size_t i = 0; i < text.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = text;
      other[i] = static_cast<char>(other[i] ^ (1 << bit));
      EXPECT_FALSE(equal_in_constant_time(bytes(text), bytes(other))) << i << ' ' << bit;
    }
  EXPECT_FALSE(equal_in_constant_time(bytes(text), bytes(text + "a")));
}

}  // namespace
}  // namespace troupe
