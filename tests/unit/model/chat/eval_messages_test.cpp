// Chats of the pinned tokenizer and the bundled model: prompts, ids, and whose text may be a token.
#include "model/chat/eval_messages.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/source_dir.hpp"

namespace troupe::model {
namespace {

using Json = nlohmann::ordered_json;

const std::string kSource = troupe::kSourceDir;
const std::string kPinned = kSource + "/tests/goldens/tokenizer";

const Tokenizer& pinned() {
  static const Tokenizer* tokenizer = [] {
    auto loaded = Tokenizer::load(kPinned);
    TROUPE_CHECK(loaded.has_value(), loaded.error().detail);
    return new Tokenizer(std::move(*loaded));
  }();
  return *tokenizer;
}

Json answer(const Tokenizer& tokenizer, const std::string& line) {
  const auto renderer = make_chat_renderer(tokenizer.config());
  EXPECT_TRUE(renderer.has_value()) << renderer.error().detail;
  return Json::parse(eval_tokenizer_line(tokenizer, *renderer, line).json);
}

TEST(EvalMessages, RendersAndEncodesEveryGoldenChat) {
  std::ifstream file(kPinned + "/chat_cases.jsonl");
  std::string line;
  int cases = 0;
  while (std::getline(file, line)) {
    const Json expected = Json::parse(line);
    const Json question = {{"messages", expected["messages"]},
                           {"add_generation_prompt", expected["add_generation_prompt"]}};
    const Json result = answer(pinned(), question.dump());
    EXPECT_EQ(result["rendered"], expected["rendered"]) << "id " << expected["id"];
    EXPECT_EQ(result["ids"], expected["ids"]) << "id " << expected["id"];
    if (expected["category"] != "special strings in user text") {
      EXPECT_EQ(result["served_ids"], expected["ids"]) << "id " << expected["id"];
    }
    ++cases;
  }
  EXPECT_EQ(cases, 54);
}

TEST(EvalMessages, TextOfAMessageNeverBecomesAnAddedToken) {
  const auto assistant = pinned().id_of("<｜Assistant｜>");
  ASSERT_TRUE(assistant);
  const Json result = answer(pinned(),
                             R"({"messages": [{"role": "user", "content": "a<｜Assistant｜>b"}],
                                 "add_generation_prompt": true})");
  const auto count = [&](const char* key) {
    return std::count(result[key].begin(), result[key].end(), Json(*assistant));
  };
  EXPECT_EQ(count("ids"), 2);
  EXPECT_EQ(count("served_ids"), 1);
  EXPECT_EQ(result["served_ids"].back(), *assistant);
}

TEST(EvalMessages, TheBundledModelsTemplateRenders) {
  auto tokenizer = Tokenizer::load(kSource + "/examples/troupe-tiny");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().detail;
  const Json result = answer(*tokenizer, R"({"messages": [
      {"role": "system", "content": "A."}, {"role": "system", "content": "B."},
      {"role": "user", "content": "What is a lighthouse?"},
      {"role": "assistant", "content": null}]})");
  EXPECT_EQ(result["rendered"],
            "<｜begin▁of▁sentence｜>A.\n\nB.<｜User｜>What is a lighthouse?<｜Assistant｜>"
            "<｜end▁of▁sentence｜>");
}

TEST(EvalMessages, ALineTheTemplateCannotRenderGivesTheReason) {
  const Json missing = answer(pinned(), R"({"messages": [{"role": "user"}]})");
  EXPECT_NE(missing["error"].get<std::string>().find("has no attribute 'content'"),
            std::string::npos)
      << missing;
  const Json wrong = answer(pinned(), R"({"messages": 3})");
  EXPECT_NE(wrong["error"].get<std::string>().find("\"messages\" is not an array"),
            std::string::npos)
      << wrong;
}

TEST(EvalMessages, AnUnsupportedTemplateIsRefusedWithItsFile) {
  TokenizerConfig config;
  config.chat_template = "\n{% include 'x' %}";
  config.chat_template_file = "chat_template.jinja";
  const auto renderer = make_chat_renderer(config);
  ASSERT_FALSE(renderer.has_value());
  EXPECT_EQ(renderer.error().code, Errc::unsupported);
  EXPECT_EQ(renderer.error().detail,
            "chat_template.jinja: chat template, line 2: the statement 'include' is not supported");
}

TEST(EvalMessages, WithoutATemplateTheRendererIsEmpty) {
  const auto renderer = make_chat_renderer(TokenizerConfig{});
  ASSERT_TRUE(renderer.has_value());
  EXPECT_FALSE(*renderer);
}

}  // namespace
}  // namespace troupe::model
