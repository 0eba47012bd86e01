// `attribute="function.name"`, as several filters take it.
#pragma once
#include "model/chat/jinja/builtins.hpp"

namespace troupe::model::jinja {

/// The value at a dotted path (or index) inside `item`; `otherwise` (may be null) where missing.
Value at_path(Runtime& runtime, const Value& item, const Value& path, const Value* otherwise);

/// What filters compare strings by unless told otherwise: lower case.
Value folded(Runtime& runtime, Value value);

}  // namespace troupe::model::jinja
