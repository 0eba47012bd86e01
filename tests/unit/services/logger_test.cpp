// One line per event, whatever is in it; what each format shows and each level hides.
#include "services/runtime/log/logger.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "services/runtime/log/json_text.hpp"

namespace troupe::services {
namespace {

using Json = nlohmann::json;

struct Lines {
  std::vector<std::string> all;
  Logger::Sink sink() {
    return [this](std::string_view line) { all.emplace_back(line); };
  }
};

TEST(Logger, JsonLinesHaveTheFixedFieldsFirst) {
  Lines lines;
  Logger log({"expert", 3}, Logger::Format::json, LogLevel::info, lines.sink());
  log.warning("link_lost", "the peer has gone", {{"peer", "router 1"}, {"frames", 7}});
  ASSERT_EQ(lines.all.size(), 1u);
  EXPECT_TRUE(lines.all[0].starts_with("{\"ts\":\"20")) << lines.all[0];
  EXPECT_TRUE(lines.all[0].ends_with("}\n"));
  const Json line = Json::parse(lines.all[0]);
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["service"], "expert");
  EXPECT_EQ(line["rank"], 3);
  EXPECT_EQ(line["event"], "link_lost");
  EXPECT_EQ(line["msg"], "the peer has gone");
  EXPECT_EQ(line["peer"], "router 1");
  EXPECT_EQ(line["frames"], 7);
  EXPECT_EQ(line["ts"].get<std::string>().back(), 'Z');
}

TEST(Logger, StaysOneLineOfValidJsonWhateverIsInIt) {
  Lines lines;
  Logger log({"router", 0}, Logger::Format::json, LogLevel::debug, lines.sink());
  log.info("odd", "a\nb\t\"c\\ \x01 \xff\xfe {} %s \xf0\x9f\x8e\xad", {{"x", "\r\n\x7f"}});
  ASSERT_EQ(lines.all.size(), 1u);
  EXPECT_EQ(lines.all[0].find('\n'), lines.all[0].size() - 1);
  const Json line = Json::parse(lines.all[0]);
  EXPECT_NE(line["msg"].get<std::string>().find("a\nb\t\"c\\"), std::string::npos);
  EXPECT_NE(line["msg"].get<std::string>().find("{} %s"), std::string::npos);
}

TEST(Logger, HumanLinesQuoteValuesOfSeveralWords) {
  Lines lines;
  Logger log({"expert", 3}, Logger::Format::human, LogLevel::info, lines.sink());
  log.error("failed", "no\nroom", {{"peer", "router 1"}, {"lanes", "posix"}});
  ASSERT_EQ(lines.all.size(), 1u);
  EXPECT_TRUE(
      lines.all[0].ends_with(" error expert 3  failed: no?room peer=\"router 1\" lanes=posix\n"))
      << lines.all[0];
}

TEST(Logger, HidesWhatIsLessSevere) {
  Lines lines;
  Logger log({"expert", 0}, Logger::Format::json, LogLevel::warning, lines.sink());
  log.debug("a", "");
  log.info("b", "");
  log.warning("c", "");
  log.error("d", "");
  EXPECT_EQ(lines.all.size(), 2u);
}

TEST(Logger, FormatAndLevelByName) {
  EXPECT_EQ(log_format("auto", true), Logger::Format::human);
  EXPECT_EQ(log_format("auto", false), Logger::Format::json);
  EXPECT_EQ(log_format("human", false), Logger::Format::human);
  EXPECT_EQ(log_format("json", true), Logger::Format::json);
  EXPECT_EQ(log_level("error"), LogLevel::error);
  EXPECT_EQ(log_level("debug"), LogLevel::debug);
}

TEST(FieldsOf, TakesADetailApart) {
  std::string message;
  const auto fields = fields_of("gone for good peer=expert 2 lanes=posix,cma ms=17 v=007", message);
  EXPECT_EQ(message, "gone for good");
  ASSERT_EQ(fields.size(), 4u);
  EXPECT_EQ(fields[0].name, "peer");
  EXPECT_EQ(fields[0].value, "expert 2");
  EXPECT_EQ(fields[1].value, "posix,cma");
  EXPECT_TRUE(fields[2].is_number);
  EXPECT_FALSE(fields[3].is_number);
  message.clear();
  EXPECT_TRUE(fields_of("", message).empty());
  EXPECT_EQ(fields_of("x=1=2 =y A=b", message)[0].value, "1=2 =y A=b");
}

TEST(JsonText, EscapesControlsAndReplacesWhatIsNoText) {
  EXPECT_EQ(json_text("a\"b\\\n"), "\"a\\\"b\\\\\\u000a\"");
  EXPECT_EQ(json_text("\xc3\xa9\xff"), "\"\xc3\xa9\xef\xbf\xbd\"");
  EXPECT_EQ(printable("a\x1b[2Jb"), "a?[2Jb");
}

}  // namespace
}  // namespace troupe::services
