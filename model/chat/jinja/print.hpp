// How values become text: Python's str and repr, and JSON as transformers' tojson writes it.
#pragma once
#include <cstdint>
#include <string>

#include "model/chat/jinja/runtime.hpp"

namespace troupe::model::jinja {

/// Python's `repr(float)`: the shortest digits that read back, "1e+16" style outside 1e-4..1e16.
std::string float_repr(double number);

/// Python's `str(value)`; undefined gives "". Fails for values whose text would be an address.
Text to_text(Runtime& runtime, const Value& value);
/// Python's `repr(value)`.
Text to_repr(Runtime& runtime, const Value& value);

/// Options of Python's json.dumps; transformers' defaults.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool pretty = false;  // an indent was given
  std::string indent;   // one level of it
  Text item_separator{", ", true};
  Text key_separator{": ", true};
};

/// `json.dumps(value)`. Escapes keep the origin of the character they stand for; brackets, quotes
/// and numbers that of the value. Fails for what JSON cannot hold.
Text to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace troupe::model::jinja
