// Methods of str, as templates call them.
#include <algorithm>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/text_operations.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

template <bool left, bool right>
Value strip_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return runtime.string(strip(*self.text(), arguments.text(runtime, 0), left, right));
}

Value list_of(Runtime& runtime, std::vector<Text> parts, SequenceKind kind = SequenceKind::list) {
  std::vector<Value> items;
  for (Text& part : parts) items.push_back(runtime.string(std::move(part)));
  return runtime.list(std::move(items), kind);
}

template <bool from_right>
Value split_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text* separator = arguments.text(runtime, 0);
  const std::int64_t count = arguments.integer(runtime, 1, kNoLimit);
  if (separator && separator->empty()) return runtime.fail_type("empty separator");
  if (!runtime.charge_bytes(self.text()->size())) return {};
  return list_of(runtime, split(*self.text(), separator, count, from_right));
}

Value splitlines_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!runtime.charge_bytes(self.text()->size())) return {};
  return list_of(runtime, split_lines(*self.text(), arguments.flag(0)));
}

template <bool from_right>
Value partition_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text* separator = arguments.text(runtime, 0);
  if (!separator || separator->empty()) return runtime.fail_type("empty separator");
  if (!runtime.charge_bytes(self.text()->size())) return {};
  std::vector<Text> parts = split(*self.text(), separator, 1, from_right);
  if (parts.size() == 2) {
    parts.insert(parts.begin() + 1, *separator);
  } else {
    parts.insert(from_right ? parts.begin() : parts.end(), 2, Text());
  }
  return list_of(runtime, std::move(parts), SequenceKind::tuple);
}

// The part of a string that [start, end) names, in bytes.
struct Window {
  std::size_t begin, end;
};

Window window(Runtime& runtime, const Text& text, const Arguments& arguments) {
  if (!arguments[1] && !arguments[2]) return {0, text.size()};
  const auto length = static_cast<std::int64_t>(utf8_length(text.bytes()));
  const auto offset = [&](std::size_t argument, std::int64_t otherwise) {
    std::int64_t at = arguments.integer(runtime, argument, otherwise);
    if (at < 0) at = std::max<std::int64_t>(0, at + length);
    return utf8_offset(text.bytes(), static_cast<std::size_t>(std::min(at, length)));
  };
  return {offset(1, 0), offset(2, length)};
}

template <bool prefix>
Value affix_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Window part = window(runtime, *self.text(), arguments);
  const auto bytes = std::string_view(self.text()->bytes())
                         .substr(part.begin, std::max(part.begin, part.end) - part.begin);
  const auto matches = [&](const Value& affix) {
    if (!affix.text()) {
      runtime.fail_type("startswith and endswith take a string or a tuple of strings");
      return false;
    }
    const std::string& wanted = affix.text()->bytes();
    return prefix ? bytes.starts_with(wanted) : bytes.ends_with(wanted);
  };
  const Sequence* several = arguments[0]->sequence();
  if (!several) return Value::boolean(matches(*arguments[0]));
  return Value::boolean(std::any_of(several->items.begin(), several->items.end(), matches));
}

// Characters before the first (or last) occurrence; -1 when there is none.
template <bool last, bool must>
Value find_method_impl(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text* wanted = arguments.text(runtime, 0);
  if (!wanted) return runtime.fail_type("find needs a string");
  if (!runtime.charge_bytes(self.text()->size())) return {};
  const Window part = window(runtime, *self.text(), arguments);
  std::size_t place = std::string::npos;
  const std::string_view bytes = self.text()->bytes();
  if (part.begin <= part.end) {
    const std::string_view inside = bytes.substr(part.begin, part.end - part.begin);
    place = last ? inside.rfind(wanted->bytes()) : inside.find(wanted->bytes());
  }
  if (place == std::string::npos) {
    return must ? runtime.fail_type("substring not found") : Value::integer(-1);
  }
  return Value::integer(
      static_cast<std::int64_t>(utf8_length(bytes.substr(0, part.begin + place))));
}

Value count_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text* wanted = arguments.text(runtime, 0);
  if (!wanted) return runtime.fail_type("count needs a string");
  if (!runtime.charge_bytes(self.text()->size())) return {};
  const Window part = window(runtime, *self.text(), arguments);
  const Text inside = self.text()->slice(part.begin, std::max(part.begin, part.end));
  return Value::integer(static_cast<std::int64_t>(occurrences(inside, *wanted, kNoLimit)));
}

Value replace_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text *from = arguments.text(runtime, 0), *to = arguments.text(runtime, 1);
  const std::int64_t count = arguments.integer(runtime, 2, kNoLimit);
  if (!from || !to) return runtime.fail_type("replace needs two strings");
  const std::size_t matches = occurrences(*self.text(), *from, count);
  if (!runtime.allow_bytes(self.text()->size() + matches * to->size())) return {};
  return runtime.string(replace(*self.text(), *from, *to, count));
}

template <Text (*convert)(const Text&)>
Value case_method(Runtime& runtime, const Value& self, const Arguments&) {
  return runtime.string(convert(*self.text()));
}

Text swap_case(const Text& text) {
  return convert_case(text,
                      [](char32_t c, bool) { return is_upper(c) ? to_lower(c) : to_upper(c); });
}

Value join_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  std::vector<Text> parts;
  std::size_t bytes = 0;
  for (const Value& item : iterate(runtime, *arguments[0])) {
    if (!item.text()) {
      return runtime.fail_type("join: expected strings, found '" + std::string(type_name(item)) +
                               "'");
    }
    bytes += item.text()->size() + self.text()->size();
    if (!runtime.allow_bytes(bytes)) return {};
    parts.push_back(*item.text());
  }
  return runtime.string(join(parts, *self.text()));
}

template <bool prefix>
Value remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text* affix = arguments.text(runtime, 0);
  const Text& text = *self.text();
  if (!affix) return runtime.fail_type("removeprefix and removesuffix need a string");
  const std::string_view bytes = text.bytes();
  if (!(prefix ? bytes.starts_with(affix->bytes()) : bytes.ends_with(affix->bytes()))) return self;
  return runtime.string(prefix ? text.slice(affix->size(), text.size())
                               : text.slice(0, text.size() - affix->size()));
}

template <bool left, bool right>
Value pad_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::int64_t width = arguments.integer(runtime, 0, 0);
  const Text* given = arguments.text(runtime, 1);
  if (given && utf8_length(given->bytes()) != 1) {
    return runtime.fail_type("The fill character must be exactly one character long");
  }
  if (!runtime.allow_bytes(static_cast<std::size_t>(std::max<std::int64_t>(0, width)))) return {};
  return runtime.string(pad(*self.text(), width, given ? *given : Text(" ", true), left, right));
}

Value zfill_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::int64_t width = arguments.integer(runtime, 0, 0);
  if (!runtime.allow_bytes(static_cast<std::size_t>(std::max<std::int64_t>(0, width)))) return {};
  const Text& text = *self.text();
  const bool sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  Text result = text.slice(0, sign ? 1 : 0);
  result.append(pad(text.slice(sign ? 1 : 0, text.size()), width - (sign ? 1 : 0), Text("0", true),
                    true, false));
  return runtime.string(std::move(result));
}

bool ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool ascii_letter(char32_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
bool ascii_either(char32_t c) { return ascii_digit(c) || ascii_letter(c); }

// Letters and digits beyond ASCII would need Unicode's tables: refused rather than guessed.
template <bool (*is)(char32_t)>
Value class_method(Runtime& runtime, const Value& self, const Arguments&) {
  const std::string& bytes = self.text()->bytes();
  if (is != is_space && std::any_of(bytes.begin(), bytes.end(), [](char c) { return c & 0x80; })) {
    return runtime.fail(Errc::unsupported, "isalpha, isdigit and isalnum beyond ASCII");
  }
  for (std::size_t at = 0; at < bytes.size(); at += utf8_width(bytes[at])) {
    if (!is(utf8_decode(bytes, at))) return Value::boolean(false);
  }
  return Value::boolean(!bytes.empty());
}

template <bool upper>
Value case_test(Runtime& runtime, const Value& self, const Arguments&) {
  return invoke(runtime, *find_test(upper ? "upper" : "lower"), self, {});
}

Value unsupported_method(Runtime& runtime, const Value&, const Arguments&) {
  return runtime.fail(Errc::unsupported,
                      "the string methods format, format_map, encode, translate, expandtabs and "
                      "maketrans are not supported");
}

constexpr Builtin kMethods[] = {
    {"strip", "chars", strip_method<true, true>},
    {"lstrip", "chars", strip_method<true, false>},
    {"rstrip", "chars", strip_method<false, true>},
    {"split", "sep maxsplit", split_method<false>},
    {"rsplit", "sep maxsplit", split_method<true>},
    {"splitlines", "keepends", splitlines_method},
    {"partition", "sep!", partition_method<false>},
    {"rpartition", "sep!", partition_method<true>},
    {"startswith", "prefix! start end", affix_method<true>},
    {"endswith", "suffix! start end", affix_method<false>},
    {"find", "sub! start end", find_method_impl<false, false>},
    {"rfind", "sub! start end", find_method_impl<true, false>},
    {"index", "sub! start end", find_method_impl<false, true>},
    {"rindex", "sub! start end", find_method_impl<true, true>},
    {"count", "sub! start end", count_method},
    {"replace", "old! new! count", replace_method},
    {"upper", "", case_method<upper>},
    {"lower", "", case_method<lower>},
    {"casefold", "", case_method<lower>},
    {"title", "", case_method<title>},
    {"capitalize", "", case_method<capitalize>},
    {"swapcase", "", case_method<swap_case>},
    {"join", "iterable!", join_method},
    {"removeprefix", "prefix!", remove_affix<true>},
    {"removesuffix", "suffix!", remove_affix<false>},
    {"center", "width! fillchar", pad_method<true, true>},
    {"ljust", "width! fillchar", pad_method<false, true>},
    {"rjust", "width! fillchar", pad_method<true, false>},
    {"zfill", "width!", zfill_method},
    {"isdigit", "", class_method<ascii_digit>},
    {"isnumeric", "", class_method<ascii_digit>},
    {"isdecimal", "", class_method<ascii_digit>},
    {"isalpha", "", class_method<ascii_letter>},
    {"isalnum", "", class_method<ascii_either>},
    {"isspace", "", class_method<is_space>},
    {"isupper", "", case_test<true>},
    {"islower", "", case_test<false>},
    {"format", "*", unsupported_method},
    {"format_map", "*", unsupported_method},
    {"encode", "*", unsupported_method},
    {"translate", "*", unsupported_method},
    {"expandtabs", "*", unsupported_method},
    {"maketrans", "*", unsupported_method},
};

}  // namespace

std::span<const Builtin> string_methods() { return kMethods; }

}  // namespace troupe::model::jinja
