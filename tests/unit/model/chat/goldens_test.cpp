// Every golden template and snippet renders as Jinja2 renders it, or fails where Jinja2 fails.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/chat/chat_template.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::model {
namespace {

using Json = nlohmann::ordered_json;

const std::string kSource = troupe::kSourceDir;
const std::string kGoldens = kSource + "/tests/goldens/chat/";
constexpr std::int64_t kNow = 1736431507;  // 2025-01-09 14:05:07, as make_chat_goldens.py has it

std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string template_of(const std::string& file) {
  if (file.find('/') == std::string::npos) return contents(kGoldens + file);
  return Json::parse(contents(kSource + "/" + file))["chat_template"].get<std::string>();
}

Expected<RenderedPrompt> render(const std::string& source, const Json& variables) {
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed) return unexpected(parsed.error());
  const std::string json = variables.dump();
  ChatRequest request;
  request.variables_json = json;
  request.local_time = kNow;
  return parsed->render(request);
}

void check(const Json& golden, const std::string& source, const Json& variables) {
  const auto prompt = render(source, variables);
  const std::string where = golden["name"].get<std::string>() + ": " + source.substr(0, 300);
  if (golden.contains("error")) {
    EXPECT_FALSE(prompt.has_value())
        << where << "\nshould fail: " << golden["error"] << "\nbut gives: " << Json(prompt->text);
  } else if (!prompt) {
    ADD_FAILURE() << where << "\nfails: " << prompt.error().detail;
  } else {
    EXPECT_EQ(Json(prompt->text), golden["expected"]) << where;
  }
}

TEST(ChatGoldens, PublishedTemplatesRenderAsJinja2RendersThem) {
  std::ifstream file(kGoldens + "chat_goldens.jsonl");
  std::string line;
  int cases = 0;
  while (std::getline(file, line)) {
    const Json golden = Json::parse(line);
    check(golden, template_of(golden["file"].get<std::string>()), golden["variables"]);
    ++cases;
  }
  EXPECT_EQ(cases, 360);
}

TEST(ChatGoldens, SnippetsRenderAsJinja2RendersThem) {
  std::ifstream file(kGoldens + "snippet_goldens.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  const Json variables = Json::parse(line)["variables"];
  int cases = 0;
  while (std::getline(file, line)) {
    const Json golden = Json::parse(line);
    check(golden, golden["template"].get<std::string>(), variables);
    ++cases;
  }
  EXPECT_GE(cases, 440);
}

// Specification 7.5 gives this one in full.
TEST(ChatGoldens, TheExampleOfTheSpecificationIsExact) {
  const Json variables = Json::parse(R"({"messages": [
      {"role": "system", "content": "You are a helpful assistant"},
      {"role": "user", "content": "Who are you?"},
      {"role": "assistant", "content": "<think>Hmm</think>I am DeepSeek"},
      {"role": "user", "content": "1+1=?"}],
      "thinking": true, "add_generation_prompt": true, "bos_token": "<｜begin▁of▁sentence｜>"})");
  const auto prompt = render(template_of("v31.jinja"), variables);
  ASSERT_TRUE(prompt.has_value()) << prompt.error().detail;
  EXPECT_EQ(
      prompt->text,
      "<｜begin▁of▁sentence｜>You are a helpful assistant<｜User｜>Who are you?<｜Assistant｜>"
      "</think>I am DeepSeek<｜end▁of▁sentence｜><｜User｜>1+1=?<｜Assistant｜><think>");
}

}  // namespace
}  // namespace troupe::model
