// Grammars over a vocabulary of 256 bytes and a few longer tokens, for tests that read letters.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "model/grammar/grammar.hpp"

namespace troupe::model {

inline constexpr std::int32_t kStop = 300;  // no text token: ids 256 + longer ones .. 299 are none

/// Ids 0..255 are the bytes; `longer` follow; none beyond. Stop ids come after all of them.
inline std::shared_ptr<const TokenTable> byte_table(const std::vector<std::string>& longer = {}) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  texts.insert(texts.end(), longer.begin(), longer.end());
  return std::make_shared<const TokenTable>(std::move(texts));
}

inline Expected<std::shared_ptr<const Grammar>> compile(GrammarSpec::Kind kind, std::string text,
                                                        const GrammarLimits& limits = {}) {
  static const auto table = byte_table();
  return Grammar::compile({kind, std::move(text)}, table, limits);
}
inline Expected<std::shared_ptr<const Grammar>> compile_schema(std::string text) {
  return compile(GrammarSpec::Kind::json_schema, std::move(text));
}
inline Expected<std::shared_ptr<const Grammar>> compile_regex(std::string text) {
  return compile(GrammarSpec::Kind::regex, std::move(text));
}

/// Whether the whole text is one the grammar can write.
inline bool fits(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarState state(grammar);
  for (const char byte : text) {
    if (!state.advance(static_cast<std::uint8_t>(byte))) return false;
  }
  return state.complete();
}

/// The bytes that may come next.
inline std::string next_bytes(const GrammarState& state) {
  std::vector<std::uint64_t> allowed(5, 0);
  state.mask(allowed, {});
  std::string bytes;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (allowed[byte / 64] >> (byte % 64) & 1) bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace troupe::model
