// The 256 printable characters by which byte-level BPE spells the 256 bytes.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::model {

/// The character that stands for `byte`: itself where printable in Latin-1, else U+0100 upwards.
/// Source: spec 7.1; the table of GPT-2 (bytes_to_unicode).
char32_t char_of_byte(std::uint8_t byte);

/// The bytes that a token text spells, or nothing when one of its characters spells no byte.
/// `text` must be well-formed UTF-8.
std::optional<std::string> bytes_of_token_text(std::string_view text);

}  // namespace troupe::model
