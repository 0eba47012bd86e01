// JSON text becomes a tree whose text is the same again, and what is not JSON is refused.
#include "model/config/json_value.hpp"

#include <gtest/gtest.h>

namespace troupe::model {
namespace {

TEST(Json, TextAndTreeAreInverse) {
  const std::string text =
      R"({"b":[1,-2,18446744073709551615,2.5,1e-06,4.0],)"
      R"("a":{"x":null,"y":[true,false]},"c":"é\"\\\n\u0001"})";
  const auto value = parse_json(text);
  ASSERT_TRUE(value) << value.error().detail;
  EXPECT_EQ(to_json(*value), text);
  const auto again = parse_json(to_json(*value, 2));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(*again), text);
}

TEST(Json, SortsKeysAtEveryLevelWhenAsked) {
  const auto value = parse_json(R"({"b":{"z":1,"a":2},"a":[{"d":1,"c":2}]})");
  EXPECT_EQ(to_json(*value, 0, JsonKeys::sorted), R"({"a":[{"c":2,"d":1}],"b":{"a":2,"z":1}})");
}

TEST(Json, TellsWholeNumbersFromOthers) {
  EXPECT_EQ(parse_json("4096")->integer(), 4096);
  EXPECT_EQ(parse_json("-1")->integer(), -1);
  EXPECT_FALSE(parse_json("4096.0")->integer());
  EXPECT_FALSE(parse_json("18446744073709551615")->integer());
  EXPECT_EQ(parse_json("4096")->number(), 4096.0);
}

TEST(Json, RefusesAKeyThatOccursTwice) {
  const auto value = parse_json(R"({"a":{"k":1,"b":2,"k":3}})");
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().detail.find("\"k\" occurs twice"), std::string::npos);
}

TEST(Json, RefusesDeepNestingWithoutRecursing) {
  const std::string deep(1'000'000, '[');
  const auto value = parse_json(deep);
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().detail.find("deeper than 64"), std::string::npos);
}

TEST(Json, RefusesWhatIsNotOneValue) {
  for (const char* text : {"", "{", "{} {}", "[1,]", "nul", "\"\xff\"", "01", "NaN", "{\"a\" 1}"}) {
    const auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, Errc::malformed);
  }
}

}  // namespace
}  // namespace troupe::model
