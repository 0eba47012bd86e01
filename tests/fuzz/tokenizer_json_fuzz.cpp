// Any bytes as tokenizer.json are refused or give a tokenizer whose encodings decode to the text.
#include <nlohmann/json.hpp>

#include "core/check.hpp"
#include "model/tokenizer/tokenizer.hpp"
#include "tests/fuzz/fuzz_target.hpp"
#include "tests/unit/model/tokenizer/small_tokenizer.hpp"

using troupe::model::small_tokenizer;
using troupe::model::Tokenizer;

namespace {

// Shorter than the 256 byte tokens of a whole vocabulary: mutations shall hit the rest. A "@" in an
// input becomes those tokens.
std::string with_bytes(std::string input) {
  static const std::string bytes = [] {
    auto vocab = small_tokenizer()["model"]["vocab"];
    for (const char* merged : {"ab", "abc", "Ġa"}) vocab.erase(merged);
    const std::string dumped = vocab.dump();
    return dumped.substr(1, dumped.size() - 2);
  }();
  if (const auto at = input.find('@'); at != std::string::npos) input.replace(at, 1, bytes);
  return input;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  auto json = small_tokenizer();
  json["model"]["vocab"] = {{"#", 0}, {"ab", 256}, {"abc", 257}, {"Ġa", 258}};
  std::vector<std::string> seeds;
  const auto add = [&] {
    std::string text = json.dump();
    const std::size_t at = text.find("\"#\":0");
    text[at] = '@';
    text.erase(at + 1, 4);
    seeds.push_back(text);
  };
  add();
  json["pre_tokenizer"] = {{"type", "ByteLevel"}};
  add();
  json["model"]["ignore_merges"] = true;
  json["pre_tokenizer"] = nlohmann::json::parse(R"json({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "behavior": "Isolated",
       "pattern": {"Regex": "\\p{N}{1,3}|[^\\s\\S]|(?i:'s)|.(?=a)"}},
      {"type": "Split", "behavior": "Isolated", "pattern": {"String": "b"}},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})json");
  add();
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string json = with_bytes({reinterpret_cast<const char*>(data), size});
  const auto tokenizer = Tokenizer::parse(json);
  if (!tokenizer) {
    TROUPE_CHECK(!tokenizer.error().detail.empty(), json);
    return 0;
  }
  const std::string text = " abc abcab'S 12345 <s>x<t>\n  中文 \xf0\x9f\x98\x80\r\n";
  const auto ids = tokenizer->encode(text);
  if (ids) {
    const std::string decoded = tokenizer->decode(*ids);
    for (const std::int32_t id : *ids) TROUPE_CHECK(id >= 0 && id < tokenizer->size(), json);
    TROUPE_CHECK(decoded.size() >= 20, decoded);
  }
  return 0;
}
