// JSON from a request as template values of untrusted origin.
#pragma once
#include <string_view>

#include "core/expected.hpp"
#include "model/chat/jinja/value.hpp"

namespace troupe::model::jinja {

/// Parses one JSON document; every string byte and scalar of the result is untrusted. Objects keep
/// their order; a repeated key keeps its first place and last value, as in Python.
/// *Errors*: malformed (the text says where); resource_exhausted beyond `nesting_max` levels;
/// unsupported for an integer outside 64 bits.
Expected<Value> read_json(std::string_view json, std::uint32_t nesting_max);

}  // namespace troupe::model::jinja
