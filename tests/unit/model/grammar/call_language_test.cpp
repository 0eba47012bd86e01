// Answers that must be tool calls: what may be written is what the parser of answers reads as
// calls.
#include "model/grammar/call_language.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/chat/answer/answer_parser.hpp"
#include "tests/support/grammar_walk.hpp"
#include "tests/unit/model/grammar/small_table.hpp"
#include "tests/unit/model/tokenizer/golden_files.hpp"

namespace troupe::model {
namespace {

constexpr const char* kCity =
    R"({"type":"object","properties":{"city":{"enum":["Rome","Paris"]}},"required":["city"]})";
const std::vector<CallableFunction> kFunctions{{"weather", kCity}, {"now", ""}};

std::shared_ptr<const TokenTable> deepseek_table() {
  static const auto table = std::make_shared<const TokenTable>(deepseek_tokenizer());
  return table;
}

Expected<std::shared_ptr<const Grammar>> compile_calls(
    ToolCallFormat format, const std::vector<CallableFunction>& functions = kFunctions,
    bool several = true) {
  return Grammar::compile(tool_calls_spec(format, functions, several), deepseek_table());
}

/// Ids of a text in which markers are spelled out.
std::vector<std::int32_t> ids_of(const std::string& text) {
  return deepseek_tokenizer().encode(text).value();
}

bool writes(const std::shared_ptr<const Grammar>& grammar, const std::string& text) {
  GrammarState state(grammar);
  for (const std::int32_t id : ids_of(text)) {
    if (!state.advance(id)) return false;
  }
  return state.complete();
}

/// What the parser makes of tokens: content, then name and arguments of each call.
std::vector<std::string> read_answer(ToolCallFormat format,
                                     const std::vector<std::int32_t>& tokens) {
  AnswerParser parser({.format = {format, true}});
  std::vector<AnswerEvent> events;
  const auto keep = [&](std::vector<AnswerEvent> more) {
    events.insert(events.end(), more.begin(), more.end());
  };
  for (const std::int32_t id : tokens)
    keep(parser.feed(deepseek_tokenizer().bytes_of(id), deepseek_tokenizer().is_added(id)));
  keep(parser.finish());
  std::vector<std::string> read{""};
  for (const AnswerEvent& event : events) {
    using Kind = AnswerEvent::Kind;
    if (event.kind == Kind::content || event.kind == Kind::reasoning) read.front() += event.text;
    if (event.kind == Kind::tool_call_begin) read.insert(read.end(), {event.text, ""});
    if (event.kind == Kind::tool_call_arguments) read.back() += event.text;
  }
  return read;
}

const std::string kBegin = "<｜tool▁calls▁begin｜>", kEnd = "<｜tool▁calls▁end｜>";

std::string v3(const std::string& name, const std::string& arguments) {
  return "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" + name + "\n```json\n" + arguments +
         "\n```<｜tool▁call▁end｜>";
}
std::string v31(const std::string& name, const std::string& arguments) {
  return "<｜tool▁call▁begin｜>" + name + "<｜tool▁sep｜>" + arguments + "<｜tool▁call▁end｜>";
}

TEST(CallLanguage, IsTheFormThatTheModelWasTrainedOn) {
  const std::string rome = R"({"city": "Rome"})";
  const auto older = compile_calls(ToolCallFormat::deepseek_v3).value();
  EXPECT_TRUE(writes(older, kBegin + v3("weather", rome) + kEnd));
  EXPECT_TRUE(writes(older, kBegin + v3("now", "{}") + "\n" + v3("weather", rome) + kEnd));
  EXPECT_FALSE(writes(older, kBegin + v3("now", "{}") + v3("weather", rome) + kEnd));
  EXPECT_FALSE(writes(older, kBegin + v31("weather", rome) + kEnd));
  const auto newer = compile_calls(ToolCallFormat::deepseek_v31).value();
  EXPECT_TRUE(writes(newer, kBegin + v31("weather", rome) + kEnd));
  EXPECT_TRUE(writes(newer, kBegin + v31("weather", rome) + v31("now", "{}") + kEnd));
  for (const std::string& wrong :
       {kBegin + v31("weather", R"({"city": "Oslo"})") + kEnd, kBegin + v31("now", rome) + kEnd,
        kBegin + v31("weathe", rome) + kEnd, kBegin + v31("weather", rome),
        kBegin + v31("weather", "{}") + kEnd, "I call " + kBegin + v31("now", "{}") + kEnd,
        kBegin + kEnd, std::string()}) {
    EXPECT_FALSE(writes(newer, wrong)) << wrong;
  }
}

TEST(CallLanguage, OneCallIsOneCall) {
  for (const auto format : {ToolCallFormat::deepseek_v3, ToolCallFormat::deepseek_v31}) {
    const auto one = compile_calls(format, {{"now", ""}}, false).value();
    const auto call = format == ToolCallFormat::deepseek_v3 ? v3 : v31;
    const std::string between = format == ToolCallFormat::deepseek_v3 ? "\n" : "";
    const std::string now = call("now", "{}");
    EXPECT_TRUE(writes(one, kBegin + now + kEnd));
    EXPECT_FALSE(writes(one, kBegin + now + between + now + kEnd));
    EXPECT_FALSE(writes(one, kBegin + call("weather", "{}") + kEnd));
  }
}

TEST(CallLanguage, AFunctionWithoutASchemaTakesNothingAndAnEmptyOneAnyObject) {
  const auto grammar =
      compile_calls(ToolCallFormat::deepseek_v31,
                    {{"none", ""},
                     {"any", "{}"},
                     {"closed", R"({"properties":{}})"},
                     {"linked", R"({"$ref":"#/$defs/a","$defs":{"a":{"const":{}}}})"}})
          .value();
  const auto takes = [&](const std::string& name, const std::string& arguments) {
    return writes(grammar, kBegin + v31(name, arguments) + kEnd);
  };
  EXPECT_TRUE(takes("none", "{}"));
  EXPECT_FALSE(takes("none", R"({"a": 1})"));
  EXPECT_TRUE(takes("any", R"({"a": [1, {"b": null}]})"));
  EXPECT_FALSE(takes("any", "1"));
  EXPECT_TRUE(takes("closed", "{}"));
  EXPECT_FALSE(takes("closed", R"({"a": 1})"));
  EXPECT_TRUE(takes("linked", "{}"));
}

TEST(CallLanguage, WhateverAModelPicksIsReadAsCallsWithValidArguments) {
  const std::vector<CallableFunction> functions{
      {"weather", kCity}, {"now", ""}, {"find", R"({"properties":{"text":{"type":"string"}},
                                                   "required":["text"]})"}};
  for (const auto format : {ToolCallFormat::deepseek_v3, ToolCallFormat::deepseek_v31}) {
    const auto grammar = compile_calls(format, functions).value();
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      const auto walk = tests::random_walk(grammar, *deepseek_table(), seed, 60);
      SCOPED_TRACE("seed " + std::to_string(seed) + ": " + walk.text);
      ASSERT_TRUE(walk.complete);
      const auto read = read_answer(format, walk.ids);
      ASSERT_GE(read.size(), 3u);
      EXPECT_EQ(read.front(), "");
      for (std::size_t i = 1; i < read.size(); i += 2) {
        const auto arguments = nlohmann::json::parse(read[i + 1], nullptr, false);
        ASSERT_TRUE(arguments.is_object()) << read[i + 1];
        const std::string city = arguments.value("city", "");
        const bool valid = read[i] == "now"       ? arguments.empty()
                           : read[i] == "weather" ? city == "Rome" || city == "Paris"
                                                  : arguments.contains("text");
        EXPECT_TRUE(valid) << read[i] << read[i + 1];
      }
    }
  }
}

TEST(CallLanguage, ThoughtsMayNotCall) {
  const std::int32_t think_end = *deepseek_tokenizer().id_of("</think>");
  const std::int32_t begin = *deepseek_tokenizer().id_of(kBegin);
  GrammarState state(compile_calls(ToolCallFormat::deepseek_v3).value(), think_end);
  std::vector<std::uint64_t> allowed(2020, 0);
  const auto may = [&](std::int32_t id) {
    state.mask(allowed, {});
    return (allowed[static_cast<std::size_t>(id) / 64] >> (id % 64) & 1) != 0;
  };
  EXPECT_FALSE(may(begin));
  EXPECT_FALSE(state.advance(begin));
  EXPECT_TRUE(may(think_end));
  EXPECT_TRUE(state.advance(think_end));
  EXPECT_TRUE(may(begin));
  EXPECT_FALSE(may(think_end));
  EXPECT_TRUE(state.advance(begin));
}

TEST(CallLanguage, WhatCannotBeKeptToIsNamed) {
  const auto refusal = [](const std::vector<CallableFunction>& functions) {
    const auto grammar = compile_calls(ToolCallFormat::deepseek_v3, functions);
    EXPECT_FALSE(grammar.has_value());
    return grammar ? Error{} : grammar.error();
  };
  const Error keyword = refusal({{"now", ""}, {"f", R"({"properties":{"a":{"multipleOf":2}}})"}});
  EXPECT_EQ(keyword.code, Errc::unsupported);
  EXPECT_TRUE(keyword.detail.starts_with("parameters of \"f\": JSON schema, $.properties.a: "))
      << keyword.detail;
  EXPECT_NE(keyword.detail.find("multipleOf"), std::string::npos) << keyword.detail;
  EXPECT_EQ(refusal({{"f", R"({"type":"string"})"}}).code, Errc::invalid_argument);
  EXPECT_EQ(refusal({{"f", "[]"}}).code, Errc::malformed);
  EXPECT_EQ(refusal({{"f", "{"}}).code, Errc::malformed);
  EXPECT_EQ(refusal({{"", ""}}).code, Errc::malformed);
  EXPECT_EQ(refusal({}).code, Errc::invalid_argument) << "no text can satisfy it";
  EXPECT_EQ(compile_calls(ToolCallFormat::none).error().code, Errc::unsupported);
  EXPECT_EQ(compile(GrammarSpec::Kind::tool_calls, "{}").error().code, Errc::malformed);
}

TEST(CallLanguage, AVocabularyThatSpellsMarkersIsRefused) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 128; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  const auto spelling = std::make_shared<const TokenTable>(texts);
  const auto grammar =
      Grammar::compile(tool_calls_spec(ToolCallFormat::deepseek_v3, kFunctions, true), spelling);
  ASSERT_FALSE(grammar.has_value());
  EXPECT_EQ(grammar.error().detail,
            "tool calls: this vocabulary has no token for <｜tool▁calls▁begin｜>");
}

}  // namespace
}  // namespace troupe::model
