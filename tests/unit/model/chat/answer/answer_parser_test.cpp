// Answers in each published format, whole and in random pieces; text is never lost.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "model/chat/answer/answer_parser.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/unit/model/tokenizer/golden_files.hpp"

namespace troupe::model {
namespace {

using Kind = AnswerEvent::Kind;
using Events = std::vector<AnswerEvent>;

constexpr MarkerSet kAll = (1u << kMarkers) - 1;

AnswerOptions v3(MarkerSet spelled = kAll) {
  return {.format = {ToolCallFormat::deepseek_v3, true}, .spelled = spelled};
}
AnswerOptions v31(MarkerSet spelled = kAll) {
  return {.format = {ToolCallFormat::deepseek_v31, true}, .spelled = spelled};
}

void join(Events& all, const Events& more) {
  for (const AnswerEvent& event : more) {
    const bool part = event.kind == Kind::content || event.kind == Kind::reasoning ||
                      event.kind == Kind::tool_call_arguments;
    if (part && !all.empty() && all.back().kind == event.kind) {
      all.back().text += event.text;
    } else {
      all.push_back(event);
    }
  }
}

Events parse(const std::string& text, AnswerOptions options) {
  AnswerParser parser(options);
  Events all;
  join(all, parser.feed(text));
  join(all, parser.finish());
  return all;
}

// "<" and ">" of a name in brackets stand for a marker: "[sep]".
std::string spelled(std::string text) {
  const std::pair<const char*, Marker> names[] = {
      {"[calls]", Marker::calls_begin}, {"[/calls]", Marker::calls_end},
      {"[call]", Marker::call_begin},   {"[/call]", Marker::call_end},
      {"[sep]", Marker::separator},     {"[think]", Marker::think_begin},
      {"[/think]", Marker::think_end}};
  for (const auto& [name, marker] : names) {
    for (auto at = text.find(name); at != text.npos; at = text.find(name))
      text.replace(at, std::string_view(name).size(), text_of(marker));
  }
  return text;
}

struct Case {
  std::string text;  // with markers in brackets
  AnswerOptions options;
  Events events;
};

Events call(std::int32_t index, std::string name, std::string arguments) {
  return {{Kind::tool_call_begin, index, std::move(name)},
          {Kind::tool_call_arguments, index, std::move(arguments)},
          {Kind::tool_call_end, index, ""}};
}

Events list(std::initializer_list<Events> parts) {
  Events all;
  for (const Events& part : parts) join(all, part);
  return all;
}

Events content(const std::string& text) { return {{Kind::content, -1, spelled(text)}}; }
Events reasoning(const std::string& text) { return {{Kind::reasoning, -1, text}}; }

const std::string fence = "```";

AnswerOptions thinking() {
  AnswerOptions options = v31();
  options.starts_in_reasoning = true;
  return options;
}

AnswerOptions plain() {
  AnswerOptions options = v3();
  options.format = {};
  return options;
}

std::vector<Case> text_cases() {
  return {
      {"Hello <b>1 < 2</b>", v3(), content("Hello <b>1 < 2</b>")},
      {"", v3(), {}},
      {"[think]hm[/think]yes", v3(), list({reasoning("hm"), content("yes")})},
      {"hm\n[/think]\n\nyes", thinking(), list({reasoning("hm\n"), content("\n\nyes")})},
      {"hm, and no end", thinking(), reasoning("hm, and no end")},
      {"a [think]b[/think]", v3(), content("a [think]b[/think]")},
      {" [think]b[/think] [think]", v3(),
       list({content(" "), reasoning("b"), content(" [think]")})},
      {"[/think]x", v31(), content("[/think]x")},
  };
}

std::vector<Case> call_cases() {
  return {
      {"Let me see.[calls][call]function[sep]get_weather\n" + fence +
           "json\n{\"city\": \"Paris\"}\n" + fence + "[/call][/calls]",
       v3(), list({content("Let me see."), call(0, "get_weather", "{\"city\": \"Paris\"}")})},
      {"[calls][call]function[sep]a\n" + fence + "json\n{\n \"x\": 1\n}\n" + fence +
           "[/call]\n[call]function[sep]b\n" + fence + "json\n{}\n" + fence + "\n[/call][/calls]",
       v3(), list({call(0, "a", "{\n \"x\": 1\n}"), call(1, "b", "{}")})},
      {"[calls][call]get[sep]{\"a\": \"``\"}[/call][call]put[sep]{}[/call][/calls]", v31(),
       list({call(0, "get", "{\"a\": \"``\"}"), call(1, "put", "{}")})},
      {"[calls][call]get[sep]" + fence + "json\n{}\n" + fence + "[/call][/calls]", v31(),
       call(0, "get", "{}")},
      {"think[calls][call]get[sep]{}[/call][/calls]", thinking(),
       list({reasoning("think"), call(0, "get", "{}")})},
      {"think[/think][call]get[sep]{}[/call]", thinking(),
       list({reasoning("think"), call(0, "get", "{}")})},
      {"[calls][call]get[sep]{\"a\": 1", v31(), call(0, "get", "{\"a\": 1")},
      {"[calls][call]function[sep]get\n" + fence + "json\n{\"a\": 1}\n``", v3(),
       call(0, "get", "{\"a\": 1}\n``")},
      {"[calls][call]function[sep]get\n" + fence + "json\n{}\n" + fence + "x\n" + fence + "[/call]",
       v3(), call(0, "get", "{}\n" + fence + "x")},
      {"[calls][call]function[sep]get\n{\"a\": 1}\n" + fence + "[/call][/calls]", v3(),
       call(0, "get", "{\"a\": 1}\n" + fence)},
      {"[calls][call]function[sep]now[/call][/calls] done", v3(),
       list({call(0, "now", "{}"), content(" done")})},
      {"[calls][call]now[sep][/call][/calls]", v31(), call(0, "now", "{}")},
  };
}

std::vector<Case> broken_call_cases() {
  return {
      {"[calls][/calls]x", v3(), content("[calls][/calls]x")},
      {"[calls]\n", v3(), content("[calls]\n")},
      {"[calls]no call[/calls]", v3(), content("[calls]no call[/calls]")},
      {"[calls][call]no separator[/call][/calls]", v31(),
       content("[calls][call]no separator[/call][/calls]")},
      {"[calls][call][sep]{}[/call]", v31(), content("[calls][call][sep]{}[/call]")},
      {"[calls][call]function[sep]\n[/call]", v3(), content("[calls][call]function[sep]\n[/call]")},
      {"[calls][call]cut", v31(), content("[calls][call]cut")},
      {"[calls][calls][call]get[sep]{}[/call]", v31(),
       list({content("[calls]"), call(0, "get", "{}")})},
      {"[calls][call]a[call]get[sep]{}[/call]", v31(),
       list({content("[calls][call]a"), call(0, "get", "{}")})},
      {"[calls][call]a[sep]{}[call]b[sep]{}[/calls]", v31(),
       list({call(0, "a", "{}"), call(1, "b", "{}")})},
      {"[calls][call]a[sep]{}[/call] then [call]b[sep]{}[/call]\n", v31(),
       list({call(0, "a", "{}"), content(" then "), call(1, "b", "{}")})},
      {"[calls][call]" + std::string(600, 'n') + "[sep]{}", v31(),
       content("[calls][call]" + std::string(600, 'n') + "[sep]{}")},
      {"[calls][call]a[sep]{}[/call]" + std::string(600, ' ') + "[/calls]", v31(),
       list({call(0, "a", "{}"), content(std::string(600, ' ') + "[/calls]")})},
      {"[call]a[sep]{\"[sep]\": \"[think]\"}[/call]", v31(),
       call(0, "a", spelled("{\"[sep]\": \"[think]\"}"))},
      {"[think]x[/think][calls][call]a[sep]", plain(),
       content("[think]x[/think][calls][call]a[sep]")},
      {"<｜tool▁calls▁begi", v3(), content("<｜tool▁calls▁begi")},
      {"<<<thin<think", v3(), content("<<<thin<think")},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& some : {text_cases(), call_cases(), broken_call_cases()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

TEST(AnswerParser, EachFormatGivesItsEvents) {
  for (const Case& one : cases()) {
    EXPECT_EQ(parse(spelled(one.text), one.options), one.events) << one.text;
  }
}

TEST(AnswerParser, ThePiecesOfTheTextDoNotMatter) {
  std::mt19937 random(11);
  for (const Case& one : cases()) {
    const std::string text = spelled(one.text);
    for (int round = 0; round < 60; ++round) {
      AnswerParser parser(one.options);
      Events all;
      std::string cuts;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = round == 0 ? 1 : 1 + random() % (1 + round);
        const std::string piece = text.substr(at, bytes);
        join(all, parser.feed(piece));
        cuts += "|" + piece;
        at += piece.size();
      }
      join(all, parser.finish());
      ASSERT_EQ(all, one.events) << one.text << "\n" << cuts;
    }
  }
}

// Where markers are tokens, the same bytes as plain text are text.
TEST(AnswerParser, MarkersThatAreTokensCountOnlyAsTokens) {
  AnswerParser parser(v31(0));
  Events all;
  const auto token = [&](Marker marker) { join(all, parser.feed(text_of(marker), true)); };
  join(all, parser.feed(text_of(Marker::calls_begin)));
  token(Marker::calls_begin);
  token(Marker::call_begin);
  join(all, parser.feed("get"));
  token(Marker::separator);
  join(all, parser.feed("{\"a\": \"" + std::string(text_of(Marker::call_end)) + "\"}"));
  join(all, parser.feed("<｜User｜>", true));
  token(Marker::call_end);
  token(Marker::calls_end);
  join(all, parser.finish());
  const Events expected{{Kind::content, -1, std::string(text_of(Marker::calls_begin))},
                        {Kind::tool_call_begin, 0, "get"},
                        {Kind::tool_call_arguments, 0,
                         "{\"a\": \"" + std::string(text_of(Marker::call_end)) + "\"}<｜User｜>"},
                        {Kind::tool_call_end, 0, ""}};
  EXPECT_EQ(all, expected);
  EXPECT_EQ(parser.calls(), 1);
}

// Random mixtures of markers and text: pieces do not matter, and every byte of a text without
// calls comes back.
TEST(AnswerParser, AnyTextIsCutTheSameWayInAnyPieces) {
  const std::string parts[] = {"[calls]",  "[/calls]", "[call]",    "[/call]", "[sep]", "[think]",
                               "[/think]", "\n",       "```json\n", "\n```",   "name",  "{\"a\":1}",
                               " ",        "<",        "<｜tool",   "f",       "``",    "\n\n"};
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    std::string text;
    for (std::size_t i = random() % 20; i > 0; --i)
      text += spelled(parts[random() % std::size(parts)]);
    AnswerOptions options = seed % 2 ? v3() : v31();
    options.starts_in_reasoning = seed % 3 == 0;
    const Events whole = parse(text, options);
    AnswerParser parser(options);
    Events all;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t bytes = 1 + random() % 7;
      join(all, parser.feed(std::string_view(text).substr(at, bytes)));
      at += bytes;
    }
    join(all, parser.finish());
    ASSERT_EQ(all, whole) << "seed " << seed << "\n" << text;
    options.format.tool_calls = ToolCallFormat::none;
    std::string back;
    for (const AnswerEvent& event : parse(text, options)) back += event.text;
    for (const Marker marker : {Marker::think_begin, Marker::think_end}) {
      for (auto at = text.find(text_of(marker)); at != text.npos; at = text.find(text_of(marker)))
        text.erase(at, text_of(marker).size());
      for (auto at = back.find(text_of(marker)); at != back.npos; at = back.find(text_of(marker)))
        back.erase(at, text_of(marker).size());
    }
    ASSERT_EQ(back, text) << "seed " << seed;
  }
}

TEST(AnswerParser, PlainTextIsGivenOutAtOnce) {
  AnswerParser parser(v3());
  EXPECT_EQ(parser.feed("a <"), (Events{{Kind::content, -1, "a "}}));
  EXPECT_EQ(parser.feed("b"), (Events{{Kind::content, -1, "<b"}}));
  EXPECT_EQ(parser.feed("<｜tool"), Events{});
  EXPECT_EQ(parser.feed("s"), (Events{{Kind::content, -1, "<｜tools"}}));
  AnswerParser call(v31());
  call.feed(spelled("[call]get[sep]"));
  EXPECT_EQ(call.feed("{\"a\""), (Events{{Kind::tool_call_arguments, 0, "{\"a\""}}));
}

std::string template_text(const std::string& name) {
  std::ifstream file(std::string(kSourceDir) + "/tests/goldens/chat/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(AnswerFormat, IsToldFromThePublishedTemplates) {
  const auto of = [](const char* name) { return answer_format_of(template_text(name)); };
  EXPECT_EQ(of("v3.jinja"), (AnswerFormat{ToolCallFormat::deepseek_v3, false}));
  EXPECT_EQ(of("v3-0324.jinja"), (AnswerFormat{ToolCallFormat::deepseek_v3, false}));
  EXPECT_EQ(of("r1.jinja"), (AnswerFormat{ToolCallFormat::deepseek_v3, true}));
  EXPECT_EQ(of("v31.jinja"), (AnswerFormat{ToolCallFormat::deepseek_v31, true}));
  EXPECT_EQ(answer_format_of("{{ messages }}"), AnswerFormat{});
  EXPECT_EQ(answer_format_of(template_text("v31.jinja") + "<｜DSML｜function_calls>").tool_calls,
            ToolCallFormat::none);
  for (const char* name : {"none", "deepseek_v3", "deepseek_v31"})
    EXPECT_EQ(to_string(parse_tool_call_format(name).value()), name);
  EXPECT_EQ(parse_tool_call_format("hermes").error().code, Errc::unsupported);
}

TEST(AnswerFormat, APromptThatEndsInThinkOpensReasoning) {
  EXPECT_TRUE(opens_reasoning("<｜Assistant｜><think>"));
  EXPECT_TRUE(opens_reasoning("<｜Assistant｜><think>\n"));
  EXPECT_FALSE(opens_reasoning("<｜Assistant｜></think>"));
  EXPECT_FALSE(opens_reasoning("<think> is a marker"));
  EXPECT_FALSE(opens_reasoning(" \n"));
}

TEST(Marker, DeepSeeksTokenizerHasThemAllAsTokens) {
  EXPECT_EQ(spelled_markers(deepseek_tokenizer()), 0);
  for (std::size_t i = 0; i < kMarkers; ++i) {
    const auto marker = static_cast<Marker>(i);
    EXPECT_EQ(marker_of(text_of(marker)), marker);
  }
  EXPECT_EQ(marker_of("<think"), std::nullopt);
}

}  // namespace
}  // namespace troupe::model
