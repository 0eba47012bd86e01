// Python's arithmetic, order and membership.
#include "model/chat/jinja/operators.hpp"

#include <algorithm>
#include <cmath>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/print.hpp"

namespace troupe::model::jinja {
namespace {

std::string_view symbol_of(Operator op) {
  static constexpr std::string_view kSymbols[] = {
      "+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSymbols[static_cast<std::size_t>(op)];
}

Value refuse(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (const Undefined* missing = value->as<Undefined>()) {
      return runtime.fail_type(missing->what ? *missing->what : "an undefined value is used");
    }
  }
  return runtime.fail_type("unsupported operand types for " + std::string(symbol_of(op)) + ": '" +
                           std::string(type_name(a)) + "' and '" + std::string(type_name(b)) + "'");
}

Value overflow(Runtime& runtime) {
  return runtime.fail(Errc::out_of_range, "an integer grows beyond 64 bits");
}

Value power(Runtime& runtime, std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return runtime.fail(Errc::unsupported, "** with a negative exponent");
  std::int64_t result = 1;
  // |base| >= 2 overflows within 64 rounds; -1, 0 and 1 only need the exponent's parity.
  if (base >= -1 && base <= 1) exponent = exponent == 0 ? 0 : 2 - exponent % 2;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) return overflow(runtime);
  }
  return Value::integer(result);
}

Value integers(Runtime& runtime, Operator op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool wrapped = false;
  switch (op) {
    case Operator::add: wrapped = __builtin_add_overflow(a, b, &result); break;
    case Operator::subtract: wrapped = __builtin_sub_overflow(a, b, &result); break;
    case Operator::multiply: wrapped = __builtin_mul_overflow(a, b, &result); break;
    case Operator::power: return power(runtime, a, b);
    default: {
      if (b == 0) return runtime.fail_type("integer division or modulo by zero");
      if (b == -1)
        return op == Operator::modulo ? Value::integer(0)
                                      : integers(runtime, Operator::subtract, 0, a);
      const std::int64_t rest = a % b;
      const bool adjust = rest != 0 && (rest < 0) != (b < 0);  // Python rounds down
      result = op == Operator::modulo ? rest + (adjust ? b : 0) : a / b - (adjust ? 1 : 0);
    }
  }
  return wrapped ? overflow(runtime) : Value::integer(result);
}

Value reals(Runtime& runtime, Operator op, double a, double b) {
  switch (op) {
    case Operator::add: return Value::real(a + b);
    case Operator::subtract: return Value::real(a - b);
    case Operator::multiply: return Value::real(a * b);
    case Operator::power: return runtime.fail(Errc::unsupported, "** with a float");
    default: break;
  }
  if (b == 0) return runtime.fail_type("float division by zero");
  if (op == Operator::divide) return Value::real(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == Operator::modulo) return Value::real(rest);
  return Value::real(std::round((a - rest) / b));
}

Value concat(Runtime& runtime, const Value& a, const Value& b) {
  Text result = to_text(runtime, a);
  const Text more = to_text(runtime, b);
  if (!runtime.allow_bytes(result.size() + more.size())) return {};
  result.append(more);
  return runtime.string(std::move(result));
}

Value repeat(Runtime& runtime, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::size_t>(std::clamp<std::int64_t>(times, 0, 1 << 30));
  if (const Text* text = value.text()) {
    if (!runtime.allow_bytes(text->size() * count) || !runtime.charge(count)) return {};
    Text result;
    for (std::size_t i = 0; i < count && !text->empty(); ++i) result.append(*text);
    return runtime.string(std::move(result));
  }
  const Sequence& sequence = *value.sequence();
  if (!runtime.charge(count * std::max<std::size_t>(1, sequence.items.size()))) return {};
  std::vector<Value> items;
  for (std::size_t i = 0; i < count && !sequence.items.empty(); ++i) {
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return runtime.list(std::move(items), sequence.kind, value.trusted);
}

bool repeatable(const Value& value) {
  const Sequence* sequence = value.sequence();
  return value.text() || (sequence && (sequence->kind == SequenceKind::list ||
                                       sequence->kind == SequenceKind::tuple));
}

Value joined(Runtime& runtime, const Value& a, const Value& b) {
  if (a.text() && b.text()) return concat(runtime, a, b);
  const Sequence *x = a.sequence(), *y = b.sequence();
  if (!x || !y || x->kind != y->kind || !repeatable(a)) return refuse(runtime, Operator::add, a, b);
  if (!runtime.charge(x->items.size() + y->items.size())) return {};
  std::vector<Value> items = x->items;
  items.insert(items.end(), y->items.begin(), y->items.end());
  return runtime.list(std::move(items), x->kind, a.trusted && b.trusted);
}

Value on_numbers(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  const bool integral = a.is_integral() && b.is_integral() && op != Operator::divide;
  Value result = integral ? integers(runtime, op, a.to_integer(), b.to_integer())
                          : reals(runtime, op, a.to_real(), b.to_real());
  result.trusted = a.trusted && b.trusted;
  return result;
}

bool equal_sequences(Runtime& runtime, const Sequence& a, const Sequence& b) {
  if (&a == &b) return true;
  if (a.kind != b.kind || a.kind == SequenceKind::view || a.kind == SequenceKind::generator) {
    return false;
  }
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(),
                    [&](const Value& x, const Value& y) { return equal(runtime, x, y); });
}

bool equal_dicts(Runtime& runtime, const Dict& a, const Dict& b) {
  if (&a == &b) return true;
  if (a.entries.size() != b.entries.size()) return false;
  return std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
    const Value* other = b.find(entry.first);
    return other && equal(runtime, entry.second, *other);
  });
}

// Lexicographic order, as Python has it for lists and tuples.
bool less_sequences(Runtime& runtime, const Sequence& a, const Sequence& b) {
  const std::size_t count = std::min(a.items.size(), b.items.size());
  for (std::size_t i = 0; i < count && runtime.charge(); ++i) {
    if (!equal(runtime, a.items[i], b.items[i])) return less(runtime, a.items[i], b.items[i]);
  }
  return a.items.size() < b.items.size();
}

bool contains(Runtime& runtime, const Value& item, const Value& container) {
  if (const Text* text = container.text()) {
    if (!item.text()) {
      refuse(runtime, Operator::in, item, container);
      return false;
    }
    if (!runtime.charge_bytes(text->size())) return false;
    return text->bytes().find(item.text()->bytes()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return is_key(item) && dict->find(item);
  if (container.is_undefined()) return false;
  if (!container.sequence()) {
    runtime.fail_type("argument of type '" + std::string(type_name(container)) +
                      "' is not iterable");
    return false;
  }
  const std::vector<Value> items = iterate(runtime, container);
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& candidate) { return equal(runtime, candidate, item); });
}

}  // namespace

Value arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  if (op == Operator::concat) return concat(runtime, a, b);
  if (a.is_number() && b.is_number()) return on_numbers(runtime, op, a, b);
  if (op == Operator::add) return joined(runtime, a, b);
  if (op == Operator::multiply && repeatable(a) && b.is_integral()) {
    return repeat(runtime, a, b.to_integer());
  }
  if (op == Operator::multiply && repeatable(b) && a.is_integral()) {
    return repeat(runtime, b, a.to_integer());
  }
  if (op == Operator::modulo && a.text()) {
    return runtime.fail(Errc::unsupported, "formatting with % is not supported");
  }
  return refuse(runtime, op, a, b);
}

Value negate(Runtime& runtime, const Value& a, bool minus) {
  Value result;
  if (const double* real = a.as<double>()) {
    result = Value::real(minus ? -*real : *real);
  } else if (a.is_integral()) {
    result = minus ? integers(runtime, Operator::subtract, 0, a.to_integer())
                   : Value::integer(a.to_integer());
  } else {
    return refuse(runtime, minus ? Operator::subtract : Operator::add, a, a);
  }
  result.trusted = a.trusted;
  return result;
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  if (!runtime.charge()) return false;
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.data.index() != b.data.index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (a.text()) return a.text()->bytes() == b.text()->bytes();
  if (a.sequence()) return equal_sequences(runtime, *a.sequence(), *b.sequence());
  if (a.dict()) return equal_dicts(runtime, *a.dict(), *b.dict());
  return std::visit(
      [&](const auto& object) {
        using T = std::decay_t<decltype(object)>;
        if constexpr (requires { object.get(); }) return object.get() == std::get<T>(b.data).get();
        return false;
      },
      a.data);
}

bool less(Runtime& runtime, const Value& a, const Value& b) {
  if (!runtime.charge()) return false;
  if (a.is_integral() && b.is_integral()) return a.to_integer() < b.to_integer();
  if (a.is_number() && b.is_number()) return a.to_real() < b.to_real();
  if (a.text() && b.text()) return a.text()->bytes() < b.text()->bytes();
  const Sequence *x = a.sequence(), *y = b.sequence();
  if (x && y && x->kind == y->kind && repeatable(a)) return less_sequences(runtime, *x, *y);
  refuse(runtime, Operator::less, a, b);
  return false;
}

bool compare(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::equal: return equal(runtime, a, b);
    case Operator::not_equal: return !equal(runtime, a, b);
    case Operator::less: return less(runtime, a, b);
    case Operator::greater: return less(runtime, b, a);
    case Operator::less_equal: return less(runtime, a, b) || equal(runtime, a, b);
    case Operator::greater_equal: return less(runtime, b, a) || equal(runtime, a, b);
    case Operator::in: return contains(runtime, a, b);
    case Operator::not_in: return !contains(runtime, a, b);
    default: return false;
  }
}

}  // namespace troupe::model::jinja
