// Numbers in a line of text, as printf writes them.
#pragma once
#include <cstdio>
#include <string>

namespace troupe::services {

/// What printf would print. `form` is a literal, its conversions fit the values.
template <class... Values>
std::string formatted(const char* form, Values... values) {
  const int length = std::snprintf(nullptr, 0, form, values...);
  std::string text(static_cast<std::size_t>(length), '\0');
  std::snprintf(text.data(), text.size() + 1, form, values...);
  return text;
}

}  // namespace troupe::services
