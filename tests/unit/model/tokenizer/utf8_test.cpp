// UTF-8: where text may be cut.
#include "model/tokenizer/utf8.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace troupe::model {
namespace {

TEST(Utf8Prefix, EndsWithAWholeCharacter) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xad";  // of 1, 2, 3 and 4 bytes
  for (std::size_t most = 0; most <= text.size() + 1; ++most) {
    const std::string cut = utf8_prefix(text, most);
    EXPECT_EQ(first_invalid_utf8(cut), std::nullopt) << most;
    EXPECT_LE(cut.size(), most);
    EXPECT_TRUE(text.starts_with(cut));
    EXPECT_LT(std::min(most, text.size()) - cut.size(), 4) << "no more is cut than has to be";
  }
  EXPECT_EQ(utf8_prefix(text, 3), "a\xc3\xa9");
  EXPECT_EQ(utf8_prefix(text, 5), "a\xc3\xa9");
  EXPECT_EQ(utf8_prefix(text, 100), text);
}

TEST(Utf8Prefix, OfBytesThatAreNoTextEnds) {
  EXPECT_EQ(utf8_prefix("\x80\x80\x80\x80", 2), "");
  EXPECT_EQ(utf8_prefix("a\xff\xff", 2), "a\xff");
}

}  // namespace
}  // namespace troupe::model
