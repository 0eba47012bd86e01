// What a request asks of the shape of its answer: nothing, JSON, a schema, a pattern, tool calls.
#pragma once
#include <cstdint>
#include <string>

namespace troupe::model {

struct GrammarSpec {
  /// Values travel in frames: append only.
  enum class Kind : std::uint8_t {
    none = 0,
    json_object = 1,
    json_schema = 2,
    regex = 3,
    tool_calls = 4
  };
  Kind kind = Kind::none;
  /// The schema, the pattern, or what tool_calls_spec() wrote; empty for none and json_object.
  std::string text;

  friend bool operator==(const GrammarSpec&, const GrammarSpec&) = default;
};

}  // namespace troupe::model
