// JSON text as a value tree, for the files a checkpoint directory is made of.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/expected.hpp"

namespace troupe::model {

struct JsonMember;

/// One JSON value. Objects keep the order of the text; their keys are unique.
struct JsonValue {
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;
  /// Null at first. An initializer here would need a complete JsonMember.
  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array,
               Object>
      data;

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(data); }
  const std::string* string() const { return std::get_if<std::string>(&data); }
  const Array* array() const { return std::get_if<Array>(&data); }
  const Object* object() const { return std::get_if<Object>(&data); }
  std::optional<bool> boolean() const;
  /// Only numbers written without fraction or exponent that fit 64 bits with a sign.
  std::optional<std::int64_t> integer() const;
  /// Any number, as the nearest double.
  std::optional<double> number() const;
  /// The member's value, or null when this is no object or lacks the key. Linear in the members.
  const JsonValue* find(std::string_view key) const;
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

/// What a text may contain before it is refused; bounds the work an untrusted file can cause.
struct JsonLimits {
  std::size_t depth_max = 64;
};

/// *Errors*: `malformed` with the byte position for anything that is not one JSON value, for a key
/// that occurs twice in one object, and for nesting below `depth_max`. The text's name is for the
/// caller to add.
Expected<JsonValue> parse_json(std::string_view text, JsonLimits limits = {});

enum class JsonKeys : std::uint8_t { as_written, sorted };

/// Text of `value`: compact when `indent` is 0, else one member per line. Numbers keep their kind
/// (a double never loses its point), so parsing the text gives an equal tree.
std::string to_json(const JsonValue& value, int indent = 0, JsonKeys keys = JsonKeys::as_written);

/// `text` with quotes around it and JSON's escapes inside.
std::string quote_json(std::string_view text);

}  // namespace troupe::model
