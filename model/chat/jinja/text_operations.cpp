// Cutting, joining and recasing of text with origin.
#include "model/chat/jinja/text_operations.hpp"

#include <algorithm>

#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

// Whether the character at `at` of `bytes` is to be stripped.
bool in_set(const std::string& bytes, std::size_t at, const Text* set) {
  if (!set) return is_space(utf8_decode(bytes, at));
  const std::size_t width = utf8_width(bytes[at]);
  return set->bytes().find(bytes.substr(at, width)) != std::string::npos;
}

std::vector<Text> split_white(const Text& text, std::int64_t count) {
  const std::string& bytes = text.bytes();
  std::vector<Text> parts;
  std::size_t at = 0;
  const auto skip = [&](bool space) {
    while (at < bytes.size() && is_space(utf8_decode(bytes, at)) == space) {
      at += utf8_width(bytes[at]);
    }
  };
  for (skip(true); at < bytes.size(); skip(true)) {
    const std::size_t begin = at;
    if (count >= 0 && static_cast<std::int64_t>(parts.size()) == count) {
      parts.push_back(text.slice(begin, bytes.size()));
      break;
    }
    skip(false);
    parts.push_back(text.slice(begin, at));
  }
  return parts;
}

std::vector<Text> split_white_right(const Text& text, std::int64_t count) {
  const std::string& bytes = text.bytes();
  std::vector<Text> parts;
  std::size_t end = bytes.size();
  const auto skip = [&](bool space) {
    while (end > 0) {
      const std::size_t previous = utf8_previous(bytes, end);
      if (is_space(utf8_decode(bytes, previous)) != space) break;
      end = previous;
    }
  };
  for (skip(true); end > 0; skip(true)) {
    const std::size_t stop = end;
    if (static_cast<std::int64_t>(parts.size()) == count) {
      parts.push_back(text.slice(0, stop));
      break;
    }
    skip(false);
    parts.push_back(text.slice(end, stop));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_right(const Text& text, const std::string& separator, std::int64_t count) {
  std::vector<Text> parts;
  std::size_t end = text.size();
  while (static_cast<std::int64_t>(parts.size()) < count && end >= separator.size()) {
    const std::size_t place = text.bytes().rfind(separator, end - separator.size());
    if (place == std::string::npos) break;
    parts.push_back(text.slice(place + separator.size(), end));
    end = place;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

bool has_case(char32_t c) { return is_upper(c) || is_lower(c); }

}  // namespace

Text strip(const Text& text, const Text* set, bool left, bool right) {
  const std::string& bytes = text.bytes();
  std::size_t begin = 0, end = bytes.size();
  while (left && begin < end && in_set(bytes, begin, set)) begin += utf8_width(bytes[begin]);
  while (right && end > begin) {
    const std::size_t previous = utf8_previous(bytes, end);
    if (!in_set(bytes, previous, set)) break;
    end = previous;
  }
  return text.slice(begin, end);
}

Text replace(const Text& text, const Text& from, const Text& to, std::int64_t count) {
  const std::string& bytes = text.bytes();
  Text result;
  std::size_t at = 0;
  for (std::int64_t done = 0; count < 0 || done < count; ++done) {
    const std::size_t place = from.empty() ? at : bytes.find(from.bytes(), at);
    if (place == std::string::npos) break;
    result.append(text, at, place);
    result.append(to);
    at = place + from.size();
    if (!from.empty()) continue;
    if (at == bytes.size()) return result;
    const std::size_t width = utf8_width(bytes[at]);
    result.append(text, at, at + width);
    at += width;
  }
  result.append(text, at, text.size());
  return result;
}

std::size_t occurrences(const Text& text, const Text& from, std::int64_t count) {
  const std::size_t most = count < 0 ? text.size() + 1 : static_cast<std::size_t>(count);
  if (from.empty()) return std::min(most, utf8_length(text.bytes()) + 1);
  std::size_t found = 0;
  for (std::size_t at = 0; found < most; ++found) {
    at = text.bytes().find(from.bytes(), at);
    if (at == std::string::npos) break;
    at += from.size();
  }
  return found;
}

std::vector<Text> split(const Text& text, const Text* separator, std::int64_t count,
                        bool from_right) {
  const bool limited = count >= 0;
  if (!separator) {
    return from_right && limited ? split_white_right(text, count) : split_white(text, count);
  }
  if (separator->empty()) return {};
  if (from_right && limited) return split_right(text, separator->bytes(), count);
  std::vector<Text> parts;
  std::size_t at = 0;
  while (!limited || static_cast<std::int64_t>(parts.size()) < count) {
    const std::size_t place = text.bytes().find(separator->bytes(), at);
    if (place == std::string::npos) break;
    parts.push_back(text.slice(at, place));
    at = place + separator->size();
  }
  parts.push_back(text.slice(at, text.size()));
  return parts;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends) {
  const std::string& bytes = text.bytes();
  std::vector<Text> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t width = utf8_width(bytes[at]);
    if (!is_line_break(utf8_decode(bytes, at))) {
      at += width;
      continue;
    }
    const bool pair = bytes[at] == '\r' && at + 1 < bytes.size() && bytes[at + 1] == '\n';
    const std::size_t stop = at + (pair ? 2 : width);
    lines.push_back(text.slice(begin, keep_ends ? stop : at));
    begin = at = stop;
  }
  if (begin < bytes.size()) lines.push_back(text.slice(begin, bytes.size()));
  return lines;
}

Text join(const std::vector<Text>& parts, const Text& separator) {
  Text result;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) result.append(separator);
    result.append(parts[i]);
  }
  return result;
}

Text convert_case(const Text& text, const std::function<std::string(char32_t, bool)>& convert) {
  Text result;
  bool cased = false;
  text.for_each_run([&](std::string_view run, bool trusted) {
    std::string converted;
    for (std::size_t at = 0; at < run.size(); at += utf8_width(run[at])) {
      const char32_t character = utf8_decode(run, at);
      converted += convert(character, cased);
      cased = has_case(character);
    }
    result.append(converted, trusted);
  });
  return result;
}

Text upper(const Text& text) {
  return convert_case(text, [](char32_t c, bool) { return to_upper(c); });
}

Text lower(const Text& text) {
  return convert_case(text, [](char32_t c, bool) { return to_lower(c); });
}

Text capitalize(const Text& text) {
  bool first = true;
  return convert_case(text, [&first](char32_t c, bool) {
    return std::exchange(first, false) ? to_upper(c) : to_lower(c);
  });
}

Text title(const Text& text) {
  return convert_case(text,
                      [](char32_t c, bool cased) { return cased ? to_lower(c) : to_upper(c); });
}

Text pad(const Text& text, std::int64_t width, const Text& fill, bool left, bool right) {
  const auto length = static_cast<std::int64_t>(utf8_length(text.bytes()));
  const std::int64_t missing = std::max<std::int64_t>(0, width - length);
  // Python puts the odd one left when the width is odd.
  const std::int64_t before = !left ? 0 : !right ? missing : missing / 2 + (missing & width & 1);
  Text result;
  for (std::int64_t i = 0; i < before; ++i) result.append(fill);
  result.append(text);
  for (std::int64_t i = before; i < missing; ++i) result.append(fill);
  return result;
}

}  // namespace troupe::model::jinja
