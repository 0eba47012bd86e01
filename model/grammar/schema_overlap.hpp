// Whether one value could match two schemas: what oneOf needs to know.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "model/grammar/schema_keywords.hpp"

namespace troupe::model::grammar {

/// The values that "const" and "enum" leave, of one of the types.
std::vector<const JsonValue*> constants_of(const JsonValue& schema, JsonTypes types);

/// The first two alternatives of a list of schemas for which it cannot be shown that what is
/// written for one is never a value of the other. Shown by: types, constants, a required property
/// whose schemas exclude each other, a required property that the other never writes.
std::optional<std::pair<std::size_t, std::size_t>> first_overlap(const JsonValue& root,
                                                                 const SchemaPlace& list);

}  // namespace troupe::model::grammar
