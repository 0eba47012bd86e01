// Rewrites a split pattern of tokenizer.json, written for Oniguruma, so that PCRE2 reads it alike.
#pragma once
#include <string>
#include <string_view>

#include "core/expected.hpp"

namespace troupe::model {

/// A pattern for PCRE2 in UTF and UCP mode with the meaning that `pattern` has for Oniguruma (Ruby
/// syntax), which Hugging Face `tokenizers` uses. `\s` and `\S` become the White_Space list of
/// Unicode 14, because PCRE2's own `\s` also holds U+180E.
///
/// Taken: literals, classes without nesting, `\p{..}`, `\s \d` and negations, escapes of control
/// characters and punctuation, `\x{..}`, `\uHHHH`, `.`, `|`, quantifiers, and the groups
/// `( (?: (?i: (?> (?= (?! (?<= (?<!`. Errors: unsupported, with the construct and its byte offset,
/// for all that the two engines read differently (`\w`, `\b`, `\h`, anchors, `&&`, nested and POSIX
/// classes, back-references, `{n}+`, ...); malformed for a pattern that ends too early. `pattern`
/// must be well-formed UTF-8.
Expected<std::string> translate_split_pattern(std::string_view pattern);

/// `text` as a pattern that matches exactly it.
std::string literal_split_pattern(std::string_view text);

}  // namespace troupe::model
