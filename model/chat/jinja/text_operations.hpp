// Python's string methods on text that keeps its origin; filters and methods are built on them.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "model/chat/jinja/text.hpp"

namespace troupe::model::jinja {

inline constexpr std::int64_t kNoLimit = -1;

/// Without the characters of `set` (white space if null) at the asked ends.
Text strip(const Text& text, const Text* set, bool left, bool right);
/// The first `count` occurrences of `from` (all if negative) become `to`; an empty `from` matches
/// between all characters.
Text replace(const Text& text, const Text& from, const Text& to, std::int64_t count);
/// How often `replace` would replace.
std::size_t occurrences(const Text& text, const Text& from, std::int64_t count);
/// Python's `split`: by `separator`, or by runs of white space if null; at most `count` cuts if
/// not negative, counted from the right when `from_right`. An empty separator gives nothing.
std::vector<Text> split(const Text& text, const Text* separator, std::int64_t count,
                        bool from_right);
std::vector<Text> split_lines(const Text& text, bool keep_ends);
Text join(const std::vector<Text>& parts, const Text& separator);
/// Every character through `convert`; `convert` gets whether the character before it has case.
Text convert_case(const Text& text, const std::function<std::string(char32_t, bool)>& convert);
Text upper(const Text& text);
Text lower(const Text& text);
/// First character upper case, the others lower case.
Text capitalize(const Text& text);
/// Python's `str.title`: each run of letters with case begins upper.
Text title(const Text& text);
/// Spaces (or `fill`) on both sides up to `width` characters; `left` and `right` say which sides
/// get any.
Text pad(const Text& text, std::int64_t width, const Text& fill, bool left, bool right);

}  // namespace troupe::model::jinja
