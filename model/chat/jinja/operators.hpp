// Python's operators on template values.
#pragma once
#include "model/chat/jinja/ast.hpp"
#include "model/chat/jinja/runtime.hpp"

namespace troupe::model::jinja {

/// `a op b` for +, -, *, /, //, %, ** and ~. Fails for types that Python would refuse, for integers
/// beyond 64 bits and for division by zero.
Value arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b);
/// ==, !=, <, <=, >, >=, in, not in.
bool compare(Runtime& runtime, Operator op, const Value& a, const Value& b);
/// -a and +a.
Value negate(Runtime& runtime, const Value& a, bool minus);

/// Python's ==; values of different types are unequal, 1 == 1.0 == True.
bool equal(Runtime& runtime, const Value& a, const Value& b);
/// Python's <; fails for types without an order.
bool less(Runtime& runtime, const Value& a, const Value& b);

}  // namespace troupe::model::jinja
