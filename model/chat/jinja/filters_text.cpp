// Filters that give text.
#include <algorithm>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/print.hpp"
#include "model/chat/jinja/text_operations.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

Value upper_filter(Runtime& runtime, const Value& self, const Arguments&) {
  return runtime.string(upper(to_text(runtime, self)));
}

Value lower_filter(Runtime& runtime, const Value& self, const Arguments&) {
  return runtime.string(lower(to_text(runtime, self)));
}

Value capitalize_filter(Runtime& runtime, const Value& self, const Arguments&) {
  return runtime.string(capitalize(to_text(runtime, self)));
}

// Jinja's own title: a word begins after one of -({[< or white space, unlike str.title.
Value title_filter(Runtime& runtime, const Value& self, const Arguments&) {
  bool begins = true;
  return runtime.string(convert_case(to_text(runtime, self), [&begins](char32_t c, bool) {
    const bool separates =
        is_space(c) || c == U'-' || c == U'(' || c == U'{' || c == U'[' || c == U'<';
    std::string converted = begins ? to_upper(c) : to_lower(c);
    begins = separates;
    return converted;
  }));
}

Value trim_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text* set = arguments.text(runtime, 0);
  return runtime.string(strip(to_text(runtime, self), set, true, true));
}

Value replace_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text text = to_text(runtime, self);
  const Text from = to_text(runtime, *arguments[0]);
  const Text to = to_text(runtime, *arguments[1]);
  const std::int64_t count = arguments.integer(runtime, 2, kNoLimit);
  const std::size_t matches = occurrences(text, from, count);
  if (!runtime.allow_bytes(text.size() + matches * to.size())) return {};
  return runtime.string(replace(text, from, to, count));
}

// The text to indent by: as many blanks as the number says, or the string itself.
Text indentation(Runtime& runtime, const Value* width, std::int64_t otherwise) {
  if (width && width->text()) return *width->text();
  std::int64_t count = otherwise;
  if (width && !width->is_integral()) {
    runtime.fail_type("an indent must be a number or a string");
  } else if (width) {
    count = width->to_integer();
  }
  return Text(std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, 4096)), ' '),
              true);
}

Value indent_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!self.text()) return runtime.fail_type("indent needs a string");
  Text text = *self.text();
  const Text width = indentation(runtime, arguments[0], 4);
  const bool first = arguments.flag(1), blank = arguments.flag(2);
  text.append("\n", true);  // Jinja's quirk: an empty text is one line
  const std::vector<Text> lines = split_lines(text, false);
  if (!runtime.allow_bytes(text.size() + lines.size() * width.size())) return {};
  Text result;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) result.append("\n", true);
    if (i == 0 ? first : blank || !lines[i].empty()) result.append(width);
    result.append(lines[i]);
  }
  return runtime.string(std::move(result));
}

Value truncate_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!self.text()) return runtime.fail_type("truncate needs a string");
  const Text& text = *self.text();
  const std::int64_t length = arguments.integer(runtime, 0, 255);
  const Text* given = arguments.text(runtime, 2);
  const Text end = given ? *given : Text("...", true);
  const std::int64_t leeway = arguments.integer(runtime, 3, 5);
  const auto end_length = static_cast<std::int64_t>(utf8_length(end.bytes()));
  if (length < end_length || leeway < 0) return runtime.fail_type("truncate: length is too small");
  if (static_cast<std::int64_t>(utf8_length(text.bytes())) - leeway <= length) return self;
  const std::size_t stop = utf8_offset(text.bytes(), static_cast<std::size_t>(length - end_length));
  const std::size_t blank = text.bytes().substr(0, stop).rfind(' ');
  Text result = text.slice(0, arguments.flag(1) || blank == std::string::npos ? stop : blank);
  result.append(end);
  return runtime.string(std::move(result));
}

Value center_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::int64_t width = arguments.integer(runtime, 0, 80);
  if (width > 1 << 20) return runtime.fail(Errc::resource_exhausted, "center: width is too large");
  return runtime.string(pad(to_text(runtime, self), width, Text(" ", true), true, true));
}

Value string_filter(Runtime& runtime, const Value& self, const Arguments&) {
  return self.text() ? self : runtime.string(to_text(runtime, self));
}

// With autoescape off (as transformers renders) marking text as safe changes nothing.
Value safe_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return string_filter(runtime, self, arguments);
}

// Words are runs of letters, digits and underscores; beyond ASCII every letter counts as one.
Value wordcount_filter(Runtime& runtime, const Value& self, const Arguments&) {
  const Text text = to_text(runtime, self);
  std::int64_t words = 0;
  bool inside = false;
  for (const char c : text.bytes()) {
    const auto byte = static_cast<unsigned char>(c);
    const bool word = byte >= 0x80 || c == '_' || (c >= '0' && c <= '9') ||
                      ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    words += word && !inside;
    inside = word;
  }
  return Value::integer(words);
}

// transformers' tojson: json.dumps(x, ensure_ascii=False), no HTML escapes.
Value tojson_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  JsonStyle style;
  style.ensure_ascii = arguments.flag(0);
  style.pretty = arguments[1] && !arguments[1]->is_none();
  if (style.pretty) {
    style.indent = indentation(runtime, arguments[1], 0).bytes();
    style.item_separator = Text(",", true);  // the line break takes the blank's place
  }
  if (arguments[2] && !arguments[2]->is_none()) {
    const Sequence* pair = arguments[2]->sequence();
    if (!pair || pair->items.size() != 2 || !pair->items[0].text() || !pair->items[1].text()) {
      return runtime.fail_type("tojson: separators must be two strings");
    }
    style.item_separator = *pair->items[0].text();
    style.key_separator = *pair->items[1].text();
  }
  style.sort_keys = arguments.flag(3);
  return runtime.string(to_json(runtime, self, style));
}

constexpr Builtin kFilters[] = {
    {"upper", "", upper_filter},
    {"lower", "", lower_filter},
    {"capitalize", "", capitalize_filter},
    {"title", "", title_filter},
    {"trim", "chars", trim_filter},
    {"replace", "old! new! count", replace_filter},
    {"indent", "width first blank", indent_filter},
    {"truncate", "length killwords end leeway", truncate_filter},
    {"center", "width", center_filter},
    {"string", "", string_filter},
    {"safe", "", safe_filter},
    {"wordcount", "", wordcount_filter},
    {"tojson", "ensure_ascii indent separators sort_keys", tojson_filter},
};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

}  // namespace troupe::model::jinja
