// json.dumps of template values.
#include <algorithm>
#include <cmath>

#include "model/chat/jinja/print.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

std::string unicode_escape(char32_t unit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[unit >> shift & 15];
  return out;
}

// The JSON escape of a character; empty when it stands for itself.
std::string escaped(char32_t c, bool ensure_ascii) {
  switch (c) {
    case U'"': return "\\\"";
    case U'\\': return "\\\\";
    case U'\n': return "\\n";
    case U'\r': return "\\r";
    case U'\t': return "\\t";
    case U'\b': return "\\b";
    case U'\f': return "\\f";
    default: break;
  }
  if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) {
    return c == 0x7F ? std::string() : unicode_escape(c);
  }
  if (!ensure_ascii || c < 0x80) return {};
  const char32_t rest = c - 0x10000;
  return unicode_escape(0xD800 + (rest >> 10)) + unicode_escape(0xDC00 + (rest & 0x3FF));
}

class Writer {
 public:
  Writer(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& value) {
    if (!runtime_.charge()) return;
    if (const Text* text = value.text()) return string(*text);
    if (const Dict* dict = value.dict()) return object(*dict, value.trusted);
    if (const Sequence* sequence = value.sequence()) return array(*sequence, value.trusted);
    const std::string text = scalar(value);
    if (text.empty()) {
      runtime_.fail_type("Object of type " + std::string(type_name(value)) +
                         " is not JSON serializable");
    }
    put(text, value.trusted);
  }

  Text take() { return std::move(out_); }

 private:
  void put(std::string_view bytes, bool trusted) {
    if (runtime_.charge_bytes(bytes.size())) out_.append(bytes, trusted);
  }

  static std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (const bool* flag = value.as<bool>()) return *flag ? "true" : "false";
    if (value.integer()) return std::to_string(*value.integer());
    const double* real = value.as<double>();
    if (!real) return {};
    if (std::isnan(*real)) return "NaN";
    if (std::isinf(*real)) return *real < 0 ? "-Infinity" : "Infinity";
    return float_repr(*real);
  }

  void string(const Text& text) {
    if (!runtime_.charge_bytes(text.size())) return;
    out_.append("\"", text.trusted());
    text.for_each_run([&](std::string_view run, bool trusted) {
      for (std::size_t at = 0; at < run.size();) {
        const std::size_t width = utf8_width(run[at]);
        const std::string escape = escaped(utf8_decode(run, at), style_.ensure_ascii);
        out_.append(escape.empty() ? run.substr(at, width) : std::string_view(escape), trusted);
        at += width;
      }
    });
    out_.append("\"", text.trusted());
  }

  void new_line(bool trusted) {
    if (!style_.pretty) return;
    put("\n", trusted);
    for (std::size_t i = 0; i < level_; ++i) put(style_.indent, trusted);
  }

  void separator(bool first, bool trusted) {
    // With an indent and no separators given, json.dumps drops the blank after the comma.
    if (!first && runtime_.charge_bytes(style_.item_separator.size())) {
      style_.item_separator.for_each_run(
          [&](std::string_view run, bool own) { out_.append(run, own && trusted); });
    }
    new_line(trusted);
  }

  void array(const Sequence& sequence, bool trusted) {
    if (sequence.kind != SequenceKind::list && sequence.kind != SequenceKind::tuple) {
      runtime_.fail_type("Object of type " + std::string(kind_name(sequence.kind)) +
                         " is not JSON serializable");
      return;
    }
    if (sequence.items.empty()) return put("[]", trusted);
    put("[", trusted);
    ++level_;
    bool first = true;
    for (const Value& item : sequence.items) {
      separator(first, trusted);
      first = false;
      write(item);
      if (runtime_.failed()) return;
    }
    --level_;
    new_line(trusted);
    put("]", trusted);
  }

  void key(const Value& key) {
    if (key.text()) return string(*key.text());
    put("\"", key.trusted);
    put(scalar(key), key.trusted);
    put("\"", key.trusted);
  }

  void object(const Dict& dict, bool trusted) {
    if (dict.entries.empty()) return put("{}", trusted);
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) sort(entries);
    put("{", trusted);
    ++level_;
    bool first = true;
    for (const auto* entry : entries) {
      separator(first, trusted);
      first = false;
      key(entry->first);
      style_.key_separator.for_each_run(
          [&](std::string_view run, bool own) { put(run, own && trusted); });
      write(entry->second);
      if (runtime_.failed()) return;
    }
    --level_;
    new_line(trusted);
    put("}", trusted);
  }

  void sort(std::vector<const std::pair<Value, Value>*>& entries) {
    for (const auto* entry : entries) {
      if (!entry->first.text()) {
        runtime_.fail(Errc::unsupported, "tojson(sort_keys=true) of keys that are not strings");
        return;
      }
    }
    std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
      return a->first.text()->bytes() < b->first.text()->bytes();
    });
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  Text out_;
  std::size_t level_ = 0;
};

}  // namespace

Text to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  Writer writer(runtime, style);
  writer.write(value);
  return writer.take();
}

}  // namespace troupe::model::jinja
