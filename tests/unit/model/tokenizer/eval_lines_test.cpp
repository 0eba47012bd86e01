// Lines of `troupe eval tokenizer`: answers for good ones, {"error"} for the rest.
#include "model/tokenizer/eval_lines.hpp"

#include <gtest/gtest.h>

#include "tests/unit/model/tokenizer/golden_files.hpp"
#include "tests/unit/model/tokenizer/small_tokenizer.hpp"

namespace troupe::model {
namespace {

using Json = nlohmann::json;

const Tokenizer& small() {
  static const Tokenizer tokenizer = Tokenizer::parse(small_tokenizer().dump()).value();
  return tokenizer;
}

Json ask(const std::string& line, const ChatRenderer& render = {}) {
  const EvalAnswer answer = eval_tokenizer_line(small(), render, line);
  const Json json = Json::parse(answer.json);
  EXPECT_EQ(answer.ok, !json.contains("error")) << answer.json;
  EXPECT_EQ(answer.json.find('\n'), std::string::npos);
  return json;
}

TEST(EvalLines, EncodesText) {
  const Json expected = {
      {"ids", {257, 300}}, {"text", "abc<s>"}, {"steps", {"abc", "<s>"}}, {"tail", ""}};
  EXPECT_EQ(ask(R"({"text": "abc<s>"})"), expected);
  EXPECT_EQ(ask(R"({"text": "abc<s>", "special": true})"), expected);
  EXPECT_EQ(ask(R"({"text": "<s>", "special": false})")["ids"], Json({'<', 's', '>'}));
  EXPECT_EQ(ask(R"({"text": ""})")["ids"], Json::array());
}

TEST(EvalLines, DecodesIds) {
  EXPECT_EQ(ask(R"({"ids": [228, 184, 173, 300, 228]})"),
            (Json{{"ids", {228, 184, 173, 300, 228}},
                  {"text", "中<s>\ufffd"},
                  {"steps", {"", "", "中", "<s>", ""}},
                  {"tail", "\ufffd"}}));
}

TEST(EvalLines, AnswersGoldenDecodings) {
  for (const auto& golden : golden_lines("decode_cases.jsonl")) {
    const auto answer = Json::parse(
        eval_tokenizer_line(deepseek_tokenizer(), {}, Json{{"ids", golden["ids"]}}.dump()).json);
    EXPECT_EQ(answer["steps"], golden["deltas"]) << golden["id"];
    EXPECT_EQ(answer["tail"], golden["tail"]);
    EXPECT_EQ(answer["text"], golden["text"]);
  }
}

TEST(EvalLines, ServesMessagesWithoutTheirAddedTokens) {
  const ChatRenderer render = [](std::string_view) {
    return Expected<std::vector<RenderedSegment>>({{"<s>", true}, {"<t>a", false}, {"<t>", true}});
  };
  EXPECT_EQ(ask(R"({"messages": []})", render),
            (Json{{"rendered", "<s><t>a<t>"},
                  {"ids", {300, 301, 'a', 301}},
                  {"served_ids", {300, '<', 't', '>', 'a', 301}}}));
}

TEST(EvalLines, PassesTheRenderersErrorOn) {
  const ChatRenderer render = [](std::string_view) -> Expected<std::vector<RenderedSegment>> {
    return unexpected(Errc::malformed, "line 3: no such filter");
  };
  EXPECT_EQ(ask(R"({"messages": []})", render), (Json{{"error", "line 3: no such filter"}}));
}

std::string deep(std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(EvalLines, SaysWhatIsWrongWithALine) {
  for (const auto& [line, detail] : std::vector<std::pair<std::string, std::string>>{
           {"", "not JSON at byte"},
           {"{", "not JSON at byte"},
           {"\xff", "not JSON at byte"},
           {R"({"text": "\ud800"})", "not JSON at byte"},
           {"[]", "not a JSON object"},
           {"{}", "none of"},
           {R"({"text": 1})", "\"text\" is not a string"},
           {R"({"text": "", "special": 1})", "\"special\""},
           {R"({"ids": 1})", "\"ids\" is not an array"},
           {R"({"ids": [0, "a"]})", "ids[1]"},
           {R"({"ids": [1.5]})", "ids[0]"},
           {R"({"ids": [-1]})", "ids[0] = -1"},
           {R"({"ids": [302]})", "ids[0] = 302"},
           {R"({"ids": [299]})", "ids[0] = 299"},
           {R"({"ids": [18446744073709551615]})", "ids[0]"},
           {R"({"messages": []})", "no chat template"},
           {R"({"messages": "hi"})", "\"messages\" is not an array"},
           {R"({"ids": )" + deep(63) + "}", "ids[0]"},
           {R"({"ids": )" + deep(64) + "}", "nested deeper than 64"},
           {R"({"ids": )" + deep(200'000) + "}", "nested deeper than 64"},
           {R"({"text": "", "x": )" + deep(200'000) + "}", "nested deeper than 64"}}) {
    const Json answer = ask(line);
    ASSERT_TRUE(answer.contains("error")) << line;
    EXPECT_NE(answer["error"].get<std::string>().find(detail), std::string::npos) << answer;
  }
}

}  // namespace
}  // namespace troupe::model
