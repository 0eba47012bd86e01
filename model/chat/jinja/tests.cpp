// What may follow `is`.
#include <algorithm>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/operators.hpp"
#include "model/chat/jinja/print.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

Value truth(bool value) { return Value::boolean(value); }

Value is_defined(Runtime&, const Value& self, const Arguments&) {
  return truth(!self.is_undefined());
}
Value is_undefined(Runtime&, const Value& self, const Arguments&) {
  return truth(self.is_undefined());
}
Value is_none(Runtime&, const Value& self, const Arguments&) { return truth(self.is_none()); }
Value is_string(Runtime&, const Value& self, const Arguments&) { return truth(self.text()); }
Value is_mapping(Runtime&, const Value& self, const Arguments&) { return truth(self.dict()); }
Value is_number(Runtime&, const Value& self, const Arguments&) { return truth(self.is_number()); }
Value is_integer(Runtime&, const Value& self, const Arguments&) { return truth(self.integer()); }
Value is_float(Runtime&, const Value& self, const Arguments&) { return truth(self.as<double>()); }
Value is_boolean(Runtime&, const Value& self, const Arguments&) { return truth(self.as<bool>()); }
Value is_true(Runtime&, const Value& self, const Arguments&) {
  return truth(self.as<bool>() && *self.as<bool>());
}
Value is_false(Runtime&, const Value& self, const Arguments&) {
  return truth(self.as<bool>() && !*self.as<bool>());
}
// Jinja's undefined has a __call__, if only to raise.
Value is_callable_test(Runtime&, const Value& self, const Arguments&) {
  return truth(is_callable(self) || self.is_undefined());
}

Value is_iterable(Runtime&, const Value& self, const Arguments&) {
  return truth(self.text() || self.sequence() || self.dict() || self.is_undefined());
}

Value is_sequence(Runtime&, const Value& self, const Arguments&) {
  const Sequence* sequence = self.sequence();
  const bool indexable =
      sequence && sequence->kind != SequenceKind::view && sequence->kind != SequenceKind::generator;
  return truth(self.text() || self.dict() || indexable);
}

Value modulo(Runtime& runtime, const Value& self, const Value& divisor, std::int64_t rest) {
  const Value left = arithmetic(runtime, Operator::modulo, self, divisor);
  return truth(left.is_number() && left.to_real() == static_cast<double>(rest));
}
Value is_odd(Runtime& runtime, const Value& self, const Arguments&) {
  return modulo(runtime, self, Value::integer(2), 1);
}
Value is_even(Runtime& runtime, const Value& self, const Arguments&) {
  return modulo(runtime, self, Value::integer(2), 0);
}
Value is_divisible(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return modulo(runtime, self, *arguments[0], 0);
}

template <Operator op>
Value is_compared(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return truth(compare(runtime, op, self, *arguments[0]));
}

// `is sameas`: the same object; for what Python keeps once (None, booleans, small integers) equal.
Value is_same(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Value& other = *arguments[0];
  if (self.data.index() != other.data.index()) return truth(false);
  if (self.text()) return truth(self.text() == other.text());
  if (self.sequence()) return truth(self.sequence() == other.sequence());
  if (self.dict()) return truth(self.dict() == other.dict());
  return truth(equal(runtime, self, other));
}

// All letters with case are of this one, and there is at least one.
Value all_case(Runtime& runtime, const Value& self, bool upper) {
  bool found = false;
  const std::string bytes = to_text(runtime, self).bytes();
  for (std::size_t at = 0; at < bytes.size(); at += utf8_width(bytes[at])) {
    const char32_t character = utf8_decode(bytes, at);
    if (upper ? is_lower(character) : is_upper(character)) return truth(false);
    found |= upper ? is_upper(character) : is_lower(character);
  }
  return truth(found);
}
Value is_upper_test(Runtime& runtime, const Value& self, const Arguments&) {
  return all_case(runtime, self, true);
}
Value is_lower_test(Runtime& runtime, const Value& self, const Arguments&) {
  return all_case(runtime, self, false);
}

Value is_filter(Runtime&, const Value& self, const Arguments&) {
  return truth(self.text() && find_filter(self.text()->bytes()));
}
Value is_test(Runtime&, const Value& self, const Arguments&) {
  return truth(self.text() && find_test(self.text()->bytes()));
}

constexpr Builtin kTests[] = {
    {"defined", "", is_defined},
    {"undefined", "", is_undefined},
    {"none", "", is_none},
    {"string", "", is_string},
    {"mapping", "", is_mapping},
    {"number", "", is_number},
    {"integer", "", is_integer},
    {"float", "", is_float},
    {"boolean", "", is_boolean},
    {"true", "", is_true},
    {"false", "", is_false},
    {"callable", "", is_callable_test},
    {"iterable", "", is_iterable},
    {"sequence", "", is_sequence},
    {"odd", "", is_odd},
    {"even", "", is_even},
    {"divisibleby", "num!", is_divisible},
    {"equalto", "other!", is_compared<Operator::equal>},
    {"eq", "other!", is_compared<Operator::equal>},
    {"==", "other!", is_compared<Operator::equal>},
    {"ne", "other!", is_compared<Operator::not_equal>},
    {"!=", "other!", is_compared<Operator::not_equal>},
    {"lt", "other!", is_compared<Operator::less>},
    {"lessthan", "other!", is_compared<Operator::less>},
    {"<", "other!", is_compared<Operator::less>},
    {"le", "other!", is_compared<Operator::less_equal>},
    {"<=", "other!", is_compared<Operator::less_equal>},
    {"gt", "other!", is_compared<Operator::greater>},
    {"greaterthan", "other!", is_compared<Operator::greater>},
    {">", "other!", is_compared<Operator::greater>},
    {"ge", "other!", is_compared<Operator::greater_equal>},
    {">=", "other!", is_compared<Operator::greater_equal>},
    {"in", "seq!", is_compared<Operator::in>},
    {"sameas", "other!", is_same},
    {"upper", "", is_upper_test},
    {"lower", "", is_lower_test},
    {"filter", "", is_filter},
    {"test", "", is_test},
};

}  // namespace

std::span<const Builtin> all_tests() { return kTests; }

}  // namespace troupe::model::jinja
