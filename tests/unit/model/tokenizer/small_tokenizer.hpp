// A tokenizer.json small enough to read: 256 bytes, a few merges, two added tokens.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "model/tokenizer/byte_alphabet.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model {

/// Ids 0..255 are the bytes, then "ab" 256, "abc" 257, "Ġa" 258, "<s>" 300 (special), "<t>" 301.
inline nlohmann::json small_tokenizer() {
  nlohmann::json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[utf8_of(char_of_byte(static_cast<std::uint8_t>(byte)))] = byte;
  }
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  vocab["Ġa"] = 258;
  auto json = nlohmann::json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
    "added_tokens": [
      {"id": 300, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": false, "special": true},
      {"id": 301, "content": "<t>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": true, "special": false}],
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": " ?\\p{L}+|\\s+(?!\\S)|\\s+"},
       "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "byte_fallback": false,
              "merges": [["a", "b"], "ab c", ["Ġ", "a"]]}})");
  json["model"]["vocab"] = vocab;
  return json;
}

}  // namespace troupe::model
