// Any bytes as a chat template: refused, or run within its bounds, with the origin of text kept.
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.hpp"
#include "model/chat/jinja/interpreter.hpp"
#include "model/chat/jinja/json_read.hpp"
#include "model/chat/jinja/parser.hpp"
#include "model/chat/jinja/unicode.hpp"
#include "tests/fuzz/fuzz_target.hpp"
#include "tests/support/source_dir.hpp"

namespace {

namespace jinja = troupe::model::jinja;

const nlohmann::ordered_json& snippets() {
  static const nlohmann::ordered_json parsed = [] {
    std::ifstream file(std::string(troupe::kSourceDir) + "/tests/goldens/chat/snippets.json");
    return nlohmann::ordered_json::parse(file);
  }();
  return parsed;
}

// Every text of a request carries this, no seed does: wherever it is printed must be untrusted.
constexpr std::string_view kMark = "｜";

std::vector<std::pair<std::string, jinja::Value>> variables() {
  static const std::string json = [] {
    nlohmann::ordered_json all = snippets().at("variables");
    all["words"] = {"be｜ta", "｜", "Al｜pha"};
    all["text"] = "  Hello,｜ World! \t\n";
    all["messages"][1]["content"] = "Hi ｜ <b>";
    all["dict"]["k｜"] = "v｜";
    return all.dump();
  }();
  const auto value = jinja::read_json(json, 100);
  TROUPE_CHECK(value.has_value(), value.error().detail);
  std::vector<std::pair<std::string, jinja::Value>> result;
  for (const auto& [name, item] : value->dict()->entries) {
    result.emplace_back(name.text()->bytes(), item);
  }
  return result;
}

void check_origin(const jinja::Text& text) {
  std::size_t end = 0;
  text.for_each_run([&](std::string_view run, bool trusted) {
    TROUPE_CHECK(!run.empty(), text.bytes());
    TROUPE_CHECK(!trusted || run.find(kMark) == std::string_view::npos, text.bytes());
    end += run.size();
  });
  TROUPE_CHECK(end == text.size(), text.bytes());
  TROUPE_CHECK(jinja::is_utf8(text.bytes()), text.bytes());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto body = jinja::parse_template(source);
  if (!body) {
    TROUPE_CHECK(body.error().detail.starts_with("chat template, line "), body.error().detail);
    return 0;
  }
  jinja::Limits limits;
  limits.steps_max = 20'000;
  limits.output_bytes_max = 1 << 20;
  jinja::Runtime runtime(limits);
  runtime.local_time = 1736431507;
  const jinja::Text text = jinja::Interpreter(runtime, variables()).render(*body);
  if (runtime.failed()) {
    TROUPE_CHECK(!runtime.error().detail.empty(), "an error without a reason");
    return 0;
  }
  // An escape or the character itself may write the mark in the template.
  const bool writes_mark = source.find('\\') != source.npos || source.find(kMark) != source.npos;
  if (!writes_mark) check_origin(text);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const auto& [topic, templates] : snippets().items()) {
    if (topic == "variables") continue;
    for (const auto& source : templates) seeds.push_back(source.get<std::string>());
  }
  return seeds;
}
