// Which keywords of JSON schema are known, and reading their values.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model::grammar {

/// A schema within the document and where it stands, e.g. "$.properties.age".
struct SchemaPlace {
  const JsonValue* schema = nullptr;
  std::string path;

  SchemaPlace member(std::string_view key) const;
  SchemaPlace item(std::size_t index) const;
};

enum class JsonType : std::uint8_t { null, boolean, integer, number, string, array, object };
inline constexpr std::size_t kJsonTypes = 7;
/// Bit per JsonType.
using JsonTypes = std::uint8_t;
constexpr JsonTypes bit(JsonType type) {
  return static_cast<JsonTypes>(1u << static_cast<int>(type));
}
inline constexpr JsonTypes kAllTypes = 0x7f;

/// The type of a value: integer for every number without a fraction.
JsonType type_of(const JsonValue& value);

/// A keyword of a schema asserts something; annotations and definitions do not.
bool asserts(std::string_view keyword);

/// *Errors*: `unsupported` for a keyword that is not known, with its path; `malformed` when the
/// schema is neither an object nor a boolean.
Expected<void> check_keywords(const SchemaPlace& place);

/// The first keyword that asserts something and is not among `taken`, if one is there.
std::optional<std::string> asserts_beside(const SchemaPlace& place,
                                          std::initializer_list<std::string_view> taken);

/// The types that "type" allows, else those that its other keywords speak of, else all. integer is
/// left out where number is in. *Errors*: `malformed`, `unsupported` with the path.
Expected<JsonTypes> types_of(const SchemaPlace& place);

/// A keyword that is a count: nothing when absent. *Errors*: `malformed` with the path.
Expected<std::optional<std::uint64_t>> count_of(const SchemaPlace& place, std::string_view keyword);

/// The schema that "$ref" names. *Errors*: `unsupported` for another document, `not_found`.
Expected<SchemaPlace> resolve_reference(const JsonValue& root, const SchemaPlace& place);

}  // namespace troupe::model::grammar
