// What a request asks of the shape of its answer: nothing, JSON, a JSON schema or a pattern.
#pragma once
#include <cstdint>
#include <string>

namespace troupe::model {

struct GrammarSpec {
  /// Values travel in frames: append only.
  enum class Kind : std::uint8_t { none = 0, json_object = 1, json_schema = 2, regex = 3 };
  Kind kind = Kind::none;
  std::string text;  // the schema or the pattern; empty for none and json_object

  friend bool operator==(const GrammarSpec&, const GrammarSpec&) = default;
};

}  // namespace troupe::model
