// Any bytes as a schema or a pattern are refused with a reason, or give a grammar whose masks lead
// to the end of a text: no dead end, nothing allowed that cannot be taken.
#include <cstring>
#include <string>

#include "core/check.hpp"
#include "model/config/json_value.hpp"
#include "model/grammar/grammar.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace {

using namespace troupe::model;

std::shared_ptr<const TokenTable> byte_table() {
  static const auto table = [] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* word : {"{\"", "\":", "\",\"", "null", "}]", "ab", "12", "\": \"", "中"})
      texts.emplace_back(word);
    return std::make_shared<const TokenTable>(std::move(texts));
  }();
  return table;
}

GrammarLimits small_limits() {
  GrammarLimits limits;
  limits.nfa_states_max = 20'000;
  limits.states_max = 5'000;
  limits.work_max = 200'000;
  limits.repeat_max = 1'000;
  limits.answer_depth_max = 12;
  return limits;
}

// Bits of ids that the walk chooses among; `pick` decides.
void walk(const std::shared_ptr<const Grammar>& grammar, std::uint64_t pick,
          GrammarSpec::Kind kind) {
  GrammarState state(grammar);
  std::string text;
  const std::int32_t size = byte_table()->size();
  for (int step = 0; step < 40 && !state.ended(); ++step) {
    std::vector<std::uint64_t> allowed(5);
    state.mask(allowed, {});
    std::vector<std::int32_t> ids;
    for (std::int32_t id = 0; id < size; ++id) {
      if (allowed[static_cast<std::size_t>(id) / 64] >> (id % 64) & 1) ids.push_back(id);
    }
    TROUPE_CHECK(!ids.empty() || state.complete(), "a dead end after " + text);
    if (ids.empty()) break;
    pick = pick * 6364136223846793005u + 1442695040888963407u;
    const std::int32_t id = ids[(pick >> 33) % ids.size()];
    TROUPE_CHECK(state.advance(id), text);
    text += byte_table()->bytes_of(id);
  }
  if (state.complete() && kind != GrammarSpec::Kind::regex) {
    const auto json = parse_json(text, {.depth_max = 64});
    const bool twice = !json && json.error().detail.find("occurs twice") != std::string::npos;
    TROUPE_CHECK(json.has_value() || twice, text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool schema = data[0] == '{' || data[0] == '[';
  const auto kind = schema ? GrammarSpec::Kind::json_schema : GrammarSpec::Kind::regex;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto grammar = Grammar::compile({kind, text}, byte_table(), small_limits());
  if (!grammar) {
    TROUPE_CHECK(!grammar.error().detail.empty(), "a refusal without a reason");
    return 0;
  }
  walk(*grammar, size * 0x9e3779b97f4a7c15u + data[size / 2], kind);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      "(a|b)*c{2,3}[^x-z]\\d+.?",
      "^[\\w.]+@(?:中文|é){1,2}$|\\u{1F600}\\x41\\n",
      R"({"type":"object","properties":{"a":{"type":"integer","minimum":-5,"maximum":120},"b":
         {"type":["string","null"],"maxLength":7}},"required":["b"],"additionalProperties":false})",
      R"({"$defs":{"n":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/n"},{"const":"é"}]},
         "maxItems":3}},"$ref":"#/$defs/n"})",
      R"({"oneOf":[{"type":"null"},{"enum":[1,"x",{"k":[]}]}]})",
      R"({"type":"array","prefixItems":[{"type":"boolean"},{"type":"number","minimum":0}],
         "items":{"type":"string","pattern":"^a+$"},"minItems":1})",
      R"({"type":"object","properties":{"d":{"format":"date"}},"additionalProperties":true})",
      R"([{"type":"string","minLength":2}])",
  };
}
