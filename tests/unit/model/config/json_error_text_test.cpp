// Messages about text that is not JSON say what and where, and nothing of the library.
#include "model/config/json_error_text.hpp"

#include <gtest/gtest.h>

#include "model/config/json_value.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model {
namespace {

TEST(JsonErrorText, SaysWhatAndWhereAndNothingOfTheLibrary) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"a\": }", "not JSON at byte 7 (line 1, column 7): unexpected '}'; expected"},
      {"{\n \"a\": 1,\n}", "(line 3, column 1): unexpected '}'; expected string literal"},
      {"", "not JSON at byte 1 (line 1, column 1): unexpected end of input"},
      {"[1e999]", "not JSON at byte 6: number overflow parsing '1e999'"},
      {"[\"\xff\"]", "(line 1, column 3): invalid string: ill-formed UTF-8 byte"},
  };
  for (const auto& [text, says] : cases) {
    const auto parsed = parse_json(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().detail.find(says), std::string::npos) << parsed.error().detail;
    EXPECT_EQ(parsed.error().detail.find("exception"), std::string::npos) << parsed.error().detail;
  }
}

TEST(JsonErrorText, KeepsAMessageOfAnotherForm) {
  EXPECT_EQ(json_error_text("[json.exception.other.1] no idea", 3), "not JSON at byte 3: no idea");
  EXPECT_EQ(json_error_text("no idea", 3), "not JSON at byte 3: no idea");
}

}  // namespace
}  // namespace troupe::model
