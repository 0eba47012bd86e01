// Python's str and repr of template values.
#include "model/chat/jinja/print.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

std::string hex(std::uint32_t value, int digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out(static_cast<std::size_t>(digits), '0');
  for (int i = digits - 1; i >= 0; --i, value >>= 4)
    out[static_cast<std::size_t>(i)] = kDigits[value & 15];
  return out;
}

// The characters repr() escapes; those that no font shows beyond Latin-1 are left as they are.
std::string escaped(char32_t c, char quote) {
  if (c == U'\n') return "\\n";
  if (c == U'\r') return "\\r";
  if (c == U'\t') return "\\t";
  if (c == U'\\') return "\\\\";
  if (c == static_cast<unsigned char>(quote)) return std::string("\\") + quote;
  if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) return "\\x" + hex(c, 2);
  return {};
}

class Printer {
 public:
  explicit Printer(Runtime& runtime) : runtime_(runtime) {}

  void repr(const Value& value) {
    if (!runtime_.charge()) return;
    if (const Text* text = value.text()) return quote(*text);
    if (const Sequence* sequence = value.sequence()) return print(*sequence, value.trusted);
    if (const Dict* dict = value.dict()) return print(*dict, value.trusted);
    scalar(value);
  }

  void scalar(const Value& value) {
    if (value.is_undefined()) return put("Undefined", value.trusted);
    if (value.is_none()) return put("None", value.trusted);
    if (const bool* flag = value.as<bool>()) return put(*flag ? "True" : "False", value.trusted);
    if (value.integer()) return put(std::to_string(*value.integer()), value.trusted);
    if (const double* real = value.as<double>()) return put(float_repr(*real), value.trusted);
    runtime_.fail(Errc::unsupported,
                  "printing a " + std::string(type_name(value)) + " object is not supported");
  }

  Text take() { return std::move(out_); }

 private:
  void put(std::string_view bytes, bool trusted) {
    if (runtime_.charge_bytes(bytes.size())) out_.append(bytes, trusted);
  }

  void quote(const Text& text) {
    const std::string& bytes = text.bytes();
    const bool has_single = bytes.find('\'') != std::string::npos;
    const char quote = has_single && bytes.find('"') == std::string::npos ? '"' : '\'';
    if (!runtime_.charge_bytes(text.size())) return;
    out_.append(std::string_view(&quote, 1), text.trusted());
    text.for_each_run([&](std::string_view run, bool trusted) {
      for (std::size_t at = 0; at < run.size();) {
        const std::size_t width = utf8_width(run[at]);
        const std::string escape = escaped(utf8_decode(run, at), quote);
        out_.append(escape.empty() ? run.substr(at, width) : std::string_view(escape), trusted);
        at += width;
      }
    });
    out_.append(std::string_view(&quote, 1), text.trusted());
  }

  void print(const Sequence& sequence, bool trusted) {
    const bool tuple = sequence.kind == SequenceKind::tuple;
    if (!tuple && sequence.kind != SequenceKind::list) {
      runtime_.fail(Errc::unsupported, "printing a " + std::string(kind_name(sequence.kind)) +
                                           " is not supported; write `| list` after it");
      return;
    }
    put(tuple ? "(" : "[", trusted);
    for (std::size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) put(", ", trusted);
      repr(sequence.items[i]);
    }
    if (tuple && sequence.items.size() == 1) put(",", trusted);
    put(tuple ? ")" : "]", trusted);
  }

  void print(const Dict& dict, bool trusted) {
    put("{", trusted);
    bool first = true;
    for (const auto& [key, value] : dict.entries) {
      if (!first) put(", ", trusted);
      first = false;
      repr(key);
      put(": ", trusted);
      repr(value);
      if (runtime_.failed()) return;
    }
    put("}", trusted);
  }

  Runtime& runtime_;
  Text out_;
};

}  // namespace

std::string float_repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer;
  const auto end =
      std::to_chars(buffer.begin(), buffer.end(), number, std::chars_format::scientific);
  std::string text(buffer.begin(), end.ptr);  // d.ddde±XX, shortest digits
  const std::size_t mark = text.find('e');
  const int exponent = std::stoi(text.substr(mark + 1));
  if (exponent < -4 || exponent >= 16) return text;
  const auto plain = std::to_chars(buffer.begin(), buffer.end(), number, std::chars_format::fixed);
  std::string fixed(buffer.begin(), plain.ptr);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

Text to_text(Runtime& runtime, const Value& value) {
  if (const Text* text = value.text()) return *text;
  if (value.is_undefined()) return {};
  return to_repr(runtime, value);
}

Text to_repr(Runtime& runtime, const Value& value) {
  Printer printer(runtime);
  printer.repr(value);
  return printer.take();
}

}  // namespace troupe::model::jinja
