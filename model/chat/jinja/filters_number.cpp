// Filters on numbers.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/operators.hpp"
#include "model/chat/jinja/print.hpp"
#include "model/chat/jinja/text_operations.hpp"

namespace troupe::model::jinja {
namespace {

// What Python's float() reads: white space around, a sign, digits with underscores, inf, nan.
bool read_real(const Text& text, double& value) {
  std::string bytes = strip(text, nullptr, true, true).bytes();
  if (!bytes.empty() && bytes[0] == '+') bytes.erase(0, 1);
  if (bytes.empty() || bytes.find_first_of("xXpP(") != std::string::npos) return false;
  const auto done = std::from_chars(bytes.data(), bytes.data() + bytes.size(), value);
  return done.ec == std::errc() && done.ptr == bytes.data() + bytes.size();
}

// What Python's int(text, base) reads; base 0 and underscores are not.
bool read_integer(const Text& text, std::int64_t base, std::int64_t& value) {
  std::string bytes = strip(text, nullptr, true, true).bytes();
  const std::string sign = bytes.starts_with("-") ? "-" : "";
  if (bytes.starts_with("+") || !sign.empty()) bytes.erase(0, 1);
  const char prefix = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
  if (prefix != 0 && bytes.size() > 2 && bytes[0] == '0' && (bytes[1] | 0x20) == prefix)
    bytes.erase(0, 2);
  if (bytes.empty() || bytes[0] == '-') return false;
  bytes = sign + bytes;
  const auto done =
      std::from_chars(bytes.data(), bytes.data() + bytes.size(), value, static_cast<int>(base));
  return done.ec == std::errc() && done.ptr == bytes.data() + bytes.size();
}

Value refuse_undefined(Runtime& runtime, const Value& self) {
  const Undefined* undefined = self.as<Undefined>();
  return runtime.fail_type(undefined->what ? *undefined->what : "an undefined value is used");
}

Value truncated(Runtime& runtime, double real) {
  if (std::isnan(real)) return runtime.fail_type("cannot convert float NaN to integer");
  if (!(real > -9.2e18 && real < 9.2e18)) {
    return runtime.fail(Errc::out_of_range, "a float is too large for an integer of 64 bits");
  }
  return Value::integer(static_cast<std::int64_t>(real));
}

Value int_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::int64_t base = arguments.integer(runtime, 1, 10);
  if (self.text() && (base < 2 || base > 36))
    return runtime.fail_type("int() base must be >= 2 and <= 36");
  Value result = arguments[0] ? *arguments[0] : Value::integer(0);
  std::int64_t integer = 0;
  double real = 0;
  if (self.is_undefined()) return refuse_undefined(runtime, self);
  if (self.is_integral()) {
    result = Value::integer(self.to_integer());
  } else if (const double* number = self.as<double>()) {
    result = truncated(runtime, *number);
  } else if (self.text() && read_integer(*self.text(), base, integer)) {
    result = Value::integer(integer);
  } else if (self.text() && read_real(*self.text(), real)) {
    result = truncated(runtime, real);
  } else {
    return result;
  }
  result.trusted = self.text() ? self.text()->trusted() : self.trusted;
  return result;
}

Value float_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  double real = 0;
  if (self.is_undefined()) return refuse_undefined(runtime, self);
  if (self.is_number()) {
    real = self.to_real();
  } else if (!self.text() || !read_real(*self.text(), real)) {
    return arguments[0] ? *arguments[0] : Value::real(0);
  }
  Value result = Value::real(real);
  result.trusted = self.text() ? self.text()->trusted() : self.trusted;
  return result;
}

Value abs_filter(Runtime& runtime, const Value& self, const Arguments&) {
  if (self.is_undefined()) return refuse_undefined(runtime, self);
  if (!self.is_number()) {
    return runtime.fail_type("bad operand type for abs(): '" + std::string(type_name(self)) + "'");
  }
  if (self.to_real() < 0) return negate(runtime, self, true);
  return self.as<bool>() ? Value::integer(self.to_integer()) : self;
}

// The decimal with `digits` places nearest to the exact value; ties go to the even digit.
double rounded(double value, int digits) {
  std::array<char, 400> buffer;
  const auto end =
      std::to_chars(buffer.begin(), buffer.end(), value, std::chars_format::fixed, digits);
  double result = value;
  if (end.ec == std::errc()) std::from_chars(buffer.begin(), end.ptr, result);
  return result;
}

Value round_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::int64_t digits = arguments.integer(runtime, 0, 0);
  const Text* given = arguments.text(runtime, 1);
  const std::string method = given ? given->bytes() : "common";
  if (!self.is_number()) {
    if (self.is_undefined()) return refuse_undefined(runtime, self);
    return runtime.fail_type("round needs a number");
  }
  if (digits < 0 || digits > 15) return runtime.fail(Errc::unsupported, "round to these digits");
  if (method == "common") {
    if (self.is_integral()) return Value(Value::Data(self.to_integer()), self.trusted);
    return Value(Value::Data(rounded(self.to_real(), static_cast<int>(digits))), self.trusted);
  }
  if (method != "ceil" && method != "floor") {
    return runtime.fail_type("method must be common, ceil or floor");
  }
  double scale = 1;
  for (std::int64_t i = 0; i < digits; ++i) scale *= 10;
  const double scaled = self.to_real() * scale;
  const double whole = method == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  return Value(Value::Data(whole / scale), self.trusted);
}

constexpr Builtin kFilters[] = {
    {"int", "default base", int_filter},
    {"float", "default", float_filter},
    {"abs", "", abs_filter},
    {"round", "precision method", round_filter},
};

}  // namespace

std::span<const Builtin> number_filters() { return kFilters; }

}  // namespace troupe::model::jinja
